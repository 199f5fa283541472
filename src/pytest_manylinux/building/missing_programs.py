"""Programs that a build wanted, its Debian root lacks, and a package of the distro brings.

Shells, make, Python, Meson and CMake each say in words of their own that a program is not there.
"""

from __future__ import annotations

import re

from pytest_manylinux.building.api import KnownFailure

# Debian's packages, by the program; not those that the package index has as well (cmake, ninja).
_PACKAGES = {
    "autoconf": "autoconf",
    "autoreconf": "autoconf",
    "automake": "automake",
    "bison": "bison",
    "cargo": "cargo",
    "curl": "curl",
    "flex": "flex",
    "gettext": "gettext",
    "gfortran": "gfortran",
    "git": "git",
    "go": "golang-go",
    "gperf": "gperf",
    "libtoolize": "libtool",
    "m4": "m4",
    "make": "make",
    "msgfmt": "gettext",
    "nasm": "nasm",
    "patch": "patch",
    "pkg-config": "pkg-config",
    "protoc": "protobuf-compiler",
    "rustc": "cargo",
    "swig": "swig",
    "unzip": "unzip",
    "wget": "wget",
    "xxd": "xxd",
    "yasm": "yasm",
}
# {0} is the program.
_WORDS = (
    r"^(?:\S+: )?(?:line )?(?:\d+: )?{0}: (?:command )?not found\b",  # dash and bash
    r"^make(?:\[\d+\])?: {0}: No such file or directory",
    r"No such file or directory: b?'{0}'$",  # Python's subprocess
    r"Program '{0}' not found",  # Meson's find_program
    r"command '{0}' failed: No such file or directory",  # distutils
)
# Words that name no program, or another one than the package is named for.
_OWN_WORDS = {
    "cargo": (
        r"can't find Rust compiler",  # setuptools-rust
        r"Cargo, the Rust package manager, is not installed",  # maturin
        r"\bpuccinialin\b",  # which maturin takes to download Rust, and which failed
        r"ERROR: Unknown compiler\(s\): \[\['rustc'",
        r"No CMAKE_RUST_COMPILER could be found|Could NOT find Rust\b",
    ),
    "gfortran": (
        r"ERROR: Unknown compiler\(s\): \[\['gfortran'",
        r"No CMAKE_Fortran_COMPILER could be found",
    ),
    "pkg-config": (
        r"\bPkg-config for machine host machine not found",
        r"Could NOT find PkgConfig\b",
    ),
    "flex": (r"Could NOT find FLEX\b",),
    "bison": (r"Could NOT find BISON\b",),
    "git": (
        r"Could NOT find Git\b",
        r"setuptools[-_]scm was unable to detect version|vcs_versioning.*LookupError",
    ),
    "swig": (r"Could NOT find SWIG\b",),
}


def _pattern(program: str) -> re.Pattern[str]:
    words = (*(one.format(re.escape(program)) for one in _WORDS), *_OWN_WORDS.get(program, ()))
    return re.compile("|".join(f"(?:{one})" for one in words), re.MULTILINE)


MISSING_PROGRAMS = tuple(
    KnownFailure(
        pattern=_pattern(program),
        remedy=f'{program} is not there: build-packages = ["{package}"] brings it',
    )
    for program, package in _PACKAGES.items()
)
