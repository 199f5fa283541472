"""Which distros have libpython beside their interpreter."""

from __future__ import annotations

import re

from pytest_manylinux.model.distro import Target

_LIBPYTHON = re.compile(r"libpython(?P<version>\d\.\d+|\d)[a-z]*\.so(?:\.[\d.]+)?")
# Families whose interpreter has everything inside, so that a minimal installation has no libpython
# (seen on live roots of Debian 11, 12, 13 and testing; Ubuntu packages Python as Debian does).
_STATIC = frozenset({"debian", "ubuntu"})


def is_libpython(library: str) -> bool:
    """Whether a soname is the interpreter's own library."""
    return _LIBPYTHON.fullmatch(library) is not None


def has_libpython(library: str, target: Target) -> bool | None:
    """Whether the target's interpreter brings that library; None where it is not known."""
    match = _LIBPYTHON.fullmatch(library)
    if match is None or target.distro.family in _STATIC:
        return False
    own = target.interpreter.version
    return None if match["version"] in {own.dotted, str(own.major)} else False
