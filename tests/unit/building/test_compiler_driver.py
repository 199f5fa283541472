"""inside/driver.sh with a zig that only tells its arguments, and what zig is aimed at."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_manylinux.building.api import INSIDE_SOURCE
from pytest_manylinux.building.compiler import target_of
from pytest_manylinux.model.policy import parse_policy

Driver = Callable[..., list[str]]


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    fake = tmp_path / "zig"
    fake.write_text('#!/bin/sh\nfor word do echo "$word"; done\n')
    fake.chmod(0o755)
    (tmp_path / "bin").mkdir()
    (tmp_path / "target.sh").write_text(
        f"zig={fake}\ntarget=x86_64-linux-gnu.2.5\ntriplet=x86_64-linux-gnu\n"
        "includes='-isystem INCLUDE'\nlibraries='-LLIB LIB/libforward.a'\n"
    )

    def run(name: str, *arguments: str) -> list[str]:
        tool = tmp_path / "bin" / name
        shutil.copyfile(INSIDE_SOURCE / "driver.sh", tool)
        tool.chmod(0o755)
        done = subprocess.run(
            [str(tool), *arguments], check=True, capture_output=True, text=True, cwd=tmp_path
        )
        return done.stdout.splitlines()

    return run


@pytest.fixture
def musl_driver(driver: Driver, tmp_path: Path) -> Driver:
    with (tmp_path / "target.sh").open("a") as file:
        file.write("target=x86_64-linux-musl\ndynamic='-dynamic LIB/libc.musl-x86_64.so.1'\n")
    return driver


@pytest.mark.parametrize(
    ("arguments", "dynamic"),
    [
        (("-shared", "a.o", "-o", "a.so"), True),
        (("a.o", "-lm", "-lpthread", "-lstdc++", "-o", "a"), False),
        (("a.c", "-o", "a"), False),
        (("a.o", "-ltally", "-o", "a"), True),
        (("a.o", "../lib/libtally.so.2", "-o", "a"), True),
        (("-static", "-ltally", "a.o", "-o", "a"), False),
        (("-r", "a.o", "-lm", "b.o", "-o", "c.o"), False),
        (("-c", "a.c", "-o", "a.o"), False),
    ],
)
def test_programs_have_musl_inside_and_libraries_need_it(
    musl_driver: Driver, arguments: tuple[str, ...], *, dynamic: bool
) -> None:
    words = musl_driver("cc", *arguments)
    assert ("-dynamic" in words) is dynamic
    assert ("LIB/libc.musl-x86_64.so.1" in words) is dynamic


def test_compiling_aims_at_the_policy_and_drops_debug_information_last(driver: Driver) -> None:
    assert driver("cc", "-g", "-O2", "-c", "a b.c", "-o", "a.o") == [
        *("cc", "-target", "x86_64-linux-gnu.2.5", "-fno-sanitize=all", "-isystem", "INCLUDE"),
        *("-g", "-O2", "-c", "a b.c", "-o", "a.o", "-g0"),
    ]


@pytest.mark.parametrize("name", ["c++", "g++", "clang++", "x86_64-linux-gnu-g++"])
def test_linking_strips_and_adds_what_old_glibc_lacks(driver: Driver, name: str) -> None:
    words = driver(name, "-shared", "a.o", "-o", "a.so")
    assert words[0] == "c++"
    assert words[-4:] == ["-g0", "-s", "-LLIB", "LIB/libforward.a"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("-Wl,-O1", []),
        ("-Wl,-Bsymbolic-functions", []),
        ("-Wl,-O1,-Bsymbolic-functions,-z,relro", ["-Wl,-z,relro"]),
        ("-Wl,--exclude-libs,ALL", []),
        ("-Wl,--exclude-libs=ALL,-soname,x.so", ["-Wl,-soname,x.so"]),
        ("-Wl,-Map,out.map,--as-needed", ["-Wl,--as-needed"]),
        ("-Wl,-h,x.so", ["-Wl,-soname,x.so"]),
        ("-Wl,-rpath,$ORIGIN/../lib dir", ["-Wl,-rpath,$ORIGIN/../lib dir"]),
        ("-Wl,-rpath,*", ["-Wl,-rpath,*"]),
        ("-Wl,-z", ["-Wl,-z"]),
        ("-Wl,--exclude-libs", []),
        ("-static-libstdc++", []),
        ("-mtune=generic", []),
        ("-flto", []),
        ("-flto=thin", []),
        ("-march=x86-64-v2", ["-march=x86-64-v2"]),
        ("-Wp,-D_FORTIFY_SOURCE=2", ["-D_FORTIFY_SOURCE=2"]),
        ("-I/usr/include", []),
        ("-I/usr/include/x86_64-linux-gnu/", []),
        ("-isystem/usr/include", []),
        ("-I/usr/include/libxml2", ["-I/usr/include/libxml2"]),
        ("-L/usr/lib/x86_64-linux-gnu", []),
        ("-L/opt/lib", ["-L/opt/lib"]),
    ],
)
def test_flags_that_zig_refuses_and_the_roots_own_libc_are_left_out(
    driver: Driver, given: str, kept: list[str]
) -> None:
    words = driver("cc", "-shared", given, "a.o")
    assert words[6:-4] == ["-shared", *kept, "a.o"]


def test_a_folder_given_as_a_word_of_its_own_is_judged_too(driver: Driver) -> None:
    words = driver("cc", "-c", "-isystem", "/usr/include", "-I", "/usr/include/x", "a.c")
    assert words[6:-1] == ["-c", "-I", "/usr/include/x", "a.c"]


def test_questions_about_the_compiler_name_the_target_without_glibc(driver: Driver) -> None:
    assert driver("cc", "-dumpmachine")[1:3] == ["-target", "x86_64-linux-gnu"]


@pytest.mark.parametrize(("name", "tool"), [("ar", "ar"), ("gcc-ar", "ar"), ("ranlib", "ranlib")])
def test_archives_go_to_zigs_own_tools(driver: Driver, name: str, tool: str) -> None:
    assert driver(name, "rcs", "x.a", "a.o") == [tool, "rcs", "x.a", "a.o"]


def test_strip_does_nothing(driver: Driver) -> None:
    assert driver("strip", "a.so") == []


@pytest.mark.parametrize(
    ("arch", "policy", "target"),
    [
        ("x86_64", "manylinux1", "x86_64-linux-gnu.2.5"),
        ("armv7l", "manylinux2014", "arm-linux-gnueabihf.2.17"),
        ("ppc64le", "manylinux2014", "powerpc64le-linux-gnu.2.19"),
        ("ppc64le", "manylinux_2_28", "powerpc64le-linux-gnu.2.28"),
        ("riscv64", "manylinux_2_31", "riscv64-linux-gnu.2.31"),
        ("s390x", "musllinux_1_2", "s390x-linux-musl"),
    ],
)
def test_zig_is_aimed_no_lower_than_it_can_link(arch: str, policy: str, target: str) -> None:
    assert target_of(arch).aimed_at(parse_policy(policy)) == target
