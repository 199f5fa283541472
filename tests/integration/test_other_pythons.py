"""Pythons that no distro packages, built from a source package and mounted into real roots.

The source is a stand-in for CPython's: `configure` and `make` as CPython has them, and what they
install is the distro's own Python under another prefix. The real one takes minutes (`-m index`).
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from wheels import build_wheel

from pytest_manylinux.cache.paths import cache_root
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.model.verdict import Outcome
from pytest_manylinux.report.proof import read_proof

CONFIGURE = """#!/bin/sh
for word; do case "$word" in --prefix=*) prefix=${word#--prefix=};; esac; done
printf 'all:\\n\\ninstall:\\n\\tmkdir -p $(DESTDIR)%s/bin\\n' "$prefix" > Makefile
printf '\\tln -s /usr/bin/python3 $(DESTDIR)%s/bin/python3\\n' "$prefix" >> Makefile
"""
BROKEN = "#!/bin/sh\necho 'configure: error: no acceptable C compiler' >&2; exit 77\n"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache folder with this machine's roots, and no Pythons."""
    folder = tmp_path / "cache"
    folder.mkdir()
    for part in ("images", "recipes", "apt", "locks"):
        (cache_root() / part).mkdir(parents=True, exist_ok=True)
        (folder / part).symlink_to(cache_root() / part)
    return folder


def keep_source(cache: Path, configure: str) -> None:
    """Put a source archive where one is kept that was fetched."""
    folder = cache / "pythons" / "sources" / "python3.13"
    folder.mkdir(parents=True)
    with tarfile.open(folder / "python3.13_3.13.5.orig.tar.xz", "w:xz") as tar:
        member = tarfile.TarInfo("Python-3.13.5/configure")
        member.size, member.mode = len(configure), 0o755
        tar.addfile(member, io.BytesIO(configure.encode()))
    (folder / "suite").write_text("trixie")


def run(folder: Path, cache: Path, *arguments: str) -> tuple[int, str]:
    (folder / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--manylinux", "dist", "-v"]
    command += ["--manylinux-engine=bubblewrap", "--manylinux-other-pythons=source"]
    command += ["--manylinux-proof=proof.json", "--junitxml=junit.xml", *arguments]
    environment = {**os.environ, "PYTEST_MANYLINUX_CACHE": str(cache)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def add_wheel(folder: Path) -> None:
    files = {"demo/__init__.py": b"import sys\nassert sys.version_info[:2] == (3, 13)\n"}
    build_wheel(folder / "dist", files, tag="cp313-none-any")


@pytest.mark.integration
def test_a_python_is_built_once_and_told_as_what_it_is(tmp_path: Path, cache: Path) -> None:
    add_wheel(tmp_path)
    keep_source(cache, CONFIGURE)
    code, words = run(tmp_path, cache, "--manylinux-distros=debian-13+cp313")
    assert code == ExitCode.OK, words
    assert "trial[debian-13+cp313] PASSED" in words
    assert "manylinux distros: debian-13+cp313" in words
    (trial,) = (v for v in read_proof(tmp_path / "proof.json").record.verdicts if v.observation)
    assert trial.observation is not None
    assert trial.subject == "debian-13+cp313-x86_64"
    assert trial.observation.added_python.startswith("CPython 3.13.")
    assert trial.observation.added_python.endswith(", from source")
    assert trial.observation.added_python_digest.startswith("sha256:")
    report = ET.parse(tmp_path / "junit.xml")  # noqa: S314 - our own report
    properties = {one.get("name"): one.get("value") for one in report.iter("property")}
    assert properties["manylinux.added.python"] == trial.observation.added_python
    code, words = run(tmp_path, cache, "--manylinux-distros=debian-13+cp313", "--manylinux-fresh")
    assert code == ExitCode.OK, words
    assert "building it from source" not in words, "it is kept"


@pytest.mark.integration
def test_a_source_that_does_not_build_proves_nothing(tmp_path: Path, cache: Path) -> None:
    add_wheel(tmp_path)
    keep_source(cache, BROKEN)
    code, words = run(tmp_path, cache, "--manylinux-distros=debian-13+cp313")
    assert code == ExitCode.NOT_PROVEN, words
    assert "CPython 3.13.5 could not be built from source on debian-13" in words
    assert "no acceptable C compiler" in words
    outcomes = {v.subject: v.outcome for v in read_proof(tmp_path / "proof.json").record.verdicts}
    assert outcomes["debian-13+cp313-x86_64"] is Outcome.NOT_PROVEN


@pytest.mark.index
def test_a_real_free_threaded_wheel_on_cpython_from_source(tmp_path: Path) -> None:
    """The whole way, with the archive's source: some minutes, unless this machine has it already."""
    folder = tmp_path / "dist"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--python-version", "3.13", "--implementation", "cp", "--abi", "cp313t"]
    command += ["--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_17_x86_64"]
    command += ["--dest", str(folder), "markupsafe==3.0.3"]
    subprocess.run(command, check=True, capture_output=True)
    code, words = run(tmp_path, cache_root(), "--manylinux-distros=debian-13")
    assert code == ExitCode.OK, words
    assert "trial[debian-13+cp313t] PASSED" in words
    shutil.rmtree(folder)
