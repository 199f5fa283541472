"""Runs on a real scheduler with workers in processes of their own, on loopback addresses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_grounds import Ground, cluster_running, free_port
from installed_wheels import pack_installed
from sandboxes import eventually
from wheels import build_wheel
from whole_runs import seed

from pytest_manylinux.cluster.byte_transfer import PIECE, root_source
from pytest_manylinux.errors import ExitCode, StoreError
from pytest_manylinux.images.dpkg import identity, installed_packages
from pytest_manylinux.images.recipe import Recipe
from pytest_manylinux.images.store import ImageStore, receive

pytestmark = pytest.mark.integration

DISTRO = "--manylinux-distros=debian-12"
FRESH = "--manylinux-fresh"
SLOW = "import time; time.sleep(1.5)\n"


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with cluster_running(tmp_path) as found:
        yield found


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    for number in range(5):
        build_wheel(folder, {f"fine{number}.py": SLOW}, name=f"fine{number}")
    build_wheel(folder, {"faulty.py": f"{SLOW}raise RuntimeError('broken')\n"}, name="faulty")
    return folder


def command(wheels: Path, proof: Path, *options: str) -> list[str]:
    argv = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--manylinux",
        str(wheels),
        DISTRO,
    ]
    return [*argv, FRESH, f"--manylinux-proof={proof}", *options]


def verdicts(proof: Path) -> dict[tuple[str, str], tuple[str, tuple[str, ...]]]:
    rows = json.loads(proof.read_text())["predicate"]["verdicts"]
    return {
        (row["wheel"], row["subject"]): (
            row["outcome"],
            tuple(finding["name"] for finding in row.get("findings", ())),
        )
        for row in rows
    }


def workers(proof: Path) -> list[str]:
    rows = json.loads(proof.read_text())["predicate"]["verdicts"]
    return [row["observation"]["worker"] for row in rows if row["subject"] != "audit"]


@pytest.mark.attack("fault", engine="bubblewrap")
def test_a_worker_killed_in_the_middle_changes_no_verdict(ground: Ground, wheels: Path) -> None:
    local, cluster = ground.folder / "local.json", ground.folder / "cluster.json"
    done = subprocess.run(
        command(wheels, local), cwd=wheels, capture_output=True, text=True, check=False
    )
    assert done.returncode == ExitCode.NOT_PORTABLE, done.stdout
    killed, other = ground.worker(2), ground.worker(3)
    argv = command(wheels, cluster, f"--manylinux-dask={ground.address}")
    with (ground.folder / "run.log").open("wb") as log:
        running = subprocess.Popen(argv, cwd=wheels, stdout=log, stderr=log)
    ground.running.append(running)
    assert eventually(lambda: "debian-12" in ground.log("w2")), ground.log("run")
    os.kill(killed.pid, signal.SIGKILL)
    assert running.wait(timeout=300) == ExitCode.NOT_PORTABLE, ground.log("run")
    assert verdicts(cluster) == verdicts(local)
    assert "w3" in workers(cluster)
    assert set(workers(cluster)) <= {"w2", "w3"}, "all was done there, nothing here"
    assert "w2 (x86_64, bubblewrap" in ground.log("run")

    other.send_signal(signal.SIGTERM)
    assert other.wait(timeout=60) == ExitCode.OK, ground.log("w3")
    assert list((ground.folder / "cache3/cluster/dask").iterdir()) == []


SUITE = """
[tool.pytest-manylinux]
test-command = "pytest -p no:cacheprovider {project}/checks"
test-requires = ["pytest"]
test-environment = {WHERE = "given"}
"""
CHECKS = """
import os, sys
def test_fine(): assert os.environ["WHERE"] == "given"
def test_wrong(): import faulty
"""


def test_a_projects_tests_go_to_the_workers_too(ground: Ground, wheels: Path) -> None:
    """Tree and requirements travel by digest; the same tests fail there as here."""
    (wheels / "pyproject.toml").write_text(SUITE)
    (wheels / "checks").mkdir()
    (wheels / "checks" / "test_it.py").write_text(CHECKS)
    required = pack_installed(ground.folder, "pytest")
    environment = {
        **os.environ,
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": required.as_uri(),
    }
    ground.worker(2)
    found = []
    for name, more in (("local", ()), ("cluster", (f"--manylinux-dask={ground.address}",))):
        proof = ground.folder / f"{name}.json"
        argv = command(wheels, proof, "-k", "fine0 and trial", *more)
        done = subprocess.run(
            argv, cwd=wheels, capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == ExitCode.NOT_PORTABLE, done.stdout
        (row,) = (
            row
            for row in json.loads(proof.read_text())["predicate"]["verdicts"]
            if row["subject"] != "audit"
        )
        tests = row["observation"]["tests"]
        found.append((tests["counts"], [case["name"] for case in tests["cases"]]))
    assert workers(proof) == ["w2"]
    assert found[0] == found[1]
    assert dict(found[0][0]) == {"passed": 1, "failed": 1}


@pytest.mark.attack("fault", engine="bubblewrap")
def test_a_worker_that_stops_in_the_middle_is_left_by_its_trials(tmp_path: Path, wheels: Path) -> None:
    proof = tmp_path / "proof.json"
    with cluster_running(tmp_path, DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="2s") as ground:
        stopped, _ = ground.worker(2), ground.worker(3)
        argv = command(wheels, proof, f"--manylinux-dask={ground.address}", "-k", "trial")
        running = ground.start_in(wheels, "run", *argv[1:])
        assert eventually(lambda: "debian-12" in ground.log("w2")), ground.log("run")
        os.kill(stopped.pid, signal.SIGSTOP)
        assert running.wait(timeout=120) == ExitCode.NOT_PORTABLE, ground.log("run")
        rows = {wheel.split("-")[0]: seen for (wheel, _), (seen, _) in verdicts(proof).items()}
        fine = {f"fine{number}": "portable" for number in range(5)}
        assert rows == {**fine, "faulty": "not-portable"}
        assert "w3" in workers(proof)
        assert "Worker failed to heartbeat" in ground.log("scheduler")

        stopped.send_signal(signal.SIGCONT)
        assert stopped.wait(timeout=60) == ExitCode.NOT_PROVEN, ground.log("w2")
        assert "closed this worker" in ground.log("w2")


@pytest.mark.attack("fault", engine="bubblewrap")
def test_when_the_only_worker_stops_nothing_is_proven(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    wheel = build_wheel(tmp_path / "project", {"slow.py": "import time; time.sleep(30)\n"})
    proof = tmp_path / "proof.json"
    with cluster_running(tmp_path, DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="2s") as ground:
        worker = ground.worker(2)
        options = (f"--manylinux-dask={ground.address}", "--manylinux-dask-wait=1", "-k", "trial")
        running = ground.start_in(tmp_path, "run", *command(wheel, proof, *options)[1:])
        assert eventually(lambda: "debian-12" in ground.log("w2")), ground.log("run")
        os.kill(worker.pid, signal.SIGSTOP)
        assert running.wait(timeout=120) == ExitCode.NOT_PROVEN, ground.log("run")
        assert "fits this trial" in ground.log("run")
    assert [outcome for outcome, _ in verdicts(proof).values()] == ["not-proven"]


def test_a_trial_that_no_worker_fits_is_not_proven(ground: Ground, tmp_path: Path) -> None:
    (tmp_path / "arm").mkdir()
    tag = "cp311-cp311-manylinux_2_17_aarch64"
    wheel = build_wheel(tmp_path / "arm", {"demo.py": ""}, tag=tag)
    ground.worker(2)
    proof = tmp_path / "proof.json"
    options = (f"--manylinux-dask={ground.address}", "--manylinux-dask-wait=1")
    argv = command(wheel, proof, *options, "-k", "trial")
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.NOT_PROVEN, done.stdout
    assert "trial[debian-12-cp311-aarch64]" in done.stdout
    assert "none of 1 worker offers architecture aarch64, but architecture x86_64" in done.stdout
    assert [outcome for outcome, _ in verdicts(proof).values()] == ["not-proven"]


def test_workers_repeat_trials_and_what_they_saw_is_remembered_here(
    ground: Ground, tmp_path: Path
) -> None:
    folder = tmp_path / "two"
    build_wheel(folder, {"fine.py": "x = 1\n"}, name="fine")
    build_wheel(folder, {"faulty.py": "raise RuntimeError('broken')\n"}, name="faulty")
    ground.worker(2)
    proof = tmp_path / "proof.json"
    options = (f"--manylinux-dask={ground.address}", "-k", "trial", "-v")
    cache = {**os.environ, "PYTEST_MANYLINUX_CACHE": str(own_cache(tmp_path))}

    def run(*more: str) -> str:
        argv = [word for word in command(folder, proof, *options, *more) if word != FRESH]
        done = subprocess.run(
            argv, cwd=tmp_path, capture_output=True, text=True, check=False, env=cache
        )
        assert done.returncode == ExitCode.NOT_PORTABLE, done.stdout
        return done.stdout

    words = run("--manylinux-repeat=2")
    assert "  failed 2 of 2 tries" in words
    assert "repeated: 2 trials, 4 tries, 2 failed" in words
    assert set(workers(proof)) == {"w2"}
    assert "fine-1.0-py3-none-any.whl::trial[debian-12-cp311] PASSED (remembered)" in run()


def own_cache(folder: Path) -> Path:
    """A cache with this machine's root and nothing else."""
    seed(folder / "own-cache")
    return folder / "own-cache"


def test_a_scheduler_that_does_not_answer_proves_nothing(wheels: Path, tmp_path: Path) -> None:
    proof = tmp_path / "proof.json"
    argv = command(wheels, proof, f"--manylinux-dask=tcp://127.0.0.1:{free_port()}", "-k", "trial")
    done = subprocess.run(argv, cwd=wheels, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == ExitCode.NOT_PROVEN, done.stdout
    assert "no Dask scheduler answers at tcp://127.0.0.1:" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert {outcome for outcome, _ in verdicts(proof).values()} == {"not-proven"}


def test_a_root_travels_by_its_digest(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "var/lib/dpkg").mkdir(parents=True)
    status = "Package: base-files\nStatus: install ok installed\nVersion: 12\n"
    (root / "var/lib/dpkg/status").write_text(status)
    (root / "tool").write_text("x" * PIECE)
    (root / "tool").chmod(0o4755)
    (root / "link").symlink_to("tool")
    digest = identity("x86_64", installed_packages(root))
    recipe = Recipe(distro="debian-12", suite="bookworm", arch="x86_64", packages=("python3",))
    pieces: list[bytes] = []
    root_source(root)(pieces.append)
    came: list[str] = []

    def stream() -> list[bytes]:
        came.append(digest)
        return pieces

    store = ImageStore(tmp_path / "store")
    for _ in range(2):
        image = receive(store, digest, recipe, "debian-12", stream)
        assert image.digest == digest
    assert came == [digest], "once"
    there = Path(str(image.root))
    setuid = 0o4000 if os.geteuid() == 0 else 0  # lost where subordinate ids become the user's own
    assert (there / "tool").stat().st_mode & 0o7777 == 0o755 | setuid
    assert (there / "tool").read_text() == "x" * PIECE
    assert (there / "link").readlink() == Path("tool")
    other = f"sha256:{'0' * 64}"
    with pytest.raises(StoreError, match="another root was received"):
        receive(store, other, recipe, "debian-12", stream)
    store.release()
