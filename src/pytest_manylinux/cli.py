"""The `pytest-manylinux` command: a thin front for the rooms that have commands."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_manylinux import __version__, commands
from pytest_manylinux.errors import ExitCode, ManylinuxError, ReportError


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


class _Output(io.FileIO):
    """Standard output, whose reader may go (`| head -1`): the command does its work to the end.

    Its exit code is what it came to, so that `gate … | head` refuses what the gate refuses. Any other
    error, such as a full disk, is a ReportError.
    """

    gone = False

    def write(self, data: bytes) -> int:  # type: ignore[override] # bytes are what io's writers give
        """Write what the reader takes."""
        if self.gone:
            return len(data)
        try:
            return super().write(data)
        except BrokenPipeError:
            self.gone = True
            return len(data)
        except OSError as error:
            self.gone = True  # what is left in buffers would raise again as Python ends
            why = error.strerror or str(error)
            remedy = "make room, or let it go elsewhere"
            raise ReportError("standard output cannot be written", why=why, remedy=remedy) from error


@contextlib.contextmanager
def _output() -> Iterator[None]:
    """Let print and Console write to _Output, where standard output is a file or a pipe."""
    old = sys.stdout
    if not isinstance(old, io.TextIOWrapper):  # it is closed, or another program's own
        yield
        return
    old.reconfigure(errors="backslashreplace")  # names of files can be any bytes
    if not isinstance(getattr(old.buffer, "raw", old.buffer), io.FileIO):
        yield
        return
    raw = _Output(old.fileno(), "w", closefd=False)
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=old.encoding,
        errors=old.errors,
        line_buffering=old.line_buffering or old.write_through,
    )
    try:
        yield
        sys.stdout.flush()
    finally:
        with contextlib.suppress(ReportError):  # it was told, or another error is
            sys.stdout.flush()
        sys.stdout = old


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code (docs/reference/exit-codes.md)."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = build_parser(*words[:1])
    try:
        arguments = parser.parse_args(words)
    except SystemExit as stop:
        # argparse says 2 for a usage error; ours is 4, like pytest's own.
        return ExitCode.USAGE if stop.code == 2 else ExitCode.OK  # noqa: PLR2004
    try:
        with _output():
            return int(arguments.func(arguments))
    except ManylinuxError as error:
        _say(str(error))
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - whatever it is, a user gets one line
        from pytest_manylinux.run.tracebacks import internal_error  # noqa: PLC0415 - seldom wanted

        fault = internal_error(error, f"the command {words[0]}")
        _say(str(fault))
        return fault.exit_code
    except KeyboardInterrupt:
        _say("interrupted")
        return ExitCode.INTERRUPTED


def _say(words: str) -> None:
    """One message on standard error; the exit code counts where that takes nothing."""
    try:
        print(f"pytest-manylinux: {words}", file=sys.stderr, flush=True)
    except OSError:
        # Python would flush what is left of it as it ends, fail again, and end with 120.
        with contextlib.suppress(OSError), Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), sys.stderr.fileno())
