"""The venv of a trial, made from its recorded layout (trials/venv.py).

Runs inside the distro as part of the agent: Python 3.6 or later, standard library only.
"""

import base64
import os

TYPE_CHECKING = False  # `typing` is not free to import
if TYPE_CHECKING:
    from typing import Any

VENV = "/scratch/venv"
PYTHON = f"{VENV}/bin/python"


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
