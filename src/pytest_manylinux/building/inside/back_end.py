"""Calls the hooks of a build back end that make a wheel (PEP 517), each in a process of its own.

    back_end.py requires BACKEND LIST PATH...    get_requires_for_build_wheel: what it still wants goes
                                                 to LIST, a line each, and the exit code is 75; 0 if it
                                                 wants nothing
    back_end.py wheel BACKEND FOLDER PATH...     build_wheel into FOLDER

PATH... is `backend-path`. Runs in the project's folder, with the Python of the build's own environment:
3.6 or later, and nothing but its standard library.
"""

import importlib
import os
import sys
from typing import Sequence

ASKS_FOR_MORE = 75


def requires(hooks: object, listing: str) -> int:
    """Write the requirements that the back end names, if any; the hook may be left out."""
    hook = getattr(hooks, "get_requires_for_build_wheel", None)
    wanted = list(hook(None)) if hook is not None else []
    if not wanted:
        return 0
    with open(listing, "w") as file:
        file.writelines(line + "\n" for line in wanted)
    return ASKS_FOR_MORE


def wheel(hooks: object, folder: str) -> int:
    """Have the wheel made; the folder must exist (PEP 517)."""
    hook = getattr(hooks, "build_wheel", None)
    if hook is None:
        print("ERROR: the build back end has no hook build_wheel (PEP 517)", file=sys.stderr)
        return 1
    os.makedirs(folder, exist_ok=True)
    hook(folder, None, None)
    return 0


def load(backend: str, paths: Sequence[str]) -> object:
    """The object with the hooks: `module`, or `module:object` (PEP 517, "Source trees")."""
    sys.path[0:1] = [os.path.abspath(path) for path in paths]  # instead of this file's own folder
    module, _, attributes = backend.partition(":")
    hooks = importlib.import_module(module)
    for name in filter(None, attributes.split(".")):
        hooks = getattr(hooks, name)
    return hooks


def main(work: str, backend: str, target: str, *paths: str) -> int:
    """Do one piece of work; what a back end raises is shown as it is."""
    return {"requires": requires, "wheel": wheel}[work](load(backend, paths), target)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
