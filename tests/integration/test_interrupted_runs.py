"""Signals at several stages of a run: a truthful exit code, and nothing left behind."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sandboxes import OWN, eventually, processes_with
from wheels import build_wheel
from whole_runs import Place, WholeRun, leftovers

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.images import ImageStore
from pytest_manylinux.images.recipe import recipe_of
from pytest_manylinux.model.distro import ImagePurpose

pytestmark = [pytest.mark.integration, pytest.mark.attack("fault", engine="bubblewrap")]

MARK = f"86471.5{OWN}"
WAITS = f"import subprocess; subprocess.run(['sleep', '{MARK}'])"


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def mounts_below(folder: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line for line in lines if str(folder) in line]


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel whose import waits for ever, in a process that can be seen from here."""
    (tmp_path / "project").mkdir()
    (tmp_path / "project/pytest.ini").write_text("[pytest]\n")
    return build_wheel(tmp_path / "project", {"waits.py": WAITS}, name="waits")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["interrupt", "terminate"])
@pytest.mark.parametrize("stage", ["starting", "importing"])
def test_a_signal_at_any_stage_leaves_nothing(
    wheel: Path, tmp_path: Path, number: signal.Signals, stage: str
) -> None:
    project, scratch, output = wheel.parent, tmp_path / "tmp", tmp_path / "output"
    scratch.mkdir()
    before = tree(project)
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--manylinux", wheel.name]
    argv += ["--manylinux-distros=debian-12", f"--manylinux-proof={tmp_path / 'proof.json'}"]
    environment = {**os.environ, "TMPDIR": str(scratch), "PYTHONUNBUFFERED": "1"}
    with (
        output.open("wb") as file,
        subprocess.Popen(
            argv, cwd=project, stdout=file, stderr=file, env=environment, start_new_session=True
        ) as running,
    ):

        def reached() -> bool:
            assert running.poll() is None, output.read_text()
            match stage:
                case "starting":
                    return b"test session starts" in output.read_bytes()
                case _:
                    return bool(processes_with(f"sleep {MARK}"))

        assert eventually(reached), output.read_text()
        running.send_signal(number)
        code = running.wait(timeout=120)
    assert code not in {0, 1}, "an interrupted run is neither proven nor not portable"
    assert eventually(lambda: processes_with(f"sleep {MARK}") == [])
    assert mounts_below(tmp_path) == []
    assert eventually(lambda: list(scratch.iterdir()) == []), list(scratch.iterdir())
    assert tree(project) == before
    assert not any(outcome == "portable" for outcome in trials(tmp_path / "proof.json"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["interrupt", "terminate"])
def test_a_signal_while_another_run_makes_the_same_root(tmp_path: Path, number: signal.Signals) -> None:
    place = Place(folder=tmp_path).make()
    (place.project / "pytest.ini").write_text("[pytest]\n")
    build_wheel(place.project, {"good.py": "x = 1\n"}, name="good")
    distro = load_catalogue().get("debian-12")
    assert distro.archive is not None
    recipe = recipe_of(
        distro,
        distro.archive,
        "x86_64",
        ImagePurpose.TRIAL,
        extra_packages=(),
        interpreter=distro.interpreters[0],
    )
    with ImageStore(place.cache).making(recipe, waiting=pytest.fail):
        run = WholeRun(place, ["--manylinux-engine=bubblewrap", "--manylinux-distros=debian-12", "."])
        run.await_stage(lambda it: "waiting for another run" in it.words)
        run.send(number)
        assert run.end(within=30) == ExitCode.INTERRUPTED, run.words
    run.must_say_no_tracebacks()
    assert leftovers(run) == []
    assert run.passes() == []


def trials(proof: Path) -> list[str]:
    """The outcomes of trials in a proof; audits, which had ended, may be there too."""
    if not proof.exists():
        return []
    verdicts = json.loads(proof.read_text())["predicate"]["verdicts"]
    return [verdict["outcome"] for verdict in verdicts if verdict["subject"].startswith("debian-12")]
