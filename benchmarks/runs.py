"""Whole runs: forty real projects on four distros, cold, warm, remembered; and on a cluster."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from figures import Part, Row, Spent, progress, spent
from subjects import DISTROS, FORTY, download
from trials import NAIVE, docker_engine, imported_reference, subject_of

from pytest_manylinux.report.proof import read_proof

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))

from cluster_grounds import Ground, cluster_running

_PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--manylinux")
_HALF = 20  # projects that the cluster is measured with


def prove(folder: Path, out: Path, *options: str, **environment: str) -> Spent:
    """One run of ours over a folder of wheels; it must end green."""
    words = [sys.executable, *_PYTEST, "--manylinux-engine=bubblewrap", f"--manylinux-proof={out}"]
    words += [f"--manylinux-distros={' '.join(DISTROS)}", *options, str(folder)]
    done = spent(words, folder=out.parent, **environment)
    if done.code:
        raise SystemExit(f"the run is not green:\n{done.output[-3000:]}")
    return done


def whole(folder: Path, *, docker: bool) -> Part:
    """The run over all, beside the naive way one after the other."""
    wheels = folder / "forty"
    download(FORTY, wheels, DISTROS.values())
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        out, cache = Path(name) / "proof.json", Path(name) / "cache"
        cold = {"PYTEST_MANYLINUX_CACHE": str(cache)}
        runs = {
            "first, roots made too": (("--manylinux-fresh",), cold),
            "again, --manylinux-fresh": (("--manylinux-fresh",), cold),
            "--manylinux-fresh, one job": (("--manylinux-fresh", "--manylinux-jobs=1"), cold),
            "remembered": ((), cold),
        }
        for what, (options, environment) in runs.items():
            progress(f"forty projects: {what}")
            rows.append(Row(name=what, value=prove(wheels, out, *options, **environment).clock))
        verdicts = read_proof(out).record.verdicts
        cells = [(one.wheel, one.subject) for one in verdicts if one.observation is not None]
    if docker:
        progress(f"forty projects: the naive way, {len(cells)} cells")
        rows.insert(0, Row(name="naive, one after the other", value=_naive(wheels, cells)))
    return Part(
        title=f"{len(FORTY)} real projects × {len(DISTROS)} Debians: {len(cells)} trials",  # noqa: RUF001
        rows=tuple(rows),
        base=rows[0].name if docker else "",
        asked="20 times as fast as the naive way, and remembered 20 times as fast as the first",
    )


def _naive(wheels: Path, cells: list[tuple[str, str]]) -> float:
    """Seconds for `docker run` with venv, pip and import, for each cell one after the other."""
    subjects = {cell: subject_of(wheels / cell[0], _distro(cell[1])) for cell in cells}
    with contextlib.ExitStack() as stack:
        engine = docker_engine(stack)
        if engine is None:
            raise SystemExit("the naive way wants a docker daemon, or dockerd and root")
        images = {_distro(cell[1]): subject.request.image for cell, subject in subjects.items()}
        references = {name: imported_reference(engine, image) for name, image in images.items()}
        started = time.perf_counter()
        for (wheel, subject_id), subject in subjects.items():
            script = NAIVE.format(
                venv="/tmp/venv",  # noqa: S108 - the container's own
                wheel=f"/w/{wheel}",
                code=f"import {', '.join(subject.names)}",
            )
            command = ["docker", "run", "--rm", "--network", "none", "-v", f"{wheels.resolve()}:/w:ro"]
            command += [references[_distro(subject_id)], "sh", "-c", script]
            subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - started


def _distro(subject: str) -> str:
    return next(name for name in DISTROS if subject.startswith(f"{name}-"))


def cluster(folder: Path) -> Part:
    """Half of the projects by one, two and four workers of a cluster on loopback."""
    wheels = folder / "twenty"
    download(FORTY[:_HALF], wheels, DISTROS.values())
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        out = Path(name) / "proof.json"
        prove(wheels, out, "--manylinux-fresh")  # roots and venvs are there from now on
        progress("cluster: this machine alone")
        rows.append(Row(name="no cluster", value=prove(wheels, out, "--manylinux-fresh").clock))
        for count in (1, 2, 4):
            with _workers(Path(name), count) as ground:
                prove(wheels, out, "--manylinux-fresh", f"--manylinux-dask={ground.address}")
                progress(f"cluster: {count} workers")
                done = prove(wheels, out, "--manylinux-fresh", f"--manylinux-dask={ground.address}")
            rows.append(Row(name=f"{count} worker{'s' * (count > 1)}", value=done.clock))
    return Part(
        title=f"A Dask cluster on one machine: {len(list(wheels.glob('*.whl')))} wheels",
        rows=tuple(rows),
        base="no cluster",
        note=f"The workers share this machine's {os.cpu_count()} cores, one trial at a time each.",
    )


@contextlib.contextmanager
def _workers(folder: Path, count: int) -> Iterator[Ground]:
    with tempfile.TemporaryDirectory(dir=folder) as name, cluster_running(Path(name)) as ground:
        for number in range(1, count + 1):
            ground.share_roots(number)
            ground.worker(number)
        yield ground


def samples() -> Part:
    """All sample projects, built and tried; then once more."""
    project = Path(__file__).parents[1] / "sample_projects"
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        for what, options in {"first": ("--manylinux-fresh",), "again": ()}.items():
            progress(f"sample projects: {what}")
            house = f"--manylinux-wheelhouse={Path(name, what)}"
            done = prove(project, Path(name) / "proof.json", *options, house)
            rows.append(Row(name=what, value=done.clock))
    return Part(title="All sample projects, roots there", rows=tuple(rows), base="first")
