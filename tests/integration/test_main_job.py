"""The main job as a user has it: `pytest --manylinux` on real projects, in real roots."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from pytest_manylinux.errors import ExitCode

pytestmark = pytest.mark.integration

SAMPLES = Path(__file__).parents[2] / "sample_projects"
DISTROS = "--manylinux-distros=debian-12,debian-13"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--manylinux", *arguments]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=folder, capture_output=True, text=True, timeout=1500, check=False
    )


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def projects(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for name in ("portable/abi3_extension", "portable/vendored_library", "faulty/exit_on_import"):
        shutil.copytree(SAMPLES / name, tmp_path / "projects" / name)
    return tmp_path


def test_projects_become_wheels_that_are_proven_on_several_distros(projects: Path) -> None:
    before = tree(projects / "projects")
    reports = ("--junitxml=junit.xml", "--manylinux-proof=proof.json", "--manylinux-gate")
    done = run(projects, DISTROS, *reports, "projects")
    assert done.returncode != 0, "the gate lets no declared fault through"
    assert "gate: exit_on_import" in done.stdout
    assert tree(projects / "projects") == before, "a project's own files are never touched"

    cases = {
        f"{case.get('classname')}::{case.get('name')}": {
            str(p.get("name")): str(p.get("value")) for p in case.iter("property")
        }
        for case in ET.parse(projects / "junit.xml").iter("testcase")  # noqa: S314 - ours
    }
    assert len(cases) == 3 * 2 * 3
    trial = cases["projects.portable.vendored_library::trial[cp313-manylinux1_x86_64-debian-13]"]
    assert trial["manylinux.verdict"] == "portable"
    assert trial["manylinux.policy"] == "manylinux1"
    assert trial["manylinux.distro"] == "debian-13"
    assert trial["manylinux.libc"] == "glibc 2.41"
    assert trial["manylinux.image"].startswith("sha256:")
    assert trial["manylinux.builder"] == "zig"
    assert trial["manylinux.engine"] == "bubblewrap"
    fault = cases["projects.faulty.exit_on_import::trial[cp311-manylinux1_x86_64-debian-12]"]
    assert fault["manylinux.verdict"] == "expected"

    wheels = sorted(path.name for path in (projects / "wheelhouse").glob("*.whl"))
    assert len([name for name in wheels if name.startswith("abi3_extension")]) == 1
    assert len([name for name in wheels if name.startswith("vendored_library")]) == 2
    assert all("manylinux1_x86_64" in name for name in wheels if "none-any" not in name)
    proof = json.loads((projects / "proof.json").read_text())
    assert {subject["name"] for subject in proof["subject"]} == set(wheels)

    again = run(projects, DISTROS, "projects")
    assert again.returncode == 0, again.stdout + again.stderr


def test_a_project_that_does_not_compile_says_the_compiler_s_words(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    shutil.copytree(SAMPLES / "portable" / "c_extension", tmp_path / "broken")
    source = next((tmp_path / "broken").rglob("*.c"))
    source.write_text(source.read_text() + "\nthis is no C;\n")
    done = run(tmp_path, "--manylinux-distros=debian-12", "broken")
    assert done.returncode == ExitCode.NOT_PORTABLE
    assert "error: " in done.stdout
    assert "Traceback" not in done.stdout
    assert not (tmp_path / "wheelhouse").exists() or not any((tmp_path / "wheelhouse").iterdir())


def processes() -> dict[int, tuple[int, str]]:
    """Parent and command line of every process (proc(5))."""
    found = {}
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            found[int(folder.name)] = (int(parent), line)
    return found


def descendants(root: int) -> dict[int, str]:
    """The command lines of all processes below one."""
    all_of_them = processes()
    found: dict[int, str] = {}
    fresh = {root}
    while fresh:
        fresh = {pid for pid, (parent, _) in all_of_them.items() if parent in fresh}
        found |= {pid: all_of_them[pid][1] for pid in fresh}
    return found


def own_mounts(projects: Path) -> list[str]:
    """Mounts of the cache, of temporary folders of runs, or below `projects`; others' are not ours."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if "pytest-manylinux" in line or str(projects) in line]


@pytest.mark.attack("fault", engine="bubblewrap")
def test_after_sigkill_in_a_trial_nothing_is_left_and_the_next_run_works(projects: Path) -> None:
    shutil.copytree(SAMPLES / "faulty" / "hang_on_import", projects / "hanging")
    (projects / "hanging" / "pyproject.toml").write_text(
        (projects / "hanging" / "pyproject.toml").read_text().replace("trial-timeout = ", "#")
    )
    with subprocess.Popen(
        command("--manylinux-distros=debian-12", "hanging"),
        cwd=projects,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as running:
        deadline = time.monotonic() + 900
        begun: dict[int, str] = {}
        while not any("faulthandler" in line for line in begun.values()):  # an import is under way
            assert running.poll() is None, "the run ended before its trial hung"
            assert time.monotonic() < deadline
            time.sleep(0.2)
            begun = descendants(running.pid)
        running.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while (left := begun.keys() & processes().keys()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == set()
    assert own_mounts(projects) == []
    next_run = run(projects, "--manylinux-distros=debian-12", "projects/faulty")
    assert next_run.returncode == 0, next_run.stdout + next_run.stderr
