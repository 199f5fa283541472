"""Run a module of this Python in a process of its own, and never one that lies in the working folder.

`python -m` looks in the working folder first (PYTHONSAFEPATH is of Python 3.11): in a stranger's tree a
`pip.py` would be run in pip's place.
"""

from __future__ import annotations

import sys

_RUN = (
    "import sys; sys.path[:] = [path for path in sys.path if path]; import runpy; del sys.argv[0]; "
    "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"
)


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs `module` as `python -m` would."""
    return [sys.executable, "-c", _RUN, module, *arguments]
