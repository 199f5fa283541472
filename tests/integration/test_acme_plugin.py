"""A real build and trial with another plugin's engine and toolchain (tests/support/acme_plugin.py)."""

from __future__ import annotations

import os
from pathlib import Path

import acme_plugin
import pytest

from pytest_manylinux.cache.paths import CACHE_VARIABLE, cache_root
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.report.proof import read_proof

CACHE = cache_root()  # before pytester names another home
pytestmark = [pytest.mark.integration]

PROJECT = {
    "pyproject.toml": """
[build-system]
requires = ["setuptools>=68"]
build-backend = "setuptools.build_meta"
[project]
name = "marked"
version = "1.0"
license-files = ["LICENSE"]
""",
    "setup.py": "from setuptools import Extension, setup\n"
    "setup(ext_modules=[Extension('marked', ['marked.c'])])\n",
    "LICENSE": "MIT\n",
    "marked.c": """
#include <Python.h>
#ifndef ACME
#error "built without the mark"
#endif
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "marked", NULL, -1, NULL};
PyMODINIT_FUNC PyInit_marked(void) { return PyModule_Create(&definition); }
""",
}


def test_built_and_proven_by_a_plugins_own_means(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(acme_plugin.__file__).parent), prepend=os.pathsep)
    monkeypatch.setenv(CACHE_VARIABLE, str(CACHE))
    folder = pytester.mkdir("project")
    for name, text in PROJECT.items():
        (folder / name).write_text(text)
    pytester.makeini("[pytest]")
    result = pytester.runpytest_subprocess(
        "--manylinux",
        f"-p{acme_plugin.__name__}",
        "--manylinux-engine=acme.quiet",
        "--manylinux-builder=acme.marked",
        "--manylinux-distros=debian-12",
        "--manylinux-python=cp311",
        "--manylinux-fresh",
        "--manylinux-proof=proof.json",
        "project",
    )
    assert result.ret == ExitCode.OK, result.stdout.str()
    result.assert_outcomes(passed=3)
    record = read_proof(pytester.path / "proof.json").record
    assert record.engine == "acme.quiet"
    assert [build.builder for build in record.builds] == ["acme.marked"]
    lines = (pytester.path / "verdicts.txt").read_text().splitlines()
    assert [line.rpartition(": ")[2] for line in lines] == ["portable", "portable"]
