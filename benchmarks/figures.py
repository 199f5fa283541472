"""What benchmarks give: parts with rows, as a Markdown table and as a picture."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024
_GROUPS = Path("/sys/fs/cgroup/cpuacct")
Cell = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure: a median of `rounds`, in the unit of its part."""

    name: str
    value: float
    rounds: int = 1


@dataclass(frozen=True, kw_only=True)
class Part:
    """Figures that were measured side by side.

    Where `base` names a row, the others are told as multiples of it: how many times as fast as it they
    were. `asked` are the limits that the project sets itself, in words.
    """

    title: str
    rows: tuple[Row, ...]
    base: str = ""
    unit: str = "s"
    asked: str = ""
    note: str = ""

    def ratio(self, row: Row) -> str:
        """Such as `12 x`; empty if there is nothing to compare with."""
        found = [one.value for one in self.rows if one.name == self.base]
        if not found or row.name == self.base or not row.value:
            return ""
        times = found[0] / row.value
        return f"{times:.0f} ×" if times >= 10 else f"{times:.2f} ×"  # noqa: PLR2004, RUF001

    def lines(self) -> list[str]:
        """A Markdown section."""
        against = f"against {self.base}" if self.base else ""
        lines = [
            f"### {self.title}",
            "",
            f"| | {self.unit} | {against} | rounds |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {row.name} | {row.value:.3g} | {self.ratio(row)} | {row.rounds} |" for row in self.rows
        ]
        lines += ["", f"Asked for: {self.asked}."] if self.asked else []
        return lines + (["", self.note] if self.note else [])


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What one process took: seconds by the clock and of processor, MiB at most; and its last words."""

    clock: float
    processor: float
    memory: float
    output: str
    code: int


# A process begins with its parent's memory as its own peak, and matplotlib's is large: so a small one
# starts the program.
_LAUNCH = """
import json, os, sys, time
started = time.perf_counter()
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(pid, 0)
told = {"clock": time.perf_counter() - started, "processor": usage.ru_utime + usage.ru_stime}
told |= {"memory": usage.ru_maxrss / 1024, "code": os.waitstatus_to_exitcode(status)}
os.write(int(sys.argv[1]), json.dumps(told).encode())
"""


def spent(command: Sequence[str], *, folder: Path | None = None, **environment: str) -> Spent:
    """Run a program to its end; processor and memory are its own and those of what it waited for."""
    known = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    told, telling = os.pipe()
    with os.fdopen(told, encoding="utf-8") as answer:
        with subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LAUNCH, str(telling), *command],
            cwd=folder,
            env={**known, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=[telling],
        ) as process:
            os.close(telling)
            assert process.stdout is not None
            output = process.stdout.read()
        return Spent(**json.loads(answer.read()), output=output)


def in_turns(cells: dict[str, Cell], rounds: int) -> tuple[Row, ...]:
    """Medians in seconds; one round before is not counted. In turns, so that all see one machine.

    A cell that gives a float tells its seconds itself.
    """
    seen: dict[str, list[float]] = {name: [] for name in cells}
    for number in range(rounds + 1):
        for name, cell in cells.items():
            started = time.perf_counter()
            told = cell()
            if number:
                took = time.perf_counter() - started
                seen[name].append(told if isinstance(told, float) else took)
    return tuple(
        Row(name=name, value=statistics.median(times), rounds=rounds) for name, times in seen.items()
    )


@contextlib.contextmanager
def counting() -> Iterator[Callable[[], float]]:
    """Have this process and what it starts counted; gives what reads their seconds of processor.

    A sandbox's processes are nobody's children in the end, and so in no parent's rusage.
    """
    own = next(line.split(":")[2] for line in _own_groups() if ":cpuacct:" in line)
    parent = _GROUPS / own.strip("/")
    group = parent / f"benchmark-{os.getpid()}"
    group.mkdir()
    (group / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield lambda: int((group / "cpuacct.usage").read_text()) / 1e9
    finally:
        (parent / "cgroup.procs").write_text(str(os.getpid()))
        with contextlib.suppress(OSError):
            group.rmdir()


def _own_groups() -> list[str]:
    if not _GROUPS.is_dir():
        raise SystemExit(f"no {_GROUPS}: processor time wants root, and control groups of version 1")
    return Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()


def progress(words: str) -> None:
    """Say what is being measured."""
    print(words, file=sys.stderr, flush=True)


def machine() -> str:
    """Where the figures come from, in a line."""
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024 / MIB
    python = f"Python {platform.python_version()}"
    return f"{system}, {os.cpu_count()} cores, {memory:.0f} GiB, {python}"


def picture(parts: Iterable[Part], path: Path) -> None:
    """Draw a panel of bars for each part; seconds on a scale of tens. Words stay words in an SVG."""
    from matplotlib import rc_context  # noqa: PLC0415 - only for this
    from matplotlib.figure import Figure  # noqa: PLC0415 - the same

    shown = [part for part in parts if len(part.rows) > 1]
    columns = 2
    lines = -(-len(shown) // columns)
    figure = Figure(figsize=(11, 2.3 * lines), layout="constrained")
    for number, part in enumerate(shown):
        axes = figure.add_subplot(lines, columns, number + 1)
        rows = part.rows[::-1]
        ours = ["#9aa5b1" if row.name == part.base else "#2f6f9f" for row in rows]
        bars = axes.barh([row.name for row in rows], [row.value for row in rows], color=ours)
        words = [f"{row.value:.3g} {part.unit}, {part.ratio(row)}".rstrip(", ") for row in rows]
        axes.bar_label(bars, words, padding=3, fontsize=8)
        axes.set_xscale("log")
        low, high = min(row.value for row in rows), max(row.value for row in rows)
        axes.set_xlim(low / 3, high * 30)
        axes.set_title(part.title, fontsize=10, loc="left")
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "figures"}):
        figure.savefig(path, metadata={"Date": None})
