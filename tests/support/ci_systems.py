"""Which lines of a log CI systems would take for commands, each by its own reading (see escape.py)."""

from __future__ import annotations

import re
import unicodedata

_FILLERS = "\u115f\u1160\u3164\uffa0"


def obeyed(text: str) -> str:
    """The first command in a log that any of the systems would see, each by its own reading."""
    for line in re.split(r"\r\n|\r|\n", text):
        weighed = "".join(c for c in line if not _weightless(c))
        trimmed = weighed.lstrip()
        buildkite = re.match(
            r"(---|\+\+\+|~~~|\^\^\^)(\s|$)", re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", weighed)
        )
        if trimmed.startswith("::") or buildkite:
            return line
        if re.search(
            r"##(\[|vso\[|teamcity\[)|section_(start|end):|travis_(fold|time):", weighed, re.IGNORECASE
        ):
            return line
    return ""


def _weightless(character: str) -> bool:
    return (
        unicodedata.category(character) in {"Mn", "Me", "Cf", "Cc"} and character not in "\t\x1b"
    ) or (character in _FILLERS)
