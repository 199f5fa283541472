"""Programs that a build wanted, its Debian root lacks, and a package of the distro brings.

Shells, make, Python, Meson and CMake each say in words of their own that a program is not there.
"""

from __future__ import annotations

import re
from functools import cache

from pytest_manylinux.building.api import KnownFailure

# Debian's packages, by the program.
_PACKAGES = {
    "as": "binutils",
    "autoconf": "autoconf",
    "autoreconf": "autoconf",
    "automake": "automake",
    "bison": "bison",
    "cargo": "cargo",
    "cups-config": "libcups2-dev",
    "curl": "curl",
    "curl-config": "libcurl4-openssl-dev",
    "flex": "flex",
    "gdal-config": "libgdal-dev",
    "geos-config": "libgeos-dev",
    "gettext": "gettext",
    "gfortran": "gfortran",
    "git": "git",
    "go": "golang-go",
    "gperf": "gperf",
    "gsl-config": "libgsl-dev",
    "krb5-config": "libkrb5-dev",
    "libtoolize": "libtool",
    "llvm-config": "llvm-dev",
    "m4": "m4",
    "make": "make",
    "msgfmt": "gettext",
    "mysql_config": "default-libmysqlclient-dev",
    "nasm": "nasm",
    "nc-config": "libnetcdf-dev",
    "net-snmp-config": "libsnmp-dev",
    "nm": "binutils",
    "objcopy": "binutils",
    "patch": "patch",
    "pcre2-config": "libpcre2-dev",
    "pg_config": "libpq-dev",
    "pkg-config": "pkg-config",
    "protoc": "protobuf-compiler",
    "readelf": "binutils",
    "rustc": "cargo",
    "sdl2-config": "libsdl2-dev",
    "swig": "swig",
    "unzip": "unzip",
    "wget": "wget",
    "xml2-config": "libxml2-dev",
    "xslt-config": "libxslt1-dev",
    "xxd": "xxd",
    "yasm": "yasm",
}
# What the package index has as well: a project names it itself, and has it everywhere.
_OF_THE_INDEX = {"cmake": "cmake", "meson": "meson", "ninja": "ninja-build"}
# Checks of projects' own: `'pkg-config' is required to install this package`. {0} is the program.
_IS_REQUIRED = (
    r"(?:^|[\s'\"`(]){0}['\"`]? (?:is|was|must be|needs to be|could not be|cannot be|can't be) "
    r"(?:required|needed|missing|found|installed|not (?:found|installed|available|on))\b"
)
_IS_SOUGHT = (
    r"(?:(?:[Cc]ould not|[Cc]annot|[Cc]an't|[Uu]nable to) find|(?:[Pp]lease|[Nn]eed to) install) "
    r"(?:the )?['\"`]?{0}"
    r"(?=['\"`]|[ \t]*(?:$|[,;:(.]|(?:in|on|and|first|executable|program|command)\b))"
)
_WORDS = (
    r"^(?:\S+: )?(?:line )?(?:\d+: )?{0}: (?:command )?not found\b",  # dash and bash
    r"^make(?:\[\d+\])?: {0}: No such file or directory",
    r"No such file or directory: b?'{0}'$",  # Python's subprocess
    r"Program '{0}' not found",  # Meson's find_program
    r"command '{0}' failed: No such file or directory",  # distutils
    r"Command '[('\[]*{0}\b[^\n]* returned non-zero exit status 127\b",  # subprocess, through a shell
)
_OF_PROJECTS = (_IS_REQUIRED, _IS_SOUGHT)
_ENGLISH = frozenset({"as", "go", "make", "patch"})  # words of sentences about other things, too
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
    "make": (r"unable to find a build program corresponding to \"Unix Makefiles\"",),
    "pg_config": (r"pg_config executable not found",),
    "pkg-config": (
        r"Unable to invoke pkg-config|Can not find valid pkg-config name",
        r"\bPkg-config for machine host machine not found",
        r"Could NOT find PkgConfig\b",
    ),
    "flex": (r"Could NOT find FLEX\b",),
    "bison": (r"Could NOT find BISON\b",),
    "git": (
        r"Could NOT find Git\b|could not find git for clone of",  # FindGit, ExternalProject
        r"setuptools[-_]scm was unable to detect version|vcs_versioning.*LookupError",
        r"\bGit program not found\b",  # Meson, for a subproject
    ),
    "swig": (r"Could NOT find SWIG\b",),
}


def _pattern(program: str) -> re.Pattern[str]:
    patterns = _WORDS if program in _ENGLISH else (*_WORDS, *_OF_PROJECTS)
    words = (*(one.format(re.escape(program)) for one in patterns), *_OWN_WORDS.get(program, ()))
    return re.compile("|".join(f"(?:{one})" for one in words), re.MULTILINE)


# cargo's words, of a lock file, an edition or crates that want a newer one than the distro's
_OLD_RUST = re.compile(
    r"lock file version `?\d+`? was found, but this version of Cargo does not understand"
    r"|requires rustc \d[\w.]* or newer|rustc \d[\w.]* is not supported by the following"
    r"|feature `edition20\d\d` is required"
)
OLD_RUST = KnownFailure(
    pattern=_OLD_RUST,
    remedy='the distro\'s Rust is too old for it: build-packages = ["cargo-web"] brings the newer one'
    " that Debian has for its browsers",
)


@cache
def missing_programs() -> tuple[KnownFailure, ...]:
    """What says that a program is missing; made for the first build, as it takes 50 ms to compile."""
    of_the_distro = (
        KnownFailure(
            pattern=_pattern(program),
            remedy=f'{program} is not there: build-packages = ["{package}"] brings it',
        )
        for program, package in _PACKAGES.items()
    )
    of_the_index = (
        KnownFailure(
            pattern=_pattern(program),
            remedy=f'{program} is not there: "{program}" in [build-system] requires brings it from the '
            f'index, build-packages = ["{package}"] from the distro',
        )
        for program, package in _OF_THE_INDEX.items()
    )
    return (*of_the_distro, *of_the_index)
