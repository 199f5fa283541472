"""Run a suite again and again on a machine that is kept busy, until it fails or has passed N times.

`python tools/repeat_suite.py 30` runs tests/conformance thirty times. Meanwhile a process for each core
does nothing but compute, and another writes and syncs a file; they end with us. The log of a run that
fails is kept in reports/repeat, and is the last; those of the others are not.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOGS = Path("reports", "repeat")
_LONGEST = 2 * 3600.0  # seconds that one run may take, and a process that makes work lives
_BLOCK = bytes(1 << 20)
_BLOCKS = 64  # of them in the file that is written again and again


def main() -> int:
    """Parse the arguments, run; gives the exit code of the run that failed, or 0."""
    # argparse takes what stands after `--` for this only where all options stand before the number.
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    words = given[end + 1 :] or ["-n", "auto", "tests/conformance"]
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        usage="%(prog)s [options] times [-- WORD…]",
        epilog="What stands after -- is pytest's own: -n auto tests/conformance, if there is nothing.",
    )
    parser.add_argument("times", type=int, help="how often it has to pass")
    parser.add_argument("--nice", type=int, default=5, help="how far the busy processes stand back")
    parser.add_argument("--idle", action="store_true", help="keep the machine's load as it is")
    asked = parser.parse_args(given[:end])
    _LOGS.mkdir(parents=True, exist_ok=True)
    for number in range(1, asked.times + 1):
        log = _LOGS / f"run-{number:03}.log"
        with contextlib.nullcontext() if asked.idle else busy(asked.nice):
            code = run(words, log)
        print(f"run {number} of {asked.times}: {last_line(log)}", flush=True)
        if code:
            print(f"passed {number - 1} times of {asked.times}; the log of the next: {log.resolve()}")
            return code
        log.unlink()
    print(f"passed {asked.times} times of {asked.times}")
    return 0


def run(words: list[str], log: Path) -> int:
    """Run pytest with both its outputs in a file; gives its exit code."""
    command = [sys.executable, "-m", "pytest", *words]
    with log.open("wb") as output:
        try:
            done = subprocess.run(command, stdout=output, stderr=output, timeout=_LONGEST, check=False)
        except subprocess.TimeoutExpired:
            output.write(f"\nit did not end within {_LONGEST:.0f} seconds\n".encode())
            return 1
    return done.returncode


def last_line(log: Path) -> str:
    """What pytest closes with."""
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip("= ") for line in reversed(lines) if line.strip()), "not a word")


@contextmanager
def busy(nice: int) -> Iterator[None]:
    """Keep all cores and the disk busy meanwhile."""
    with tempfile.TemporaryDirectory(prefix="busy-") as folder:
        owner = os.getpid()
        cores = len(os.sched_getaffinity(0))
        works = [multiprocessing.Process(target=_compute, args=(owner, nice)) for _ in range(cores)]
        works.append(multiprocessing.Process(target=_write, args=(owner, nice, Path(folder, "file"))))
        for work in works:
            work.start()
        try:
            yield
        finally:
            for work in works:
                work.kill()
                work.join()


def _goes_on(owner: int, nice: int) -> Iterator[None]:
    """While the owner lives, but not longer than a run may take."""
    os.nice(nice)
    end = time.monotonic() + _LONGEST
    while os.getppid() == owner and time.monotonic() < end:
        yield


def _compute(owner: int, nice: int) -> None:
    for _ in _goes_on(owner, nice):
        sum(range(1 << 20))


def _write(owner: int, nice: int, path: Path) -> None:
    for _ in _goes_on(owner, nice):
        with path.open("wb") as file:
            for _ in range(_BLOCKS):
                file.write(_BLOCK)
            os.fsync(file.fileno())


if __name__ == "__main__":
    sys.exit(main())
