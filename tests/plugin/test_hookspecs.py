"""Another plugin's check, engine, toolchain, and what it does with each verdict (acme_plugin.py)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import acme_plugin
import pytest
from collecting import make_project
from trial_values import imported, make_observation
from wheels import build_wheel

from pytest_manylinux import workspace
from pytest_manylinux.cache.paths import CACHE_VARIABLE
from pytest_manylinux.diagnose.check_registry import checks
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.model.distro import Image, ImageSource
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.trials.trial import TrialRequest

ONE = ("--manylinux-distros=debian-12", "--manylinux-python=cp311", "--manylinux-dependencies=none")

FIND = """
from dataclasses import replace
from pytest_manylinux.diagnose.check_registry import find_check
"""


class Opened:
    """Stands in for the class of an engine."""

    name = "acme.quiet"

    def __init__(self, engine: object) -> None:
        self._engine = engine

    def __call__(self) -> object:
        """Open it."""
        return self._engine


def add_wheel(folder: Path, *, licence: bool) -> None:
    files = {"demo.py": "x = 1\n"} | ({"demo-1.0.dist-info/LICENSE": "MIT"} if licence else {})
    build_wheel(folder / "dist", files, name="demo", version="1.0")


def run(pytester: pytest.Pytester, *arguments: str, plugin: bool = True) -> pytest.RunResult:
    pytester.makeini("[pytest]")
    loaded = ("-p", "acme_plugin") if plugin else ()
    return pytester.runpytest("--manylinux", *loaded, *ONE, *arguments)


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


def test_a_check_of_ones_own_fails_wheels_like_ours(pytester: pytest.Pytester) -> None:
    add_wheel(pytester.path, licence=False)
    result = run(pytester, "-k", "audit", "dist")
    assert result.ret == ExitCode.NOT_PORTABLE
    result.stdout.fnmatch_lines(
        [
            "AC101 acme-no-licence: no file of the wheel is a licence",
            "*remedy: name the file in `license-files` of pyproject.toml",
        ]
    )
    assert all(check.code.startswith("ML") for check in checks()), "gone with its session"


def test_a_finding_of_ones_own_can_be_declared(pytester: pytest.Pytester) -> None:
    add_wheel(pytester.path, licence=False)
    pytester.makepyprojecttoml(
        "[[tool.pytest-manylinux.expect]]\n"
        "finding = 'acme-no-licence'\ndistro = 'audit'\nreason = 'legal knows'\n"
    )
    result = run(pytester, "-k", "audit", "dist")
    assert result.ret == ExitCode.OK
    result.assert_outcomes(xfailed=1, deselected=1)


def test_each_verdict_is_passed_on_once(pytester: pytest.Pytester) -> None:
    add_wheel(pytester.path, licence=True)
    for workers in ("0", "2"):
        result = run(pytester, "-k", "audit", "-n", workers, "dist")
        assert result.ret == ExitCode.OK
        (line,) = (pytester.path / "verdicts.txt").read_text().splitlines()
        wheel = "demo-1.0-py3-none-any.whl"
        assert line == f"dist/{wheel}::audit: {wheel}: portable"
        (pytester.path / "verdicts.txt").unlink()


def test_trials_are_done_with_an_engine_of_ones_own(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []

    def trial(request: TrialRequest, engine: Engine, *_: object) -> Observation:
        used.append(engine.name)
        return make_observation(
            imported(), target=request.target.id, image=request.image.digest, engine=engine.name
        )

    image = Image(digest="sha256:1", name="debian-12", source=ImageSource.ARCHIVE, arch="x86_64")
    engine = SimpleNamespace(name="acme.quiet", version=lambda: "1", caution="", close=lambda: None)
    monkeypatch.setattr(acme_plugin, "QuietEngine", Opened(engine))
    monkeypatch.setattr(workspace.Workspace, "image", lambda *_: image)
    monkeypatch.setattr(workspace.Workspace, "survey", lambda *_: None)
    monkeypatch.setattr(workspace, "prepared_venv", lambda *_: None)
    monkeypatch.setattr(workspace, "run_trial", trial)
    add_wheel(pytester.path, licence=True)
    result = run(pytester, "--manylinux-engine=acme.quiet", "dist")
    assert result.ret == ExitCode.OK, result.stdout.str()
    assert used == ["acme.quiet"]
    result.stdout.fnmatch_lines(["manylinux engine: acme.quiet 1 *"])


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--manylinux-engine=acme.other", "*no plugin gives the engine 'acme.other'*acme.quiet*"),
        ("--manylinux-builder=acme.other", "*no plugin gives the builder 'acme.other'*acme.marked*"),
    ],
)
def test_what_no_plugin_gives_is_a_usage_error(
    pytester: pytest.Pytester, option: str, words: str
) -> None:
    add_wheel(pytester.path, licence=True)
    result = run(pytester, option, "dist")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = result.stderr.str().replace("\n", " ")
    for part in words.strip("*").split("*"):
        assert part in text
    without = run(pytester, option, "dist", plugin=False)
    assert "no plugin gives any" in without.stderr.str()


def test_a_build_with_a_toolchain_of_ones_own_is_planned_in_a_root(pytester: pytest.Pytester) -> None:
    make_project(pytester.path / "project")
    result = run(pytester, "--manylinux-builder=acme.marked", "--collect-only", "-q", "project")
    assert result.ret == ExitCode.OK
    result.stdout.fnmatch_lines(["project::build?cp311-manylinux_auto_x86_64?"])


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        ("def pytest_manylinux_engines(config): return {'docker': None}", "*engine 'docker'*a dot*"),
        ("def pytest_manylinux_toolchains(config): return {'Acme.x': None}", "*'Acme.x'*a dot*"),
        ("def pytest_manylinux_checks(config): return ['x']", "*gives 'x' as a check*"),
        (
            f"{FIND}def pytest_manylinux_checks(config): return [find_check('flaky')]",
            "*has the code ML311*",
        ),
        (
            f"{FIND}def pytest_manylinux_checks(): return [replace(find_check('flaky'), code='X')]",
            "*several checks are called flaky*",
        ),
    ],
)
def test_what_a_plugin_gives_wrongly_is_a_usage_error(
    pytester: pytest.Pytester, hook: str, words: str
) -> None:
    add_wheel(pytester.path, licence=True)
    pytester.makeconftest(hook)
    result = run(pytester, "dist", plugin=False)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = result.stderr.str().replace("\n", " ")
    for part in words.strip("*").split("*"):
        assert part in text


def test_a_plugin_with_our_hooks_changes_no_ordinary_session(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_manylinux_checks(config): raise AssertionError('not asked')")
    pytester.makepyfile("def test_one(): pass")
    pytester.runpytest().assert_outcomes(passed=1)
