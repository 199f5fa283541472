"""Wheels to measure with, from the package index that pip knows: forty projects for four Debians."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from figures import progress

DISTROS = {"debian-11": "3.9", "debian-12": "3.11", "debian-13": "3.13", "debian-testing": "3.14"}
SMALL, LARGE = "markupsafe==3.0.3", "numpy==2.2.6"
# Compiled, much used, and without dependencies, so that the naive way needs no network either.
FORTY = Path(__file__).with_name("forty.txt").read_text(encoding="utf-8").split()
_GLIBC = ("1", "2010", "2014", "_2_17", "_2_24", "_2_27", "_2_28", "_2_31")
MANYLINUX = tuple(f"manylinux{policy}_x86_64" for policy in _GLIBC)
MUSLLINUX = ("musllinux_1_1_x86_64", "musllinux_1_2_x86_64")


def download(
    names: Iterable[str],
    folder: Path,
    pythons: Iterable[str],
    platforms: tuple[str, ...] = MANYLINUX,
) -> list[Path]:
    """The newest wheels of projects for each Python, in `folder`; those that are there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [(name, python) for name in names for python in pythons]
    with ThreadPoolExecutor(4) as executor:
        list(executor.map(lambda one: _download(*one, folder, platforms), wanted))
    return sorted(folder.glob("*.whl"))


def _download(name: str, python: str, folder: Path, platforms: tuple[str, ...]) -> None:
    tag = f"cp{python.replace('.', '')}"
    mark = folder / f".{name}-{tag}"
    if mark.exists():
        return
    progress(f"downloading {name} for Python {python}")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    command += ["--only-binary", ":all:", "--python-version", python, "--implementation", "cp"]
    for platform in platforms:
        command += ["--platform", platform]
    for abi in (tag, "abi3", "none"):
        command += ["--abi", abi]
    subprocess.run([*command, name], check=True, capture_output=True)
    mark.touch()
