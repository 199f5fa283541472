"""Wheels whose words are a CI system's commands, on real roots: no line of the output is one."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from ci_systems import obeyed
from engine_daemons import engine_running
from wheels import build_wheel

from pytest_manylinux.errors import ExitCode

pytestmark = pytest.mark.integration

COMMANDS = (
    "::error title=x::y",
    "\u200b::warning::z",
    "##[error]x",
    "##vso[task.complete result=Succeeded]",
    "##teamcity[buildStatus status='SUCCESS']",
    "section_start:1:x\r\x1b[0K",
    "--- x",
    "travis_fold:start:x",
)
TEXT = "\n" + "\n".join(COMMANDS) + "\n"
# By where the words come from: the files of a wheel, or what its metadata requires.
WHEELS: Mapping[str, Mapping[str, str]] = {
    "an exception": {"demo.py": f"raise RuntimeError({TEXT!r})"},
    "both outputs": {
        "demo.py": f"import os\nprint({TEXT!r}, flush=True)\nos.write(2, {TEXT.encode()!r})\nx"
    },
    "the output of a death": {
        "demo.py": f"import os\nos.write(2, {TEXT.encode()!r})\nos.kill(os.getpid(), 11)"
    },
    "the name of an exception": {"demo.py": f"raise type({TEXT!r}, (Exception,), {{}})"},
    "a warning": {"demo.py": f"import warnings\nwarnings.warn({TEXT!r})"},
}


@pytest.fixture(scope="module", params=["bubblewrap", "docker", "podman"])
def engine(request: pytest.FixtureRequest) -> Iterator[str]:
    with ExitStack() as stack:
        if request.param != "bubblewrap":
            stack.enter_context(engine_running(request.param, shared=True))
        yield request.param


@pytest.fixture(scope="module")
def ran(engine: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of one run over all wheels as on GitHub Actions, and what it printed."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "pytest.ini").write_text("[pytest]\n")
    for number, files in enumerate(WHEELS.values()):
        build_wheel(folder / "dist", {**files}, name=f"demo{number}")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--manylinux", "dist", "-v"]
    command += ["-rA", "--manylinux-distros=debian-12", f"--manylinux-engine={engine}"]
    command += ["--manylinux-image-source=archive", "--junitxml=junit.xml"]
    command += ["--manylinux-markdown=summary.md", "--manylinux-html=page.html"]
    environment = {**os.environ, "GITHUB_ACTIONS": "true", "CI": "true"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    words = done.stdout + "\n" + done.stderr
    assert done.returncode == ExitCode.NOT_PORTABLE, words
    assert "INTERNALERROR" not in words, words
    return folder, words


@pytest.mark.attack("forgery", by="command")
@pytest.mark.parametrize("command", COMMANDS)
def test_no_line_is_a_command(ran: tuple[Path, str], command: str) -> None:
    """The words are shown, and none of them where a CI system would read a command."""
    folder, words = ran
    letters = command.strip("\u200b\r").partition("\r")[0][-6:]
    own = [line for line in words.splitlines() if not line.startswith("::error ")]  # ours, escaped
    assert any(letters in line for line in own), words
    assert obeyed("\n".join(own)) == ""
    assert obeyed((folder / "summary.md").read_text()) == ""
    assert command.strip() not in {line.strip() for line in words.splitlines()}


@pytest.mark.attack("forgery")
def test_the_reports_hold_the_words_as_text(ran: tuple[Path, str]) -> None:
    folder, _ = ran
    suite = ET.parse(folder / "junit.xml").getroot()  # noqa: S314 - ours
    failed = [case for case in suite.iter("testcase") if case.find("failure") is not None]
    assert len(failed) == len(WHEELS) - 1, "all but the wheel that only warns"
    assert "<script>::" not in (folder / "page.html").read_text()
