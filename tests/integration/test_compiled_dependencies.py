"""`dependencies = build`: what an index has as source only, compiled for a target by the run."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from loopback_index import index_running
from wheels import build_wheel

from pytest_manylinux.errors import ExitCode
from pytest_manylinux.model.verdict import Cause, Outcome, Verdict
from pytest_manylinux.report.proof import read_proof

pytestmark = pytest.mark.integration

_BACKEND = """
import os, subprocess, sysconfig, zipfile

TAG = "cp{0}{1}-cp{0}{1}-linux_x86_64".format(*__import__("sys").version_info)

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    subprocess.run(["cc", "--version"], check=True)  # as Meson does for numpy
    raise SystemExit("no need of it")

def build_wheel(folder, config_settings=None, metadata_directory=None):
    compiler = [os.environ["CC"], "-shared", "-fPIC", "-I" + sysconfig.get_paths()["include"]]
    subprocess.run([*compiler, "native.c", "-o", "NAME.so"], check=True)
    name = "NAME-1.0-" + TAG + ".whl"
    info = "NAME-1.0.dist-info/"
    with zipfile.ZipFile(folder + "/" + name, "w") as archive:
        archive.write("NAME.so")
        archive.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: NAME\\nVersion: 1.0\\n")
        wheel = "Wheel-Version: 1.0\\nRoot-Is-Purelib: false\\nTag: " + TAG + "\\n"
        archive.writestr(info + "WHEEL", wheel)
        archive.writestr(info + "RECORD", "NAME.so,,\\n")
    return name
"""
_MODULE = """
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "NAME", NULL, -1, NULL};
PyMODINIT_FUNC PyInit_NAME(void) { return PyModule_Create(&module); }
"""


def source_only(folder: Path, name: str, module: str = _MODULE) -> None:
    """An sdist with an extension module, which even its metadata wants a compiler for."""
    system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    files = {
        "pyproject.toml": system,
        "backend.py": _BACKEND,
        "native.c": module,
        "PKG-INFO": "Metadata-Version: 2.1\nName: NAME\nVersion: 1.0\n",
    }
    with tarfile.open(folder / f"{name}-1.0.tar.gz", "w:gz") as archive:
        for path, text in files.items():
            content = text.replace("NAME", name).encode()
            entry = tarfile.TarInfo(f"{name}-1.0/{path}")
            entry.size = len(content)
            archive.addfile(entry, BytesIO(content))


@contextmanager
def offered(folder: Path, *, served: bool) -> Iterator[dict[str, str]]:
    """What tells pip of a folder of distributions: itself, or a server of it."""
    settings = {"PIP_CONFIG_FILE": "/dev/null", "PIP_TRUSTED_HOST": "127.0.0.1"}
    if served:
        with index_running(folder) as index:
            yield {**settings, "PIP_INDEX_URL": f"{index.url}simple/"}
    else:
        yield {**settings, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": folder.as_uri()}


def prove(folder: Path, environment: dict[str, str], *options: str) -> tuple[int, str, list[Verdict]]:
    """Exit code, output and trials of a run on the wheels in `folder`/dist."""
    proof = folder / "proof.json"
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--manylinux", "dist"]
    command += ["--manylinux-distros=debian-12,debian-13", "--manylinux-engine=bubblewrap"]
    command += ["--manylinux-builder=zig", f"--manylinux-proof={proof}", *options]
    inherited = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(Path.home())}
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env={**inherited, **environment},
    )
    trials = [one for one in read_proof(proof).record.verdicts if one.subject != "audit"]
    return done.returncode, done.stdout, trials


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for name in ("dist", "index"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.mark.parametrize("way", ["served", "lying"])
def test_a_dependency_without_a_wheel_is_compiled_where_that_is_asked_for(
    place: Path, way: str
) -> None:
    name = f"compiled{way}"  # pip keeps what it has seen by address: a name stands for one content
    source_only(place / "index", name)
    build_wheel(place / "dist", {"demo.py": f"import {name}"}, requires=[name])
    with offered(place / "index", served=way == "served") as environment:
        code, words, trials = prove(place, environment)
        assert code == ExitCode.NOT_PROVEN
        assert {trial.cause for trial in trials} == {Cause.DEPENDENCY}
        assert "let this run compile it, dependencies = build" in words
        code, words, trials = prove(place, environment, "--manylinux-dependencies=build")
    assert code == ExitCode.OK, words
    assert [trial.outcome for trial in trials] == [Outcome.PORTABLE] * 2
    for trial in trials:
        assert trial.observation is not None
        assert trial.observation.compiled == ((name, "1.0"),)
        ((wheel, _),) = trial.observation.siblings
        assert wheel.startswith(f"{name}-1.0-cp3"), wheel
    assert not (place / "wheelhouse").exists(), "it is no wheel of the run's own"


def test_a_dependency_that_does_not_compile_is_told_with_the_compilers_words(place: Path) -> None:
    source_only(place / "index", "compilednever", "#error wants a moon\n")
    build_wheel(place / "dist", {"demo.py": "import compilednever"}, requires=["compilednever"])
    with offered(place / "index", served=False) as environment:
        code, _, trials = prove(place, environment, "--manylinux-dependencies=build")
    assert code == ExitCode.NOT_PROVEN
    for trial in trials:
        assert (trial.outcome, trial.cause) == (Outcome.NOT_PROVEN, Cause.DEPENDENCY)
        assert "nor does compilednever-1.0.tar.gz make one" in trial.reason
        assert "wants a moon" in trial.reason
