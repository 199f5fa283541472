"""What a start of pytest costs with the plugin there but unused, and what collecting many trials costs.

    python benchmarks/collection.py [--wheels 1000] [--targets 20] [--rounds 11]

First `pytest` on an empty folder, with the plugin and with `-p no:manylinux`, in turns: medians of wall
clock and of processor. Then `pytest --manylinux --collect-only` on a folder of wheels (planning reads
names only, so they are empty files) whose trials are wheels x targets: seconds, and memory at most.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from pytest_manylinux.catalogue import load_catalogue

BARE = ("-m", "pytest", "-q", "-p", "no:cacheprovider")


def run(arguments: Sequence[str], folder: Path) -> tuple[float, float, float, str]:
    """Seconds by the clock, seconds of processor, MiB at most, and what was printed last."""
    started = time.monotonic()
    command = [sys.executable, *arguments]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last = ""
        for line in process.stdout:
            last = line.strip() or last
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    processor = usage.ru_utime + usage.ru_stime
    return time.monotonic() - started, processor, usage.ru_maxrss / 1024, last


def start_up(rounds: int) -> None:
    """Print what the plugin adds to a start of pytest."""
    seen: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as name:
        for _ in range(rounds):
            for plugin, times in seen.items():
                words = BARE if plugin else (*BARE, "-p", "no:manylinux")
                times.append(run(words, Path(name))[:2])
    for position, what in enumerate(("wall clock", "processor")):
        medians = {
            plugin: statistics.median(times[position] for times in found)
            for plugin, found in seen.items()
        }
        extra = (medians[True] - medians[False]) * 1000
        print(f"start-up, {what}: {medians[False] * 1000:.0f} ms, {extra:+.1f} ms with the plugin")


def collection(wheels: int, targets: int) -> None:
    """Print what collecting costs."""
    distros = [
        distro.id
        for distro in load_catalogue().distros
        if "x86_64" in distro.architectures and len(distro.interpreters) == 1
    ][:targets]
    with tempfile.TemporaryDirectory() as name:
        for number in range(wheels):
            Path(name, f"demo{number}-1.0-py3-none-any.whl").touch()
        words = [*BARE, "--manylinux", "--collect-only", ".", "--manylinux-distros", " ".join(distros)]
        clock, processor, memory, last = run(words, Path(name))
    print(f"collection: {last}")
    print(f"  {clock:.1f} s, {processor:.1f} s of processor, {memory:.0f} MiB, {len(distros)} distros")


def main() -> int:
    """Print both; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--wheels", type=int, default=1000)
    parser.add_argument("--targets", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    start_up(options.rounds)
    collection(options.wheels, options.targets)
    return 0


if __name__ == "__main__":
    sys.exit(main())
