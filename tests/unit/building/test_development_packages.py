"""Headers, libraries and modules that a build lacks, by the words of those that wanted them."""

from __future__ import annotations

import re

import pytest

from pytest_manylinux.building.api import KnownFailure
from pytest_manylinux.building.development_packages import (
    development_packages,
    missing_libraries,
    package_of,
)


def advice(words: str) -> list[str]:
    return [one for known in missing_libraries() for one in known.advice(words)]


@pytest.mark.parametrize(
    ("words", "package"),
    [
        ("a.h:17:10: fatal error: 'gssapi/gssapi.h' file not found", "libkrb5-dev"),
        ("x.c:4:10: fatal error: 'sqlite3.h' file not found", "libsqlite3-dev"),
        ("FileNotFoundError: Failed to locate glpk.h.", "libglpk-dev"),
        ("RuntimeError: could not find 'lzo/lzo1x.h'", "liblzo2-dev"),
        ("x.c:4:10: fatal error: 'libxml/parser.h' file not found", "libxml2-dev"),
        ("x.c:4:10: fatal error: ffi.h: No such file or directory", "libffi-dev"),
        ("x.c:4:10: fatal error: postgresql/libpq-fe.h: No such file or directory", "libpq-dev"),
        (
            (
                'error: unable to find dynamic system library "usb-1.0" using strategy paths_first. '
                "searched paths:"
            ),
            "libusb-1.0-0-dev",
        ),
        ("ld.lld: error: unable to find library -lldap", "libldap-dev"),
        ("/usr/bin/ld: cannot find -lzmq: No such file or directory", "libzmq3-dev"),
        ("No package 'libxml-2.0' found", "libxml2-dev"),
        ("Package 'openssl', required by 'virtual:world', not found", "libssl-dev"),
        ("Package libcurl was not found in the pkg-config search path.", "libcurl4-openssl-dev"),
        ('../meson.build:5:0: ERROR: Dependency "cairo" not found, tried pkgconfig', "libcairo2-dev"),
        (
            (
                "../meson.build:66:15: ERROR: Dependency lookup for alsa with method 'pkg-config' "
                "failed: Pkg-config for machine host machine not found. Giving up."
            ),
            "libasound2-dev",
        ),
        (
            (
                "CMake Error at /x/FindPackageHandleStandardArgs.cmake:290 (message):\n"
                "  Could NOT find OpenSSL, try to set the path to OpenSSL root folder"
            ),
            "libssl-dev",
        ),
    ],
)
def test_each_way_to_say_that_a_library_is_missing(words: str, package: str) -> None:
    [said] = advice(f"compiling\n{words}\n== exit code 1")
    assert said.endswith(f' is not there: build-packages = ["{package}"] brings it')


def test_what_no_table_knows_is_looked_for_by_its_name() -> None:
    [said] = advice("x.c:3:10: fatal error: 'crc32c/crc32c.h' file not found")
    assert said.startswith("crc32c/crc32c.h is not there: if a package of the distro has it")
    assert "`apt-file search crc32c/crc32c.h`" in said


@pytest.mark.parametrize("asked", ["libfreetype-dev", "libfreetype-dev:amd64", "libfreetype-dev=2.12"])
def test_a_package_that_is_installed_is_not_advised_again(asked: str) -> None:
    words = "x.c:3:10: fatal error: 'ft2build.h' file not found"
    [said] = [one for known in missing_libraries([asked]) for one in known.advice(words)]
    assert said.startswith("ft2build.h is not found, though libfreetype-dev is installed, which has it")
    assert "pkg-config" in said


def test_headers_that_the_index_has_are_named_with_their_distribution() -> None:
    [said] = advice("x.c:3:10: fatal error: 'numpy/arrayobject.h' file not found")
    assert '"numpy" in [build-system] requires of pyproject.toml brings it, numpy.get_include()' in said


@pytest.mark.parametrize(
    "words", ["'tree/parser.h' file not found", "tree/parser.h: No such file or directory"]
)
def test_a_header_of_the_projects_own_is_looked_for_in_its_sdist(words: str) -> None:
    shown = f'x.c:1:10: fatal error: {words}\n    1 | #include "tree/parser.h"\n      |          ^~~\n'
    [said] = advice(shown)
    assert said.startswith("tree/parser.h is not there, which is included as a file of the project")
    assert "MANIFEST.in" in said
    assert "apt-file" in advice(shown.replace('"', "<"))[0]


def test_a_header_that_python_no_longer_has_is_in_no_package() -> None:
    assert advice("core.c:196:12: fatal error: 'longintrepr.h' file not found") == []


def test_each_thing_is_named_once() -> None:
    twice = "a.c:1:1: fatal error: 'zmq.h' file not found\n" * 2
    chain = [one for one in missing_libraries() if list(one.advice(twice))]
    assert len(set(chain[0].advice(twice + "b.c:1:1: fatal error: 'krb5.h' file not found"))) == 2


@pytest.mark.parametrize(
    "words",
    [
        "-- Could NOT find OpenSSL (missing: OPENSSL_CRYPTO_LIBRARY)",
        "warning: 'sqlite3.h' file not found",
        "Run-time dependency geos found: NO",
        "error: linking with `cc` failed: cannot find the crate",
    ],
)
def test_what_a_build_can_do_without_is_no_cause(words: str) -> None:
    assert advice(words) == []


def test_a_remedy_may_be_a_text_for_all_matches() -> None:
    known = KnownFailure(pattern=re.compile("x"), remedy="do it")
    assert list(known.advice("a x")) == ["do it"]
    assert list(known.advice("a y")) == []


def test_the_table_has_each_thing_once() -> None:
    names = [name for names in development_packages().values() for name in names]
    assert len(names) == len(set(names))
    for package, brought in development_packages().items():
        assert package.endswith("-dev")
        for name in brought:
            assert name.endswith(("/", ".h", ".hh", ".hpp", ".pc", ".so", ".cmake")), name
            assert package_of(f"{name}x.h" if name.endswith("/") else name) == package
