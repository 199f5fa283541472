from __future__ import annotations

import pytest
from auditwheel.architecture import Architecture
from auditwheel.libc import Libc
from auditwheel.policy import WheelPolicies

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.diagnose.libraries import how_to_get, system_libraries

CATALOGUE = load_catalogue()
ALLOWED = sorted(
    {
        library
        for arch in (Architecture.x86_64, Architecture.aarch64, Architecture.s390x)
        for policy in WheelPolicies(libc=Libc.GLIBC, arch=arch)
        for library in policy.whitelist
        if not library.startswith(("ld-linux", "ld64"))
    }
)


@pytest.mark.parametrize("library", ALLOWED)
def test_who_brings_a_library_of_the_allow_list_is_known_of_every_distro(library: str) -> None:
    assert system_libraries()[library].title
    for distro in (one for one in CATALOGUE.distros if one.libc.is_glibc()):
        words = how_to_get(library, distro)
        assert words.startswith(f"the policies permit {library} (")
        assert words.endswith(("brings it", "has no package that brings it"))


@pytest.mark.parametrize(
    ("distro", "library", "package"),
    [
        ("debian-11", "libglib-2.0.so.0", "libglib2.0-0"),
        ("debian-13", "libglib-2.0.so.0", "libglib2.0-0t64"),
        ("fedora-42", "libGL.so.1", "libglvnd-glx"),
        ("ubi-9", "libX11.so.6", "libX11"),
        ("mageia-9", "libX11.so.6", "libX11.so.6()(64bit)"),
        ("photon-5", "libnsl.so.1", "libnsl.so.1()(64bit)"),
        ("opensuse-tumbleweed", "libSM.so.6", "libSM6"),
        ("archlinux", "libcrypt.so.1", "libxcrypt-compat"),
        ("slackware-current", "libXrender.so.1", "libXrender"),
    ],
)
def test_the_package_is_named(distro: str, library: str, package: str) -> None:
    assert system_libraries()[library].package(CATALOGUE.get(distro)) == package


def test_what_only_the_first_policies_permitted_is_told_so() -> None:
    words = how_to_get("libcrypt.so.1", CATALOGUE.get("fedora-42"))
    assert words.startswith("only the first policies permitted libcrypt.so.1")
    assert "libxcrypt-compat" in words


def test_a_library_that_no_policy_lists_should_have_been_grafted() -> None:
    assert "repair should have grafted it" in how_to_get("libusb-1.0.so.0", CATALOGUE.get("debian-12"))
