"""Whole releases from the index, all their wheels for glibc, in one command; only with `-m index`.

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
from pytest_manylinux.host.architecture import ARCHITECTURES, emulation_of
from pytest_manylinux.model.distro import split_target_id
from pytest_manylinux.model.verdict import Cause, Outcome
from pytest_manylinux.report.proof import read_proof

pytestmark = pytest.mark.index

NAMES = Path(__file__).parents[1] / "data" / "release-wheels.txt"
PROJECTS = os.environ.get("RELEASES", "markupsafe cffi orjson charset_normalizer").split()
FOLDER = Path(os.environ.get("WHEELS_OF_RELEASES") or cache_root() / "wheels-of-releases")
OTHERS = os.environ.get("OTHER_PYTHONS", "any")
# The right faults, each as "WHEEL on TARGET"; all else must pass.
FAULTS: tuple[str, ...] = ()
FAULTY = Outcome.NOT_PORTABLE


def names_of(project: str) -> list[str]:
    lines = NAMES.read_text("utf-8").splitlines()
    return [name for name in lines if name.startswith(f"{project}-") and "musllinux" not in name]


def downloaded(name: str, folder: Path) -> Path:
    """The file of exactly this name, from this machine's own index."""
    if not (path := folder / name).is_file():
        download_wheel(name, folder)
    return path


def test_every_wheel_passes_or_has_its_fault(tmp_path: Path) -> None:
    wheels = []
    for project in PROJECTS:
        folder = FOLDER / project
        folder.mkdir(parents=True, exist_ok=True)
        names = names_of(project)
        assert names, f"{NAMES} has no wheels of {project}"
        wheels += [downloaded(name, folder) for name in names]
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--manylinux"]
    command += [*map(str, wheels), "--manylinux-engine=bubblewrap", "--manylinux-distros=embedded"]
    command += ["--manylinux-archs=all", f"--manylinux-other-pythons={OTHERS}", "-rs"]
    done = subprocess.run(
        [*command, "--manylinux-proof=proof.json"], cwd=tmp_path, check=False, text=True
    )
    assert done.returncode in {ExitCode.OK, ExitCode.NOT_PROVEN}, "some may have no target here"
    verdicts = read_proof(tmp_path / "proof.json").record.verdicts
    trials = [(found, one) for one in verdicts if (found := split_target_id(one.subject))]
    faulty = {f"{one.wheel} on {one.subject}" for _, one in trials if one.outcome is FAULTY}
    assert faulty == set(FAULTS)
    unproven = {one.cause for _, one in trials if one.outcome is Outcome.NOT_PROVEN}
    assert unproven <= {Cause.IMAGE}, "a mirror may lack a root of an architecture, or a source"
    proven = {arch for (_, _, arch), one in trials if one.outcome is Outcome.PORTABLE}
    assert proven >= {arch for arch in ARCHITECTURES if emulation_of(arch).works and has(wheels, arch)}


def has(wheels: list[Path], arch: str) -> bool:
    return any(wheel.stem.endswith(f"_{arch}") for wheel in wheels)
