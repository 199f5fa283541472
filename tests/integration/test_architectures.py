"""Trials on other architectures than this machine's: natively, and under qemu in a namespace of ours.

Wants qemu-user-static (Debian). The wheels' modules are compiled by zig for each architecture.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from wheels import build_wheel
from zig_modules import CRASHES, SOUND, compile_module

from pytest_manylinux.building.compiler import fetch_compiler
from pytest_manylinux.cache.paths import cache_root
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.host.architecture import Support, emulation_of, host_arch
from pytest_manylinux.model.distro import split_target_id
from pytest_manylinux.model.verdict import Cause, Outcome, Verdict
from pytest_manylinux.report.proof import read_proof

pytestmark = pytest.mark.integration

PORTABLE = Path(__file__).parents[2] / "sample_projects/portable"
PROJECTS = ("c_extension", "abi3_extension", "cpp_extension")
# Debian has riscv64 from 13 on.
FOREIGN = (
    *(("i686", "debian-12"), ("aarch64", "debian-12"), ("armv7l", "debian-12")),
    *(("riscv64", "debian-13"), ("s390x", "debian-12"), ("ppc64le", "debian-12")),
)


@pytest.fixture(scope="module")
def zig() -> Path:
    return fetch_compiler(cache_root() / "build", host_arch(), say=print) / "zig"


class OneRun:
    """A run in `folder` over `what` is in it, on debian-12 with bubblewrap unless told otherwise."""

    def __init__(self, folder: Path, what: str = "dist") -> None:
        self.folder = folder
        self.what = what
        self.words = ""
        (folder / "pytest.ini").write_text("[pytest]\n")

    def __call__(self, *arguments: str) -> int:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "--manylinux",
            self.what,
            "-v",
        ]
        command += ["--manylinux-distros=debian-12", "--manylinux-engine=bubblewrap"]
        command += ["--manylinux-proof=proof.json", "--junitxml=junit.xml", *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env={**os.environ}, capture_output=True, text=True, check=False
        )
        self.words = done.stdout + done.stderr
        assert "INTERNALERROR" not in self.words, self.words
        return done.returncode

    def trials(self) -> dict[str, Verdict]:
        """By the architecture at the end of the target's id."""
        record = read_proof(self.folder / "proof.json").record
        found = [one for one in record.verdicts if one.subject != "audit"]
        return {one.subject.rpartition("-")[2]: one for one in found}


@pytest.mark.emulated
def test_one_run_holds_several_architectures(zig: Path, tmp_path: Path) -> None:
    """x86_64's 32-bit sister natively, aarch64 under qemu: as the default has it."""
    for arch in (host_arch(), "i686", "aarch64"):
        module = compile_module(zig, tmp_path, SOUND, arch)
        tag = f"cp39-abi3-manylinux2014_{arch}"
        build_wheel(tmp_path / "dist", {"demo.abi3.so": module}, tag=tag)
    run = OneRun(tmp_path)
    assert run() == ExitCode.OK, run.words
    trials = run.trials()
    assert set(trials) == {host_arch(), "i686", "aarch64"}
    assert {one.outcome for one in trials.values()} == {Outcome.PORTABLE}
    emulators = {arch: one.observation.emulator for arch, one in trials.items() if one.observation}
    qemu = emulation_of("aarch64").emulator
    assert emulators == {host_arch(): "", "i686": "", "aarch64": qemu}
    properties = {
        entry.get("value")
        for entry in ET.parse(tmp_path / "junit.xml").iter("property")  # noqa: S314 - ours
        if entry.get("name") == "manylinux.emulator"
    }
    assert qemu in properties


def test_a_crash_under_qemu_is_the_wheels(zig: Path, tmp_path: Path) -> None:
    """The signal is seen, and what qemu adds to it is not taken for the wheel's words."""
    module = compile_module(zig, tmp_path, CRASHES, "aarch64")
    build_wheel(tmp_path / "dist", {"demo.abi3.so": module}, tag="cp39-abi3-manylinux2014_aarch64")
    run = OneRun(tmp_path)
    assert run() == ExitCode.NOT_PORTABLE, run.words
    (verdict,) = run.trials().values()
    assert "crash" in {finding.name for finding in verdict.errors}
    assert "SIGSEGV" in run.words
    assert "uncaught target signal" not in run.words


@pytest.mark.emulated
@pytest.mark.parametrize("project", PROJECTS)
@pytest.mark.parametrize(("arch", "distro"), FOREIGN)
def test_a_project_is_built_for_another_architecture(
    arch: str, distro: str, project: str, tmp_path: Path
) -> None:
    """zig, which runs natively, compiles it in a root of that architecture; it is proven there."""
    shutil.copytree(PORTABLE / project, tmp_path / project)
    run = OneRun(tmp_path, project)
    code = run(f"--manylinux-archs={arch}", f"--manylinux-distros={distro}")
    assert code == ExitCode.OK, run.words
    record = read_proof(tmp_path / "proof.json").record
    (build,), (wheel,) = record.builds, record.wheels
    assert dict(build.tools)["zig"]
    assert wheel.sha256 == build.wheel_sha256
    assert wheel.file.endswith(f"_{arch}.whl")
    trials = [one for one in record.verdicts if split_target_id(one.subject)]
    assert {(one.outcome, one.observation.emulator) for one in trials if one.observation} == {
        (Outcome.PORTABLE, "" if arch == "i686" else emulation_of(arch).emulator)
    }


def test_wheels_for_others_are_skipped_with_the_reason(tmp_path: Path) -> None:
    for tag in (
        "cp311-cp311-macosx_11_0_arm64",
        "cp311-cp311-musllinux_1_2_x86_64",
        "cp312-cp312-manylinux_2_17_x86_64",
    ):
        build_wheel(tmp_path / "dist", {"demo.py": ""}, tag=tag)
    run = OneRun(tmp_path)
    assert run("-k", "trial") == ExitCode.NOT_PROVEN, "nothing was tried"
    build_wheel(tmp_path / "dist", {"fine.py": ""}, name="fine")
    assert run("-rs", "-k", "trial") == ExitCode.OK, run.words
    assert "for macOS, not for Linux" in run.words
    assert "Linux with musl" in run.words
    assert "cp312, which no chosen distro has" in run.words
    verdicts = read_proof(tmp_path / "proof.json").record.verdicts
    outcomes = {(one.outcome, one.cause) for one in verdicts if one.wheel.startswith("demo")}
    assert outcomes == {(Outcome.NOT_PROVEN, Cause.NO_TARGET)}, "a proof never takes it for a pass"
    assert run("-k", "trial", "--manylinux-untargeted=fail") == ExitCode.NOT_PROVEN, run.words


def test_this_machine_has_what_these_tests_want() -> None:
    assert emulation_of("aarch64").support in {Support.NAMESPACE, Support.REGISTERED}
