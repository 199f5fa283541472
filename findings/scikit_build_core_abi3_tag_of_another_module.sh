#!/bin/sh
# scikit-build-core 1.1.2 and abi3audit 0.0.26: a cp38-abi3 wheel whose module only CPython 3.11 finds; both have no word.
#
# `wheel.py-api = "cp38"` asks scikit-build-core for a wheel of the stable ABI, tag cp38-abi3, which each CPython from 3.8
# on installs. The module's file is CMake's matter: python_add_library(... WITH_SOABI) without USE_SABI names it
# sample.cpython-311-x86_64-linux-gnu.so, a suffix that no other CPython looks for. That is an easy mistake: three lines
# in two files have to agree. One expects an error, or at least a warning, of the back end that knows both names, and of
# abi3audit, which is run to learn whether an abi3 wheel keeps its promise.
# The build ends well. abi3audit reads the module as one of the stable ABI, finds it in order, exit code 0. Any
# Python but 3.11 gets ModuleNotFoundError.
#
# Wants: Linux, a C compiler, python3 with venv and Python.h, a package index. Ends with 0 while it is so.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv tools
PATH=$folder/tools/bin:$PATH
python -m pip install -qq --disable-pip-version-check scikit-build-core==1.1.2 abi3audit==0.0.26 build==1.6.1 \
  cmake==4.4.5 ninja==1.13.2
mkdir project
cat >project/pyproject.toml <<'TOML'
[build-system]
requires = ["scikit-build-core"]
build-backend = "scikit_build_core.build"

[project]
name = "sample"
version = "1.0"

[tool.scikit-build]
wheel.py-api = "cp38"
TOML
cat >project/CMakeLists.txt <<'CMAKE'
cmake_minimum_required(VERSION 3.26)
project(sample LANGUAGES C)
find_package(Python REQUIRED COMPONENTS Interpreter Development.Module)
python_add_library(sample MODULE sample.c WITH_SOABI)
install(TARGETS sample DESTINATION .)
CMAKE
cat >project/sample.c <<'C'
#include <Python.h>
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "sample", 0, -1, 0};
PyMODINIT_FUNC PyInit_sample(void) { return PyModule_Create(&definition); }
C
python --version
python -m build --no-isolation --wheel project >log 2>&1 || { cat log; exit 1; }
grep -iE 'warn|abi3' log || true
wheel=$(echo project/dist/*.whl)
python -m zipfile -l "$wheel" | grep -o 'sample[^ ]*\.so' >module
echo "$wheel has $(cat module)"
if abi3audit --strict --verbose "$wheel" >words 2>&1; then code=0; else code=$?; fi
cat words
echo "abi3audit: exit code $code; expected: a word, of one of the two, on a module that is not of the stable ABI by its name"
case $wheel in *-cp38-abi3-*) ;; *) exit 1 ;; esac
grep -q 'cpython-3' module
grep -qi warn log && exit 1
[ $code = 0 ]
grep -q '1 extensions scanned; 0 ABI' words
