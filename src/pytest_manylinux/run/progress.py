"""One line below pytest's own that tells what is at work, while an item is waited for.

Only on a terminal. The line is drawn below the one that pytest is on and taken away before anything
else is printed; the cursor is moved by relative steps only, which hold when the screen scrolls.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from pathlib import PurePath
from typing import Protocol, TextIO

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
