"""Whole releases from the index, all their wheels for glibc, in one command each; only with `-m index`.

Every wheel that this run has a target for is tried, on every architecture that this machine can run.
What was downloaded stays in `WHEELS_OF_RELEASES` (default: a folder of the cache), and what was seen
is remembered, so that a run that was interrupted goes on where it was. `RELEASES` names the projects,
and `OTHER_PYTHONS` overrules `any`, which builds some Pythons from source.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from real_wheels import download_wheel

from pytest_manylinux.cache.paths import cache_root
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.model.distro import split_target_id
from pytest_manylinux.model.verdict import Outcome
from pytest_manylinux.report.proof import read_proof

pytestmark = pytest.mark.index

NAMES = Path(__file__).parents[1] / "data" / "release-wheels.txt"
PROJECTS = os.environ.get("RELEASES", "markupsafe cffi orjson charset_normalizer").split()
FOLDER = Path(os.environ.get("WHEELS_OF_RELEASES") or cache_root() / "wheels-of-releases")
OTHERS = os.environ.get("OTHER_PYTHONS", "any")
# The right faults, each as "WHEEL on TARGET"; all else must pass.
FAULTS: tuple[str, ...] = ()


def names_of(project: str) -> list[str]:
    lines = NAMES.read_text("utf-8").splitlines()
    return [name for name in lines if name.startswith(f"{project}-") and "musllinux" not in name]


def downloaded(name: str, folder: Path) -> Path:
    """The file of exactly this name, from this machine's own index."""
    if not (path := folder / name).is_file():
        download_wheel(name, folder)
    return path


def failures(proof: Path) -> set[str]:
    """Wheel and target of each trial that did not pass."""
    trials = [one for one in read_proof(proof).record.verdicts if split_target_id(one.subject)]
    assert trials
    return {f"{one.wheel} on {one.subject}" for one in trials if one.outcome is not Outcome.PORTABLE}


@pytest.mark.parametrize("project", PROJECTS)
def test_every_wheel_passes_or_has_its_fault(project: str, tmp_path: Path) -> None:
    folder = FOLDER / project
    folder.mkdir(parents=True, exist_ok=True)
    wheels = [downloaded(name, folder) for name in names_of(project)]
    assert wheels, f"{NAMES} has no wheels of {project}"
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--manylinux"]
    command += [*map(str, wheels), "--manylinux-engine=bubblewrap", "--manylinux-distros=embedded"]
    command += ["--manylinux-archs=all", f"--manylinux-other-pythons={OTHERS}", "-rs"]
    done = subprocess.run(
        [*command, "--manylinux-proof=proof.json"], cwd=tmp_path, check=False, text=True
    )
    assert failures(tmp_path / "proof.json") == set(FAULTS)
    assert done.returncode in {ExitCode.OK, ExitCode.NOT_PROVEN}, "some may have no target here"
