"""The image store under two runs that interleave, crash, and meet damage."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pytest_manylinux.cache import integrity
from pytest_manylinux.cache.directories import sweep
from pytest_manylinux.errors import StoreError
from pytest_manylinux.images.dpkg import identity, installed_packages
from pytest_manylinux.images.recipe import Recipe
from pytest_manylinux.images.store import ImageStore
from pytest_manylinux.model.distro import Image

pytestmark = pytest.mark.attack("fault")

STATUS = "Package: {name}\nStatus: install ok installed\nVersion: {version}\n\n"
RUNS = st.integers(0, 1)
NAMES = st.sampled_from(["debian-12", "debian-13"])
DAMAGE = st.sampled_from(["status", "record", "half", "bit", "bit of the record"])
VERSIONS = st.sampled_from(["1", "2"])


def recipe_for(name: str) -> Recipe:
    return Recipe(distro=name, suite="suite", arch="x86_64", packages=("python3",))


def make_root(folder: Path, version: str) -> None:
    dpkg = folder / "root/var/lib/dpkg"
    dpkg.mkdir(parents=True)
    (dpkg / "status").write_text(STATUS.format(name="base", version=version))
    (folder / "log").write_text("made\n")
    (folder / "root/tool").write_text(version * 100)


def flip_a_bit(path: Path, place: int) -> None:
    """As a disk does: nothing but the content tells."""
    status, content = path.stat(), bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


class TwoRuns(RuleBasedStateMachine):
    """Two processes on one cache folder; what each of them was given, it holds until it ends."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="states-"))
        self.runs = [ImageStore(self.root), ImageStore(self.root)]
        self.given: list[dict[str, Image]] = [{}, {}]
        self.damaged: set[str] = set()

    def teardown(self) -> None:
        for run in self.runs:
            run.release()
        shutil.rmtree(self.root)

    @rule(run=RUNS, name=NAMES, version=VERSIONS)
    def adopt(self, run: int, name: str, version: str) -> None:
        store = self.runs[run]
        with store.aside() as aside:
            make_root(aside, version)
            try:
                image = store.adopt(aside, recipe_for(name), name=name, seconds=1.0)
            except StoreError:
                assert self.damaged, "only what is damaged and in use cannot be replaced"
                return
        self.damaged.discard(str(image.root))
        self.given[run][str(image.root)] = image

    @rule(run=RUNS, name=NAMES)
    def find(self, run: int, name: str) -> None:
        image = self.runs[run].find(recipe_for(name))
        if image is not None:
            assert str(image.root) not in self.damaged
            packages = installed_packages(Path(str(image.root)))
            assert identity("x86_64", packages) == image.digest
            self.given[run][str(image.root)] = image

    @rule(run=RUNS)
    def end_and_start_anew(self, run: int) -> None:
        self.runs[run].release()  # what the kernel does when a process ends, in whatever way
        integrity._known.clear()  # what a process found whole ends with it
        self.runs[run] = ImageStore(self.root)
        self.given[run] = {}

    @rule(version=VERSIONS)
    def die_while_making(self, version: str) -> None:
        folder = self.root / "aside" / f"dead-{version}"
        shutil.rmtree(folder, ignore_errors=True)
        make_root(folder, version)
        folder.with_name(f"{folder.name}.lock").touch()

    @rule(run=RUNS)
    def prune(self, run: int) -> None:
        sweep(self.root / "aside")
        for stored in self.runs[run].images():
            root = str(stored.folder / "root")
            removed = self.runs[run].remove(stored)
            assert removed is not any(root in given for given in self.given)
            if removed:
                self.damaged.discard(root)
        assert list((self.root / "aside").glob("dead-*")) == []

    @rule(
        which=st.sampled_from(["status", "record", "half", "bit", "bit of the record"]),
        version=VERSIONS,
    )
    def damage(self, which: str, version: str) -> None:
        """A disk's work: on an image that nobody uses, since nothing looks at it again meanwhile."""
        used = {root for given in self.given for root in given}
        for stored in self.runs[0].images():
            root = stored.folder / "root"
            if str(root) in used or stored.record.packages != (("base", version),):
                continue
            if not (root / "var").exists():  # half of it went before: that is damage enough
                continue
            match which:
                case "status":
                    (root / "var/lib/dpkg/status").write_text(STATUS.format(name="b", version="9"))
                case "record":
                    (stored.folder / "image.json").write_text("{")
                case "bit":
                    flip_a_bit(root / "tool", 0)
                case "bit of the record":
                    flip_a_bit(stored.folder / "image.json", 40)
                case _:
                    shutil.rmtree(root / "var")
            self.damaged.add(str(root))

    @rule(name=NAMES, text=st.sampled_from(["", "sha256:0", "x" * 64, "\0" * 71]))
    def spoil_an_index(self, name: str, text: str) -> None:
        index = self.root / "recipes" / recipe_for(name).key
        if index.exists():
            index.write_text(text)

    @invariant()
    def what_a_run_was_given_stays(self) -> None:
        for given in self.given:
            for root, image in given.items():
                assert identity("x86_64", installed_packages(Path(root))) == image.digest


def test_two_runs_never_meet_a_damaged_or_vanished_image() -> None:
    TwoRuns.TestCase.settings = settings(max_examples=12, stateful_step_count=15, deadline=None)
    TwoRuns.TestCase().runTest()
