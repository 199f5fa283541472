"""Projects built twice in differing surroundings: the same wheel, or each member that differs named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from pytest_manylinux.errors import ExitCode
from pytest_manylinux.report.proof import read_proof

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PYPROJECT = """
[build-system]
requires = ["setuptools>=68"]
build-backend = "setuptools.build_meta"
[project]
name = "stamped"
version = "1.0"
requires-python = ">=3.9"
"""
SETUP = """
import getpass, locale, os, socket, time
from setuptools import Extension, setup

names = [name for name in os.listdir(".") if name.startswith("part_")]
facts = {
    "when.py": f"BUILT = {int(time.time())}",
    "where.py": f"FOLDER = {os.getcwd()!r}",
    "who.py": f"USER = {getpass.getuser()!r}",
    "host.py": f"HOST = {socket.gethostname()!r}",
    "zone.py": f"ZONE = {time.timezone}",
    "files.py": f"FILES = {names}",
    "cores.py": f"CORES = {len(os.sched_getaffinity(0))}",
    "mode.py": f"MODE = {os.umask(0o022)}",
    "sound.py": "SOUND = True",
}
os.makedirs("stamped", exist_ok=True)
for name, text in {**facts, "__init__.py": ""}.items():
    with open(os.path.join("stamped", name), "w") as file:
        file.write(text + "\\n")
where = ("WHERE", f'"{os.getcwd()}"')
setup(packages=["stamped"], ext_modules=[Extension("stamped._x", ["x.c"], define_macros=[where])])
"""
SOURCE = """
#include <Python.h>
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_x", WHERE, -1, NULL};
PyMODINIT_FUNC PyInit__x(void) { return PyModule_Create(&definition); }
"""


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def rebuild(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("pytest-manylinux")
    return run(program, "rebuild", *arguments, "--python=3.11", "--engine=bubblewrap", cwd=cwd)


def test_a_c_extension_is_reproducible(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "sample_projects/portable/c_extension", tmp_path / "c_extension")
    done = rebuild("c_extension", cwd=tmp_path)
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    assert "reproducible: both builds gave the same bytes (SHA-256 " in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c_extension"]  # nothing is left


def test_a_project_that_stores_its_surroundings_is_named_with_each_member(tmp_path: Path) -> None:
    project = tmp_path / "stamped"
    project.mkdir()
    (project / "pyproject.toml").write_text(PYPROJECT)
    (project / "setup.py").write_text(SETUP)
    (project / "x.c").write_text(SOURCE)
    for name in "abc":
        (project / f"part_{name}").touch()
    done = rebuild("stamped", cwd=tmp_path)
    assert done.returncode == ExitCode.NOT_PORTABLE, done.stdout + done.stderr
    told = {line.split(":")[0].strip(): line for line in done.stdout.splitlines() if ": " in line}
    for name, cause in {
        "when": "(the time of the build)",
        "where": "(the path of the source)",
        "who": "somebody",
        "host": "(the name of the machine)",
        "zone": "ZONE = 0', then 'ZONE = -50400",
        "files": "FILES = ",
        "mode": "MODE = ",
    }.items():
        assert cause in told[f"stamped/{name}.py"], done.stdout
    if len(os.sched_getaffinity(0)) > 1:
        assert "then 'CORES = 1'" in told["stamped/cores.py"]
    assert "stamped/sound.py" not in told
    (module,) = (line for line in done.stdout.splitlines() if ", section .rodata:" in line)
    assert module.strip().startswith("stamped/_x.cpython-311-x86_64-linux-gnu.so, section .rodata: ")
    assert module.endswith("(the path of the source)")


def test_a_proof_carries_that_a_wheel_is_reproducible(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "sample_projects/portable/pure_python", tmp_path / "pure_python")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--manylinux", "pure_python"]
    options = ["--manylinux-distros=debian-12", "--manylinux-rebuild", "--manylinux-proof=proof.json"]
    done = run(*command, *options, "--rootdir=.", cwd=tmp_path)
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    (wheel,) = read_proof(tmp_path / "proof.json").record.wheels
    assert wheel.build is not None
    assert wheel.build.reproducible is True
    assert '"reproducible": true' in json.dumps(json.loads((tmp_path / "proof.json").read_text()))


def test_the_gate_builds_the_sdist_and_names_what_its_wheel_lacks(tmp_path: Path) -> None:
    project = tmp_path / "demo"
    (project / "demo").mkdir(parents=True)
    (project / "pyproject.toml").write_text(
        PYPROJECT.replace("stamped", "demo") + '[tool.setuptools]\npackages = ["demo"]\n'
        '[tool.setuptools.package-data]\ndemo = ["*.txt"]\n'
    )
    (project / "demo" / "__init__.py").touch()
    (project / "demo" / "data.txt").touch()
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--manylinux", "demo"]
    options = ["--manylinux-distros=debian-12", "--manylinux-proof=proof.json"]
    done = run(*command, *options, "--manylinux-wheelhouse=dist", "--rootdir=.", cwd=tmp_path)
    assert done.returncode == ExitCode.OK, done.stdout + done.stderr
    for lacking in (False, True):
        pack_sdist(project, tmp_path / "dist" / "demo-1.0.tar.gz", leave_out="data.txt" * lacking)
        gate = run(
            Path(sys.executable).with_name("pytest-manylinux"),
            *("gate", "dist", "--proof=proof.json", "--build-sdist"),
            cwd=tmp_path,
        )
        words = "lacks demo/data.txt, which demo-1.0-py3-none-any.whl has (IX612 sdist-differs)"
        expected = ExitCode.NOT_PORTABLE if lacking else ExitCode.OK
        assert gate.returncode == expected, gate.stdout + gate.stderr
        assert (words in gate.stdout) == lacking


def pack_sdist(project: Path, target: Path, *, leave_out: str) -> None:
    """An sdist as back ends make it; `leave_out` is the end of a name, empty for none."""
    info = project / "PKG-INFO"
    info.write_text("Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nRequires-Python: >=3.9\n")
    with tarfile.open(target, "w:gz") as archive:
        for path in sorted(project.rglob("*")):
            if path.is_file() and not (leave_out and path.name.endswith(leave_out)):
                archive.add(path, f"demo-1.0/{path.relative_to(project)}")
