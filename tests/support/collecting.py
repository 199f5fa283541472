"""Projects and wheels for pytest's view of a run: small, and never built."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "sample"
version = "1.0"
requires-python = ">=3.9"
"""
WHEEL = "sample-1.0-cp311-cp311-manylinux1_x86_64.whl"
FOUR = "--manylinux-distros=debian-11,debian-12,debian-13,debian-testing"


def make_project(folder: Path, more: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(PROJECT + more, encoding="utf-8")
    return folder


def make_wheel(folder: Path, name: str = WHEEL) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("sample.py", "")
    return folder / name


def ids(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if "::" in line and not line.startswith(" ")]
