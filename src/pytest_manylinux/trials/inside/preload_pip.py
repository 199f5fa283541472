"""The agent and the distro's pip in one process that is ready: the inside of trials/pool.py.

Runs inside the distro in the venv's own interpreter, Python 3.6 or later. Each trial is a fork of this
process in fresh surroundings (engines/inside/preloaded_main.py), and pip is a fork of that: the same
modules of the same pip, imported before, run as `python -m pip` runs them. Importing them is all
that is done before the fork. Wheels are still imported by interpreters of their own.
"""

import contextlib
import importlib
import os
import signal
import sys

from pytest_manylinux.trials.inside.c_library import allocator

TYPE_CHECKING = False  # `typing` is not free to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import NoReturn

# What `pip install` of a wheel imports only when it gets there, in some release or other from 20.3 on.
LATER = (
    "argparse",
    "encodings.ascii",
    "encodings.cp437",
    "encodings.idna",
    "importlib.metadata._adapters",
    "importlib.metadata._text",
    "pip._internal.cli.autocompletion",
    "pip._internal.cli.main",
    "pip._internal.cli.main_parser",
    "pip._internal.commands.install",
    "pip._internal.metadata.importlib",
    "pip._internal.operations.check",
    "pip._internal.operations.install.wheel",
    "pip._internal.resolution.resolvelib.resolver",
    "pip._internal.self_outdated_check",
    "pip._vendor.distlib.scripts",
    "pip._vendor.distro",
    "pip._vendor.rich.markup",
    "pip._vendor.truststore",
    "runpy",
    "stringprep",
    "zipfile",
)


def prepare(folder: str, request: str, layout: str, pip: "Sequence[str]" = ()) -> "Callable[[], None]":
    """Make this process ready, which is the venv's own interpreter; give what carries out a trial.

    The trial is asked for in the file `request`. `folder`, where the agent's modules lie, is taken off
    sys.path again: pip finds it as it was. With `pip`, arguments for an installation, there is a
    rehearsal (rehearsal.py), for which `layout` is the venv's recorded one.
    """
    for name in allocator():
        os.environ.pop(name, None)  # it is this process's own: imports have the distro's
    from pytest_manylinux.trials.inside import agent

    agent.importer(compiled=True)
    if pip:
        from pytest_manylinux.trials.inside import rehearsal
    sys.path.remove(folder)
    importlib.invalidate_caches()
    import_all(LATER)
    with contextlib.suppress(ImportError):
        from pip._internal.metadata import select_backend

        select_backend()  # which is an import, of one module or another
    import_all(depending())
    if pip:
        rehearsal.rehearse(list(pip), layout)
    return lambda: agent.main(request, run_pip)


def import_all(names: "Iterable[str]") -> None:
    """Import what is there of the names."""
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def depending() -> "Iterator[str]":
    """Name what this pip wants because of what it is: what it would not want takes long to import."""
    locations = sys.modules.get("pip._internal.locations")
    if not getattr(locations, "_USE_SYSCONFIG", False):
        yield "distutils.command.build"
    environments = sys.modules.get("pip._internal.metadata.importlib._envs")
    if hasattr(getattr(environments, "_DistributionFinder", None), "find_eggs"):
        yield "pip._internal.metadata.pkg_resources"


def run_pip(argv: "list[str]") -> "NoReturn":
    """Be `python -m pip …` in this fork, whose streams, folder and rights are set; never returns.

    Signals and start of sys.path are as an interpreter has them that was just started, sys.argv[0] as
    runpy leaves it.
    """
    import atexit
    import runpy

    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.set_wakeup_fd(-1)
    os.closerange(3, 1024)
    sys.argv[:] = ["-m", *argv[3:]]
    sys.path[0] = os.getcwd()
    importlib.invalidate_caches()
    code = 1
    try:
        runpy.run_module("pip", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = exit_code(end)
    except BaseException:  # noqa: BLE001 -- an interpreter shows it and ends with 1
        import traceback

        traceback.print_exc()
    finally:
        run_at_exit = getattr(atexit, "_run_exitfuncs", None)
        if run_at_exit:
            run_at_exit()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code & 255)


def exit_code(end: SystemExit) -> int:
    """Tell what an interpreter ends with for this exception."""
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    sys.stderr.write("%s\n" % (end.code,))
    return 1
