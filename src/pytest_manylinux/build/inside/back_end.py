"""Asks a build back end what else it wants for a wheel (PEP 517, get_requires_for_build_wheel).

    back_end.py BACKEND LIST PATH...    a requirement a line to LIST; PATH... is `backend-path`

Runs in the project's folder, with the Python of the build's own environment: 3.6 or later, and
nothing but its standard library.
"""

import importlib
import os
import sys


def ask(backend: str, listing: str, *paths: str) -> None:
    """Write the requirements that the back end names."""
    sys.path[0:1] = [os.path.abspath(path) for path in paths]  # instead of this file's own folder
    module, _, attributes = backend.partition(":")
    hooks = importlib.import_module(module)
    for name in filter(None, attributes.split(".")):
        hooks = getattr(hooks, name)
    hook = getattr(hooks, "get_requires_for_build_wheel", None)
    wanted = hook(None) if hook is not None else ()
    with open(listing, "w") as file:
        file.writelines(line + "\n" for line in wanted)


if __name__ == "__main__":
    ask(*sys.argv[1:])
