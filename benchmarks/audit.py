"""Our audit beside `auditwheel show`, on wheels given as paths: same tag, how much sooner.

    python benchmarks/audit.py WHEEL… [--rounds 3]

Each program runs as a process of its own, start and imports included, in turns, so that both see
the same machine. Prints a Markdown table with medians; ratios are what travels to other machines.
Exits with 1 if a tag differs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

OURS = """
import json, sys
from pathlib import Path
from pytest_manylinux.inspect.audit import audit_wheel
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
facts = read_wheel(open_wheel(Path(sys.argv[1])))
answer = audit_wheel(facts)
print(json.dumps({"tag": answer.deserved, "elf": len(facts.elf), "unpacked": facts.unpacked_size}))
"""


@dataclass(frozen=True)
class Run:
    """One process: seconds of wall clock and of processor, megabytes at most, what it printed.

    `killed` tells that a signal ended it: then its figures measure nothing.
    """

    seconds: float
    processor: float
    memory: float
    answer: dict[str, object]
    killed: bool


def run(command: Sequence[str]) -> Run:
    """Run to the end and measure. A program that prints no JSON has given no answer."""
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - started
    try:
        answer = json.loads(output)
    except json.JSONDecodeError:
        answer = {}
    return Run(
        seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, answer, process.returncode < 0
    )


def compare(wheel: Path, rounds: int) -> tuple[str, bool]:
    """A row of the table, and whether both gave the same tag."""
    ours, theirs = [], []
    for _ in range(rounds):
        ours.append(run([sys.executable, "-c", OURS, str(wheel)]))
        theirs.append(run([sys.executable, "-m", "auditwheel", "show", "--json", str(wheel)]))
    fast, slow = (statistics.median(r.seconds for r in runs) for runs in (ours, theirs))
    work = [statistics.median(r.processor for r in runs) for runs in (ours, theirs)]
    memory = max(r.memory for r in ours)
    mine = ours[0].answer
    tag, other = mine.get("tag", ""), theirs[0].answer.get("overall_tag", "no tag")
    same = tag == other
    if any(r.killed for r in (*ours, *theirs)):
        return f"| {wheel.name.split('-')[0]} | a run was ended by a signal: nothing measured |", False
    cells = [
        wheel.name.split("-")[0],
        f"{wheel.stat().st_size / 1e6:.0f}",
        str(mine.get("elf", "")),
        f"{fast:.2f}",
        f"{slow:.2f}",
        f"{slow / fast:.0f} x",
        f"{work[1] / work[0]:.0f} x",
        f"{memory:.0f}",
        str(tag) if same else f"{tag} / {other}",
    ]
    return f"| {' | '.join(cells)} |", same


def main() -> int:
    """Print the table; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("wheels", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(
        "| wheel | MB | ELF files | ours, s | auditwheel, s | ratio | processor ratio | our MB | tag |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    rows_agree = True
    for wheel in options.wheels:
        row, same = compare(wheel, options.rounds)
        print(row, flush=True)
        rows_agree &= same
    return 0 if rows_agree else 1


if __name__ == "__main__":
    sys.exit(main())
