"""The `pytest-manylinux` command: a thin front for the rooms that have commands."""

from __future__ import annotations

import argparse
import importlib
import io
import pkgutil
import sys
from collections.abc import Sequence

from pytest_manylinux import __version__, commands
from pytest_manylinux.errors import ExitCode, ManylinuxError


def build_parser(first: str = "") -> argparse.ArgumentParser:
    """Make the parser; each module in `commands` that is called `…_command` registers its own.

    If `first`, the first word of the command line, is a command, only its module is imported: the
    others would take longer than many a command does.
    """
    parser = argparse.ArgumentParser(
        prog="pytest-manylinux",
        description="Prove that a wheel works on the Linux its users run. "
        "The proving itself is `pytest --manylinux`.",
    )
    parser.add_argument("--version", action="version", version=f"pytest-manylinux {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    names = (module.name for module in pkgutil.iter_modules(commands.__path__))
    known = sorted(name for name in names if name.endswith("_command"))
    own = f"{first}_command"
    for name in [own] if own in known else known:
        importlib.import_module(f"{commands.__name__}.{name}").register(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code (docs/reference/exit-codes.md)."""
    words = list(sys.argv[1:] if argv is None else argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files can be any bytes
    parser = build_parser(*words[:1])
    try:
        arguments = parser.parse_args(words)
    except SystemExit as stop:
        # argparse says 2 for a usage error; ours is 4, like pytest's own.
        return ExitCode.USAGE if stop.code == 2 else ExitCode.OK  # noqa: PLR2004
    try:
        return int(arguments.func(arguments))
    except ManylinuxError as error:
        print(f"pytest-manylinux: {error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - whatever it is, a user gets one line
        if isinstance(error, BrokenPipeError):
            return ExitCode.OK
        from pytest_manylinux.run.tracebacks import internal_error  # noqa: PLC0415 - seldom wanted

        fault = internal_error(error, f"the command {words[0]}")
        print(f"pytest-manylinux: {fault}", file=sys.stderr)
        return fault.exit_code
    except KeyboardInterrupt:
        print("pytest-manylinux: interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
