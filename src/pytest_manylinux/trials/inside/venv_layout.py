"""The venv of a trial, made from its recorded layout (trials/venv.py).

Runs inside the distro: Python 3.6 or later, standard library only, and little of that: an interpreter
that starts again as the venv's own needs no more.
"""

import base64
import json
import os
import sys

from pytest_manylinux.trials.inside.c_library import allocator

TYPE_CHECKING = False  # `typing` is not free to import
if TYPE_CHECKING:
    from typing import Any

VENV = "/scratch/venv"
PYTHON = f"{VENV}/bin/python"


def become_the_venvs(layout: str) -> None:
    """Start again with the venv's own interpreter, once the venv is there; return in that one.

    `layout` is a file with the recorded layout.
    """
    if sys.prefix == VENV:
        return
    with open(layout, encoding="utf-8") as file:
        lay_out(json.load(file)["entries"], [])
    with open("/proc/self/cmdline", "rb") as words:
        argv = words.read().split(b"\0")[1:-1]
    argv[:0] = [os.fsencode(PYTHON)]
    os.execve(PYTHON, argv, dict(os.environ, **allocator()))  # noqa: S606 -- no shell is the point


def lay_out(entries: "list[list[Any]]", copies: "list[list[str]]") -> None:
    """Make the venv from its recorded layout, around what is there already (mounts, if any)."""
    os.makedirs(VENV, exist_ok=True)
    for kind, path, mode, content in entries:
        place = os.path.join(VENV, path)
        if kind == "folder":
            os.makedirs(place, exist_ok=True)
        elif kind == "link":
            if not os.path.islink(place):
                os.symlink(content, place)
        else:
            with open(place, "wb") as file:
                file.write(base64.b64decode(content))
            os.chmod(place, mode)
    for source, path in copies:
        import shutil  # not free either, and seldom needed

        shutil.copytree(source, os.path.join(VENV, path))
