"""Which init function a Python calls: PyInit_, PyModExport_, or PyPy's own for modules by cffi."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from elf_files import Want
from trial_values import make_target
from wheels import build_wheel, extension_spec

from pytest_manylinux.diagnose.judge import judge_audit
from pytest_manylinux.diagnose.predict import predict_target
from pytest_manylinux.inspect.audit import audit_wheel
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.distro import InterpreterOrigin
from pytest_manylinux.model.python import parse_python
from pytest_manylinux.model.verdict import Finding
from pytest_manylinux.model.wheel import WheelFacts

OLD, SLOTS, CFFI = "PyInit__x", "PyModExport__x", "_cffi_pypyinit__x"
ON_CPYTHON, ON_PYPY = "cpython-311-x86_64-linux-gnu", "pypy311-pp73-x86_64-linux-gnu"


def facts_of(folder: Path, tag: str, suffix: str, *exports: str) -> WheelFacts:
    files: dict[str, bytes | str] = {"demo/__init__.py": ""}
    files[f"demo/_x.{suffix}.so"] = extension_spec("_x", exports=exports).build()
    tag = f"{tag}-manylinux_2_17_x86_64"
    return read_wheel(open_wheel(build_wheel(folder, files, tag=tag, name="demo")))


def missing(findings: tuple[Finding, ...]) -> list[str]:
    return [line for one in findings if one.name == "init-missing" for line in one.evidence]


@pytest.mark.parametrize(
    ("tag", "suffix", "exports", "said"),
    [
        ("cp311-cp311", ON_CPYTHON, (OLD,), ""),
        ("cp311-cp311", ON_CPYTHON, (OLD, CFFI), ""),
        ("cp311-cp311", ON_CPYTHON, (CFFI,), "which PyPy calls, and no other Python"),
        ("cp311-cp311", ON_CPYTHON, (SLOTS,), "which Python calls from 3.15 on"),
        ("cp311-cp311", ON_CPYTHON, ("other",), "it exports neither"),
        ("cp311-abi3", "abi3", (CFFI,), "which PyPy calls, and no other Python"),
        ("pp311-pypy311_pp73", ON_PYPY, (CFFI,), ""),
        ("pp311-pypy311_pp73", ON_PYPY, (OLD,), ""),
        ("pp311-pypy311_pp73", ON_PYPY, ("_cffi_pypyinit__y",), "it exports neither"),
    ],
)
def test_the_audit_and_the_prediction_know_who_calls_what(
    tmp_path: Path, tag: str, suffix: str, exports: tuple[str, ...], said: str
) -> None:
    facts = facts_of(tmp_path, tag, suffix, *exports)
    target = make_target()
    python = replace(target.interpreter, version=parse_python(tag.partition("-")[0]))
    audit = missing(judge_audit(facts, audit_wheel(facts)).findings)
    foretold = missing(predict_target(facts, replace(target, interpreter=python)).findings)
    assert [said in line for line in (*audit, *foretold)] == ([True, True] if said else [])


@pytest.mark.parametrize(
    ("wants", "abi", "origin", "expected"),
    [
        ("PyPyModule_FromDefAndSpec2", "pypy311_pp73", InterpreterOrigin.DISTRO, 1),
        ("PyPyModule_FromDefAndSpec2", "pypy311_pp80", InterpreterOrigin.DISTRO, 0),
        ("PyPyModule_FromDefAndSpec2", "pypy311_pp73", InterpreterOrigin.STANDALONE, 0),
        ("PyPyModule_Create2", "pypy311_pp73", InterpreterOrigin.DISTRO, 0),
        ("pypy_carefully_make_gil", "pypy311_pp73", InterpreterOrigin.DISTRO, 0),
    ],
)
def test_what_debians_older_pypy_lacks_is_predicted(
    tmp_path: Path, wants: str, abi: str, origin: InterpreterOrigin, expected: int
) -> None:
    native = extension_spec("_x", wants=(Want("memcpy", "GLIBC_2.2.5", "libc.so.6"), Want(wants)))
    files: dict[str, bytes | str] = {"demo/__init__.py": "", f"demo/_x.{ON_PYPY}.so": native.build()}
    tag = "pp311-pypy311_pp73-manylinux_2_17_x86_64"
    facts = read_wheel(open_wheel(build_wheel(tmp_path, files, tag=tag, name="demo")))
    target = make_target()
    python = replace(target.interpreter, version=parse_python("pp311"), abi=abi, origin=origin)
    found = predict_target(facts, replace(target, interpreter=python)).findings
    assert [one.name for one in found].count("undefined-symbol") == expected
    audited = judge_audit(facts, audit_wheel(facts)).findings
    assert "undefined-symbol" not in {one.name for one in audited}


def test_a_module_for_pypy_is_a_module_though_nothing_of_python_makes_it(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, "pp311-pypy311_pp73", ON_PYPY, CFFI)
    (one,) = facts.module_files
    assert (one.name, one.has_init, one.inits) == ("demo._x", True, False)
    assert facts.extension_modules == ("demo._x",)
    assert facts.lone_libraries("x86_64") == ()


def test_a_name_of_other_letters_is_told_as_python_looks_for_it(tmp_path: Path) -> None:
    """PEP 489: `import é` calls PyInitU_ and the name in Punycode."""
    files: dict[str, bytes | str] = {"demo/__init__.py": ""}
    files[f"demo/é.{ON_CPYTHON}.so"] = extension_spec("_x", exports=(OLD,)).build()
    tag = "cp311-cp311-manylinux_2_17_x86_64"
    facts = read_wheel(open_wheel(build_wheel(tmp_path, files, tag=tag, name="demo")))

    found = [one.message for one in predict_target(facts, make_target()).errors]

    assert found == [f"demo/é.{ON_CPYTHON}.so does not export PyInitU_9ca, which Python 3.11 calls"]
