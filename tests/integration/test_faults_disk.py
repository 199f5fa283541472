"""A full disk under the cache or under reports: told in one message, nothing kept that is not whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from wheels import build_wheel
from whole_runs import Place, WholeRun, leftovers, seed, tree

from pytest_manylinux.errors import ExitCode
from pytest_manylinux.model.verdict import Outcome

pytestmark = [
    pytest.mark.integration,
    pytest.mark.faults,
    pytest.mark.attack("fault", engine="bubblewrap", by="full"),
]

MEGABYTE = 1 << 20
LIMIT = 300  # seconds


@dataclass
class Disk:
    """A file system of its own that may be made larger."""

    folder: Path

    def hold(self, size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", self.folder], check=True)

    def room(self, size: int) -> None:
        """Leave so much room, in whole pages, beside what is there."""
        used = shutil.disk_usage(self.folder).used
        self.hold(max(used + size, 4096))  # a size of 0 would be no limit


@contextmanager
def a_disk() -> Iterator[Disk]:
    if os.geteuid() != 0:
        pytest.skip("an ordinary user may not mount a disk")
    folder = Path(tempfile.mkdtemp(prefix="disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4G", "tmpfs", folder], check=True)
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        folder.rmdir()


@dataclass
class Scene:
    """A wheel with a dependency; its cache, TMPDIR and outputs are disks of their own."""

    place: Place
    disks: dict[str, Disk]

    def run(self, name: str) -> WholeRun:
        arguments = ["--manylinux-engine=bubblewrap", "--manylinux-image-source=archive"]
        out = self.disks["outputs"].folder
        arguments += ["--manylinux-distros=debian-12", f"--manylinux-html={out / 'report.html'}"]
        environment = {
            "PYTEST_MANYLINUX_CACHE": str(self.disks["cache"].folder),
            "TMPDIR": str(self.disks["temporary"].folder),
            "PIP_FIND_LINKS": f"{self.place.folder / 'index'} {os.environ.get('PIP_FIND_LINKS', '')}",
        }
        return WholeRun(self.place, [*arguments, "."], environment, name=name)

    def left(self) -> list[str]:
        found = [f"temporary {path}" for path in self.disks["temporary"].folder.iterdir()]
        out, cache = self.disks["outputs"].folder, self.disks["cache"].folder
        hidden = [path for path in out.rglob(".*") if path.name != ".gitignore"]
        found += [f"half a file {path}" for path in hidden]
        return found + [f"half made {path}" for path in cache.glob("**/.part-*")]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """It has had one whole run, so that all its caches are full."""
    place = Place(folder=tmp_path_factory.mktemp("disk")).make()
    (place.project / "pytest.ini").write_text("[pytest]\n")
    build_wheel(place.project, {"good.py": "import leaf\n"}, name="good", requires=["leaf-of-faults"])
    build_wheel(place.folder / "index", {"leaf.py": "x = 1\n"}, name="leaf-of-faults")
    with ExitStack() as stack:
        disks = {name: stack.enter_context(a_disk()) for name in ("cache", "temporary", "outputs")}
        seed(disks["cache"].folder)
        scene = Scene(place=place, disks=disks)
        run = scene.run("whole")
        assert run.end() == ExitCode.OK, run.words
        yield scene


FORGET = ("dependencies", "venvs", "observations")
# Megabytes of room, so that it is full at once, or in the middle of something.
CASES = [
    *(("cache", room) for room in (0, 0.05, 1)),
    *(("outputs", room) for room in (0, 0.02)),
]


@pytest.mark.parametrize(("full", "room"), CASES)
def test_a_full_disk(scene: Scene, full: str, room: float) -> None:
    before = tree(scene.place.project)
    cache, out = scene.disks["cache"].folder, scene.disks["outputs"].folder
    for name in FORGET:
        shutil.rmtree(cache / name, ignore_errors=True)
    for path in out.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    scene.disks[full].room(int(room * MEGABYTE))
    run = scene.run("full")
    try:
        code = run.end(within=LIMIT)
    finally:
        for disk in scene.disks.values():
            disk.hold(4096 * MEGABYTE)
    assert code in {ExitCode.OK, ExitCode.NOT_PROVEN, ExitCode.USAGE}, run.words
    run.must_say_no_tracebacks()
    for verdict in run.verdicts():
        if verdict.outcome is Outcome.NOT_PROVEN:
            assert "why: " in verdict.reason, verdict.reason
            assert "next: " in verdict.reason, verdict.reason
    assert [*leftovers(run), *scene.left()] == []
    after = scene.run("next")
    assert after.end() == ExitCode.OK, after.words
    assert len(after.passes()) == 1
    assert [*leftovers(after), *scene.left()] == []
    assert tree(scene.place.project) == before
