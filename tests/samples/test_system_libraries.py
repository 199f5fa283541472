"""Fortran, and libraries of Debian packages, by Meson and CMake: built, grafted, and called in a trial.

Opt-in (`-m samples`): each wants a root with its packages.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_manylinux.model.verdict import Outcome
from pytest_manylinux.report.proof import read_proof

pytestmark = pytest.mark.samples

MESON = '["meson-python>=0.16", "numpy>=2"]\nbuild-backend = "mesonpy"'
CMAKE = '["scikit-build-core>=0.10", "numpy>=2"]\nbuild-backend = "scikit_build_core.build"'
FORTRAN = """\
subroutine scale(values, n, factor)
  implicit none
  integer, intent(in) :: n
  double precision, intent(inout) :: values(n)
  double precision, intent(in) :: factor
  character(len=32) :: text
  values = values * factor
  write (text, '(F12.3)') factor  ! by libgfortran
  if (text == ' ') stop 1
end subroutine scale
"""
XML = """\
#include <Python.h>
#include <libxml/parser.h>

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "thing"};

PyMODINIT_FUNC PyInit_thing(void)
{
    xmlDocPtr document = xmlReadMemory("<a/>", 4, "a.xml", NULL, 0);
    if (document == NULL) {
        PyErr_SetString(PyExc_ImportError, "libxml2 does not read");
        return NULL;
    }
    xmlFreeDoc(document);
    return PyModule_Create(&definition);
}
"""
MESON_FORTRAN = """\
project('thing', 'c', 'fortran', version: '1.0')
py = import('python').find_installation(pure: false)
numpy = run_command(py, '-c', 'import numpy as n; print(n.get_include())', check: true).stdout().strip()
f2py = run_command(py, '-c', 'import numpy.f2py as f; print(f.get_include())', check: true)
f2py = f2py.stdout().strip()
generated = custom_target('thingmodule.c', output: ['thingmodule.c', 'thing-f2pywrappers.f'],
  input: 'thing.f90', command: [py, '-m', 'numpy.f2py', '@INPUT@', '-m', 'thing', '--lower',
  '--build-dir', '@OUTDIR@'])
py.extension_module('thing', ['thing.f90', generated, f2py / 'fortranobject.c'],
  include_directories: include_directories(numpy, f2py), install: true)
"""
MESON_XML = """\
project('thing', 'c', version: '1.0')
py = import('python').find_installation(pure: false)
py.extension_module('thing', 'thing.c', dependencies: [dependency('libxml-2.0')], install: true)
"""
CMAKE_FORTRAN = """\
cmake_minimum_required(VERSION 3.18...4.0)
project(thing LANGUAGES C Fortran)
find_package(Python COMPONENTS Interpreter Development.Module NumPy REQUIRED)
add_custom_command(OUTPUT thingmodule.c thing-f2pywrappers.f DEPENDS thing.f90
  COMMAND "${Python_EXECUTABLE}" -m numpy.f2py "${CMAKE_CURRENT_SOURCE_DIR}/thing.f90" -m thing --lower)
execute_process(COMMAND "${Python_EXECUTABLE}" -c "import numpy.f2py as f; print(f.get_include())"
  OUTPUT_VARIABLE F2PY OUTPUT_STRIP_TRAILING_WHITESPACE)
python_add_library(thing MODULE thing.f90 "${CMAKE_CURRENT_BINARY_DIR}/thingmodule.c"
  "${CMAKE_CURRENT_BINARY_DIR}/thing-f2pywrappers.f" "${F2PY}/fortranobject.c" WITH_SOABI)
target_include_directories(thing PRIVATE "${F2PY}")
target_link_libraries(thing PRIVATE Python::NumPy)
install(TARGETS thing DESTINATION .)
"""
CMAKE_XML = """\
cmake_minimum_required(VERSION 3.18...4.0)
project(thing LANGUAGES C)
find_package(Python COMPONENTS Interpreter Development.Module REQUIRED)
find_package(LibXml2 REQUIRED)
python_add_library(thing MODULE thing.c WITH_SOABI)
target_link_libraries(thing PRIVATE LibXml2::LibXml2)
install(TARGETS thing DESTINATION .)
"""
CALL = "import numpy, thing; a = numpy.ones(3); thing.scale(a, 2.0); assert a.sum() == 6"


@dataclass(frozen=True, kw_only=True)
class Made:
    """A project: its files, what it wants, and for which policy its wheel comes out on Debian 12."""

    id: str
    system: str
    files: dict[str, str]
    packages: tuple[str, ...]
    program: str
    policy: str
    library: str

    def write(self, folder: Path) -> None:
        for name, text in self.files.items():
            (folder / name).write_text(text)
        numpy = '\ndependencies = ["numpy"]' if "Fortran" in self.id else ""
        (folder / "pyproject.toml").write_text(f"""\
[build-system]
requires = {self.system}
[project]
name = "thing"
version = "1.0"{numpy}
[tool.pytest-manylinux]
distros = ["debian-12"]
build-packages = {list(self.packages)}
test-command = "python -c '{self.program}'"
""")


PROJECTS = (
    Made(
        id="Fortran by Meson",
        system=MESON,
        files={"thing.f90": FORTRAN, "meson.build": MESON_FORTRAN},
        packages=("gfortran",),
        program=CALL,
        policy="manylinux_2_34",
        library="libgfortran",
    ),
    Made(
        id="Fortran by CMake",
        system=CMAKE,
        files={"thing.f90": FORTRAN, "CMakeLists.txt": CMAKE_FORTRAN},
        packages=("gfortran",),
        program=CALL,
        policy="manylinux_2_34",
        library="libgfortran",
    ),
    Made(
        id="libxml2 by Meson",
        system=MESON,
        files={"thing.c": XML, "meson.build": MESON_XML},
        packages=("libxml2-dev", "pkg-config"),
        program="import thing",
        policy="manylinux_2_35",  # libicuuc, which libxml2 needs, wants GLIBCXX_3.4.30
        library="libxml2",
    ),
    Made(
        id="libxml2 by CMake",
        system=CMAKE,
        files={"thing.c": XML, "CMakeLists.txt": CMAKE_XML},
        packages=("libxml2-dev",),
        program="import thing",
        policy="manylinux_2_35",
        library="libxml2",
    ),
)


@pytest.mark.parametrize("made", PROJECTS, ids=lambda made: made.id)
def test_it_comes_out_for_the_policy_that_its_libraries_ask_for(made: Made, tmp_path: Path) -> None:
    made.write(tmp_path)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "--manylinux", "--manylinux-proof=proof.json"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:]
    record = read_proof(tmp_path / "proof.json").record
    [build] = record.builds
    assert build.policy == made.policy
    assert made.library in build.policy_why or "libicuuc" in build.policy_why
    assert {verdict.outcome for verdict in record.verdicts} == {Outcome.PORTABLE}
    [suite] = [one.observation.tests for one in record.verdicts if one.observation]
    assert suite
    assert suite.exit_code == 0
