from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_manylinux.errors import ImageError, UsageError
from pytest_manylinux.images import configure_main, fetch_main, image_progress, mmdebstrap
from pytest_manylinux.images.mmdebstrap import Making, MmdebstrapFailedError, run_mmdebstrap
from pytest_manylinux.images.recipe import MUSL, MUSL_SOURCES, MUSL_TOOLS, Recipe

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
    monkeypatch.setattr(image_progress, "TRICKLE", 0.5)
    with pytest.raises(ImageError, match="mirror is too slow"):
        run_mmdebstrap(making, print)


def test_what_an_earlier_making_left_half_loaded_is_no_download(
    making: Making, program: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    left = making.apt_cache / "archives/partial/x.deb"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x")
    os.utime(left, (0, 0))
    program(f'sleep 1; touch "{making.apt_cache}/ended"')
    monkeypatch.setattr(mmdebstrap, "_LOOK_UP", 0.05)
    monkeypatch.setattr(image_progress, "TRICKLE", 0.3)
    run_mmdebstrap(making, print)
    assert (making.apt_cache / "ended").exists()  # it was not cut short for being slow


def test_the_recipe_becomes_arguments(making: Making, program: Callable[[str], None]) -> None:
    program('printf "%s\\n" "$@"; env')
    heard: list[str] = []
    run_mmdebstrap(making, heard.append)
    assert "--architectures=i386" in heard
    assert "--variant=custom" in heard
    (fetch,) = (line for line in heard if "fetch_main.py" in line)
    assert fetch.endswith('"$1" bookworm i386 python3 python3-pip')
    assert '--aptopt=Acquire::Check-Valid-Until "false"' in heard
    assert "bookworm" in heard
    assert "deb http://m.example/debian bookworm main" in heard


@pytest.mark.parametrize("words", [fetch_main.FAILED, configure_main.FAILED])
def test_what_cannot_be_done_at_one_go_is_left_to_mmdebstraps_own_steps(
    making: Making, program: Callable[[str], None], words: str
) -> None:
    script = (
        f'mkdir root; case "$*" in *fetch_main*) touch root/half; echo "{words}: why"; exit 1;; esac'
    )
    program(f"{script}; echo whole")
    heard: list[str] = []
    run_mmdebstrap(making, heard.append)
    assert heard == [f"{words}: why", "whole"]
    assert list((making.folder / "root").iterdir()) == []
    assert (making.folder / "log").read_text() == f"{words}: why\nwhole\n"


def test_a_failure_of_apts_is_not_tried_again(making: Making, program: Callable[[str], None]) -> None:
    program('echo "E: Failed to fetch x"; exit 100')
    heard: list[str] = []
    with pytest.raises(MmdebstrapFailedError):
        run_mmdebstrap(making, heard.append)
    assert heard == ["E: Failed to fetch x"]


# What mmdebstrap does with a hook that is no program's name: a shell's line, the root as its `$1`.
HOOKS = """for word; do case $word in
    --customize-hook=*install.sh*) sh -c "${word#--customize-hook=}" sh "$PWD/root" ;;
esac; done"""
RECORD = 'for word; do printf "<%s>" "$word"; done >> {}; echo >> {}'


@pytest.fixture
def grow(making: Making, program: Callable[[str], None], tmp_path: Path) -> Callable[..., list[str]]:
    """Grow a root by packages; gives each call of an apt-get that only records its words."""

    def run(*packages: str) -> list[str]:
        program(f"mkdir root\nMMDEBSTRAP_APT_CONFIG=/dev/null; export MMDEBSTRAP_APT_CONFIG\n{HOOKS}")
        record, apt = tmp_path / "apt-words", tmp_path / "bin/apt-get"
        apt.write_text(f"#!/bin/sh\n{RECORD.format(record, record)}\n")
        apt.chmod(0o755)
        recipe = Recipe(distro="debian-12", suite="bookworm", arch="i686", packages=packages)
        run_mmdebstrap(replace(making, recipe=recipe, base=tmp_path), print)
        return record.read_text().splitlines() if record.exists() else []

    return run


@pytest.mark.attack("escape", engine="host")
@pytest.mark.parametrize(
    "package",
    ["--simulate", "; id", "$(id)", "`id`", "zlib1g-dev id", "a\nb", "libc6-", "./x.deb", "x*"],
)
def test_what_is_not_a_name_never_reaches_apt(
    grow: Callable[..., list[str]], making: Making, package: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="not the name") as caught:
        grow("flex", package)
    assert repr(package) in caught.value.what
    assert not (tmp_path / "apt-words").exists()
    assert not (making.folder / "root").exists()


def test_names_reach_apt_as_words_after_the_end_of_options(grow: Callable[..., list[str]]) -> None:
    (words,) = grow("zlib1g-dev:amd64", "g++", "flex=2.6.4-8.2+b1")
    assert words.endswith("<install><--><zlib1g-dev:amd64><g++><flex=2.6.4-8.2+b1>")
    assert "Pattern-Only=true" in words


@pytest.mark.attack("escape", engine="host")
def test_a_trial_root_is_made_of_names_only(making: Making, program: Callable[[str], None]) -> None:
    program("touch started")
    recipe = Recipe(distro="d", suite="bookworm", arch="i686", packages=("python3", "?essential"))
    with pytest.raises(UsageError, match="essential"):
        run_mmdebstrap(replace(making, recipe=recipe), print)
    assert not (making.folder / "started").exists()


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
    (tmp_path / "apt-get").touch(0o755)
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


BUILDS = """for word; do case $word in
    --customize-hook=*) printf "<%s>\\n" "${word#--customize-hook=sh }" ;;
esac; done
mkdir -p root/etc root/musl-root/lib && touch root/musl-root/lib/ld-musl-x86_64.so.1"""


def test_of_a_root_of_musl_what_was_built_is_kept_and_nothing_else(
    making: Making, program: Callable[[str], None]
) -> None:
    program(BUILDS)
    recipe = Recipe(
        distro="musl-1", suite="trixie", arch="x86_64", packages=("python3.13",), variant=MUSL
    )
    heard: list[str] = []
    run_mmdebstrap(replace(making, recipe=recipe), heard.append)
    fetch, configure, sources, build, finish = heard
    assert fetch.endswith(f'fetch_main.py "$1" trixie amd64 {" ".join(MUSL_TOOLS)}>')
    assert configure.endswith('configure_main.py "$1">')
    assert sources.split("/")[-1] == f'musl_sources.sh "$1" {" ".join(MUSL_SOURCES)} python3.13>'
    assert build.split("/")[-1] == 'musl_build.sh "$1" 3.13>'
    assert finish.split("/")[-1] == 'finish.sh "$1">'
    kept = [str(path.relative_to(making.folder / "root")) for path in making.folder.glob("root/**/*")]
    assert sorted(kept) == ["lib", "lib/ld-musl-x86_64.so.1"]
