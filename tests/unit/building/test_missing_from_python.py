"""What a build wanted of its Python, by the words of those that wanted it."""

from __future__ import annotations

import pytest

from pytest_manylinux.building.missing_from_python import OLD_C_API, UNDECLARED_MODULE


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("ModuleNotFoundError: No module named 'numpy.distutils'", "numpy is not in the build's"),
        ("ImportError: No module named numpy", "numpy is not in the build's"),
        ("ModuleNotFoundError: No module named 'pkg_resources'", '"setuptools<82" in [build-system]'),
    ],
)
def test_a_module_that_nothing_requires_is_told_with_the_table(words: str, said: str) -> None:
    [advice] = UNDECLARED_MODULE.advice(f"x\n{words}\n")
    assert said in advice


@pytest.mark.parametrize(
    "words", ["ModuleNotFoundError: No module named 'imp'", "no module named 'numpy', doing without"]
)
def test_no_requirement_is_told_for_what_none_brings(words: str) -> None:
    assert list(UNDECLARED_MODULE.advice(words)) == []


@pytest.mark.parametrize(
    "words",
    [
        "core.c:196:12: fatal error: 'longintrepr.h' file not found",
        "core.c:196:12: fatal error: longintrepr.h: No such file or directory",
        "x.c:4:7: error: no member named 'use_tracing' in 'struct _ts'",
        "x.c:4:7: error: no member named 'tp_print' in 'struct _typeobject'",
        "x.c:4:7: error: no member named 'ob_digit' in 'struct _longobject'",
        "x.c:4:7: error: 'PyThreadState' {aka 'struct _ts'} has no member named 'exc_type'; did you",
        "x.c:4:7: error: incomplete definition of type 'PyFrameObject' (aka 'struct _frame')",
    ],
)
def test_code_for_an_older_python_is_told_as_such(words: str) -> None:
    [advice] = OLD_C_API.advice(words)
    assert advice.startswith("its C code is for older Pythons than this one")


@pytest.mark.parametrize(
    "words",
    [
        "x.c:4:7: error: no member named 'frame' in 'struct window'",
        "x.c:4:7: warning: no member named 'tp_print' in 'struct _typeobject'",
        "x.c:4:7: fatal error: 'zlib.h' file not found",
    ],
)
def test_other_code_is_not(words: str) -> None:
    assert list(OLD_C_API.advice(words)) == []
