"""The wheel installed once more, by uv, for the same Python; and what the two installations differ in.

Runs inside the distro as part of the agent: Python 3.6 or later, standard library only. uv comes before
pip: it asks the venv's Python about itself, which reads the .pth files of what is installed there by
then, and no code of the wheel shall run before its imports. Nothing here judges.
"""

import os
import stat

from pytest_manylinux.trials.inside.processes import Task, run

TYPE_CHECKING = False  # `typing` is not free to import
if TYPE_CHECKING:
    from typing import Any

PREFIX = "/scratch/uv"
MOST = 1000  # files that are told of
VERSION_TIME = 30.0  # seconds


def install(steps: "dict[str, Any]", venv: str, timeout: float) -> "dict[str, Any]":
    """Install into a folder of its own; gives uv's version, and how it ended.

    `steps` are request.py's UvSteps as read from JSON, `venv` has the Python. The version is empty
    where uv does not start: how it ended is told of that then.
    """
    program, arguments = steps["program"], steps["arguments"]
    (asked,) = run([Task([program, "--version"], VERSION_TIME)])
    ending = asked.ending()
    if ending["exit_code"] != 0:
        return {"version": "", "ending": ending}
    where = ["--python", f"{venv}/bin/python", "--prefix", PREFIX]
    (task,) = run([Task([program, "pip", "install", *where, *arguments], timeout)])
    words = str(ending["output"]).split()
    return {"version": words[1] if len(words) > 1 else "unknown", "ending": task.ending()}


def unlike(files: "list[list[Any]]", venv: str) -> "list[list[str]]":
    """List the wheel's files that one of them left out, or made executable and the other did not."""
    found = []
    for path, _, _ in files:
        by_pip, by_uv = state(os.path.join(venv, path)), state(os.path.join(PREFIX, path))
        if by_pip != by_uv:
            found.append([path, by_pip, by_uv])
    return found[:MOST]


def state(place: str) -> str:
    """Say what lies in a place, as far as installers may decide it."""
    try:
        mode = os.lstat(place).st_mode
    except OSError:
        return "not installed"
    if not stat.S_ISREG(mode):
        return "not a plain file"
    return "executable" if mode & 0o111 else "not executable"
