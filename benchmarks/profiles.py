"""Where the time goes on the three hottest paths: a prediction, a collection, a trial.

    python benchmarks/profiles.py [--folder reports/bench]

Writes benchmarks/profiles/*.txt, by cProfile: functions by their own time and by that of what they
call. Of a trial only the host's side is seen, whose time is mostly waiting for the sandbox.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import io
import pstats
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from collection import BARE, distros
from subjects import LARGE, SMALL, download
from trials import subject_of, trial

from pytest_manylinux.cli import main as command
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.trials.pool import PreloadedPool

HERE = Path(__file__).parent
SHOWN = 30
TRIALS = 40
_FOLDERS = re.compile(
    r"(?<=\s)/\S*?(?=(?:site-packages|src|benchmarks|lib/python3\.\d+)/)|<frozen |(?<=\S)>(?=:)"
)


def profiled(work: Callable[[], object]) -> str:
    """The functions that took longest, by their own time and by all; no folder of this machine."""
    profile = cProfile.Profile()
    with contextlib.redirect_stdout(io.StringIO()):
        profile.runcall(work)
    text = io.StringIO()
    stats = pstats.Stats(profile, stream=text)
    stats.sort_stats("tottime").print_stats(SHOWN)
    stats.sort_stats("cumtime").print_stats(SHOWN)
    lines = [_FOLDERS.sub("", line).rstrip() for line in text.getvalue().splitlines()]
    return "\n".join(line for line in lines if line) + "\n"


def prediction(folder: Path) -> str:
    """`predict` of numpy."""
    (wheel,) = download([LARGE], folder / "one", ["3.11"])
    return profiled(lambda: command(["predict", str(wheel)]))


def collection(wheels: int = 1000, targets: int = 20) -> str:
    """Collecting 20,000 trials and 1,000 audits."""
    with tempfile.TemporaryDirectory() as name:
        for number in range(wheels):
            Path(name, f"demo{number}-1.0-py3-none-any.whl").touch()
        words = [*BARE[2:], "--manylinux", "--collect-only", name]
        chosen = f"--manylinux-distros={' '.join(distros(targets))}"
        return profiled(lambda: pytest.main([*words, f"--rootdir={name}", chosen]))


def trials(folder: Path) -> str:
    """So many trials of a small wheel one after the other."""
    (wheel,) = download([SMALL], folder / "small", ["3.11"])
    engine = select_engine("bubblewrap")
    warm = PreloadedPool(engine)
    try:
        cell = trial(subject_of(wheel, "debian-12"), engine, warm)
        cell()
        return profiled(lambda: [cell() for _ in range(TRIALS)])
    finally:
        warm.close()
        engine.close()


def main() -> int:
    """Write the three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--folder", type=Path, default=HERE.parent / "reports/bench")
    options = parser.parse_args()
    target = HERE / "profiles"
    target.mkdir(exist_ok=True)
    found = {
        "prediction": prediction(options.folder),
        "collection": collection(),
        "trials": trials(options.folder),
    }
    for name, text in found.items():
        (target / f"{name}.txt").write_text(text, encoding="utf-8")
        print(target / f"{name}.txt")
    return 0


if __name__ == "__main__":
    sys.exit(main())
