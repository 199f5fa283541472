"""Libraries that a build wanted, its root lacks, and a package of the distro brings.

Compilers, linkers, pkg-config, Meson and CMake each name what they looked for: a header, a library, a
module. data/development_packages.toml has Debian's packages for those; for others it is said how to
find one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from pytest_manylinux.building.api import THOUGH_INSTALLED, KnownFailure
from pytest_manylinux.toml import parse_toml

_HEADER = re.compile(
    r"fatal error: (?!'?longintrepr\.h)"  # a header of Python's; see missing_from_python
    r"(?:'(?P<clang>[^'\n]+)' file not found|(?P<gcc>[^\s:]+): No such file or directory)"
    r"(?P<quoted>\n[ \d]*\|[ \t]*#[ \t]*include[ \t]*\")?"  # the line that both show
    # projects' own checks
    r"|(?:[Ff]ailed to locate|(?:[Cc]ould not|[Cc]annot|[Uu]nable to) (?:find|locate)|[Mm]issing"
    r" header) ['\"]?(?P<own>[\w/.+-]+\.h)\b"
)
_LIBRARY = re.compile(
    r"unable to find (?:dynamic |static )?system library ['\"](?P<zig>[^'\"\n]+)['\"]"
    r"|unable to find library -l(?P<lld>[\w.+-]+)"
    r"|ld: cannot find -l(?P<gnu>[\w.+-]+)"
)
_MODULE = re.compile(
    r"No package '(?P<no>[\w.+-]+)' found"
    r"|Package '?(?P<package>[\w.+-]+?)'?,? (?:required by|was not found in the pkg-config search path)"
    r"|ERROR: Dependency \"(?P<meson>[\w.+-]+)\" not found"
    r"|ERROR: Dependency lookup for (?P<lookup>[\w.+-]+) with method 'pkg-?config' failed"
)
_CMAKE = re.compile(r"^CMake Error at [^\n]*\n\s+Could NOT find (?P<cmake>\w+)", re.MULTILINE)


# Headers in distributions of the package index, and what says where they are.
_OF_THE_INDEX = {
    "numpy": "numpy.get_include()",
    "pybind11": "pybind11.get_include()",
    "nanobind": "nanobind.include_dir()",
}


@cache
def development_packages() -> dict[str, tuple[str, ...]]:
    """Debian's packages, and what each brings, as the data file has it."""
    text = (files("pytest_manylinux.building.data") / "development_packages.toml").read_text("utf-8")
    return {package: tuple(names) for package, names in parse_toml(text).items()}


def package_of(wanted: str) -> str:
    """Debian's package with a header, `NAME.pc`, `libNAME.so` or `FindNAME.cmake`; empty if unknown."""
    for package, names in development_packages().items():
        if any(_brings(name, wanted) for name in names):
            return package
    return ""


def _brings(name: str, wanted: str) -> bool:
    if name.endswith("/"):
        return f"/{name}" in f"/{wanted}"
    return f"/{wanted}".endswith(f"/{name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Missing:
    """What to do about each thing that is missing in a root with the packages `asked` for."""

    asked: frozenset[str]

    def header(self, match: re.Match[str]) -> str:
        header = _name(match)
        if place := _OF_THE_INDEX.get(name := header.partition("/")[0]):
            return (
                f'{header} is not there: "{name}" in [build-system] requires of pyproject.toml '
                f"brings it, {place} says where"
            )
        if match["quoted"] and not package_of(header):
            return (
                f"{header} is not there, which is included as a file of the project: if its sdist lacks"
                " it, MANIFEST.in or the back end's settings have to name it; else let before-build"
                " make it"
            )
        return self._advice(header, header)

    def library(self, match: re.Match[str]) -> str:
        return self._advice(f"lib{_name(match)}", f"lib{_name(match)}.so")

    def module(self, match: re.Match[str]) -> str:
        return self._advice(f"{_name(match)}.pc", f"{_name(match)}.pc")

    def cmake(self, match: re.Match[str]) -> str:
        return self._advice(f"what CMake calls {match['cmake']}", f"Find{match['cmake']}.cmake")

    def _advice(self, what: str, file: str) -> str:
        package = package_of(file)
        if package in self.asked:
            return (
                f"{what}{THOUGH_INSTALLED}{package} is installed, which has it: in a folder of its"
                " own perhaps, which the project has to ask pkg-config for (build-packages bring it) or"
                " to name"
            )
        if package:
            return f'{what} is not there: build-packages = ["{package}"] brings it'
        return (
            f"{what} is not there: if a package of the distro has it, name that in build-packages "
            f"(`apt-file search {file}`), or let before-build make it"
        )


def _name(match: re.Match[str]) -> str:
    return next(text for text in match.groups() if text)


def missing_libraries(build_packages: Iterable[str] = ()) -> tuple[KnownFailure, ...]:
    """Known failures of a build in a root with `build_packages`, as the setting has them."""
    missing = _Missing(asked=frozenset(re.split("[:=]", name)[0] for name in build_packages))
    return (
        KnownFailure(pattern=_HEADER, remedy=missing.header),
        KnownFailure(pattern=_LIBRARY, remedy=missing.library),
        KnownFailure(pattern=_MODULE, remedy=missing.module),
        KnownFailure(pattern=_CMAKE, remedy=missing.cmake),
    )
