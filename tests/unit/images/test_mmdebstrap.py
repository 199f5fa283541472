from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_manylinux.errors import ImageError
from pytest_manylinux.images import mmdebstrap, pace
from pytest_manylinux.images.mmdebstrap import Making, MmdebstrapFailedError, run_mmdebstrap
from pytest_manylinux.images.recipe import Recipe

RECIPE = Recipe(distro="debian-12", suite="bookworm", arch="i686", packages=("python3", "python3-pip"))


@pytest.fixture
def making(tmp_path: Path) -> Making:
    (tmp_path / "aside").mkdir()
    return Making(
        recipe=RECIPE,
        sources=("deb http://m.example/debian bookworm main",),
        transport="",
        check_valid_until=False,
        folder=tmp_path / "aside",
        apt_cache=tmp_path / "apt",
    )


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put a script in mmdebstrap's place; no namespaces, which a container may not allow."""

    def install(script: str) -> None:
        path = tmp_path / "bin/mmdebstrap"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        (path.parent / "chown").symlink_to("/bin/true")  # which only a namespace lets a user do
        monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")
        monkeypatch.setattr(mmdebstrap, "_PATH", f"{path.parent}:/usr/bin:/bin")
        monkeypatch.setattr(mmdebstrap, "contained", tuple)

    return install


def test_output_is_heard_line_by_line_and_kept(making: Making, program: Callable[[str], None]) -> None:
    program('echo "I: one" >&2; printf "two\\nthree"; mkdir root')
    heard: list[str] = []
    run_mmdebstrap(making, heard.append)
    assert heard == ["I: one", "two", "three"]
    assert (making.folder / "log").read_text() == "I: one\ntwo\nthree\n"


def test_a_failure_carries_the_last_lines(making: Making, program: Callable[[str], None]) -> None:
    program('echo "E: no"; exit 25')
    with pytest.raises(MmdebstrapFailedError) as caught:
        run_mmdebstrap(making, print)
    assert caught.value.lines == ("E: no",)


def test_silence_ends_in_an_error_and_in_the_programs_end(
    making: Making, program: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    program("exec sleep 60")
    monkeypatch.setattr(mmdebstrap, "_SILENCE", 0.2)
    with pytest.raises(ImageError, match="hung"):
        run_mmdebstrap(making, print)


def test_a_mirror_that_lets_fall_a_few_bytes_now_and_then_ends_in_an_error(
    making: Making, program: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = making.apt_cache / "archives/partial"
    program(f'mkdir -p "{partial}"; while :; do printf x >> "{partial}/x.deb"; sleep 0.05; done')
    monkeypatch.setattr(mmdebstrap, "_LOOK_UP", 0.05)
    monkeypatch.setattr(pace, "TRICKLE", 0.5)
    with pytest.raises(ImageError, match="mirror is too slow"):
        run_mmdebstrap(making, print)


def test_what_an_earlier_making_left_half_loaded_is_no_download(
    making: Making, program: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = making.apt_cache / "archives/partial/x.deb"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x")
    os.utime(left, (0, 0))
    program("sleep 1")
    monkeypatch.setattr(mmdebstrap, "_LOOK_UP", 0.05)
    monkeypatch.setattr(pace, "TRICKLE", 0.3)
    run_mmdebstrap(making, print)


def test_the_recipe_becomes_arguments(making: Making, program: Callable[[str], None]) -> None:
    program('printf "%s\\n" "$@"; env')
    heard: list[str] = []
    run_mmdebstrap(making, heard.append)
    assert "--architectures=i386" in heard
    assert "--include=python3,python3-pip" in heard
    assert '--aptopt=Acquire::Check-Valid-Until "false"' in heard
    assert "bookworm" in heard
    assert "deb http://m.example/debian bookworm main" in heard
    assert "PM_PACKAGES=python3 python3-pip" in heard


def test_proxies_are_passed_on_and_the_rest_of_the_environment_is_not(
    making: Making, program: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    program("env")
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("SECRET", "1")
    heard: list[str] = []
    run_mmdebstrap(making, heard.append)
    assert "https_proxy=http://proxy.example:3128" in heard
    assert "SECRET=1" not in heard


def test_a_machine_without_mmdebstrap_is_told_the_command(
    making: Making, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImageError, match="apt-get install --yes mmdebstrap"):
        run_mmdebstrap(making, print)


def test_an_interrupt_ends_the_program(
    making: Making, program: Callable[[str], None], tmp_path: Path
) -> None:
    program(f'echo $$ > "{tmp_path}/pid"; echo started; exec sleep 60')

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt(line)

    with pytest.raises(KeyboardInterrupt, match="started"):
        run_mmdebstrap(making, interrupt)
    assert _ended(Path("/proc", (tmp_path / "pid").read_text().strip(), "stat"))


def _ended(stat: Path) -> bool:
    """Whether a process is gone or only waits for its parent to notice (proc(5), field 3)."""
    for _ in range(100):
        if not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False
