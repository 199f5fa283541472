"""Which suffixes of extension modules PyPy looks for: one, and not the same one everywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from trial_values import installed, make_observation, make_target, raised
from wheels import build_wheel, extension_spec

from pytest_manylinux.diagnose.extension_files import is_found
from pytest_manylinux.diagnose.judge import judge
from pytest_manylinux.diagnose.predict import predict_target
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.distro import InterpreterOrigin, Target
from pytest_manylinux.model.python import parse_python
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

HEAD = "pypy311-pp73-"


@pytest.mark.parametrize(
    ("suffix", "arch", "debian", "found"),
    [
        (f"{HEAD}x86_64-linux-gnu", "x86_64", True, True),
        (f"{HEAD}x86-linux-gnu", "i686", True, False),
        (f"{HEAD}x86-linux-gnu", "i686", False, True),
        (f"{HEAD}i386-linux-gnu", "i686", True, True),
        (f"{HEAD}arm-linux-gnu", "armv7l", True, False),
        (f"{HEAD}arm-linux-gnueabihf", "armv7l", True, True),
        (f"{HEAD}riscv64-linux-gnu", "riscv64", True, True),
        (f"{HEAD}ppc_64-linux-gnu", "ppc64le", True, False),
        (f"{HEAD}powerpc64le-linux-gnu", "ppc64le", True, True),
        (f"{HEAD}s390x-linux-gnu", "s390x", True, True),
        (f"{HEAD}x86-linux-gnu", "", True, True),  # of any architecture, as an audit asks
        ("pypy39-pp73-x86_64-linux-gnu", "x86_64", True, False),
        ("cpython-311-x86_64-linux-gnu", "x86_64", True, False),
        ("abi3", "x86_64", True, False),
        ("", "x86_64", True, False),
    ],
)
def test_pypy_looks_for_one_suffix(suffix: str, arch: str, *, debian: bool, found: bool) -> None:
    assert is_found(suffix, parse_python("pp311"), debian=debian, arch=arch) is found


def facts_of(folder: Path, suffix: str, more: dict[str, bytes | str] | None = None) -> WheelFacts:
    files: dict[str, bytes | str] = {"demo/__init__.py": "from ._x import f\n", **(more or {})}
    files[f"demo/_x.{suffix}.so"] = extension_spec("_x", arch="i686").build()
    tag = "pp311-pypy311_pp73-manylinux_2_17_i686"
    return read_wheel(open_wheel(build_wheel(folder, files, tag=tag, name="demo")))


def on_debian(origin: InterpreterOrigin = InterpreterOrigin.DISTRO) -> Target:
    target = make_target()
    python = replace(target.interpreter, version=parse_python("pp311"), origin=origin)
    return replace(target, arch="i686", interpreter=python)


@pytest.mark.parametrize(
    ("machine", "origin", "expected"),
    [
        ("x86", InterpreterOrigin.DISTRO, {"python-mismatch"}),
        ("x86", InterpreterOrigin.STANDALONE, set()),
        ("i386", InterpreterOrigin.DISTRO, set()),
    ],
)
def test_a_wheel_of_upstreams_pypy_is_not_for_debians_on_i686(
    tmp_path: Path, machine: str, origin: InterpreterOrigin, expected: set[str]
) -> None:
    facts = facts_of(tmp_path, f"{HEAD}{machine}-linux-gnu")
    foretold = predict_target(facts, on_debian(origin)).findings
    assert {one.name for one in foretold if one.severity is Severity.ERROR} == expected


def test_stubs_in_a_folder_of_the_modules_name_do_not_hide_why(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, f"{HEAD}x86-linux-gnu", {"demo/_x/__init__.pyi": ""})
    outcome = raised("ImportError", "cannot import name 'f' from 'demo._x' (unknown location)")
    seen = make_observation(outcome, install=installed())
    verdict = judge(facts, seen, on_debian(), wheel=facts.wheel)
    assert [one.name for one in verdict.findings if one.severity is Severity.ERROR] == [
        "python-mismatch"
    ]
