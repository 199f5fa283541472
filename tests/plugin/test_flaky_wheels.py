"""Trials that pass and fail by turns: what a run says, and what the next one remembers.

What a trial sees is given; whatever comes after it is real.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from trial_values import imported, make_observation, raised
from wheels import build_wheel

from pytest_manylinux import workspace
from pytest_manylinux.cache.paths import CACHE_VARIABLE
from pytest_manylinux.cli import main
from pytest_manylinux.errors import ExitCode, SandboxError
from pytest_manylinux.model.distro import Image, ImageSource
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Cause, Outcome, Tries, Verdict
from pytest_manylinux.report.proof import read_proof
from pytest_manylinux.trials.trial import TrialRequest

TRIAL = "trial[debian-12-cp311]"


class Trials:
    """Trials that end as `letters` say, one after the other: pass, fail, or a sandbox that is lost."""

    def __init__(self) -> None:
        self.letters: Iterator[str] = iter("")

    def run(self, request: TrialRequest, *_: object) -> Observation:
        letter = next(self.letters)
        if letter == "u":
            raise SandboxError("the sandbox was lost")
        outcome = imported() if letter == "p" else raised("ValueError", "no luck")
        return make_observation(
            outcome, target=request.target.id, image=request.image.digest, started=1_700_000_000.0
        )


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pytester: pytest.Pytester) -> Trials:
    found = Trials()
    engine = SimpleNamespace(name="bubblewrap", version=lambda: "0.8.0", caution="", close=lambda: None)
    image = Image(digest="sha256:1", name="debian-12", source=ImageSource.ARCHIVE, arch="x86_64")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(workspace, "select_engine", lambda *_, **__: engine)
    monkeypatch.setattr(workspace.Workspace, "image", lambda *_: image)
    monkeypatch.setattr(workspace.Workspace, "survey", lambda *_: None)
    monkeypatch.setattr(workspace, "prepared_venv", lambda *_: None)
    monkeypatch.setattr(workspace, "run_trial", found.run)
    pytester.makeini("[pytest]")
    dist = pytester.path / "dist"
    build_wheel(dist, name="demo", version="1.0", files={"demo.py": b""})
    return found


def run(pytester: pytest.Pytester, given: Trials, letters: str, *arguments: str) -> pytest.RunResult:
    """A run; no trial may be done but those that are given, and none of these be left."""
    given.letters = iter(letters)
    result = pytester.runpytest(
        "--manylinux",
        "--manylinux-distros=debian-12",
        "--manylinux-python=cp311",
        "--manylinux-dependencies=none",
        "--manylinux-proof=proof.json",
        "--junitxml=junit.xml",
        "-v",
        *arguments,
        "dist",
    )
    assert "INTERNALERROR" not in result.stdout.str()
    assert list(given.letters) == []
    return result


def verdict(pytester: pytest.Pytester) -> Verdict:
    (found,) = (
        one
        for one in read_proof(pytester.path / "proof.json").record.verdicts
        if one.subject != "audit"
    )
    return found


def junit(pytester: pytest.Pytester) -> dict[str, str]:
    (case,) = ET.parse(pytester.path / "junit.xml").findall(f".//testcase[@name='{TRIAL}']")  # noqa: S314
    return {str(p.get("name")): str(p.get("value")) for p in case.iter("property")}


def test_a_pass_after_failures_is_told_and_fails_until_it_is_forgotten(
    pytester: pytest.Pytester, given: Trials, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(pytester, given, "f").ret == ExitCode.NOT_PORTABLE
    assert [finding.name for finding in verdict(pytester).findings] == ["import-error"]
    assert run(pytester, given, "f").ret == ExitCode.NOT_PORTABLE, "it is tried, not remembered"
    for number in (3, 4):
        result = run(pytester, given, "p")
        assert result.ret == ExitCode.NOT_PORTABLE
        result.stdout.fnmatch_lines([f"*ML311 flaky: passed now, failed 2 of {number} times"])
        result.stdout.fnmatch_lines(["*a failure: import-error: import demo: ValueError: no luck"])
        assert verdict(pytester).tries == Tries(count=1, failed=0, known=number, known_failed=2)
        found = junit(pytester)
        assert (found["manylinux.tries"], found["manylinux.tries.failed"]) == (str(number), "2")
        assert found["manylinux.findings"] == "flaky"
    capsys.readouterr()
    assert main(["cache", "forget", "dist/demo-1.0-py3-none-any.whl"]) == ExitCode.OK
    assert capsys.readouterr().out == "forgot 4 tries of 1 wheel, 2 failed\n"
    assert run(pytester, given, "p").ret == ExitCode.OK
    assert verdict(pytester).tries is None


def test_a_remembered_pass_says_so(pytester: pytest.Pytester, given: Trials) -> None:
    first = run(pytester, given, "p")
    assert first.ret == ExitCode.OK
    assert "(remembered)" not in first.stdout.str()
    assert "remembered:" not in first.stdout.str()
    assert junit(pytester)["manylinux.remembered"] == ""
    again = run(pytester, given, "", "--manylinux-html=page.html", "--manylinux-markdown=it.md")
    assert again.ret == ExitCode.OK
    assert f"{TRIAL} PASSED (remembered)" in again.stdout.str()
    again.stdout.fnmatch_lines(["remembered: 1 of 1 trial, seen by earlier runs"])
    when = "2023-11-14 22:13 UTC, by an earlier run (remembered)"
    assert junit(pytester)["manylinux.remembered"] == when
    page = (pytester.path / "page.html").read_text(encoding="utf-8")
    assert when in page
    assert "1 of 1 trial, seen by earlier runs" in page
    assert "seen by earlier runs" in (pytester.path / "it.md").read_text(encoding="utf-8")
    seen = verdict(pytester).observation
    assert seen is not None
    assert seen.remembered


def test_a_fresh_failure_ends_the_remembering_of_a_pass(
    pytester: pytest.Pytester, given: Trials
) -> None:
    assert run(pytester, given, "p").ret == ExitCode.OK
    assert run(pytester, given, "f", "--manylinux-fresh").ret == ExitCode.NOT_PORTABLE
    result = run(pytester, given, "p")
    assert result.ret == ExitCode.NOT_PORTABLE
    result.stdout.fnmatch_lines(["*flaky: passed now, failed 1 of 3 times"])
    assert run(pytester, given, "p", "--manylinux-fresh").ret == ExitCode.NOT_PORTABLE


def test_repeated_trials_are_all_done_and_none_is_remembered(
    pytester: pytest.Pytester, given: Trials
) -> None:
    assert run(pytester, given, "p").ret == ExitCode.OK
    result = run(pytester, given, "pppp", "--manylinux-repeat=4")
    assert result.ret == ExitCode.OK
    result.stdout.fnmatch_lines(["repeated: 1 trial, 4 tries, 0 failed"])
    assert verdict(pytester).tries == Tries(count=4, failed=0, known=5, known_failed=0)
    assert "remembered:" not in result.stdout.str()
    result = run(pytester, given, "pfpf", "--manylinux-repeat=4")
    assert result.ret == ExitCode.NOT_PORTABLE
    result.stdout.fnmatch_lines(["*import-error*", "*flaky: failed 2 of 4 tries"])
    assert verdict(pytester).tries == Tries(count=4, failed=2, known=9, known_failed=2)


def test_what_always_fails_is_not_flaky(pytester: pytest.Pytester, given: Trials) -> None:
    result = run(pytester, given, "fff", "--manylinux-repeat=3")
    assert result.ret == ExitCode.NOT_PORTABLE
    result.stdout.fnmatch_lines(["  failed 3 of 3 tries"])
    assert [finding.name for finding in verdict(pytester).findings] == ["import-error"]


def test_a_lost_sandbox_counts_neither_way(pytester: pytest.Pytester, given: Trials) -> None:
    assert run(pytester, given, "u").ret == ExitCode.NOT_PROVEN
    assert run(pytester, given, "p").ret == ExitCode.OK
    assert run(pytester, given, "ppu", "--manylinux-repeat=4").ret == ExitCode.NOT_PROVEN
    assert verdict(pytester).cause is Cause.ENGINE
    assert run(pytester, given, "pfu", "--manylinux-repeat=4").ret == ExitCode.NOT_PORTABLE
    assert verdict(pytester).tries == Tries(count=2, failed=1, known=5, known_failed=1)


def test_other_bytes_begin_at_nothing(pytester: pytest.Pytester, given: Trials) -> None:
    assert run(pytester, given, "f").ret == ExitCode.NOT_PORTABLE
    build_wheel(pytester.path / "dist", name="demo", version="1.0", files={"demo.py": b"cured = True"})
    assert run(pytester, given, "p").ret == ExitCode.OK
    assert verdict(pytester).findings == ()


def test_a_declared_flaky_wheel_passes_as_long_as_it_is(
    pytester: pytest.Pytester, given: Trials
) -> None:
    declaration = '[[tool.pytest-manylinux.expect]]\nfinding = "flaky"\nreason = "a race"\n'
    pytester.makepyprojecttoml(f"[tool.pytest-manylinux]\nrepeat = 3\n{declaration}")
    assert run(pytester, given, "pfp").ret == ExitCode.OK
    assert verdict(pytester).outcome is Outcome.EXPECTED
    assert main(["cache", "forget"]) == ExitCode.OK
    result = run(pytester, given, "ppp")
    assert result.ret == ExitCode.NOT_PORTABLE
    result.stdout.fnmatch_lines(["*expectation-not-met: flaky is declared*"])


def test_an_ignored_flaky_wheel_passes_and_the_gate_asks_again(
    pytester: pytest.Pytester, given: Trials
) -> None:
    rule = '[[tool.pytest-manylinux.ignore]]\nfinding = "flaky"\nreason = "a race"\n'
    pytester.makepyprojecttoml(rule)
    assert run(pytester, given, "f").ret == ExitCode.NOT_PORTABLE
    assert run(pytester, given, "p").ret == ExitCode.OK
    result = run(pytester, given, "p", "--manylinux-gate")
    assert result.ret == ExitCode.NOT_PORTABLE
    result.stdout.fnmatch_lines(["*gate: *portable with ignored findings (flaky)*"])


def test_the_gate_refuses_a_flaky_wheel(pytester: pytest.Pytester, given: Trials) -> None:
    assert run(pytester, given, "f").ret == ExitCode.NOT_PORTABLE
    result = run(pytester, given, "p", "--manylinux-gate")
    assert result.ret == ExitCode.NOT_PORTABLE
    result.stdout.fnmatch_lines(["*gate: *not portable (flaky)*"])


def test_diff_names_it(
    pytester: pytest.Pytester, given: Trials, capsys: pytest.CaptureFixture[str]
) -> None:
    run(pytester, given, "p")
    (pytester.path / "proof.json").rename(pytester.path / "before.json")
    run(pytester, given, "f", "--manylinux-fresh")
    capsys.readouterr()
    assert main(["diff", "before.json", "proof.json"]) == ExitCode.NOT_PORTABLE
    assert "flaky: failed 1 of 1 try; with earlier runs: failed 1 of 2" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["0", "-1", "x", "1.5", "1001", "9" * 5000])
def test_a_wrong_number_of_tries_is_a_usage_error(pytester: pytest.Pytester, word: str) -> None:
    result = pytester.runpytest("--manylinux", f"--manylinux-repeat={word}", "dist")
    assert result.ret == ExitCode.USAGE
    result.stderr.fnmatch_lines(
        ["*--manylinux-repeat: *cannot be used*", "*give a number from 1 to 1000*"]
    )
