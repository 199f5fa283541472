"""What a module for the stable ABI may not use, and what is only outside of its promise."""

from __future__ import annotations

from typing import Any

import pytest
from trial_values import make_elf, make_facts, make_target

from pytest_manylinux.diagnose.abi3 import breaches, exported_early, stable_since
from pytest_manylinux.diagnose.checks.abi3_violation import CHECK
from pytest_manylinux.model.elf_facts import SymbolWant
from pytest_manylinux.model.python import PythonVersion
from pytest_manylinux.model.verdict import Severity

WHEEL = "demo-1.0-cp39-abi3-manylinux_2_17_x86_64.whl"


def facts_wanting(symbol: str) -> Any:  # noqa: ANN401 - WheelFacts
    elf = make_elf("demo/_x.abi3.so", wants=(SymbolWant(name=symbol),), exports_init=("_x",))
    return make_facts(filename=WHEEL, elf=(elf,))


def told(symbol: str, minor: int) -> list[tuple[Severity, str]]:
    """What the check foretells of a module that wants the symbol, on Python 3.`minor`."""
    target = make_target(python=f"3.{minor}")
    assert CHECK.static is not None
    findings = CHECK.static(facts_wanting(symbol), target)
    return [(finding.severity, finding.message.rpartition(" which ")[2]) for finding in findings]


MISSING, UNSURE = Severity.ERROR, Severity.WARNING


@pytest.mark.parametrize(
    ("symbol", "minor", "expected"),
    [
        ("PyType_GetName", 9, [(MISSING, "Python 3.9 does not have")]),  # new in 3.11
        ("PyType_GetName", 11, []),
        ("PyUnicode_AsUTF8AndSize", 9, [(UNSURE, "Python 3.9 need not have")]),  # there since 3.3
        ("PyUnicode_AsUTF8AndSize", 10, []),
        ("_PyObject_GC_New", 9, []),  # stable since 3.2
        ("_PyLong_AsByteArray", 9, [(UNSURE, "Python 3.9 need not have")]),  # never stable
        ("_PyLong_AsByteArray", 13, [(UNSURE, "Python 3.13 need not have")]),
        ("PyErr_SetFromWindowsErr", 13, [(MISSING, "Python 3.13 does not have")]),  # on Windows
        ("_Py_NegativeRefcount", 13, [(MISSING, "Python 3.13 does not have")]),  # in debug builds
        ("PyOS_AfterFork_Child", 13, []),  # where there is fork()
    ],
)
def test_only_what_is_missing_is_an_error(
    symbol: str, minor: int, expected: list[tuple[Severity, str]]
) -> None:
    assert told(symbol, minor) == expected


def of_tag(tag: str, symbol: str, path: str = "demo/_x.abi3t.so") -> Any:  # noqa: ANN401 - WheelFacts
    elf = make_elf(path, wants=(SymbolWant(name=symbol),), exports_init=("_x",))
    return make_facts(filename=f"demo-1.0-{tag}-manylinux_2_17_x86_64.whl", elf=(elf,))


@pytest.mark.parametrize(
    ("tag", "path", "promised"),
    [
        ("cp315-abi3t", "demo/_x.abi3t.so", (3, 15)),
        ("cp313-abi3t", "demo/_x.abi3t.so", (3, 15)),  # before 3.15 there is none
        ("cp316-abi3t", "demo/_x.abi3t.so", (3, 16)),
        ("cp315-abi3.abi3t", "demo/_x.abi3t.so", (3, 15)),
        ("cp39-abi3.abi3t", "demo/_x.abi3.so", (3, 9)),
        ("cp39-abi3.abi3t", "demo/_x.abi3t.so", (3, 15)),
        ("cp315-cp315t", "demo/_x.abi3t.so", None),
    ],
)
def test_abi3t_is_a_promise_from_3_15_on(tag: str, path: str, promised: tuple[int, int] | None) -> None:
    found = breaches(of_tag(tag, "_PyLong_AsByteArray", path))  # never stable
    assert [breach.promised.release for breach in found] == ([promised] if promised else [])


def test_what_joined_with_3_15_may_be_used_under_abi3t_alone() -> None:
    (newest,) = {stable_since()["PyModule_Exec"].release}
    assert newest == (3, 15)
    assert breaches(of_tag("cp315-abi3t", "PyModule_Exec")) == ()
    assert breaches(of_tag("cp39-abi3.abi3t", "PyModule_Exec")) == ()
    assert len(breaches(of_tag("cp39-abi3.abi3t", "PyModule_Exec", "demo/_x.abi3.so"))) == 1


def test_a_symbol_that_was_there_early_is_still_a_breach() -> None:
    (breach,) = breaches(facts_wanting("PyUnicode_AsUTF8AndSize"))
    assert breach.since == PythonVersion(3, 10)
    assert breach.exported == PythonVersion(3, 9)


def test_every_early_one_joined_the_stable_abi_later() -> None:
    early = exported_early()
    assert len(early) > 40
    assert all(stable_since()[name] > version for name, version in early.items())
