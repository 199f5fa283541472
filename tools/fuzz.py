"""Fuzz the readers of bytes from outside, led by coverage, for a given time.

    pip install atheris
    python tools/fuzz.py SECONDS [TARGET…]

Each target (fuzz_targets.py) gets its share of the time in a process of its own, and begins with what
is in tests/data/fuzz. What it should not do ends it: the input is put there, and is a test from then
on; the exit code is then 1. Prints for each target how many inputs were tried, and coverage.
`--keep N` also puts up to N new inputs a target there that reach where none did before.
`--corpus FOLDER` keeps all such inputs for a later run to go on from: many short runs are a long one.

atheris (libFuzzer for Python) is asked for by nobody else, so it is in no list of dependencies.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "tests/data/fuzz"
LONGEST = 60  # seconds for one input
MEMORY = 2048  # MiB
BIGGEST = 16384  # bytes of an input
TARGETS = ("elf", "wheel", "members", "names", "proof", "configuration", "answers", "archive")
_ONE = "--one"
COUNTS = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)/")
DONE = re.compile(r"Done (\d+) runs? in (\d+) second")
TRIED = re.compile(r"^#(\d+)\t", re.MULTILINE)  # of a run that a find has ended


def fuzz_one(name: str, arguments: list[str]) -> None:
    """Be the process that fuzzes; never returns."""
    sys.path[:0] = [str(ROOT / "tests/support"), str(ROOT / "tools")]
    import atheris  # noqa: PLC0415 - only here

    with atheris.instrument_imports(
        include=["pytest_manylinux", "elftools", "packaging", "zipfile", "tarfile", "email", "tomllib"]
    ):
        from fuzz_targets import TARGETS as FOUND  # noqa: PLC0415 - instrumented
    atheris.Setup([sys.argv[0], *arguments], FOUND[name].call)
    atheris.Fuzz()


def fuzz(name: str, seconds: int, keep: int, corpus: Path | None) -> bool:
    """Fuzz a target; false if there was a find."""
    sys.path[:0] = [str(ROOT / "tests/support"), str(ROOT / "tools")]
    from fuzz_targets import TARGETS as FOUND  # noqa: PLC0415 - not in the process that fuzzes

    kept = KEPT / name
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        grown, seeds = (corpus or Path(folder, "grown")) / name, Path(folder, "seeds")
        grown.mkdir(parents=True, exist_ok=True)
        seeds.mkdir()
        for number, example in enumerate(FOUND[name].examples()):
            (seeds / str(number)).write_bytes(example)
        words = [f"-max_total_time={seconds}", f"-timeout={LONGEST}", f"-rss_limit_mb={MEMORY}"]
        words += [f"-max_len={BIGGEST}", f"-artifact_prefix={kept}/", str(grown), str(seeds), str(kept)]
        command = [sys.executable, __file__, _ONE, name, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        small = sorted(grown.iterdir(), key=lambda path: path.stat().st_size)[:keep]
        for path in small:
            shutil.copy(path, kept)
    last = (TRIED.findall(done.stderr) or ["0"])[-1]
    tried, took = (DONE.findall(done.stderr) or [(last, "?")])[-1]
    coverage, features, reaching = (COUNTS.findall(done.stderr) or [("0", "0", "0")])[-1]
    print(
        f"{name:14} {int(tried):>9,} inputs in {took:>4} s, coverage {coverage} ({features} features, "
        f"{reaching} inputs that reach them){'' if done.returncode == 0 else ', A FIND'}",
        flush=True,
    )
    if done.returncode != 0:
        print(done.stdout[-2000:], done.stderr[-4000:], sep="\n")
    return done.returncode == 0


def main() -> int:
    """Fuzz each target for its share of the time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--keep", type=int, default=0)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("seconds", type=int)
    parser.add_argument("targets", nargs="*", default=TARGETS)
    options = parser.parse_args()
    share = max(options.seconds // len(options.targets), 1)
    fine = [fuzz(name, share, options.keep, options.corpus) for name in options.targets]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == [_ONE]:
        fuzz_one(sys.argv[2], sys.argv[3:])
    sys.exit(main())
