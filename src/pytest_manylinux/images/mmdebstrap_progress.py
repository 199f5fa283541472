"""Turn mmdebstrap's output into a few words now and then."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

_STAGES = (
    ("I: running apt-get update", "reading package lists"),
    ("I: extracting archives", "unpacking the base system"),
    ("I: installing essential packages", "installing the base system"),
    ("I: installing remaining packages", "installing Python"),
    ("I: cleaning package lists", "cleaning up"),
)
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
