"""Words of wheels, pip and imported code, made harmless: nothing in them may steer what shows them.

Escape sequences could redraw a terminal, control characters are forbidden in XML 1.0 (section 2.2),
and direction marks could make a name look like another one.
"""

from __future__ import annotations

import re

# Everything but tab, line break and what XML 1.0 allows; of that, C1 controls and bidirectional
# formatting characters (Unicode TR 36, section 2.4) are taken out as well.
_UNSOUND = re.compile(
    "[^\t\n -~\u00a0-\u061b\u061d-\u200d\u2010-\u2027\u202f-\u2065"
    "\u206a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def plain(text: str) -> str:
    """The text with every unsound character spelled out as in a Python string."""
    return _UNSOUND.sub(_spell, text.replace("\r\n", "\n"))


def plain_line(text: str) -> str:
    """The same for a name or a sentence: line breaks and tabs are spelled out too."""
    return plain(text).replace("\n", "\\n").replace("\t", "\\t")


def first_line(text: str, bound: int) -> str:
    """The first line that says anything, cut to `bound` characters."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return plain_line(line if len(line) <= bound else line[: bound - 1] + "…")


def _spell(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode("ascii")
