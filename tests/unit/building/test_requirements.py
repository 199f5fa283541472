"""Whose fault it is when build requirements do not come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

from pytest_manylinux.building.api import Pip, Toolchain
from pytest_manylinux.building.frontend import FrontEnd
from pytest_manylinux.building.project import Project
from pytest_manylinux.building.steps import BuildLog, BuildSteps
from pytest_manylinux.engines.api import Command, Completed, OutputListener, Status
from pytest_manylinux.errors import BuildError, ExitCode, ToolchainError
from pytest_manylinux.indexes import IndexAccess
from pytest_manylinux.model.policy import Policy

COLLECTING = (
    "Looking in indexes: http://i/simple\nCollecting leaf\n  Downloading leaf-1-py3-none-any.whl\n"
)
LAST = "pip's last words: Downloading leaf-1-py3-none-any.whl"
COMPILED = "  Building wheel for leaf (pyproject.toml): started\n"


@dataclass
class Endless:
    """A sandbox in which a command says its words and then does not end, or ends with a code."""

    words: str = ""
    code: int | None = None

    def exec(self, command: Command, *, listener: OutputListener) -> Completed:
        assert command.timeout is not None
        listener(self.words.encode())
        return Completed(
            status=Status.TIMED_OUT if self.code is None else Status.EXITED,
            exit_code=self.code,
            signal=None,
            stdout=b"",
            stderr=b"",
            truncated=False,
            duration=command.timeout,
        )


@pytest.fixture
def log(tmp_path: Path) -> Iterator[BuildLog]:
    with BuildLog(tmp_path / "log") as log:
        yield log


def install(
    log: BuildLog, words: str, *, network: bool = True, timeout: float = 60, code: int | None = None
) -> None:
    bench = BuildSteps(Endless(words, code), log, "demo for cp311", timeout=timeout)  # type: ignore[arg-type]
    pip = Pip(command=("pip",))
    FrontEnd(
        steps=bench,
        toolchain=Toolchain(policy=Policy((2, 5)), python="", tools_python="", pip=pip),
        project=Project(path=Path("demo"), is_sdist=False),
        index=IndexAccess(network=network),
        environment={},
        packages=PurePosixPath("/packages"),
        image="debian-12",
    ).install(("leaf",))


@pytest.mark.parametrize(
    ("words", "last"),
    [
        ("", "pip wrote nothing"),
        (COLLECTING, LAST),
        (
            f"{COLLECTING}  Installing build dependencies: started\n",
            "pip's last words: Installing build dependencies: started",
        ),
        (
            COLLECTING
            + COMPILED
            + COMPILED.replace("started", "finished with status 'done'")
            + COLLECTING,
            LAST,
        ),
    ],
    ids=["says nothing", "downloads", "fetches for an sdist", "has compiled, and downloads"],
)
def test_an_index_too_slow_for_the_builds_time_is_not_the_projects_fault(
    log: BuildLog, words: str, last: str
) -> None:
    log.feed(b"  Building wheel for other (pyproject.toml): started\n")  # of an earlier step
    with pytest.raises(ToolchainError) as caught:
        install(log, words)
    assert caught.value.exit_code is ExitCode.NOT_PROVEN
    assert "demo for cp311: the build took longer than 60 s" in caught.value.what
    assert "installing build requirements" in caught.value.what
    assert caught.value.why == last
    assert "package index" in caught.value.what
    assert "build-timeout" in caught.value.remedy
    assert str(log.path) in caught.value.remedy


@pytest.mark.parametrize("state", ["started", "still running..."])
@pytest.mark.parametrize(
    "step",
    [
        "Building wheel for leaf (pyproject.toml)",
        "Preparing metadata (pyproject.toml)",
        "Preparing wheel metadata",
        "Getting requirements to build wheel",
        "Running setup.py bdist_wheel for leaf",
    ],
)
def test_a_requirement_that_takes_too_long_to_compile_is_the_projects_choice(
    log: BuildLog, step: str, state: str
) -> None:
    with pytest.raises(BuildError) as caught:
        install(log, f"{COLLECTING}  {step}: {state}\n")
    assert caught.value.finding == "build-timeout"


def test_time_that_was_over_before_is_not_the_indexs_fault(log: BuildLog) -> None:
    with pytest.raises(BuildError) as caught:
        install(log, COLLECTING, timeout=0)
    assert caught.value.finding == "build-timeout"


def test_without_the_network_no_index_is_to_blame(log: BuildLog) -> None:
    with pytest.raises(BuildError) as caught:
        install(log, COLLECTING, network=False)
    assert caught.value.finding == "build-timeout"


def test_a_projects_own_step_that_does_not_end_is_its_fault(log: BuildLog) -> None:
    bench = BuildSteps(Endless(), log, "demo", timeout=60)  # type: ignore[arg-type]
    with pytest.raises(BuildError) as caught:
        bench.run("building", ("make",), environment={})
    assert caught.value.finding == "build-timeout"
    assert caught.value.exit_code is ExitCode.NOT_PORTABLE


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            (
                "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'\n"
                "ERROR: No matching distribution found for leaf\n"
            ),
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'",
        ),
        (
            (
                "error: connection-failed\n\n× Failed to connect to i while fetching http://i/leaf.whl\n"  # noqa: RUF001
                "╰─> the connection was closed without a reply from the server.\n"
            ),
            "Failed to connect to i while fetching http://i/leaf.whl",
        ),
        (
            (
                "error: connection-timeout\n\n× Unable to fetch https://i/leaf/\n"  # noqa: RUF001
                "╰─> i didn't respond within 15 seconds\n"
            ),
            "Unable to fetch https://i/leaf/",
        ),
        (
            (
                "error: ssl-verification-failed\n\n"
                "× Failed to establish a secure connection to i while fetching https://i/leaf/\n"  # noqa: RUF001
            ),
            "Failed to establish a secure connection to i while fetching https://i/leaf/",
        ),
        (
            (
                "error: proxy-connection-failed\n\n"
                "× Failed to connect to proxy http://p while fetching https://i/leaf/\n"  # noqa: RUF001
            ),
            "Failed to connect to proxy http://p while fetching https://i/leaf/",
        ),
    ],
)
def test_an_index_out_of_reach_in_the_words_of_old_and_new_pips(
    log: BuildLog, words: str, why: str
) -> None:
    with pytest.raises(ToolchainError, match="the package index is out of reach") as caught:
        install(log, words, code=1)
    assert caught.value.why == why


def test_a_requirement_that_no_index_has_is_the_projects_fault(log: BuildLog) -> None:
    with pytest.raises(BuildError, match="its build requirements cannot be installed"):
        install(log, "ERROR: No matching distribution found for leaf>=7\n", code=1)
