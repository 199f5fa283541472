"""Words of wheels, pip and imported code, made harmless: nothing in them may steer what shows them.

Escape sequences could redraw a terminal, control characters are forbidden in XML 1.0 (section 2.2),
and direction marks could make a name look like another one (Unicode TR 36, section 2.4).
"""

from __future__ import annotations

import re

_SUSPECT = re.compile("[^\t\n -~]")


def plain(text: str) -> str:
    """The text with all that is not printable spelled out, as Python would; tabs and breaks stay."""
    return _SUSPECT.sub(_spell, text.replace("\r\n", "\n"))


def plain_line(text: str) -> str:
    """The same for a name or a sentence: line breaks and tabs are spelled out too."""
    return plain(text).replace("\n", "\\n").replace("\t", "\\t")


def _spell(match: re.Match[str]) -> str:
    character = match.group()
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
