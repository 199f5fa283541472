from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_manylinux.engines import select
from pytest_manylinux.engines.bubblewrap.engine import find_bubblewrap
from pytest_manylinux.engines.container import connection
from pytest_manylinux.engines.select import EngineName, select_engine
from pytest_manylinux.errors import EngineError, UsageError


class Fake:
    def __init__(self, name: str) -> None:
        self.name = name


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> set[EngineName]:
    """The engines that answer."""
    answering: set[EngineName] = set()

    def start(name: EngineName) -> Fake:
        if name not in answering:
            raise EngineError(f"no {name.value}", why="not here", remedy=f"install {name.value}")
        return Fake(name.value)

    monkeypatch.setattr(select, "_start", start)
    return answering


@pytest.mark.parametrize("name", list(EngineName))
def test_by_name_no_other_is_tried(only: set[EngineName], name: EngineName) -> None:
    only.update(set(EngineName) - {name})
    with pytest.raises(EngineError, match=f"no {name.value}"):
        select_engine(name.value)
    only.add(name)
    assert select_engine(name.value).name == name.value


def test_auto_takes_the_first_that_answers_and_says_so(only: set[EngineName]) -> None:
    said: list[str] = []
    only.update({EngineName.DOCKER, EngineName.PODMAN})
    assert select_engine("auto", say=said.append).name == "docker"
    assert said == ["engine docker (no bubblewrap: not here)"]
    only.add(EngineName.BUBBLEWRAP)
    assert select_engine("auto", say=said.append).name == "bubblewrap"
    assert said[1:] == ["engine bubblewrap"]


def test_auto_with_none_tells_why_of_each(only: set[EngineName]) -> None:
    assert not only
    with pytest.raises(EngineError) as caught:
        select_engine("auto")
    for name in EngineName:
        assert f"no {name.value}: not here" in caught.value.why
    assert caught.value.remedy == "install bubblewrap"


def test_another_word_is_a_usage_error_with_the_nearest_right_one() -> None:
    with pytest.raises(UsageError) as caught:
        select_engine("bubblewarp")
    assert "perhaps you meant 'bubblewrap'" in caught.value.remedy


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it but what the test puts there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    return folder


@pytest.mark.parametrize(
    ("tool", "cure"), [("apt-get", "apt-get install --yes bubblewrap"), ("dnf", "dnf")]
)
def test_bubblewrap_missing(path: Path, tool: str, cure: str) -> None:
    program(path, tool, ":")
    with pytest.raises(EngineError) as caught:
        find_bubblewrap()
    assert "not on this machine" in caught.value.what
    assert caught.value.remedy.startswith(f"sudo {cure}")


def test_bubblewrap_too_old(path: Path) -> None:
    program(path, "bwrap", "echo bubblewrap 0.4.1")
    with pytest.raises(EngineError, match="too old") as caught:
        find_bubblewrap()
    assert "0.4.1" in caught.value.why


def test_bubblewrap_is_not_shown_all_that_is_mounted(path: Path) -> None:
    """A mount that goes while bubblewrap (0.8) sees to it ends it: of another one's container, say."""
    program(path, "bwrap", f'echo "$@" >> {path}/asked; echo bubblewrap 0.8.0')
    find_bubblewrap()
    asked = set((path / "asked").read_text().split())
    assert "/usr" in asked
    assert asked.isdisjoint({"/", "/var", "/run"})


def test_bubblewrap_that_works(path: Path) -> None:
    program(path, "bwrap", "echo bubblewrap 0.11.0")
    assert find_bubblewrap() == (str(path / "bwrap"), "0.11.0")


@pytest.mark.parametrize(
    ("setting", "value", "cure"),
    [
        ("kernel/unprivileged_userns_clone", "0", "sudo sysctl -w kernel.unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "sudo sysctl -w user.max_user_namespaces=15000"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("user/max_user_namespaces", "9000", "use the engine docker or podman"),
    ],
)
def test_bubblewrap_that_the_kernel_forbids(
    path: Path, tmp_path: Path, setting: str, value: str, cure: str
) -> None:
    version = 'if [ "$1" = --version ]; then echo bubblewrap 0.9.0; exit; fi'
    program(
        path, "bwrap", f"{version}\necho 'bwrap: setting up uid map: Permission denied' >&2; exit 1"
    )
    file = tmp_path / "settings" / setting
    file.parent.mkdir(parents=True)
    file.write_text(f"{value}\n")
    with pytest.raises(EngineError) as caught:
        find_bubblewrap(settings=tmp_path / "settings")
    assert "Permission denied" in caught.value.why
    assert cure in caught.value.remedy


def test_the_choice_alone_does_not_load_dockers_library() -> None:
    words = "import sys, pytest_manylinux.engines.select; sys.exit('docker' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", words], check=False).returncode == 0


@pytest.mark.parametrize(
    ("setting", "value", "user", "started"),
    [
        ("user/max_user_namespaces", "0", 1000, False),
        ("kernel/unprivileged_userns_clone", "0", 1000, False),
        ("user/max_user_namespaces", "0", 0, True),
        ("user/max_user_namespaces", "9000", 1000, True),
        ("kernel/apparmor_restrict_unprivileged_userns", "1", 1000, True),
    ],
)
def test_podman_is_not_started_where_it_could_not_but_leave_files_in_the_home(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    setting: str,
    value: str,
    user: int,
    started: bool,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(connection, "_podman_addresses", lambda: iter(()))
    program(path, "podman", f"echo > {tmp_path}/home; echo no service here; exit 125")
    monkeypatch.setenv("PATH", f"{path}:/usr/bin:/bin")
    file = tmp_path / "settings" / setting
    file.parent.mkdir(parents=True)
    file.write_text(f"{value}\n")
    with pytest.raises(EngineError) as caught:
        connection.connect_podman(tmp_path / "settings")
    assert (tmp_path / "home").exists() is started
    assert ("no service here" in caught.value.why) is started
    assert ("sudo sysctl -w" in caught.value.remedy) is (not started or "apparmor" in setting)
