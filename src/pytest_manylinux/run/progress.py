"""What a run shows while it goes on: a line for each item that has ended; on terminals what runs now.

The latter is drawn below the line that pytest is on and taken away before anything else is printed;
the cursor is moved by relative steps only, which hold when the screen scrolls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, Protocol, TextIO

import pytest

from pytest_manylinux.escape import plain_line
from pytest_manylinux.run.tasks import Overview

_EVERY = 1.0  # seconds between two drawings
_MINUTE = 60
_HOUR = 60 * _MINUTE
_CLEAR_LINE = "\x1b[2K"
_UP = "\x1b[A"
_SHOWN = ("build", "audit", "trial", "image")


class Terminal(Protocol):
    """What of pytest's terminal writer is used."""

    @property
    def _file(self) -> TextIO: ...

    @property
    def fullwidth(self) -> int:
        """Columns of the terminal."""

    @property
    def width_of_current_line(self) -> int:
        """Columns that pytest has written since its last line break."""


class Lines:
    """Hooks that have pytest's own reporter write one whole line for each item of a run that has ended.

    So it is with `-v`, where pytest would write the id when an item begins and, after anything else was
    shown meanwhile, once more when it ends; and wherever the output is not a terminal, since dots
    between lines of progress say nothing in a log. Ordinary tests are shown as pytest shows them.
    `is_ours` tells which reports are about items of a run.
    """

    def __init__(self, config: pytest.Config, is_ours: Callable[[pytest.TestReport], bool]) -> None:
        self._config = config
        self._is_ours = is_ours
        self._ids: set[str] = set()

    def begin(self, ids: Iterable[str], first: str) -> None:
        """Know the items of the run by their ids; above the first item of all there is a blank line."""
        self._ids.update(ids)
        reporter = self._reporter()
        if reporter is not None and first in self._ids:
            reporter.write_line("")

    def _reporter(self) -> pytest.TerminalReporter | None:
        """The terminal reporter of pytest, where it is to write whole lines."""
        found: pytest.TerminalReporter | None = self._config.pluginmanager.getplugin("terminalreporter")
        if found is None:  # -p no:terminal, which takes --verbose away too
            return None
        verbosity = self._config.option.verbose
        return found if verbosity > 0 or (verbosity == 0 and not found.isatty) else None

    @contextmanager
    def _by_line(self, *, mine: bool) -> Iterator[None]:
        """While pytest's reporter looks at an item of the run: it writes what it does with `-v`."""
        reporter, option = self._reporter(), self._config.option
        if reporter is None or not mine:
            yield
            return
        before = option.verbose
        option.verbose = max(before, 1)
        reporter.write_ensure_prefix = _line_writer(reporter)  # type: ignore[method-assign]
        try:
            yield
        finally:
            option.verbose = before
            del reporter.write_ensure_prefix
            reporter.ensure_newline()

    def _end_line(self) -> None:
        """Begin a new line after dots; where pytest-xdist writes them, pytest does not know of it."""
        reporter = self._reporter()
        if reporter is not None:
            reporter.ensure_newline()
            if reporter._tw.width_of_current_line:  # noqa: SLF001 - the terminal that pytest writes to
                reporter.write_line("")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logstart(
        self, nodeid: str, location: tuple[str, int | None, str]
    ) -> Generator[None, object, object]:
        """Nothing is written of an item that has not ended.

        pytest-xdist's workers know the items, not the process that writes; ours have no line number.
        """
        away = location[1] is None and self._config.pluginmanager.has_plugin("dsession")
        with self._by_line(mine=nodeid in self._ids or away):
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, object, object]:
        """One line for an item."""
        mine = self._is_ours(report)
        if mine:
            self._ids.add(report.nodeid)
            self._end_line()
        with self._by_line(mine=mine):
            result = yield
        if mine:
            self._let_go(report)
        return result

    def _let_go(self, report: pytest.TestReport) -> None:
        """Have pytest's reporter not keep to the end that setup or teardown went well.

        Of these reports it shows what was captured, and with --durations how long they took.
        """
        found: pytest.TerminalReporter | None = self._config.pluginmanager.getplugin("terminalreporter")
        told = report.when == "call" or not report.passed or report.sections
        if found is None or told or self._config.option.durations is not None:
            return
        kept = found.stats.get("", [])
        if kept and kept[-1] is report:
            kept.pop()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> Generator[None, object, object]:
        """After the last dot pytest 8 writes how far it is; a line has said that."""
        with self._by_line(mine=nodeid in self._ids):
            return (yield)

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """At the end of the loop pytest 9 does so, in a hook that is called around this one."""
        result = yield
        reporter = self._reporter()
        if reporter is not None and self._ids and not reporter.currentfspath:
            reporter._show_progress_info = False  # noqa: SLF001 - nothing else than this reads it now
        return result


def _line_writer(reporter: pytest.TerminalReporter) -> Callable[..., None]:
    """For the reporter's `write_ensure_prefix`, which writes an empty line after a whole one."""

    def write(prefix: str, extra: str = "", **markup: Any) -> None:  # noqa: ANN401 - pytest's
        if extra:
            reporter.write(prefix)
            reporter.write(extra, **markup)
            reporter.currentfspath = -2  # pytest's sign of a line that is not ended

    return write


class Live:
    """The line, and whether it is drawn now."""

    def __init__(self) -> None:
        self._terminal: Terminal | None = None
        self._last = 0.0

    def show(self, look: Callable[[], Overview] | None, terminal: Terminal) -> None:
        """Draw what is at work, if the last time is long enough ago; None: take the line away."""
        now = time.monotonic()
        if look is None:
            self.clear()
        elif now - self._last >= _EVERY:
            self._last = now
            self._terminal = terminal
            self._write(plain_line(progress_line(look()))[: max(terminal.fullwidth - 1, 0)])

    def clear(self) -> None:
        """Take the line away."""
        if self._terminal is not None:
            self._write("")
            self._terminal = None

    def _write(self, line: str) -> None:
        """Replace the line below the cursor, and go back to where the cursor was."""
        if self._terminal is not None:
            column = self._terminal.width_of_current_line % max(self._terminal.fullwidth, 1)
            back = f"{_UP}\r" + (f"\x1b[{column}C" if column else "")
            file = self._terminal._file  # noqa: SLF001 - its own writing would count the columns
            file.write(f"\n{_CLEAR_LINE}{line}{back}")
            file.flush()


def progress_line(overview: Overview) -> str:
    """What is left, how long that may take, and what runs now, the longest at work first."""
    words = [f"manylinux: {overview.left} left"]
    if overview.seconds is not None:
        words.append(f"about {clock(overview.seconds)}")
    running = [f"{label(key)} ({clock(seconds)})" for key, seconds in overview.running]
    return ", ".join(words) + (f": {'; '.join(running)}" if running else "")


def label(key: Hashable) -> str:
    """A task's key in words: its kind, where, and the name of what it is about."""
    kind, *parts = key if isinstance(key, tuple) else (key,)
    about = [PurePath(part).name for part in parts if isinstance(part, str) and part]
    return " ".join((str(kind), *reversed(about))) if kind in _SHOWN else str(kind)


def clock(seconds: float) -> str:
    """`0:07`, `12:30`, `1:02:30`."""
    whole = round(seconds)
    hours, minutes, rest = whole // _HOUR, whole % _HOUR // _MINUTE, whole % _MINUTE
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
