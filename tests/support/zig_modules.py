"""Extension modules without headers, compiled by zig for any architecture."""

from __future__ import annotations

import subprocess
from pathlib import Path

from pytest_manylinux.building.compiler import target_of
from pytest_manylinux.model.policy import Policy

# Python.h of each architecture is not at hand, and of the stable ABI a module without functions wants
# only this: PyModuleDef and PyModule_Create2 (CPython's Include/moduleobject.h).
MODULE = """
typedef struct { long refcount; void *type; void *init; long index; void *copy;
                 const char *name; const char *doc; long size; void *rest[5]; } Def;
extern void *PyModule_Create2(Def *, int);
static Def def = { 1, 0, 0, 0, 0, "demo", 0, -1, { 0 } };
%s
void *PyInit_demo(void) { %s return PyModule_Create2(&def, 1013); }
"""
SOUND = MODULE % ("", "")
CRASHES = MODULE % ("", "*(volatile int *)0 = 1;")


def compile_module(zig: Path, folder: Path, source: str, arch: str) -> bytes:
    """A module for the stable ABI, by zig for manylinux2014 of an architecture."""
    target = target_of(arch).aimed_at(Policy((2, 17)))
    (folder / "demo.c").write_text(source)
    command = [str(zig), "cc", "-target", target, "-fno-sanitize=all", "-O1", "-fPIC", "-shared", "-s"]
    subprocess.run([*command, "demo.c", "-o", "demo.so"], cwd=folder, check=True)
    return (folder / "demo.so").read_bytes()
