"""The `pytest-manylinux` command: a thin front for the rooms that have commands."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence

from pytest_manylinux import __version__, commands
from pytest_manylinux.errors import ExitCode, ManylinuxError


def build_parser() -> argparse.ArgumentParser:
    """Make the parser; each module in `commands` registers its own."""
    parser = argparse.ArgumentParser(
        prog="pytest-manylinux",
        description="Prove that a wheel works on the Linux its users run. "
        "The proving itself is `pytest --manylinux`.",
    )
    parser.add_argument("--version", action="version", version=f"pytest-manylinux {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in sorted(pkgutil.iter_modules(commands.__path__), key=lambda found: found.name):
        importlib.import_module(f"{commands.__name__}.{module.name}").register(subparsers)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code (docs/reference/exit-codes.md)."""
    parser = build_parser()
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as stop:
        # argparse says 2 for a usage error; ours is 4, like pytest's own.
        return ExitCode.USAGE if stop.code == 2 else ExitCode.OK  # noqa: PLR2004
    try:
        return int(arguments.func(arguments))
    except ManylinuxError as error:
        print(f"pytest-manylinux: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("pytest-manylinux: interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        return ExitCode.OK
