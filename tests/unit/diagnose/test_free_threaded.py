"""Modules that a free-threaded Python cannot use, or that turn its GIL back on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from elf_files import Want
from trial_values import imported, make_observation, make_target, raised
from wheels import build_wheel, extension_spec

from pytest_manylinux.diagnose.judge import judge, judge_audit
from pytest_manylinux.diagnose.predict import predict_target
from pytest_manylinux.inspect.audit import audit_wheel
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.observation import ImportKind, ImportOutcome, ImportStatus
from pytest_manylinux.model.verdict import Finding, Foretold, Outcome, Severity
from pytest_manylinux.model.wheel import WheelFacts

TAG = "cp313-cp313t"
ABI3, OWN = "demo/_x.abi3.so", "demo/_x.cpython-313t-x86_64-linux-gnu.so"
STABLE = extension_spec("_x").build()
USUAL = Want("memcpy", "GLIBC_2.2.5", "libc.so.6"), Want("PyModuleDef_Init")
BY_ITS_HEADERS = extension_spec("_x", wants=(*USUAL, Want("_Py_DecRefShared"))).build()
NAME = "abi3-free-threaded"


def facts_of(folder: Path, files: Mapping[str, bytes | str], tag: str = TAG) -> WheelFacts:
    files = {"demo/__init__.py": "", **files}
    return read_wheel(
        open_wheel(build_wheel(folder, files, tag=f"{tag}-manylinux_2_17_x86_64", name="demo"))
    )


def named(findings: tuple[Finding, ...], name: str = NAME) -> list[Finding]:
    return [finding for finding in findings if finding.name == name]


@pytest.mark.parametrize(
    ("tag", "files", "python", "expected"),
    [
        (TAG, {ABI3: STABLE}, "cp313t", 1),
        ("cp314-cp314t", {ABI3: STABLE}, "cp314t", 1),
        ("py3-none", {ABI3: STABLE}, "cp313t", 1),
        ("py3-none", {ABI3: STABLE}, "cp313", 0),
        ("cp39-abi3", {ABI3: STABLE}, "cp313", 0),
        ("cp39-abi3", {ABI3: STABLE}, "cp313t", 0),  # pip does not install it there
        ("cp315-cp315t", {ABI3: STABLE}, "cp315t", 0),  # not found at all: python-mismatch
        (TAG, {ABI3: STABLE, OWN: BY_ITS_HEADERS}, "cp313t", 0),  # its own file comes first
        (TAG, {ABI3: STABLE, "demo/_x.so": STABLE}, "cp313t", 1),  # that one comes after
        (TAG, {ABI3: BY_ITS_HEADERS}, "cp313t", 0),  # only its name says that it is stable
        (TAG, {OWN: STABLE}, "cp313t", 0),
    ],
)
def test_a_stable_module_before_3_15(
    tag: str, files: dict[str, bytes | str], python: str, expected: int, tmp_path: Path
) -> None:
    prediction = predict_target(facts_of(tmp_path, files, tag), make_target(python=python))
    found = named(prediction.findings)
    assert [(one.severity, one.files) for one in found] == [(Severity.ERROR, (ABI3,))] * expected


@pytest.mark.parametrize(("tag", "expected"), [(TAG, 1), ("cp313-cp313", 0), ("cp39-abi3", 0)])
def test_the_audit_says_so_of_wheels_for_such_pythons(tag: str, expected: int, tmp_path: Path) -> None:
    facts = facts_of(tmp_path, {ABI3: STABLE}, tag)
    assert len(named(judge_audit(facts, audit_wheel(facts)).findings)) == expected


KILLED = imported(status=ImportStatus.SIGNALLED, signal=11)
REFUSED = raised("SystemError", "init function of _x returned uninitialized object")


@pytest.mark.parametrize(
    ("outcome", "blamed"),
    [
        (KILLED, NAME),
        (REFUSED, NAME),
        (imported(status=ImportStatus.SIGNALLED, signal=4), "isa-level"),
        (raised("ValueError", "no"), "import-error"),
    ],
)
def test_what_the_trial_sees_is_what_was_predicted(
    outcome: ImportOutcome, blamed: str, tmp_path: Path
) -> None:
    facts, target = facts_of(tmp_path, {ABI3: STABLE}), make_target(python="cp313t")
    verdict = judge(facts, make_observation(outcome), target, wheel=facts.wheel)
    assert verdict.outcome is Outcome.NOT_PORTABLE
    assert [one.name for one in verdict.findings if one.severity is Severity.ERROR] == [blamed]
    assert verdict.prediction is Foretold.RIGHT


@pytest.mark.parametrize(("outcome", "blamed"), [(KILLED, "crash"), (REFUSED, "import-error")])
def test_without_such_a_module_it_is_another_fault(
    outcome: ImportOutcome, blamed: str, tmp_path: Path
) -> None:
    facts, target = facts_of(tmp_path, {OWN: BY_ITS_HEADERS}), make_target(python="cp313t")
    verdict = judge(facts, make_observation(outcome), target, wheel=facts.wheel)
    assert [one.name for one in verdict.findings if one.severity is Severity.ERROR] == [blamed]


def warning(module: str) -> str:
    """What free-threaded Python 3.13.5 writes."""
    return (
        "<frozen importlib._bootstrap>:488: RuntimeWarning: The global interpreter lock (GIL) has been "
        f"enabled to load module '{module}', which has not declared that it can run safely without the "
        "GIL. To override this behavior and keep the GIL disabled (at your own risk), run with "
        "PYTHON_GIL=0 or -Xgil=0.\n"
    )


@pytest.mark.parametrize(
    ("fields", "python", "expected"),
    [
        ({"output": warning("demo._x"), "gil_enabled": True}, "cp313t", [("demo._x", "warning")]),
        ({"output": warning("demo._x")}, "cp313t", [("demo._x", "warning")]),
        ({"output": warning("numpy.core._m")}, "cp313t", [("numpy.core._m,", "information")]),
        ({"gil_enabled": True}, "cp313t", [("demo", "warning")]),  # where warnings are filtered
        ({"output": warning("demo._x")}, "cp313", []),
        ({"output": "hello"}, "cp313t", []),
    ],
)
def test_an_import_that_turns_the_gil_on_is_told_and_passes(
    fields: dict[str, Any], python: str, expected: list[tuple[str, str]], tmp_path: Path
) -> None:
    facts = facts_of(tmp_path, {OWN: BY_ITS_HEADERS}, "py3-none")
    seen = make_observation(imported(**fields))
    verdict = judge(facts, seen, make_target(python=python), wheel=facts.wheel)
    found = named(verdict.findings, "gil-enabled")
    assert [(one.message.split()[0], one.severity.value) for one in found] == expected
    assert all(one.evidence[0].startswith("import demo: ") for one in found)


def test_each_module_is_told_once(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, {OWN: BY_ITS_HEADERS})
    inner = imported("demo._x", kind=ImportKind.EXTENSION, gil_enabled=True)
    seen = make_observation(imported(output=warning("demo._x"), gil_enabled=True), inner)
    verdict = judge(facts, seen, make_target(python="cp313t"), wheel=facts.wheel)
    (found,) = named(verdict.findings, "gil-enabled")
    assert found.files == (OWN,)
    assert len(found.evidence) == 2
