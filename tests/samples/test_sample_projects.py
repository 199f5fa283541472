"""Every sample project, built and proven: what it declares is found, and nothing else.

Opt-in (`-m samples`): what `make prove` does, with the findings looked at one by one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sample_table import rows

from pytest_manylinux.errors import ExitCode
from pytest_manylinux.model.verdict import Outcome
from pytest_manylinux.report.proof import read_proof

pytestmark = pytest.mark.samples

ROOT = Path(__file__).parents[2]


def _projects() -> Iterator[Path]:
    """The pyproject.toml of each project: a folder of one, or of a monorepo's."""
    for path in ROOT.glob("sample_projects/*/*/"):
        inner = sorted(path.glob("packages/*/pyproject.toml"))
        yield from inner or [path / "pyproject.toml"]


def _run(folder: Path, proof: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command of a README, in its folder, with a proof."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "--manylinux", f"--manylinux-proof={proof}", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_c_plus_plus_17_by_the_bare_command_of_its_readme(tmp_path: Path) -> None:
    """Nothing is set: the build for manylinux1 fails once, and what it wants decides."""
    name = "sample_projects/portable/cpp17_extension"
    readme = (ROOT / name / "README.md").read_text(encoding="utf-8")
    assert f"$ pytest --manylinux {name}\n" in readme
    shutil.copytree(ROOT / name, tmp_path / name)
    done = _run(tmp_path, tmp_path / "proof.json", name)
    assert done.returncode == 0, done.stdout[-4000:]
    record = read_proof(tmp_path / "proof.json").record
    why = "std::align_val_t wants glibc 2.16"
    assert {(one.policy, one.policy_why) for one in record.builds} == {("manylinux2014", why)}
    assert {verdict.outcome for verdict in record.verdicts} == {Outcome.PORTABLE}
    assert done.stdout.count(f"{why}: building for manylinux2014, not for manylinux1") == 1
    assert f"cpp17_extension: built for manylinux2014: {why}" in " ".join(done.stdout.split())
    assert f"cpp17_extension: built for manylinux2014: {why}" in readme


def test_rust_by_the_bare_command_of_its_readme(tmp_path: Path) -> None:
    """One wheel of the stable ABI, by the oldest distro's rustc, and its tests on each distro."""
    name = "sample_projects/portable/rust_extension"
    readme = (ROOT / name / "README.md").read_text(encoding="utf-8")
    assert f"$ pytest --manylinux {name}\n" in readme
    shutil.copytree(ROOT / name, tmp_path / name)
    done = _run(tmp_path, tmp_path / "proof.json", name)
    assert done.returncode == 0, done.stdout[-4000:]
    record = read_proof(tmp_path / "proof.json").record
    assert [w.file for w in record.wheels] == [
        "rust_extension-1.0-cp39-abi3-manylinux1_x86_64.manylinux_2_5_x86_64.whl"
    ]
    assert {verdict.outcome for verdict in record.verdicts} == {Outcome.PORTABLE}
    suites = [v.observation.tests for v in record.verdicts if v.observation]
    assert suites
    assert {suite and suite.ran for suite in suites} == {2}


def test_rust_without_build_packages_says_what_brings_it(tmp_path: Path) -> None:
    folder = tmp_path / "rust_extension"
    shutil.copytree(ROOT / "sample_projects/portable/rust_extension", folder)
    table = folder / "pyproject.toml"
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    table.write_text("".join(line for line in lines if "build-packages" not in line), encoding="utf-8")
    done = _run(folder, tmp_path / "proof.json", "--manylinux-distros=debian-12")
    assert done.returncode == ExitCode.NOT_PORTABLE, done.stdout[-4000:]
    assert 'cargo is not there: build-packages = ["cargo"] brings it' in done.stdout


def test_the_monorepo_by_the_bare_command_of_its_readme(tmp_path: Path) -> None:
    folder = tmp_path / "monorepo"
    shutil.copytree(ROOT / "sample_projects/portable/monorepo", folder)
    assert "\n    pytest --manylinux\n" in (folder / "README.md").read_text(encoding="utf-8")
    done = _run(folder, tmp_path / "proof.json")
    assert done.returncode == 0, done.stdout[-4000:]
    record = read_proof(tmp_path / "proof.json").record
    core = {(w.file, w.sha256) for w in record.wheels if w.name == "measure-core"}
    stats = {w.file for w in record.wheels if w.name == "measure-stats"}
    trials = [v.observation for v in record.verdicts if v.wheel in stats and v.observation]
    assert trials
    assert all(len(seen.siblings) == 1 and set(seen.siblings) <= core for seen in trials)
    builds = [build for build in record.builds if build.project == "packages/measure-stats"]
    assert all(len(build.siblings) == 1 and set(build.siblings) <= core for build in builds)


def test_each_fault_is_found_and_no_false_one(
    tmp_path: Path, show_table: Callable[[str], None]
) -> None:
    arguments = ("sample_projects", "-q", f"--manylinux-wheelhouse={tmp_path}")
    done = _run(ROOT, tmp_path / "proof.json", *arguments)
    found = list(rows(read_proof(tmp_path / "proof.json").record))
    show_table("\n".join(map(str, found)))
    projects = {path.parent.relative_to(ROOT).as_posix() for path in _projects()}
    assert {row.project for row in found} == projects
    assert [str(row) for row in found if row.wrong] == []
    assert done.returncode == 0, done.stdout[-4000:]
