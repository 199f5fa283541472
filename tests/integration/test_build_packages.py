"""A package named with its architecture is installed into the root that builds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_manylinux.report.proof import read_proof

pytestmark = pytest.mark.integration
PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "squeeze"
version = "1.0"

[tool.setuptools]
ext-modules = [{name = "squeeze", sources = ["squeeze.c"]}]

[tool.pytest-manylinux]
build-packages = ["zlib1g-dev:amd64"]
distros = ["debian-12"]
"""
SOURCE = """
#include <Python.h>
#include "/usr/include/zlib.h"

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "squeeze", ZLIB_VERSION, -1, NULL};

PyMODINIT_FUNC PyInit_squeeze(void) { return PyModule_Create(&module); }
"""


def test_a_package_of_an_architecture_is_built_with(tmp_path: Path) -> None:
    project = tmp_path / "squeeze"
    project.mkdir()
    (project / "pyproject.toml").write_text(PROJECT)
    (project / "squeeze.c").write_text(SOURCE)
    command = [sys.executable, "-m", "pytest", "--manylinux", "--manylinux-engine=bubblewrap"]
    done = subprocess.run(
        [*command, "--manylinux-fresh", "--manylinux-proof=proof.json"],
        cwd=project,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (build,) = read_proof(project / "proof.json").record.builds
    assert not build.error
