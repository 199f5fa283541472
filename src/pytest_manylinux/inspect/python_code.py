"""What a wheel's Python sources tell without being run: which libraries they open by ctypes or cffi.

A search for the calls and for the names of libraries near them; code that computes a name is told as
the pattern `*`. It is a hint that a library may be in the process before a module needs it, no more.
"""

from __future__ import annotations

import re

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
