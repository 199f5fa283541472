"""The script that builds a root of musl, where it runs outside: what it unpacks, and what it keeps."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from pytest_manylinux.images import recipe

SCRIPT = Path(recipe.__file__).with_name("hooks") / "musl_build.sh"
# What the build inside leaves, and what it was given, a word a line.
CHROOT = """#!/bin/sh
root=$1
cd "$root/musl-build"
ls -d zlib python3.13 deps/lib/libz.a 2>/dev/null > "$root/seen"
mkdir -p deps/lib && echo built > deps/lib/libz.a
"""


class Machine:
    """A root with two sources, and a folder of programs that come first on PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.cache = folder, folder / "apt"
        self.programs = folder / "programs"
        self.programs.mkdir()
        self.cache.mkdir()
        self.program("chroot", CHROOT)
        self.compiler("14.2")
        self._count = 0

    def program(self, name: str, text: str) -> None:
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def compiler(self, version: str) -> None:
        """What dpkg says of the packages that compile."""
        self.program("dpkg-query", f"#!/bin/sh\necho gcc {version}\n")

    def build(self, zlib: str = "1.3") -> list[str]:
        """Build in an empty root; gives what lay there when the build inside began."""
        self._count += 1
        root = self.folder / f"root-{self._count}"
        work = root / "musl-build"
        work.mkdir(parents=True)
        names = {"zlib": zlib, "python3.13": "3.13.5"}
        (work / "versions").write_text("".join(f"{name} {words}\n" for name, words in names.items()))
        lines = (f"{name} {self._archive(name)}\n" for name in names)
        (work / "archives").write_text("".join(lines))
        subprocess.run(
            ("sh", str(SCRIPT), str(root), "3.13"),
            env={"PATH": f"{self.programs}:{os.environ['PATH']}", "PM_APT_CACHE": str(self.cache)},
            check=True,
        )
        return (root / "seen").read_text().split()

    def _archive(self, name: str) -> Path:
        path = self.folder / f"{name}.tar.gz"
        (self.folder / "configure").write_text("")
        with tarfile.open(path, "w:gz") as archive:
            archive.add(self.folder / "configure", f"{name}-1/configure")
        return path


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_libraries_are_built_once_for_two_pythons(machine: Machine) -> None:
    assert machine.build() == ["python3.13", "zlib"]
    assert machine.build() == ["deps/lib/libz.a", "python3.13"]


def test_another_source_or_compiler_is_another_library(machine: Machine) -> None:
    machine.build()
    assert machine.build(zlib="1.4") == ["python3.13", "zlib"]
    machine.compiler("15.1")
    assert machine.build(zlib="1.4") == ["python3.13", "zlib"]
    assert len(list(machine.cache.glob("musl/*"))) == 1


def test_a_build_that_fails_leaves_nothing(machine: Machine) -> None:
    machine.program("chroot", "#!/bin/sh\nexit 1\n")
    with pytest.raises(subprocess.CalledProcessError):
        machine.build()
    assert not list(machine.cache.glob("musl/*"))
