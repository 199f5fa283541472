"""A build's environment is made once a day, and found by all that decides it."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import pytest

from pytest_manylinux.building.api import (
    APART,
    USUAL,
    BuildRequest,
    BuildSurroundings,
    Pip,
    Toolchain,
)
from pytest_manylinux.building.frontend import FrontEnd
from pytest_manylinux.building.kept_environment import BuildEnvironments, environment_key
from pytest_manylinux.building.project import Project
from pytest_manylinux.building.steps import BuildLog, BuildSteps
from pytest_manylinux.engines.api import Command, Completed, OutputListener, Status
from pytest_manylinux.errors import BuildError, SandboxError
from pytest_manylinux.indexes import MAX_AGE, IndexAccess
from pytest_manylinux.model.distro import Image, ImageSource
from pytest_manylinux.model.policy import Policy
from pytest_manylinux.model.python import PythonVersion

REQUIRES = ("setuptools>=68",)


@dataclass
class Sandbox:
    """Ends every command well, unless it fails with `refused`; remembers what it was asked."""

    refused: str = ""
    too_large: bool = False
    seconds: float = 0.0
    asked: list[Command] = field(default_factory=list)
    brought: list[bytes] = field(default_factory=list)

    def exec(self, command: Command, *, listener: OutputListener | None = None) -> Completed:
        self.asked.append(command)
        if listener:
            listener(b"a line\n")
        fails = bool(self.refused) and self.refused in " ".join(command.argv)
        return Completed(
            status=Status.EXITED,
            exit_code=int(fails),
            signal=None,
            stdout=b"",
            stderr=b"",
            truncated=False,
            duration=self.seconds,
        )

    def copy_out(self, source: PurePosixPath, target: Path) -> None:
        assert source.name == target.name
        if self.too_large:
            raise SandboxError("more than a sandbox may hold")
        target.write_bytes(b"packed")

    def copy_in(self, source: Path, target: PurePosixPath) -> None:
        assert source.name == target.name
        self.brought.append(source.read_bytes())

    def did(self, word: str) -> bool:
        return any(word in command.argv for command in self.asked)


TOOLCHAIN = Toolchain(
    policy=Policy((2, 5)),
    python="python3.11",
    tools_python="tools-python",
    pip=Pip(command=("pip",)),
    environment={"CC": "cc", "COMPILER_CACHE": "/scratch/cache/cc"},
    set_up=("set-up",),
    set_up_environment={"TARGET": "x86_64"},
    warm_up=("warm-up",),
    cache_environment={"COMPILER_CACHE": str(APART / "cc")},
)
IMAGE = Image(digest="sha256:1", name="debian-12", source=ImageSource.ARCHIVE, arch="x86_64")


@pytest.fixture
def front_end(tmp_path: Path) -> Iterator[Callable[[Sandbox], FrontEnd]]:
    with BuildLog(tmp_path / "log") as log:
        yield lambda sandbox: FrontEnd(
            steps=BuildSteps(sandbox, log, "demo", timeout=60),  # type: ignore[arg-type]
            toolchain=TOOLCHAIN,
            project=Project(path=tmp_path, is_sdist=False),
            index=IndexAccess(environment={"PIP_INDEX_URL": "http://i/"}),
            environment=TOOLCHAIN.environment,
            packages=PurePosixPath("/packages"),
            image="debian-12",
        )


def lay_out(
    environments: BuildEnvironments, front_end: Callable[[Sandbox], FrontEnd], sandbox: Sandbox
) -> Sandbox:
    environments.lay_out("key", front_end(sandbox), REQUIRES)
    return sandbox


def test_the_second_build_takes_what_the_first_has_made(
    tmp_path: Path, front_end: Callable[[Sandbox], FrontEnd]
) -> None:
    environments = BuildEnvironments(root=tmp_path / "environments")
    first = lay_out(environments, front_end, Sandbox())
    assert [first.did(word) for word in ("venv", "set-up", *REQUIRES)] == [True] * 3
    assert first.brought == []
    second = lay_out(environments, front_end, Sandbox())
    assert [second.did(word) for word in ("venv", "set-up", *REQUIRES)] == [False] * 3
    assert second.brought == [b"packed"]
    assert second.asked[-1].argv == ("warm-up",)
    assert second.asked[-1].environment["COMPILER_CACHE"] == "/scratch/cache/cc"


def test_what_is_made_for_all_uses_no_cache_of_a_project(
    tmp_path: Path, front_end: Callable[[Sandbox], FrontEnd]
) -> None:
    sandbox = lay_out(BuildEnvironments(root=tmp_path / "e"), front_end, Sandbox())
    *making, own = sandbox.asked
    assert own.argv == ("warm-up",)
    assert {command.environment["COMPILER_CACHE"] for command in making} == {str(APART / "cc")}
    [pip] = [command for command in making if "install" in command.argv]
    assert pip.environment["PIP_CACHE_DIR"] == str(APART / "pip")


@pytest.mark.parametrize("sandbox", [Sandbox(refused="tar -c"), Sandbox(too_large=True)])
def test_one_that_cannot_be_packed_serves_its_own_build(
    tmp_path: Path, front_end: Callable[[Sandbox], FrontEnd], sandbox: Sandbox
) -> None:
    environments = BuildEnvironments(root=tmp_path / "environments")
    lay_out(environments, front_end, sandbox)
    assert sandbox.asked[-1].argv == ("warm-up",)
    assert lay_out(environments, front_end, Sandbox()).brought == []


def test_one_that_no_disk_takes_serves_its_own_build(
    tmp_path: Path, front_end: Callable[[Sandbox], FrontEnd], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, f"{folder} is not {target}")

    monkeypatch.setattr("pytest_manylinux.cache.directories.put_in_place", full)
    sandbox = lay_out(BuildEnvironments(root=tmp_path / "environments"), front_end, Sandbox())
    assert sandbox.asked[-1].argv == ("warm-up",)
    assert not (tmp_path / "environments/key").exists()


def test_requirements_that_fail_leave_nothing(
    tmp_path: Path, front_end: Callable[[Sandbox], FrontEnd]
) -> None:
    environments = BuildEnvironments(root=tmp_path / "environments")
    with pytest.raises(BuildError, match="build requirements cannot be installed"):
        lay_out(environments, front_end, Sandbox(refused="setuptools"))
    assert lay_out(environments, front_end, Sandbox()).brought == []


@pytest.mark.parametrize("age", [MAX_AGE + 60, -3600.0], ids=["of yesterday", "of tomorrow"])
def test_after_a_day_it_is_made_again(
    tmp_path: Path, front_end: Callable[[Sandbox], FrontEnd], age: float
) -> None:
    environments = BuildEnvironments(root=tmp_path / "environments")
    lay_out(environments, front_end, Sandbox())
    os.utime(tmp_path / "environments/key", (time.time() - age,) * 2)
    assert lay_out(environments, front_end, Sandbox()).brought == []


def test_fresh_takes_none_of_an_earlier_run(
    tmp_path: Path, front_end: Callable[[Sandbox], FrontEnd]
) -> None:
    environments = BuildEnvironments(root=tmp_path / "environments", fresh=True)
    lay_out(environments, front_end, Sandbox())
    assert lay_out(environments, front_end, Sandbox()).brought == [b"packed"]
    an_hour_ago = time.time() - 3600
    os.utime(tmp_path / "environments/key", (an_hour_ago, an_hour_ago))
    assert lay_out(environments, front_end, Sandbox()).brought == []


def test_waiting_for_another_build_is_no_time_of_this_ones(
    tmp_path: Path, front_end: Callable[[Sandbox], FrontEnd], monkeypatch: pytest.MonkeyPatch
) -> None:
    environments = BuildEnvironments(root=tmp_path / "environments")
    lay_out(environments, front_end, Sandbox())
    mine = front_end(Sandbox())
    now = time.monotonic()
    later = iter([now, *[now + 100.0] * 100])
    monkeypatch.setattr(time, "monotonic", lambda: next(later))
    environments.lay_out("key", mine, REQUIRES)
    assert mine.steps.run("a step", ("x",), environment={}).ok


def request(tmp_path: Path) -> BuildRequest:
    return BuildRequest(
        project=tmp_path,
        python=PythonVersion(3, 11),
        policy=Policy((2, 5)),
        arch="x86_64",
        image=IMAGE,
        wheelhouse=tmp_path,
        cache=tmp_path,
        log=tmp_path / "log",
    )


def test_all_that_decides_an_environment_is_in_its_key(tmp_path: Path) -> None:
    asked, index = request(tmp_path), IndexAccess(environment={"PIP_INDEX_URL": "http://i/"})
    project = Project(path=tmp_path, is_sdist=False, build_requires=("b", "a"))
    keys = [
        environment_key(asked, project, TOOLCHAIN, index),
        environment_key(replace(asked, python=PythonVersion(3, 12)), project, TOOLCHAIN, index),
        environment_key(replace(asked, arch="i686"), project, TOOLCHAIN, index),
        environment_key(
            replace(asked, image=replace(IMAGE, digest="sha256:2")), project, TOOLCHAIN, index
        ),
        environment_key(asked, replace(project, build_requires=("a",)), TOOLCHAIN, index),
        environment_key(asked, project, replace(TOOLCHAIN, policy=Policy((2, 17))), index),
        environment_key(asked, project, replace(TOOLCHAIN, versions=(("zig", "1"),)), index),
        environment_key(asked, project, replace(TOOLCHAIN, environment={}), index),
        environment_key(asked, project, replace(TOOLCHAIN, set_up_environment={}), index),
        environment_key(asked, project, TOOLCHAIN, IndexAccess()),
    ]
    assert all(keys)
    assert len(set(keys)) == len(keys)
    same = replace(project, build_requires=("a", "b"), path=tmp_path / "elsewhere")
    assert environment_key(asked, same, TOOLCHAIN, index) == keys[0]


@pytest.mark.parametrize(
    ("fields", "requires"),
    [
        ({"before_build": ("make",)}, ()),
        ({"surroundings": BuildSurroundings(hostname="other")}, ()),
        ({}, ("demo @ https://host/demo.zip",)),
        ({}, ("git+https://host/demo",)),
    ],
    ids=["before-build", "other surroundings", "an address", "no requirement"],
)
def test_what_may_change_at_any_time_is_not_kept(
    tmp_path: Path, fields: dict[str, object], requires: tuple[str, ...]
) -> None:
    asked = replace(request(tmp_path), **fields)  # type: ignore[arg-type]
    project = Project(path=tmp_path, is_sdist=False, build_requires=requires)
    assert environment_key(asked, project, TOOLCHAIN, IndexAccess()) == ""
    assert request(tmp_path).surroundings == USUAL
