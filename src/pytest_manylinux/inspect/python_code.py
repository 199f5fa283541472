"""What a wheel's Python sources tell without being run.

Which libraries they open by ctypes or cffi: a search for the calls and for the names of libraries near
them; code that computes a name is told as the pattern `*`. It is a hint that a library may be in the
process before a module needs it, no more. Which Python they are for: sources that look as if they used
newer syntax, or that of Python 2, are parsed for each version that the wheel admits. What a package's
`__init__` imports first.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from pytest_manylinux.model.wheel import SyntaxNeed

MAX_SOURCE = 1024 * 1024
"""Bytes of a source that is looked at; tables of generated data are larger, code is not."""

_CALLS = (b"CDLL", b"LoadLibrary", b"dlopen")
_CALL = re.compile(rb"(?:CDLL|LoadLibrary|dlopen)\s*\(\s*(?P<what>[^\s,)]*)")
# Arguments that name no file of the wheel: the process itself, or what the system is asked for.
_NOT_OURS = re.compile(rb"None|(?:ctypes\.util\.)?find_library|['\"]")
_NAME = re.compile(rb"['\"](?P<name>[^'\"\n]{1,200}\.so(?:\.[^'\"\n/]{0,20})?\*?)['\"]")
_HOLES = re.compile(r"\{[^}]*\}|%\w|%\([^)]*\)\w")


def opened_libraries(data: bytes) -> tuple[str, ...]:
    """Patterns of the library file names that a source opens by itself, sorted."""
    if not any(call in data for call in _CALLS):
        return ()
    names = {_HOLES.sub("*", m["name"].decode("utf-8", "replace")) for m in _NAME.finditer(data)}
    if names:
        return tuple(sorted(name.rpartition("/")[2] for name in names))
    calls = [call["what"] for call in _CALL.finditer(data)]
    return () if all(map(_NOT_OURS.match, calls)) else ("*",)


NEWEST = sys.version_info.minor
"""The newest Python 3 whose syntax can be told here: that of the Python that runs this."""

PARSE_TIMEOUT = 60.0
"""Seconds for all parsing of one wheel; what is not done by then is not told."""

# Signs of syntax by the first minor version of Python 3 that has it (the grammars of 3.8 to 3.14), and
# under NEWEST + 1 those of Python 2. What they find is parsed, so that a false hit costs time only.
_SIGNS = {
    8: rb":=|,[ \t]*/[ \t]*[,)]|^[ \t]*/[ \t]*,|\bfr?['\"][^'\"\n]*=\}",
    9: rb"^[ \t]*(?:async[ \t]+)?with[ \t]*\(|^[ \t]*@(?:\(|[\w.]+\[|[\w.]+\([^)\n]*\)[.\[(])",
    10: rb"^[ \t]*match\b[^=\n]*:[ \t]*(?:#.*)?$",
    11: rb"\bexcept[ \t]*\*|\w\[[ \t]*\*\w",
    12: rb"^[ \t]*type[ \t]+\w+[ \t]*[=\[]|^[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+\w+[ \t]*\[",
    NEWEST + 1: (
        rb"^[ \t]*(?:print|exec)[ \t]+['\"\w]|\bexcept[ \t]+[\w.]+[ \t]*,"
        rb"|^[ \t]*raise[ \t]+[\w.]+[ \t]*,|\bur['\"]"
    ),
}
_PARSER = Path(__file__).with_name("parse_sources.py")
_IMPORT = re.compile(
    r"^(?:from[ \t]+(?P<where>\.[\w.]*)[ \t]+import[ \t]+(?P<what>\([^)]*\)|[^\n]+)"
    r"|import[ \t]+(?P<whole>[\w., \t]+))",
    re.MULTILINE,
)


def looks_newer(data: bytes, lowest: int) -> bool:
    """Whether a source has signs of syntax that Python 3.`lowest` does not have."""
    return _signs(lowest).search(data) is not None


@cache
def _signs(lowest: int) -> re.Pattern[bytes]:
    wanted = [signs for minor, signs in _SIGNS.items() if minor > lowest]
    return re.compile(b"|".join(wanted), re.MULTILINE)


def syntax_needs(sources: Mapping[str, bytes], lowest: int) -> tuple[SyntaxNeed, ...]:
    """The sources that Python 3.`lowest` does not compile, by path.

    The parsing is done by a process of its own, since a source made for it can crash a parser; where
    that does not answer nothing is told.
    """
    if not sources or lowest > NEWEST:
        return ()
    asked = {path: data.decode("latin-1") for path, data in sources.items()}
    command = [sys.executable, "-I", "-W", "ignore", str(_PARSER), str(lowest)]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            check=False,
            timeout=PARSE_TIMEOUT,
        )
        found = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, json.JSONDecodeError):
        return ()
    return tuple(
        SyntaxNeed(path=path, since=since, tried=NEWEST, line=line, message=message)
        for path, (since, line, message) in sorted(found.items())
    )


def imported_modules(package: str, data: bytes) -> Iterator[str]:
    """Dotted names that a package's `__init__` may import from itself, by its unindented imports."""
    for match in _IMPORT.finditer(data.decode("utf-8", "replace")):
        if match["whole"]:
            yield from (word.split()[0] for word in match["whole"].split(",") if word.split())
            continue
        where = match["where"]
        level = len(where) - len(where.lstrip("."))
        if level > 1:
            continue
        base = f"{package}.{where[1:]}".rstrip(".")
        yield base
        words = re.sub(r"#.*|[()\\]", " ", match["what"]).split(",")
        yield from (f"{base}.{word.split()[0]}" for word in words if word.split())
