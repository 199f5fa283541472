"""Tell a download that goes on from one that has as good as stopped, and what mmdebstrap is doing.

apt and the container engines give up on a server that says nothing, but follow one that lets a few
bytes fall each minute for as long as it likes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

LEAST = 64_000
TRICKLE = 180.0
"""Fewer than LEAST bytes in TRICKLE seconds are no download; it would come to 31 MB a day."""

WHAT = f"next to nothing came in {TRICKLE:.0f} s"


@dataclass(slots=True)
class Pace:
    """Feed it whatever is heard. Other work than downloading may be silent for `silence` seconds."""

    silence: float
    clock: Callable[[], float] = time.monotonic
    _bytes: int = 0
    _loads: bool = False
    _mark: float = field(init=False)

    def __post_init__(self) -> None:
        self._mark = self.clock()

    def heard(self) -> None:
        """Something happened that is no download."""
        self._mark, self._loads, self._bytes = self.clock(), False, 0

    def loaded(self, count: int) -> None:
        """So many bytes are here of whatever is being downloaded now; none if nothing is."""
        begins = count > 0 and not self._loads
        if begins or not self._bytes <= count < self._bytes + LEAST:
            self._mark, self._bytes = self.clock(), count
        self._loads = count > 0

    @property
    def is_trickle(self) -> bool:
        """Whether a download has as good as stopped."""
        return self._loads and self.clock() - self._mark > TRICKLE

    @property
    def is_silent(self) -> bool:
        """Whether nothing at all was heard for `silence`."""
        return self.clock() - self._mark > self.silence


_STAGES = (
    ("I: running apt-get update", "reading package lists"),
    ("I: extracting archives", "unpacking the base system"),
    ("I: unpacking packages as they come", "unpacking packages as they come"),
    ("I: configuring packages", "configuring packages"),
    ("I: installing essential packages", "installing the base system"),
    ("I: installing remaining packages", "installing Python"),
    ("I: laying the root out", "laying the root out"),
    ("I: cleaning package lists", "cleaning up"),
)
_BUILDING = "I: building "  # a source package (hooks/musl_build.sh)
_COUNT = re.compile(r"\d+ upgraded, (?P<count>\d+) newly installed")
_SIZE = re.compile(r"Need to get (?P<size>[\d.,]+ [kMG]?B)")
_STEP = 25
"""Speak at every so many packages set up."""


@dataclass(slots=True)
class Progress:
    """Feed it lines; it says what happens, each thing once. `title` begins every message."""

    title: str
    say: Callable[[str], None]
    _packages: int = 0
    _done: int = 0
    _last: str = field(default="", repr=False)

    def feed(self, line: str) -> None:
        """Take one line of output."""
        for beginning, words in _STAGES:
            if line.startswith(beginning):
                self._tell(words)
        if line.startswith(_BUILDING):
            self._tell(line.removeprefix("I: "))
        if match := _COUNT.search(line):
            self._packages = int(match["count"])
            self._done = 0
        if (match := _SIZE.search(line)) and self._packages:
            self._tell(f"downloading {self._packages} packages, {match['size']}")
        if line.startswith("Setting up "):
            self._set_up()

    def _set_up(self) -> None:
        self._done += 1
        if self._done % _STEP == 0 and self._done < self._packages:
            self._tell(f"{self._done} of {self._packages} packages set up")

    def _tell(self, words: str) -> None:
        if words != self._last:
            self._last = words
            self.say(f"{self.title}: {words}")
