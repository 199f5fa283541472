"""How long `pytest-manylinux predict` takes on your wheels, over the whole catalogue.

    python benchmarks/predict.py WHEEL…
    python benchmarks/predict.py --release

Each wheel is predicted in a fresh interpreter; the time that an empty interpreter takes to start is
measured beside it and taken off. Printed are the best of some runs, by the clock and of processor
(which alone says something on a busy machine), the latter also as a multiple of the empty
interpreter's, and the memory at its highest. A first run that does not count leaves bytecode behind,
as an installation does.

`--release` is a made release of forty wheels on an index on loopback: by ranges, and beside it from a
server that only gives whole files, with the bytes that each took.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from figures import MIB, Part, Row, progress, spent

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))
from elf_files import Want
from range_server import served
from wheels import build_wheel, extension_spec

RUNS = 5
POLICIES = ("2_17_x86_64", "2_28_x86_64", "2_17_aarch64", "2_28_aarch64")
PYTHONS = range(5, 15)
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


def make_release(folder: Path) -> None:
    """Forty wheels: modules and data of each one's own, and two libraries for each policy."""
    noise = random.Random(0)  # noqa: S311 - only has to be incompressible
    want = Want("memcpy", "GLIBC_2.14", "libc.so.6")
    for policy in POLICIES:
        libraries: dict[str, bytes | str] = {
            f"demo.libs/lib{name}-0a1b2c3d.so.1": extension_spec(
                name, rodata=noise.randbytes(1_000_000), wants=(want,)
            ).build()
            for name in ("one", "two")
        }
        for minor in PYTHONS:
            suffix = f"cpython-3{minor}-{policy.split('_', 2)[2]}-linux-gnu.so"
            modules: dict[str, bytes | str] = {
                f"demo/_{n}.{suffix}": extension_spec(
                    f"_{n}", wants=(want,), rodata=noise.randbytes(20_000)
                ).build()
                for n in range(8)
            }
            data: dict[str, bytes | str] = {
                f"demo/data/{n}.bin": noise.randbytes(500_000) for n in range(10)
            }
            files = {f"demo/m{n}.py": "import json\n" * 200 for n in range(60)} | modules | data
            tag = f"cp3{minor}-cp3{minor}-manylinux_{policy}"
            build_wheel(folder, files | libraries, tag=tag)


def release() -> tuple[Part, Part]:
    """Seconds and bytes of a whole release, by ranges and by whole files, in one run."""
    seconds, sent, processors = [], [], []
    with tempfile.TemporaryDirectory() as name, served(Path(name)) as server:
        progress("making a release of forty wheels")
        make_release(Path(name))
        program = PREDICT.replace("sys.argv[1]", "'demo==1.0', '--index-url', sys.argv[1]")
        for ranges, title in ((False, "whole files"), (True, "ranges")):
            server.ranges = ranges
            progress(f"predict demo==1.0, {title}")
            clock, processor, _ = run(program, f"{server.url}/simple")
            seconds.append(Row(name=title, value=clock))
            processors.append(f"{processor:.1f} s")
            sent.append(Row(name=title, value=server.sent / MIB))
            server.sent = 0
        size = sum(path.stat().st_size for path in Path(name).iterdir())
    title = f"`pytest-manylinux predict demo==1.0`, forty wheels, {size / MIB:.0f} MiB, on loopback"
    note = f"The interpreter's start is in the seconds. Of processor: {', '.join(processors)}."
    share = f"{sent[1].value * MIB / size:.1%} of the bytes by ranges"
    return (
        Part(title=title, rows=tuple(seconds), base="whole files", asked="under 20 s", note=note),
        Part(
            title="The same, what was fetched",
            rows=tuple(sent),
            base="whole files",
            unit="MiB",
            asked="at most 15 % of the bytes",
            note=f"{share}.",
        ),
    )


def main(wheels: list[str]) -> int:
    """Print a line for each wheel."""
    if wheels == ["--release"]:
        print("\n\n".join("\n".join(part.lines()) for part in release()))
        return 0
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
