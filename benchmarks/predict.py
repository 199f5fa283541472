"""How long `pytest-manylinux predict` takes on your wheels, over the whole catalogue.

    python benchmarks/predict.py WHEEL…

Each wheel is predicted in a fresh interpreter; the time that an empty interpreter takes to start is
measured beside it and taken off. Printed are the best of some runs, by the clock and of processor
(which alone says something on a busy machine), the latter also as a multiple of the empty
interpreter's, and the memory at its highest. A first run that does not count leaves bytecode behind,
as an installation does.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from figures import MIB, Part, Row, progress, spent

RUNS = 5
PREDICT = "import sys; from pytest_manylinux.cli import main; main(['predict', sys.argv[1], '--json'])"


def run(program: str, *arguments: str) -> tuple[float, float, float]:
    """Seconds by the clock, seconds of processor, and MiB of memory that one interpreter took."""
    done = spent([sys.executable, "-c", program, *arguments])
    return done.clock, done.processor, done.memory


def best(program: str, *arguments: str) -> tuple[float, float, float]:
    """The least time of each kind, and the most memory, of some runs after a first one."""
    run(program, *arguments)
    clock, processor, memory = zip(*(run(program, *arguments) for _ in range(RUNS)), strict=True)
    return min(clock), min(processor), max(memory)


def predictions(wheels: Sequence[Path]) -> Part:
    """The least seconds by the clock for each wheel, an empty interpreter's taken off."""
    empty, _, _ = best("pass")
    rows, memories = [], []
    for wheel in wheels:
        progress(f"predict {wheel.name}")
        clock, _, memory = best(PREDICT, str(wheel))
        name = f"{wheel.name.split('-')[0]}, {wheel.stat().st_size / MIB:.0f} MiB"
        rows.append(Row(name=name, value=clock - empty, rounds=RUNS))
        memories.append(f"{memory:.0f} MiB")
    return Part(
        title="`pytest-manylinux predict`, the whole catalogue",
        rows=tuple(rows),
        asked="numpy under 0.5 s; 100 MB under 3 s and 300 MB of memory",
        note=f"After the interpreter's start; the least of {RUNS}. Memory: {', '.join(memories)}.",
    )


def main(wheels: list[str]) -> int:
    """Print a line for each wheel."""
    empty, idle, _ = best("pass")
    print(f"an empty interpreter: {empty:.2f} s, {idle:.2f} s of processor")
    for wheel in wheels:
        clock, processor, memory = best(PREDICT, wheel)
        size = Path(wheel).stat().st_size / MIB
        times = f"{clock - empty:6.2f} s  {processor - idle:5.2f} s of processor"
        times += f" ({(processor - idle) / idle:.0f} x empty)  {memory:4.0f} MiB"
        print(f"{times}  {Path(wheel).name} ({size:.0f} MiB)")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
