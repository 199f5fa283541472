"""Trials of wheels whose installation itself would change what is said of them: on each engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import pytest
from engine_names import EVERYWHERE
from hostile_code import FAILS
from wheels import build_wheel

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.diagnose.judge import judge, judge_audit
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.inspect.audit import audit_wheel
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.distro import Image, Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Outcome, Severity
from pytest_manylinux.trials.pool import PreloadedPool
from pytest_manylinux.trials.trial import TrialRequest, run_trial

pytestmark = pytest.mark.parametrize("where", EVERYWHERE, indirect=True)

PIP = "23.0.1"
SITE = "lib/python3.11/site-packages"
# Stands for an interpreter: says of each import what import_one.py would say of a success.
FAKE_PYTHON = """#!/usr/bin/python3 -ISB
import os, sys
token, path, name = sys.stdin.read().split("\\n")[:3]
found = {"status": "ok", "pid": os.getpid(), "loaded": [], "inner": {}}
with open(path, "w") as report:
    report.write("\\n%s %r\\n" % (token, found))
"""
METADATA = "Metadata-Version: 2.1\nName: pip\nVersion: 99.9\n"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A wheel, wheels that it depends on, and the findings (errors) that it must end with."""

    files: Mapping[str, str | bytes] = field(default_factory=lambda: {"demo/__init__.py": ""})
    entry_points: Mapping[str, str] = field(default_factory=dict)
    requires: tuple[str, ...] = ()
    brought: tuple[tuple[str, str, Mapping[str, str | bytes]], ...] = ()
    errors: frozenset[str] = frozenset()


def data(path: str, text: str, module: str = FAILS) -> Mapping[str, str | bytes]:
    return {"demo/__init__.py": module, f"demo-1.0.data/{path}": text}


OVER = frozenset({"environment-overwritten"})
CASES = {
    "pip_as_a_second_dist_info": Case(
        files=data("purelib/pip-99.9.dist-info/METADATA", METADATA, ""),
        errors=frozenset({"foreign-metadata"}),
    ),
    "pip_as_a_dist_info_from_the_prefix": Case(
        files=data(f"data/{SITE}/pip-99.9.dist-info/METADATA", METADATA, ""),
        errors=frozenset({"foreign-metadata"}),
    ),
    "a_script_python": Case(files=data("scripts/python", FAKE_PYTHON), errors=OVER),
    "a_program_python_as_data": Case(files=data("data/bin/python", FAKE_PYTHON), errors=OVER),
    "an_entry_point_python3": Case(entry_points={"python3": "demo:main"}, errors=OVER),
    "an_entry_point_pip": Case(entry_points={"pip": "demo:main"}, errors=OVER),
    "pyvenv_cfg": Case(files=data("data/pyvenv.cfg", "home = /nowhere\n", ""), errors=OVER),
    "files_of_pips": Case(
        files={"demo/__init__.py": "", "pip/__init__.py": "__version__ = '99.9'"}, errors=OVER
    ),
    "a_dependency_that_is_pip": Case(
        requires=("pip>=25",), brought=(("pip", "99.9", {"pip/__init__.py": ""}),)
    ),
    "a_dependency_that_brings_python": Case(
        requires=("other",),
        brought=(("other", "1.0", data("scripts/python", FAKE_PYTHON)),),
        errors=OVER,
    ),
}
Run: TypeAlias = Callable[[Path, "Path | None", "Path | None"], tuple[Observation, Outcome, set[str]]]
FINE = "print('fine')"
EVIL = "print('evil')"
# What is installed in the place of a wheel with `demo/__init__.py` and `demo/data.txt`.
SWAPPED: dict[str, Mapping[str, str | bytes]] = {
    "other_bytes_of_the_same_size": {"demo/__init__.py": EVIL, "demo/data.txt": ""},
    "other_bytes": {"demo/__init__.py": EVIL * 2, "demo/data.txt": ""},
    "a_file_less": {"demo/__init__.py": FINE},
    "a_file_more": {"demo/__init__.py": FINE, "demo/data.txt": "", "evil.pth": "import evil"},
    "a_program_more": {
        "demo/__init__.py": FINE,
        "demo/data.txt": "",
        "demo-1.0.data/scripts/evil": "#!/bin/sh\n",
    },
}


@pytest.fixture(scope="module")
def run(engine: Engine, image: Image, arch: str) -> Iterator[Run]:
    """A trial of a wheel: what was seen, and its outcome and errors, the audit's included.

    With a third path, that file takes the wheel's place once it is judged.
    """
    distro = load_catalogue().get("debian-12")
    target = Target(distro=distro, arch=arch, interpreter=distro.interpreters[0])
    warm = PreloadedPool(engine)

    def run(
        path: Path, dependencies: Path | None, swapped: Path | None
    ) -> tuple[Observation, Outcome, set[str]]:
        wheel = open_wheel(path)
        facts = read_wheel(wheel)
        audit = judge_audit(facts, audit_wheel(facts))
        if swapped is not None:
            swapped.replace(path)
        request = TrialRequest(
            wheel=wheel,
            facts=facts,
            target=target,
            image=image,
            dependencies=dependencies,
            timeout=60.0,
        )
        seen = run_trial(request, engine, warm)
        tried = judge(facts, seen, target, wheel=wheel)
        findings = (*tried.findings, *audit.findings)
        return seen, tried.outcome, {f.name for f in findings if f.severity is Severity.ERROR}

    yield run
    warm.close()


@pytest.mark.attack("forgery", by="name")
@pytest.mark.parametrize("name", CASES)
def test_what_is_installed_changes_no_fact_of_the_proof(run: Run, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    path = build_wheel(
        tmp_path,
        {"demo/__init__.py": "", **case.files},
        requires=case.requires,
        entry_points=case.entry_points,
    )
    for project, version, files in case.brought:
        renamed = {place.replace("demo", project): content for place, content in files.items()}
        build_wheel(tmp_path / "brought", renamed, name=project, version=version)

    seen, outcome, errors = run(path, tmp_path / "brought" if case.brought else None, None)

    assert seen.install is not None
    assert seen.install.ok, seen.install.output
    assert seen.install.pip_version == PIP
    assert seen.install.compared > 0
    assert seen.install.differences == ()
    assert case.errors <= errors
    assert outcome is (Outcome.NOT_PORTABLE if seen.install.changed and errors else Outcome.PORTABLE)
    if case.errors == OVER and name != "files_of_pips":
        assert outcome is Outcome.NOT_PORTABLE


@pytest.mark.attack("forgery", by="name")
@pytest.mark.parametrize("name", SWAPPED)
def test_what_is_installed_is_what_was_judged(run: Run, tmp_path: Path, name: str) -> None:
    judged = build_wheel(tmp_path / "judged", {"demo/__init__.py": FINE, "demo/data.txt": ""})
    swapped = build_wheel(tmp_path / "swapped", SWAPPED[name])

    seen, outcome, errors = run(judged, None, swapped)

    assert seen.install is not None
    assert seen.install.differences
    assert outcome is Outcome.NOT_PORTABLE
    assert "installed-files-differ" in errors
