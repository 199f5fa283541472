"""inside/driver.sh with a zig that only tells its arguments, and what zig is aimed at."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_manylinux.building.api import INSIDE_SOURCE
from pytest_manylinux.building.compiler import target_of
from pytest_manylinux.building.zig import _KNOWN_FAILURES
from pytest_manylinux.model.policy import parse_policy

Driver = Callable[..., list[str]]

# Tells its arguments; with ZIG_VERBOSE_LINK, on stderr, how it calls its linker, as zig does.
_FAKE = """#!/bin/sh
if [ -n "$ZIG_VERBOSE_LINK" ]; then
  echo "warning: of the compiler" >&2
  echo "ld.lld: error: of the first link" >&2
  case $* in *gone.c*) exit 3 ;; esac
  echo "ld.lld --error-limit=0 -shared a.o zc/libc.so.6" >&2
  exit 1
fi
for word do echo "$word"; done
"""


@pytest.fixture
def driver(tmp_path: Path) -> Driver:
    fake = tmp_path / "zig"
    fake.write_text(_FAKE)
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
            [str(tool), *arguments], check=True, stdout=subprocess.PIPE, text=True, cwd=tmp_path
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
        ("-Wl,-O1,-z,relro", ["-Wl,-z,relro"]),
        ("-Wl,-h,x.so", ["-Wl,-soname,x.so"]),
        ("-Wl,-rpath,$ORIGIN/../lib dir", ["-Wl,-rpath,$ORIGIN/../lib dir"]),
        ("-Wl,-rpath,*", ["-Wl,-rpath,*"]),
        ("-Wl,-R/opt/lib", ["-Wl,-rpath,/opt/lib"]),
        ("-Wl,-Bdynamic,-call_shared", ["-Wl,-search_paths_first,-search_paths_first"]),
        ("-Wl,-Bstatic,-lx,-Bdynamic", ["-Wl,-Bstatic", "-lx", "-Wl,-search_paths_first"]),
        ("-Wl,-L/opt/lib,-L,/usr/lib", ["-L/opt/lib"]),
        ("-Wl,--undefined=x,--require-defined,y", ["-Wl,-u,x,-u,y"]),
        ("-Wl,--version-script=v.map", ["-Wl,--undefined-version,--version-script=v.map"]),
        ("-Wl,--version-script,v.map", ["-Wl,--undefined-version,--version-script,v.map"]),
        ("-Wl,-(,a.a,-)", ["-Wl,--start-group,a.a,--end-group"]),
        ("-Wl,-z,textoff", ["-Wl,-z,notext"]),
        ("-static-libstdc++", []),
        ("-mtune=generic", []),
        ("-flto", []),
        ("-flto=thin", []),
        ("-march=x86-64-v2", ["-march=x86-64-v2"]),
        ("-Wp,-D_FORTIFY_SOURCE=2", ["-D_FORTIFY_SOURCE=2"]),
        ("-Wp,-v", ["-v"]),
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


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["-Wl,-rpath", "-Wl,/opt/lib"], ["-Wl,-rpath", "-Wl,/opt/lib"]),
        (["-Wl,-z", "-Wl,relro"], ["-Wl,-z,relro"]),
        (["-Wl,-z", "b.o", "-Wl,now"], ["b.o", "-Wl,-z,now"]),
        (["-z", "relro"], ["-Wl,-z,relro"]),
        (["-Xlinker", "--as-needed"], ["-Wl,--as-needed"]),
        (
            ["-Xlinker", "-soname", "-Xlinker", "x.so"],
            ["-Wl,-soname", "-Wl,x.so"],
        ),
        (
            ["-Wl,--push-state,--no-as-needed,-Bstatic", "-lx", "-Wl,--pop-state"],
            [
                *("-Wl,--no-as-needed,-Bstatic", "-lx"),
                "-Wl,--as-needed,--no-whole-archive,-search_paths_first",
            ],
        ),
        (
            [
                "-Wl,--whole-archive,--push-state,--no-whole-archive,--push-state,--pop-state,--pop-state"
            ],
            [
                ",".join(
                    [
                        *("-Wl,--whole-archive", "--no-whole-archive"),
                        *("--as-needed", "--no-whole-archive", "-search_paths_first"),
                        *("--as-needed", "--whole-archive", "-search_paths_first"),
                    ]
                )
            ],
        ),
    ],
)
def test_arguments_of_the_linker_may_be_spread(
    driver: Driver, given: list[str], kept: list[str]
) -> None:
    assert driver("cc", "-shared", *given)[7:-4] == kept


@pytest.mark.parametrize("given", [["-Wl,-z"], ["-Wl,--exclude-libs"], ["-z"], ["-Xlinker"]])
def test_an_argument_without_its_value_is_left_to_zig(driver: Driver, given: list[str]) -> None:
    assert driver("cc", "-shared", *given)[7:-4] == given


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["-Wl,--exclude-libs,ALL"], ["--exclude-libs", "ALL"]),
        (["-Wl,--exclude-libs", "-Wl,ALL"], ["--exclude-libs", "ALL"]),
        (["-Wl,--exclude-libs=ALL,-soname,x.so"], ["--exclude-libs=ALL"]),
        (["-Wl,-Bsymbolic-functions,-z,relro"], ["-Bsymbolic-functions"]),
        (["-Wl,-z,text,-zexecstack"], ["-z", "text", "-z", "execstack"]),
        (["-z", "separate-code"], ["-z", "separate-code"]),
        (["-Wl,-Map,out.map,--as-needed"], ["-Map", "out.map"]),
        (["-Wl,--defsym=a=b", "-Xlinker", "--cref"], ["--defsym=a=b", "--cref"]),
        (["-Wl,--what-came-later"], ["--what-came-later"]),
    ],
)
def test_what_zigs_driver_refuses_goes_to_its_linker(
    driver: Driver, given: list[str], kept: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    words = driver("cc", "-shared", *given, "a.o")
    assert words == ["ld.lld", "--error-limit=0", "-shared", "a.o", "zc/libc.so.6", *kept]
    assert capfd.readouterr().err == "warning: of the compiler\n"


def test_sources_that_do_not_compile_are_not_linked_again(driver: Driver) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        driver("cc", "-shared", "gone.c", "-Wl,--exclude-libs,ALL")
    assert caught.value.returncode == 3


def test_compiling_alone_takes_no_argument_of_the_linker(driver: Driver) -> None:
    assert driver("cc", "-c", "a.c", "-Wl,--exclude-libs,ALL")[-3:] == ["-c", "a.c", "-g0"]


def test_a_path_with_a_space_costs_these_arguments_with_a_word(
    driver: Driver, capfd: pytest.CaptureFixture[str]
) -> None:
    words = driver("cc", "-shared", "a b.o", "-Wl,--exclude-libs,ALL")
    assert words[:1] == ["cc"]
    assert (
        "linker argument --exclude-libs ALL left out: there is a space in a b.o"
        in capfd.readouterr().err
    )


@pytest.mark.parametrize(
    "given", ["-Wl,-O1", "-Wl,--add-needed", "-Wl,-rpath-link,/x", "-Wl,--no-warn-mismatch"]
)
def test_what_is_left_out_is_said(
    driver: Driver, given: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert driver("cc", "-shared", given, "a.o")[6:-4] == ["-shared", "a.o"]
    name = given.removeprefix("-Wl,").partition(",")[0]
    assert f"linker argument {name} left out: " in capfd.readouterr().err


def test_a_folder_given_as_a_word_of_its_own_is_judged_too(driver: Driver) -> None:
    words = driver("cc", "-c", "-isystem", "/usr/include", "-I", "/usr/include/x", "a.c")
    assert words[6:-1] == ["-c", "-I", "/usr/include/x", "a.c"]


def test_questions_about_the_compiler_name_the_target_without_glibc(driver: Driver) -> None:
    assert driver("cc", "-dumpmachine")[1:3] == ["-target", "x86_64-linux-gnu"]


@pytest.mark.parametrize(("name", "tool"), [("ar", "ar"), ("gcc-ar", "ar"), ("ranlib", "ranlib")])
def test_archives_go_to_zigs_own_tools(driver: Driver, name: str, tool: str) -> None:
    assert driver(name, "rcs", "x.a", "a.o") == [tool, "rcs", "x.a", "a.o"]


@pytest.mark.parametrize(
    "question", ["-dumpversion", "-dumpmachine", "-v", "--version", "-print-prog-name=ld", "-###"]
)
def test_a_question_links_nothing(driver: Driver, question: str) -> None:
    words = driver("cc", question)
    assert "LIB/libforward.a" not in words
    assert words[words.index("-target") + 1] == "x86_64-linux-gnu"


def test_questions_that_clang_does_not_know_are_answered(driver: Driver) -> None:
    assert driver("cc", "-print-multiarch") == ["x86_64-linux-gnu"]
    assert "-dumpversion" in driver("cc", "-dumpfullversion")


@pytest.mark.parametrize(
    ("name", "given", "typed"),
    [
        ("cc", ("-E", "-"), ["-E", "-x", "c", "-"]),
        ("c++", ("-c", "-", "-o", "a.o"), ["-c", "-x", "c++", "-", "-o", "a.o"]),
        ("cc", ("-x", "c++", "-E", "-"), ["-x", "c++", "-E", "-"]),
    ],
)
def test_standard_input_is_of_the_compilers_language(
    driver: Driver, name: str, given: tuple[str, ...], typed: list[str]
) -> None:
    assert driver(name, *given)[6:-1] == typed


@pytest.mark.parametrize("given", [("-", "-o", "a"), ("-xc", "a.txt", "-o", "a")])
def test_libraries_are_not_taken_for_what_x_says(driver: Driver, given: tuple[str, ...]) -> None:
    words = driver("cc", *given)
    assert words[words.index("-LLIB") - 2 :] == ["-x", "none", "-LLIB", "LIB/libforward.a"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((), ["-x", "c", "-"]),
        (("-dM", "-"), ["-dM", "-x", "c", "-"]),
        (("-P", "-I", "inc", "a.def"), ["-P", "-I", "inc", "-x", "c", "a.def"]),
        (("-DX=1", "a.S", "a b.s"), ["-DX=1", "-o", "a b.s", "-x", "c", "a.S"]),
        (("-o", "a.i", "a.c"), ["-o", "a.i", "-x", "c", "a.c"]),
        (("a.cpp",), ["a.cpp"]),
        (("-x", "assembler-with-cpp", "a.in"), ["-x", "assembler-with-cpp", "a.in"]),
    ],
)
def test_cpp_preprocesses_a_file_as_c_or_what_it_is_fed(
    driver: Driver, tmp_path: Path, given: tuple[str, ...], words: list[str]
) -> None:
    driver("cc", "-c", "a.c")  # it is what cpp calls
    tool = tmp_path / "bin/cpp"
    shutil.copyfile(INSIDE_SOURCE / "cpp.sh", tool)
    tool.chmod(0o755)
    done = subprocess.run([str(tool), *given], check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout.splitlines() == [
        *("cc", "-target", "x86_64-linux-gnu.2.5", "-fno-sanitize=all", "-isystem", "INCLUDE"),
        *("-E", *words, "-g0"),
    ]


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
        ("loongarch64", "manylinux_2_38", "loongarch64-linux-gnu.2.38"),
        ("s390x", "musllinux_1_2", "s390x-linux-musl"),
    ],
)
def test_zig_is_aimed_no_lower_than_it_can_link(arch: str, policy: str, target: str) -> None:
    assert target_of(arch).aimed_at(parse_policy(policy)) == target


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        (
            "error: call to undeclared function 'writev' [-Wimplicit-function-declaration]",
            "implicit-function-declaration",
        ),
        (
            "error: incompatible function pointer types [-Wincompatible-function-pointer-types]",
            "incompatible-function-pointer-types",
        ),
        ("error: incompatible integer to pointer conversion [-Wint-conversion]", "int-conversion"),
    ],
)
def test_what_older_gccs_only_warned_of_is_told_with_its_flag(words: str, flag: str) -> None:
    [advice] = [one for known in _KNOWN_FAILURES for one in known.advice(f"x.c:3:7: {words}")]
    assert f"-Wno-error={flag} (extra_compile_args)" in advice


def test_warnings_of_that_kind_are_no_cause() -> None:
    words = "x.c:3:7: warning: implicit conversion [-Wint-conversion]"
    assert [one for known in _KNOWN_FAILURES for one in known.advice(words)] == []
