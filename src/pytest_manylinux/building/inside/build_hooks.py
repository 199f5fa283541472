"""Calls the hooks of a build back end that make a wheel (PEP 517), each in a process of its own.

    build_hooks.py requires PYTHON BACKEND LIST PATH...    get_requires_for_build_wheel: what it still
                                                           wants goes to LIST, a line each, and the exit
                                                           code is 75; 0 if it wants nothing
    build_hooks.py wheel PYTHON BACKEND FOLDER PATH...     build_wheel into FOLDER
    build_hooks.py installed FOLDER                        what is installed in FOLDER: `name==version`,
                                                           a line each

PYTHON is that of the build's own environment, and PATH... is `backend-path`. Runs in the project's
folder, on Python 3.6 or later, with its standard library and the library pyproject_hooks.
"""

import os
import sys
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Callable, Dict, Iterator, List, Mapping, Optional, Sequence

if TYPE_CHECKING:
    from pyproject_hooks import BuildBackendHookCaller

ASKS_FOR_MORE = 75
LIBRARIES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "libraries")
"""Where a sandbox sees pyproject_hooks; elsewhere it is installed."""


def requires(hooks: "BuildBackendHookCaller", listing: str) -> int:
    """Write the requirements that the back end names, if any; the hook may be left out."""
    wanted = list(hooks.get_requires_for_build_wheel())
    if not wanted:
        return 0
    with open(listing, "w") as file:
        file.writelines(line + "\n" for line in wanted)
    return ASKS_FOR_MORE


def wheel(hooks: "BuildBackendHookCaller", folder: str) -> int:
    """Have the wheel made; the folder must exist (PEP 517)."""
    os.makedirs(folder, exist_ok=True)
    hooks.build_wheel(folder)
    return 0


WORK: "Dict[str, Callable[[BuildBackendHookCaller, str], int]]" = {
    "requires": requires,
    "wheel": wheel,
}


def call(work: str, python: str, backend: str, target: str, *paths: str) -> int:
    """Call a hook; what a back end raises is shown as it is, and a signal that ended it ends this."""
    import subprocess

    library = library_of_hooks()
    try:
        hooks = library.BuildBackendHookCaller(
            os.getcwd(), backend, paths, runner=run, python_executable=python
        )
        return WORK[work](hooks, target)
    except subprocess.CalledProcessError as error:
        if error.returncode < 0:
            os.kill(os.getpid(), -error.returncode)
        return 1
    except library.BackendUnavailable as error:
        sys.exit("%s\nERROR: %s" % (error.traceback or "", str(error).partition("\n")[0]))
    except ValueError as error:
        sys.exit("ERROR: backend-path: %s" % error)


def library_of_hooks() -> ModuleType:
    """Import pyproject_hooks.

    It asks importlib.resources for the path of one of its files, which Python 3.6 lacks: the one thing
    for which the library is not enough there.
    """
    sys.path.insert(0, LIBRARIES)
    if sys.version_info < (3, 7):
        import importlib

        resources = ModuleType("importlib.resources")
        resources.path = path_of
        importlib.resources = resources
        sys.modules["importlib.resources"] = resources
    import pyproject_hooks

    return pyproject_hooks


@contextmanager
def path_of(package: str, name: str) -> "Iterator[str]":
    """As importlib.resources.path, for packages that are folders."""
    yield os.path.join(os.path.dirname(str(sys.modules[package].__file__)), name)


def run(
    cmd: Sequence[str],
    cwd: Optional[str] = None,
    extra_environ: Optional[Mapping[str, str]] = None,
) -> None:
    """Run a hook. Unbuffered, so that its words stand in order with those of what it runs."""
    import subprocess

    environment = dict(os.environ, **(extra_environ or {}))
    subprocess.check_call([cmd[0], "-u", *cmd[1:]], cwd=cwd, env=environment)


def installed(folder: str) -> "List[str]":
    """The distributions in a folder, in the order of their names.

    Next to nothing is imported: an image's modules have no bytecode, and pip, which could say the same,
    takes a second. Two lines are read of what back ends wrote (core metadata specification: "Name" and
    "Version" stand in every METADATA).
    """
    found = []
    for entry in sorted(os.listdir(folder)):
        for name in ("METADATA", "PKG-INFO"):
            path = os.path.join(folder, entry, name)
            if entry.endswith((".dist-info", ".egg-info")) and os.path.isfile(path):
                found.append(described(path))
    return [line for line in found if line]


def described(path: str) -> str:
    """`name==version` by the headers of a file of metadata; empty where one is missing."""
    known: "Dict[str, str]" = {}
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if not line.strip():
                break  # the end of the headers
            key, _, value = line.partition(":")
            known.setdefault(key.lower(), value.strip())
            if "name" in known and "version" in known:
                return known["name"] + "==" + known["version"]
    return ""


if __name__ == "__main__":
    if sys.argv[1] == "installed":
        print("\n".join(installed(sys.argv[2])))
    else:
        sys.exit(call(*sys.argv[1:]))
