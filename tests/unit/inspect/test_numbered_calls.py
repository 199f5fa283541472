"""System calls by number in machine code of x86_64, and which kernel brought them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trial_values import make_distro, make_elf, make_facts

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.diagnose.check_registry import find_check
from pytest_manylinux.diagnose.predict import targets_on
from pytest_manylinux.errors import UsageError
from pytest_manylinux.inspect.elf import read_elf
from pytest_manylinux.inspect.numbered_calls import numbered_calls
from pytest_manylinux.inspect.symbols import Dynamic, ElfLayout, Strings
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.elf_facts import ElfFacts, LoadSegment, SymbolWant
from pytest_manylinux.model.system_calls import (
    CALL_NUMBERS,
    FIRST_KERNEL,
    WRAPPERS,
    parse_kernel,
    younger_calls,
)
from pytest_manylinux.model.verdict import Finding, Severity

BY_INSTRUCTION = b"\xb8%b\x00\x00\x31\xff\x0f\x05"  # mov eax, N; xor edi, edi; syscall
NAMES = st.sampled_from(sorted(CALL_NUMBERS))


def calls(code: bytes, *, flags: str = "r-x", by_function: bool = False) -> tuple[str, ...]:
    whole = LoadSegment(
        offset=0, address=0, file_size=len(code), memory_size=len(code), align=4096, flags=flags
    )
    layout = ElfLayout(code, 64, "<", ())
    return numbered_calls(layout, Dynamic({}, Strings(b"")), [whole], by_function=by_function)


@given(NAMES, st.binary(max_size=80), st.binary(max_size=80))
def test_a_number_before_the_instruction_is_seen(name: str, before: bytes, after: bytes) -> None:
    code = BY_INSTRUCTION.replace(b"%b", CALL_NUMBERS[name].to_bytes(2, "little"))
    assert name in calls(before + code + after)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_and_data_is_not_code(code: bytes) -> None:
    assert set(calls(code, by_function=True)) <= set(CALL_NUMBERS)
    assert calls(code, flags="rw-", by_function=True) == ()


SOURCE = """
#include <sys/syscall.h>
#include <unistd.h>
long by_function(void) { return syscall(436, 3, 3, 0); }
long no_call(int (*other)(int)) { return other(435); }  /* the number of clone3, and no such call */
long by_instruction(void) {
    long result;
    __asm__ volatile ("syscall" : "=a"(result) : "0"(434), "D"(1), "S"(0) : "rcx", "r11", "memory");
    return result;
}
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="wants a compiler")
@pytest.mark.parametrize("flags", ["-O0", "-O2 -fcf-protection=none", "-Os", "-O2 -fno-plt"])
def test_code_of_a_compiler(tmp_path: Path, flags: str) -> None:
    source, library = tmp_path / "calls.c", tmp_path / "calls.so"
    source.write_text(SOURCE)
    subprocess.run(
        ["gcc", *flags.split(), "-shared", "-fPIC", str(source), "-o", str(library)], check=True
    )
    facts = read_elf("demo/calls.so", library.read_bytes())
    if facts.arch == "x86_64":
        assert facts.system_calls == ("close_range", "pidfd_open")


def test_the_table_is_in_order_and_names_each_call_once() -> None:
    assert list(FIRST_KERNEL.values()) == sorted(FIRST_KERNEL.values())
    assert len(set(CALL_NUMBERS.values())) == len(CALL_NUMBERS) == len(FIRST_KERNEL)
    assert set(WRAPPERS.values()) <= set(FIRST_KERNEL)
    assert FIRST_KERNEL["statx"] == (4, 11)
    assert (FIRST_KERNEL["close_range"], CALL_NUMBERS["close_range"]) == ((5, 9), 436)


def test_younger_calls_are_those_after_the_kernel() -> None:
    assert "rseq" not in younger_calls((4, 18))
    assert {"clone3", "close_range", "mseal"} <= set(younger_calls((4, 18)))
    assert younger_calls((99, 0)) == ()


@pytest.mark.parametrize("text", ["", "4", "4.x", "four", "4.18.0", "04.1"])
def test_what_is_no_kernel(text: str) -> None:
    with pytest.raises(UsageError, match="is not the version of a kernel"):
        parse_kernel(text, "here")


def findings(kernel: tuple[int, int] | None, **fields: object) -> list[Finding]:
    file = make_elf("demo/_x.cpython-311-x86_64-linux-gnu.so", exports_init=("_x",), **fields)
    return _found(file, kernel)


def _found(file: ElfFacts, kernel: tuple[int, int] | None) -> list[Finding]:
    facts = make_facts(elf=(file,), extension_paths=(("demo._x", file.path),))
    distro = make_distro(kernel=kernel)
    (target,) = targets_on([distro], "x86_64")
    static = find_check("system-call-too-new").static
    assert static is not None
    assert isinstance(target, Target)
    return list(static(facts, target))


def want(name: str, *, weak: bool = False) -> SymbolWant:
    return SymbolWant(name=name, version="GLIBC_2.34", library="libc.so.6", weak=weak)


def test_a_function_without_another_way_is_a_warning() -> None:
    (finding,) = findings((4, 18), wants=(want("close_range"),))
    assert finding.severity is Severity.WARNING
    assert "makes the system call close_range of Linux 5.9, and " in finding.message
    assert any("libseccomp" in line for line in finding.evidence)


def test_a_number_alone_is_an_information() -> None:
    (finding,) = findings((4, 18), system_calls=("pidfd_open",))
    assert finding.severity is Severity.INFORMATION


@pytest.mark.parametrize(
    ("kernel", "fields"),
    [
        ((5, 9), {"wants": (want("close_range"),)}),
        (None, {"wants": (want("close_range"),), "system_calls": ("mseal",)}),
        ((4, 18), {"wants": (want("close_range", weak=True), want("statx"))}),
        ((4, 18), {"wants": (want("close_range"),), "exports": ("close_range",)}),
    ],
)
def test_nothing_is_said(kernel: tuple[int, int] | None, fields: dict[str, object]) -> None:
    assert findings(kernel, **fields) == []


def test_the_catalogue_has_kernels() -> None:
    rows = {row.id: row.kernel for row in load_catalogue().distros}
    assert rows["almalinux-8"] == (4, 18)
    assert rows["debian-12"] == (6, 1)
    assert rows["archlinux"] is None
