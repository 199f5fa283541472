"""The small rules of a build: glibc's table, too new symbols, the log, the wheelhouse, policies."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from elf_files import ElfSpec, Want
from hypothesis import given
from hypothesis import strategies as st
from wheels import build_wheel

from pytest_manylinux.building import compiler as compiler_module
from pytest_manylinux.building import steps as log_module
from pytest_manylinux.building.api import Pip, Toolchain
from pytest_manylinux.building.compiler import TARGETS
from pytest_manylinux.building.glibc_symbols import TooNew, load_symbols, parse_symbols, too_new_symbols
from pytest_manylinux.building.pipeline import check_native
from pytest_manylinux.building.project import Project
from pytest_manylinux.building.repair import check_libc, check_symbols, symbols_error
from pytest_manylinux.building.steps import BuildLog
from pytest_manylinux.building.wheelhouse import native_wheel, put
from pytest_manylinux.building.zig import BuildTools, repairable
from pytest_manylinux.errors import BuildError, StoreError
from pytest_manylinux.inspect.symbols import musl_symbols
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.policy import Policy, parse_policy
from pytest_manylinux.model.wheel import WheelFacts

MANYLINUX1, MANYLINUX2014, NEW = Policy((2, 5)), Policy((2, 17)), Policy((2, 28))


def table(functions: Iterable[bytes], objects: Iterable[bytes] = ()) -> bytes:
    """A table of two libraries, three versions (2.2.5, 2.5, 2.27) and two targets."""
    head = b"\x02m\0c\0" + b"\x03\x02\x02\x05\x02\x05\x00\x02\x1b\x00" + b"\x02arm-x\0x86_64-x\0"
    groups = [list(functions), list(objects)]
    return head + b"".join(len(group).to_bytes(2, "little") + b"".join(group) for group in groups)


def test_the_table_of_glibcs_symbols() -> None:
    data = table(
        [
            b"memcpy\0\x02\x01\x00\x82",  # x86_64, libc, 2.2.5 and 2.27; another inclusion follows
            b"\x01\x81\x81",  # arm, libc, 2.5, last
            b"getentropy\0\x03\x81\x82",
        ],
        [b"environ\0\x02\x08\x81\x80"],
    )
    assert parse_symbols(data, "x86_64-x") == {
        "memcpy": {(2, 2, 5), (2, 27)},
        "getentropy": {(2, 27)},
        "environ": {(2, 2, 5)},
    }
    assert parse_symbols(data, "arm-x") == {"memcpy": {(2, 5)}, "getentropy": {(2, 27)}}


WHOLE = table([b"memcpy\0\x02\x01\x00\x82", b"\x01\x81\x81"])


@given(cut=st.integers(min_value=0, max_value=len(WHOLE) - 1))
def test_a_table_that_ends_early_is_an_error(cut: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_symbols(WHOLE[:cut], "x86_64-x")


@given(cut=st.integers(min_value=0, max_value=len(WHOLE)), rest=st.binary(max_size=80))
def test_of_a_damaged_table_nothing_is_made_up(cut: int, rest: bytes) -> None:
    for damaged in (rest, WHOLE[:cut] + rest):
        try:
            found = parse_symbols(damaged, "x86_64-x")
        except ValueError:
            continue
        assert all(name.encode() in damaged for name in found)


def test_a_missing_table_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="run again"):
        load_symbols(tmp_path / "abilists", "x86_64-linux-gnu")


OFFERED = {
    "memcpy": frozenset({(2, 2, 5), (2, 14)}),
    "memfd_create": frozenset({(2, 27)}),
    "sem_clockwait": frozenset({(2, 30)}),
}


def facts_of(folder: Path, **files: ElfSpec) -> WheelFacts:
    content: dict[str, bytes | str] = {f"{name}.so": spec.build() for name, spec in files.items()}
    return read_wheel(open_wheel(build_wheel(folder, content, tag="cp311-cp311-linux_x86_64")))


def problems(facts: WheelFacts, *python: str) -> list[str]:
    found = too_new_symbols(facts, MANYLINUX1, OFFERED, frozenset(python))
    return [f"{item.file}:{item.symbol}" for item in found]


def test_a_versioned_symbol_newer_than_the_policy(tmp_path: Path) -> None:
    facts = facts_of(
        tmp_path, a=ElfSpec(needed=("libc.so.6",), wants=(Want("memcpy", "GLIBC_2.14", "libc.so.6"),))
    )
    [found] = too_new_symbols(facts, MANYLINUX1, OFFERED, frozenset())
    assert str(found) == "a.so wants memcpy@GLIBC_2.14, which glibc offers since 2.14"
    assert too_new_symbols(facts, MANYLINUX2014, OFFERED, frozenset()) == ()


def test_an_unversioned_symbol_that_only_a_newer_glibc_offers(tmp_path: Path) -> None:
    spec = ElfSpec(needed=("libc.so.6",), wants=(Want("memfd_create"), Want("memcpy")))
    assert problems(facts_of(tmp_path, a=spec)) == ["a.so:memfd_create"]


def test_a_symbol_that_came_to_musl_after_the_policys_version(tmp_path: Path) -> None:
    spec = ElfSpec(needed=("libc.musl-x86_64.so.1",), wants=(Want("qsort_r"), Want("qsort")))
    offered = {name: frozenset({since}) for name, since in musl_symbols().items()}
    facts = facts_of(tmp_path, a=spec)
    [found] = too_new_symbols(facts, parse_policy("musllinux_1_2"), offered, frozenset())
    assert str(found) == "a.so wants qsort_r, which musl offers since 1.2.3"


@pytest.mark.parametrize(
    ("arch", "triple", "library"),
    [
        ("x86_64", "x86_64-linux-musl", "libc.musl-x86_64.so.1"),
        ("i686", "x86-linux-musl", "libc.musl-x86.so.1"),
        ("armv7l", "arm-linux-musleabihf", "libc.musl-armv7.so.1"),
    ],
)
def test_musl_has_a_name_for_each_architecture(arch: str, triple: str, library: str) -> None:
    variables = TARGETS[arch].set_up_environment(parse_policy("musllinux_1_2"), PurePosixPath("/zig"))
    assert (variables["TARGET"], variables["MUSL"], variables["FORWARD"]) == (triple, library, "no")


def test_files_of_glibc_are_refused_in_a_wheel_for_musl(tmp_path: Path) -> None:
    spec = ElfSpec(needed=("libc.so.6",), wants=(Want("memcpy", "GLIBC_2.14", "libc.so.6"),))
    facts = facts_of(tmp_path, a=spec)
    check_libc("x", MANYLINUX2014, facts)
    with pytest.raises(BuildError, match="linked with glibc") as caught:
        check_libc("x", parse_policy("musllinux_1_2"), facts)
    assert caught.value.finding == "built-for-glibc"
    assert caught.value.why == "a.so wants GLIBC_2.14 of libc.so.6"


def test_no_library_named_is_no_excuse(tmp_path: Path) -> None:
    assert problems(facts_of(tmp_path, a=ElfSpec(wants=(Want("memfd_create"),)))) == [
        "a.so:memfd_create"
    ]


ALIGNED = "_ZnwmSt11align_val_t"


def test_aligned_new_that_the_compilers_own_library_lacks(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, a=ElfSpec(needed=("libz.so.1",), wants=(Want(ALIGNED), Want("_Znwm"))))
    [found] = too_new_symbols(facts, MANYLINUX1, OFFERED, frozenset(), aligned_new=(2, 16))
    assert (found.symbol, found.because) == (ALIGNED, "std::align_val_t wants glibc 2.16")
    with pytest.raises(BuildError) as caught:
        check_symbols("demo", toolchain(MANYLINUX1, MANYLINUX2014, NEW), [found])
    assert caught.value.why.startswith("a.so wants _ZnwmSt11align_val_t (aligned new, C++17), which ")
    assert (caught.value.policy, caught.value.because) == ("manylinux2014", found.because)
    assert too_new_symbols(facts, MANYLINUX2014, OFFERED, frozenset(), aligned_new=(2, 16)) == ()
    assert too_new_symbols(facts, MANYLINUX1, OFFERED, frozenset()) == ()


@pytest.mark.parametrize(
    "name", ["_ZdlPvSt11align_val_t", "_ZdaPvjSt11align_val_t", ALIGNED + "RKSt9nothrow_t"]
)
def test_every_form_of_aligned_new_and_delete(tmp_path: Path, name: str) -> None:
    facts = facts_of(tmp_path, a=ElfSpec(wants=(Want(name),)))
    assert len(too_new_symbols(facts, MANYLINUX1, OFFERED, frozenset(), aligned_new=(2, 16))) == 1


def test_aligned_new_from_another_library(tmp_path: Path) -> None:
    beside = ElfSpec(exports=(ALIGNED,), soname="libb.so.1")
    for number, (one, other) in enumerate(
        [
            (ElfSpec(wants=(Want(ALIGNED, weak=True),)), ElfSpec()),
            (ElfSpec(wants=(Want(ALIGNED),), needed=("libstdc++.so.6",)), ElfSpec()),
            (ElfSpec(wants=(Want(ALIGNED),), needed=("libb.so.1",)), beside),
        ]
    ):
        facts = facts_of(tmp_path / str(number), a=one, b=other)
        assert too_new_symbols(facts, MANYLINUX1, OFFERED, frozenset(), aligned_new=(2, 16)) == ()


def test_who_else_may_offer_a_symbol(tmp_path: Path) -> None:
    want = (Want("memfd_create"),)
    assert problems(facts_of(tmp_path / "1", a=ElfSpec(wants=want)), "memfd_create") == []
    assert problems(facts_of(tmp_path / "2", a=ElfSpec(wants=want, needed=("libX11.so.6",)))) == []
    beside = ElfSpec(exports=("memfd_create",), soname="libb.so.1")
    reached = ElfSpec(wants=want, needed=("libb.so.1",))
    assert problems(facts_of(tmp_path / "3", a=reached, b=beside)) == []
    assert problems(facts_of(tmp_path / "4", a=ElfSpec(wants=want), b=beside)) == ["a.so:memfd_create"]


def test_a_weak_symbol_may_stay_undefined(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, a=ElfSpec(wants=(Want("memfd_create", weak=True),)))
    assert problems(facts) == []


def test_a_symbol_that_nobody_knows_is_left_to_the_trial(tmp_path: Path) -> None:
    assert problems(facts_of(tmp_path, a=ElfSpec(wants=(Want("frobnicate"),)))) == []


def toolchain(*policies: Policy) -> Toolchain:
    return Toolchain(
        policy=policies[0], policies=policies, python="", tools_python="", pip=Pip(command=())
    )


def test_the_worst_symbol_names_the_policy_that_would_do() -> None:
    found = [
        TooNew(file="a.so", symbol="memfd_create", since=(2, 27), versioned=False),
        TooNew(file="a.so", symbol="memcpy", since=(2, 14), versioned=True),
    ]
    with pytest.raises(BuildError) as caught:
        check_symbols("demo", toolchain(MANYLINUX1, MANYLINUX2014, NEW), found)
    assert caught.value.finding == "symbol-too-new"
    assert "policy = 'manylinux_2_28'" in caught.value.remedy
    assert caught.value.why.splitlines() == [str(item) for item in found]
    check_symbols("demo", toolchain(MANYLINUX1), [])


def test_much_evidence_is_counted_and_no_policy_invented() -> None:
    error = symbols_error("demo", toolchain(MANYLINUX1, NEW), [str(i) for i in range(9)], None, "it")
    assert error.why.splitlines()[-1] == "… and 4 more"
    assert "no policy" in error.remedy


def test_the_log_keeps_all_and_finds_what_decided(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "a.log"
    with BuildLog(path) as log:
        log.heading("building")
        log.feed(b"cc -Werror=format -c x.c\nx.c:1:10: fatal error: 'cry")
        log.feed(
            b"pt.h' file not found\n    1 | #include <crypt.h>\n      |     ^\n1 error generated.\n"
        )
        log.feed(b"\x1b[31mLooking in https://user:pass@host/x\x1b[0m\n" + b"line\n" * 1000)
        assert log.errors().splitlines()[0] == "x.c:1:10: fatal error: 'crypt.h' file not found"
        assert log.decisive() == log.errors()
        log.feed(b"no end of line")
        assert log.tail(2).splitlines() == ["line", "no end of line"]
    text = path.read_text()
    assert text.startswith("== building\ncc -Werror")
    assert "Looking in https://****@host/x\n" in text
    assert text.count("line\n") == 1001
    assert "pass" not in text


def test_without_errors_the_end_decides(tmp_path: Path) -> None:
    with BuildLog(tmp_path / "a.log") as log:
        log.feed(b"one\ntwo\n")
        assert log.errors() == ""
        assert log.decisive() == "one\ntwo"


def test_a_step_that_failed_is_told_by_its_own_words(tmp_path: Path) -> None:
    with BuildLog(tmp_path / "a.log") as log:
        log.heading("installing build requirements")
        log.feed(b"Looking in indexes: x\nx.c:1:2: error: of a step that went on\n")
        log.ending("exit code 0, 1 s")
        log.heading("reading build requirements")
        log.feed(b"swig is required\n")
        log.ending("exit code 1, 1 s")
        assert log.decisive() == "swig is required"
        assert log.errors().startswith("x.c:1:2: error:")
        log.heading("silent")
        log.ending("exit code 1, 1 s")
        assert log.decisive().splitlines()[-1] == "swig is required"


def test_an_exception_is_known_by_the_name_of_its_module_too(tmp_path: Path) -> None:
    with BuildLog(tmp_path / "a.log") as log:
        log.feed(b'  File "x.py", line 9, in f\n    raise mapped\n' * 20)
        log.feed(b"httpx.ConnectError: [Errno -2] Name or service not known\n")
        assert log.decisive() == "httpx.ConnectError: [Errno -2] Name or service not known"


def test_mesons_error_is_one_among_its_many_words(tmp_path: Path) -> None:
    error = "../meson.build:66:15: ERROR: Dependency lookup for alsa with method 'pkg-config' failed"
    with BuildLog(tmp_path / "a.log") as log:
        log.feed(b"Compiler for C supports arguments -Wpointer-sign: YES\n" * 30 + error.encode())
        log.feed(b"\n\nA full log can be found at x\n")
        assert log.decisive().splitlines()[0] == error


def test_a_build_that_writes_without_end_does_not_fill_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "_BOUND", 10_000)
    with BuildLog(tmp_path / "a.log") as log:
        log.feed((b"x" * 99 + b"\n") * 1000)
        log.feed(b"the end\n")
        assert log.tail(1) == "the end"
    assert 10_000 <= (tmp_path / "a.log").stat().st_size < 11_000


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be written"):
        BuildLog(tmp_path / "file" / "a.log")


def test_the_wheelhouse_never_overwrites(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path / "a", {"x.py": "1"})
    house = tmp_path / "house"
    assert put(wheel, house) == house / wheel.name
    assert put(wheel, house).read_bytes() == wheel.read_bytes()
    other = build_wheel(tmp_path / "b", {"x.py": "2"})
    with pytest.raises(StoreError, match="other bytes") as caught:
        put(other, house)
    assert "move it away" in caught.value.remedy
    assert [path.name for path in house.glob("*.whl")] == [wheel.name]
    assert (house / wheel.name).read_bytes() == wheel.read_bytes()
    assert stat.S_IMODE((house / wheel.name).stat().st_mode) & 0o444


def test_a_wheelhouse_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "house").touch()
    with pytest.raises(StoreError, match="cannot be put"):
        put(build_wheel(tmp_path, {"x.py": "1"}), tmp_path / "house")


def test_other_wheels_of_the_release(tmp_path: Path) -> None:
    for name in ("de_mo-1.0-cp39-cp39-manylinux1_x86_64.whl", "no wheel.whl"):
        (tmp_path / name).touch()
    assert native_wheel(tmp_path, "de-mo", "1.0").startswith("de_mo-1.0-cp39")
    assert native_wheel(tmp_path, "de-mo", "1.1") == ""
    assert native_wheel(tmp_path, "demo", "1.0") == ""
    assert native_wheel(tmp_path / "gone", "de-mo", "1.0") == ""


PURE = Project(path=Path("demo"), is_sdist=False)
NATIVE = replace(PURE, native=("setup.py declares extension modules", "x.c is native source"))


def test_a_pure_wheel_of_a_native_project_is_a_failed_build(tmp_path: Path) -> None:
    facts = read_wheel(open_wheel(build_wheel(tmp_path, {"x.py": "1"})))
    with BuildLog(tmp_path / "a.log") as log:
        log.feed(b"x.c:3: error: no such thing\nWARNING: speedups are not enabled\n")
        check_native("demo", PURE, facts, log, tmp_path / "house")
        with pytest.raises(BuildError, match="no native code") as caught:
            check_native("demo", NATIVE, facts, log, tmp_path / "house")
    assert caught.value.finding == "extension-not-built"
    assert "x.c:3: error: no such thing" in caught.value.why


def test_a_pure_wheel_beside_native_ones_is_a_failed_build(tmp_path: Path) -> None:
    facts = read_wheel(open_wheel(build_wheel(tmp_path, {"x.py": "1"})))
    (tmp_path / "house").mkdir()
    (tmp_path / "house/demo-1.0-cp39-cp39-manylinux1_x86_64.whl").touch()
    with (
        BuildLog(tmp_path / "a.log") as log,
        pytest.raises(BuildError, match=r"is native: demo-1\.0-cp39"),
    ):
        check_native("demo", PURE, facts, log, tmp_path / "house")


def test_a_platform_in_the_name_promises_native_code(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path, {"x.py": "1"}, tag="cp311-cp311-linux_x86_64")
    with BuildLog(tmp_path / "a.log") as log, pytest.raises(BuildError, match="promises a platform"):
        check_native("demo", PURE, read_wheel(open_wheel(wheel)), log, tmp_path)


def test_policies_that_auditwheel_does_not_know() -> None:
    kit = BuildTools(zig=Path(), tools=Path(), versions=(), policies=(MANYLINUX1, MANYLINUX2014, NEW))
    assert repairable(MANYLINUX1, kit) == MANYLINUX1
    assert repairable(Policy((2, 20)), kit) == MANYLINUX2014
    assert repairable(Policy((2, 60)), kit) == NEW


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("lib/libc/glibc/abilists", True),
        ("lib/libc/include/generic-glibc/stdio.h", True),
        ("lib/libc/include/x86-linux-gnu/bits/x.h", True),
        ("lib/libc/include/any-linux-any/linux/x.h", True),
        ("lib/libc/include/any-windows-any/windows.h", False),
        ("lib/libc/include/x86_64-linux-musl/x.h", True),
        ("lib/libc/include/generic-musl/stdio.h", True),
        ("lib/libc/include/generic-netbsd/stdio.h", False),
        ("lib/libc/musl/src/x.c", True),
        ("lib/libc/mingw/x.c", False),
        ("lib/libcxx/include/new", True),
        ("lib/libcxxabi/include/cxxabi.h", True),
    ],
)
def test_what_is_unpacked_of_zig(tmp_path: Path, name: str, *, kept: bool) -> None:
    wheel = tmp_path / "ziglang-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for member in ("ziglang/zig", f"ziglang/{name}", "ziglang-1.dist-info/WHEEL", "../evil"):
            archive.writestr(member, "x")
    compiler_module._unpack(wheel, tmp_path / "zig")
    assert (tmp_path / "zig" / name).is_file() is kept
    assert (tmp_path / "zig/zig").stat().st_mode & 0o111
    assert not (tmp_path / "evil").exists()
