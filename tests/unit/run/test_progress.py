from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import partial

from pytest_manylinux.run.progress import Live, clock, progress_line
from pytest_manylinux.run.tasks import Overview

RUNNING = (
    (("trial", "/x/demo-1.0.whl", "", "debian-12-cp311-x86_64"), 75.2),
    (("tools", "debian-12", "cp311"), 3.0),
)


@dataclass
class Screen:
    """A terminal that understands what is written to it, line by line, and scrolls."""

    fullwidth: int = 60
    width_of_current_line: int = 0
    _file: io.StringIO = field(default_factory=io.StringIO)

    def lines(self) -> list[str]:
        rows, row, column = [[" "] * self.fullwidth], 0, 0
        text = self._file.getvalue()
        while text:
            if text.startswith("\x1b["):
                end = next(n for n, c in enumerate(text) if c.isalpha())
                number, command = text[2:end], text[end]
                row -= command == "A"
                column += int(number) if command == "C" else 0
                if command == "K":
                    rows[row] = [" "] * self.fullwidth
                text = text[end + 1 :]
                continue
            if text[0] == "\n":
                row, column = row + 1, 0  # the terminal turns it into "\r\n"
                rows += [[" "] * self.fullwidth] if row == len(rows) else []
            elif text[0] == "\r":
                column = 0
            else:
                rows[row][column] = text[0]
                column += 1
            text = text[1:]
        return ["".join(cells).rstrip() for cells in rows]

    def write(self, words: str) -> None:
        self._file.write(words)
        self.width_of_current_line += len(words)


def test_what_is_at_work_in_words() -> None:
    overview = Overview(left=12, running=RUNNING, seconds=3750)
    assert progress_line(overview) == (
        "manylinux: 12 left, about 1:02:30: trial debian-12-cp311-x86_64 demo-1.0.whl (1:15);"
        " tools (0:03)"
    )
    assert progress_line(Overview(left=1, running=(), seconds=None)) == "manylinux: 1 left"


def test_times() -> None:
    assert [clock(seconds) for seconds in (0.4, 59.6, 3599, 3600)] == [
        "0:00",
        "1:00",
        "59:59",
        "1:00:00",
    ]


def test_the_line_is_below_pytests_and_leaves_it_alone() -> None:
    screen, live = Screen(), Live()
    screen.write("dist/demo-1.0.whl .")
    live.show(lambda: Overview(left=3, running=RUNNING, seconds=5), screen)
    first, second = screen.lines()
    assert first == "dist/demo-1.0.whl ."
    assert second.startswith("manylinux: 3 left, about 0:05: trial")
    assert len(second) < screen.fullwidth
    live.show(None, screen)
    screen.write("F")
    assert screen.lines() == ["dist/demo-1.0.whl .F", ""]


def test_it_is_not_drawn_at_every_look() -> None:
    screen, live = Screen(), Live()
    for left in (9, 8):
        live.show(partial(Overview, left=left, running=(), seconds=None), screen)
    assert screen.lines() == ["", "manylinux: 9 left"]
    live.clear()
    live.clear()
    assert screen.lines() == ["", ""]
