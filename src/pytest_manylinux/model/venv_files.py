"""Where a wheel's files lie once they are installed, on any distro.

Rules: the wheel specification on `.data` folders, and sysconfig's scheme for virtual environments
(programs in `bin`, data from the prefix on).
"""

from __future__ import annotations

import re

SITE = "site-packages"
_STANDARD = re.compile(r"lib(?:64)?/(?:python|pypy)\d[\w.]*/(?P<rest>.+)")
_SITE_FOLDERS = frozenset({"site-packages", "dist-packages"})


def environment_path(path: str) -> str:
    """Where a file of the wheel lies in an environment; all site folders are `site-packages/`.

    Empty for headers and for schemes that the specification does not know.
    """
    head, _, rest = path.partition("/")
    if not head.endswith(".data"):
        return f"{SITE}/{path}"
    scheme, _, inside = rest.partition("/")
    match scheme:
        case "purelib" | "platlib":
            return f"{SITE}/{inside}"
        case "scripts":
            return f"bin/{inside}"
        case "data":
            return _from_prefix(inside)
        case _:
            return ""


def is_in_standard_library(place: str) -> bool:
    """Whether an environment's path lies in the folder of Python's own modules."""
    return _STANDARD.fullmatch(place) is not None


def _from_prefix(path: str) -> str:
    match = _STANDARD.fullmatch(path)
    if match is None:
        return path
    folder, _, inside = match["rest"].partition("/")
    return f"{SITE}/{inside}" if folder in _SITE_FOLDERS and inside else path
