"""Files whose names are a CI system's commands: pytest shows them at the beginning of a line."""

from __future__ import annotations

import pytest
from ci_systems import obeyed

NAMES = [
    "::error title=x::y-1.0-py3-none-any.whl",
    "a\n::warning::b-1.0-py3-none-any.whl",
    "##[error]z-1.0-py3-none-any.whl",
    "##vso[task.complete result=Succeeded]-1.0-py3-none-any.whl",
    "section_start:1:x\r\x1b[0K-1.0-py3-none-any.whl",
]


@pytest.mark.attack("forgery")
@pytest.mark.parametrize(
    "mode", [(), ("-v",), ("-vv", "-rA"), ("-s",), ("--collect-only",), ("--tb=native",)]
)
def test_no_line_of_a_run_is_a_command(pytester: pytest.Pytester, mode: tuple[str, ...]) -> None:
    pytester.makeini("[pytest]")
    for name in NAMES:
        (pytester.path / name).write_bytes(b"::error::no zip\n::error::x")
    result = pytester.runpytest("--manylinux", *mode, ".")
    assert not obeyed(result.stdout.str() + result.stderr.str())
    if "--collect-only" not in mode:
        result.assert_outcomes(failed=len(NAMES))
