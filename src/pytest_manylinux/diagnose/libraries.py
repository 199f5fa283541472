"""What is known of the libraries that a wheel may take from the system, libpython among them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files

from pytest_manylinux.diagnose.elf_index import files_named
from pytest_manylinux.diagnose.loader_model import (
    is_loader,
    is_of_musl,
    is_optional,
    lone_loadings,
)
from pytest_manylinux.diagnose.modules import declared, needs_others, required_names
from pytest_manylinux.model.distro import Distro, Target
from pytest_manylinux.model.wheel import WheelFacts
from pytest_manylinux.toml import parse_toml

_SYSTEM_FOLDER = re.compile(r"(?:/usr)?/lib(?:64|32)?(?:/[a-z0-9_]+-linux-gnu\w*)?")
# Package managers that take the packages of another one.
_KIN = {"microdnf": "dnf", "dnf5": "dnf"}
# Distros whose packages have names of their own, whatever installs them.
_OWN_NAMES = frozenset({"alt", "mageia"})
_RPM = frozenset({"apt-rpm", "dnf", "tdnf", "yum", "zypper"})
_DRIVER = frozenset(
    {
        *("libcuda", "libcudadebugger", "libnvidia-ml", "libnvidia-encode", "libnvcuvid"),
        *("libnvidia-fbc", "libnvidia-opticalflow", "libnvidia-ptxjitcompiler", "libnvoptix"),
        *("libnvidia-ngx", "libnvidia-cfg", "libnvidia-nvvm"),
        *("libibverbs", "librdmacm", "libibumad", "libmlx4", "libmlx5", "libefa"),
    }
)
# Releases from which Debian and Ubuntu call some libraries by names that end in t64.
_T64 = {"debian": (2, 41), "ubuntu": (2, 39)}


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemLibrary:
    """A library of the policies' allow list. `minimal` and `packages` are by package manager.

    `former` says that only the first policies listed it.
    """

    name: str
    title: str
    minimal: frozenset[str]
    packages: dict[str, str]
    former: bool = False

    def is_minimal(self, distro: Distro) -> bool:
        """Whether a minimal installation of the distro with python3 has it."""
        manager = _KIN.get(distro.package_manager, distro.package_manager)
        return "*" in self.minimal or manager in self.minimal

    def package(self, distro: Distro) -> str:
        """What to ask the distro's package manager for; empty where that is not known.

        Where the package's name is not known to us but the packages are rpm's, it is the capability
        that rpm gives to every package with a library of that name.
        """
        manager = _KIN.get(distro.package_manager, distro.package_manager)
        since = _T64.get(distro.family)
        if manager == "apt" and since is not None and distro.libc.is_glibc(since):
            return self.packages.get("apt-t64", self.packages.get("apt", ""))
        name = "" if distro.family in _OWN_NAMES else self.packages.get(manager, "")
        return name or (f"{self.name}()(64bit)" if manager in _RPM else "")


@cache
def system_libraries() -> dict[str, SystemLibrary]:
    """The allow list by soname."""
    text = (files("pytest_manylinux.diagnose.data") / "libraries.toml").read_text("utf-8")
    return {
        name: SystemLibrary(
            name=name,
            title=row["title"],
            minimal=frozenset(row["minimal"]),
            packages=row["packages"],
            former=row.get("former", False),
        )
        for name, row in parse_toml(text)["libraries"].items()
    }


def is_driver(library: str) -> bool:
    """Whether a library comes with the driver of a device and with nothing else.

    NVIDIA's: the libraries of its driver package (README of the Linux driver, "Installed
    Components"); the user-space drivers of RDMA network cards (rdma-core). AMD's and Intel's
    user-space runtimes are ordinary packages.
    """
    return library.partition(".so")[0] in _DRIVER and ".so" in library


_OF_COMPILERS = re.compile(r"lib(?:gomp|quadmath|gfortran)\.so\.\d+")


# What the wheels of some projects hold, with those of all that they require: read from
# intel-cmplr-lib-ur 2026.2.0, umf 1.2.0, tcmlib 1.6.0 and tbb 2023.2.0 of the index.
_OF_TCM = ("libtcm*.so*", "libhwloc.so*")
_OF_UMF = ("libumf.so*", *_OF_TCM)
_BROUGHT = {
    "tcmlib": _OF_TCM,
    "umf": _OF_UMF,
    "intel-cmplr-lib-ur": ("libur_*.so*", *_OF_UMF),
    "tbb": ("libtbb*.so*", *_OF_TCM),
}


def may_be_of_dependency(library: str, facts: WheelFacts) -> bool:
    """Whether a library that the wheel lacks may lie in a dependency's folder, or be loaded before.

    That is what PyTorch's and PyQt's parts do with libraries that no policy lists: the bytes of this
    wheel alone do not tell. The runtime libraries of GCC come in wheels under names that repair gave
    them, so that nobody else's are found by the plain name; but for PyTorch, which repairs itself.
    """
    if not needs_others(facts) or library in system_libraries():
        return False
    brought = [_BROUGHT.get(name) for name in required_names(facts)]
    if all(brought):
        return any(fnmatchcase(library, pattern) for patterns in brought for pattern in patterns or ())
    return _OF_COMPILERS.fullmatch(library) is None or declared("torch", facts) is not None


def lacked_alone(facts: WheelFacts, target: Target) -> tuple[dict[str, bool], bool]:
    """What the libraries of a wheel of libraries alone need that neither it nor the distro has.

    Each with whether it keeps a library from being opened that has to be there; and whether any of them
    can be opened all the same. An opener has the wheel's own libraries within reach.
    """
    found: dict[str, bool] = {}
    some = False
    for loading in lone_loadings(facts, target):
        needs = [need.library for need in loading.unreached]
        lacked = [
            library
            for library in needs
            if not files_named(library, facts) and not is_on(library, target.distro)
        ]
        some = some or not lacked
        for library in lacked:
            found[library] = found.get(library, False) or not is_optional(loading.root.path, facts)
    return {library: decides or not some for library, decides in found.items()}, some


def is_on(library: str, distro: Distro) -> bool | None:
    """Whether the distro has the library: its surveyed image, or else a minimal installation.

    None if nothing is known of it.
    """
    folder, slash, name = library.rpartition("/")
    if slash:
        # A need that is a path: a library of the system's folders may be there, others are not.
        return is_on(name, distro) if _SYSTEM_FOLDER.fullmatch(folder) else False
    if distro.libc.is_musl():
        return _is_on_musl(library, distro)
    if distro.libraries is not None:
        return library in distro.libraries or is_loader(library)
    if library in distro.absent_libraries:
        return False
    if is_loader(library):
        return True
    known = system_libraries().get(library)
    return None if known is None else known.is_minimal(distro)


def _is_on_musl(library: str, distro: Distro) -> bool | None:
    """Of glibc's libraries musl's loader takes some names for itself; its own needs no other."""
    if is_of_musl(library):
        return True
    if distro.libraries is not None:
        return library in distro.libraries
    if library in distro.absent_libraries or is_loader(library):
        return False
    if library in _MUSLLINUX:
        return True
    return None if system_libraries().get(library) is None else False


_MUSLLINUX = frozenset({"libz.so.1"})
"""What musllinux policies let come from the system beside libc (auditwheel, musllinux-policy.json)."""


def how_to_get(library: str, distro: Distro) -> str:
    """A sentence on who brings the library to the distro, and whether the policies permit it."""
    if distro.libc.is_musl() and is_loader(library):
        return f"{library} is glibc's loader: the file was built for glibc, not for musl"
    if distro.libc.is_musl():
        return f"musllinux policies permit libc and libz.so.1 alone: repair should graft {library}"
    known = system_libraries().get(library)
    if known is None:
        return f"no policy's allow list permits {library}: repair should have grafted it"
    words = f"the policies permit {library} ({known.title})"
    if known.former:
        words = f"only the first policies permitted {library} ({known.title}); repair should graft it"
    if library in distro.absent_libraries:
        return f"{words}, but {distro.id} has no package that brings it"
    package = known.package(distro)
    if not package:
        return f"{words}; which package of {distro.id} brings it is not known"
    return f"{words}; on {distro.id} the package {package} brings it"


_LIBPYTHON = re.compile(r"libpython(?P<version>\d\.\d+|\d)[a-z]*\.so(?:\.[\d.]+)?")
# Families whose interpreter has everything inside, so that a minimal installation has no libpython
# (seen on live roots of Debian 11, 12, 13 and testing; Ubuntu packages Python as Debian does).
_STATIC = frozenset({"debian", "ubuntu"})


def is_libpython(library: str) -> bool:
    """Whether a soname is the interpreter's own library."""
    return _LIBPYTHON.fullmatch(library) is not None


def has_libpython(library: str, target: Target) -> bool | None:
    """Whether the target's interpreter brings that library; None where it is not known."""
    match = _LIBPYTHON.fullmatch(library)
    if match is None or target.distro.family in _STATIC:
        return False
    own = target.interpreter.version
    return None if match["version"] in {own.dotted, str(own.major)} else False
