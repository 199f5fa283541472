"""What musl's loader does otherwise than glibc's, as checks and predictions know it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from elf_files import Want
from trial_values import make_distro, make_elf, make_facts, make_observation, make_target, raised
from triggers import MODULE, MUSL_MODULE, MUSLLINUX, Trigger, library, native

from pytest_manylinux.diagnose.extension_files import is_found
from pytest_manylinux.diagnose.judge import judge, judge_audit
from pytest_manylinux.diagnose.libraries import how_to_get, is_on
from pytest_manylinux.diagnose.loader_model import unreached
from pytest_manylinux.diagnose.loader_words import read_words
from pytest_manylinux.diagnose.predict import predict_target
from pytest_manylinux.inspect.audit import audit_wheel
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.policy import LibcKind, musl
from pytest_manylinux.model.python import parse_python
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

MUSL = replace(make_target(), distro=replace(make_distro(), libc=musl(1, 2, 5), family="musl"))


def _chain(**outer: tuple[str, ...]) -> WheelFacts:
    """A module that finds libb in its own folder; libb needs libd beside it, and has no path."""
    elves = (
        make_elf(path="demo/_native.so", needed=("libb.so", "libm.so.6"), **outer),
        make_elf(path="demo/libb.so", soname="libb.so", needed=("libd.so",)),
        make_elf(path="demo/libd.so", soname="libd.so"),
    )
    return make_facts(elf=elves, extension_paths=(("demo._native", "demo/_native.so"),))


@pytest.mark.parametrize("kind", ["runpath", "rpath"])
def test_musl_searches_the_path_of_those_that_asked_before(kind: str) -> None:
    """DT_RPATH does that on glibc too, DT_RUNPATH only on musl (ldso/dynlink.c)."""
    facts = _chain(**{kind: ("$ORIGIN",)})
    assert "libd.so" not in unreached(facts, MUSL)
    assert ("libd.so" in unreached(facts, make_target())) == (kind == "runpath")


@pytest.mark.parametrize(
    ("library", "there"),
    [
        ("libc.musl-x86_64.so.1", True),
        ("libm.so.6", True),
        ("libpthread.so.0", True),
        ("libz.so.1", True),
        ("ld-linux-x86-64.so.2", False),
        ("libstdc++.so.6", False),
        ("libcrypt.so.1", False),
        ("libneverheard.so.1", None),
    ],
)
def test_musl_takes_the_names_of_libcs_parts_for_itself(library: str, *, there: bool | None) -> None:
    assert is_on(library, MUSL.distro) is there
    if library.startswith("ld-linux"):
        assert "built for glibc" in how_to_get(library, MUSL.distro)
    elif there is not True:
        assert "musllinux policies permit libc and libz.so.1 alone" in how_to_get(library, MUSL.distro)


@pytest.mark.parametrize(
    ("suffix", "python", "found"),
    [
        ("cpython-313-x86_64-linux-musl", "3.13", {LibcKind.MUSL}),
        ("cpython-313-x86_64-linux-gnu", "3.13", {LibcKind.GLIBC}),
        ("cpython-310-x86_64-linux-gnu", "3.10", {LibcKind.GLIBC, LibcKind.MUSL}),
        ("abi3", "3.13", {LibcKind.GLIBC, LibcKind.MUSL}),
        ("", "3.13", {LibcKind.GLIBC, LibcKind.MUSL}),
    ],
)
def test_a_suffix_names_its_c_library(suffix: str, python: str, found: set[LibcKind]) -> None:
    version = parse_python(python)
    assert {kind for kind in LibcKind if is_found(suffix, version, debian=False, libc=kind)} == found


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (
            "Error loading shared library libx.so: No such file or directory (needed by /a.so)",
            "library",
        ),
        ("Error loading shared library /x/a.so: Exec format error", "architecture"),
        ("Error relocating /x/a.so: getcontext: symbol not found", "symbol"),
        ("Error relocating /x/a.so: n: initial-exec TLS resolves to dynamic definition in /x", "tls"),
        ("Error relocating /x/a.so: unsupported relocation type 37", "other"),
    ],
)
def test_the_words_of_musls_loader_are_read(words: str, refusal: str) -> None:
    found = read_words(words)
    assert found is not None
    assert found.refusal.value == refusal
    assert (found.library, found.symbol) == (
        "libx.so" if refusal == "library" else "",
        "getcontext" if refusal == "symbol" else "",
    )


OF_MUSL = ("libc.musl-x86_64.so.1",)


def _module(**fields: Any) -> dict[str, bytes | str]:  # noqa: ANN401
    """One extension module for the stable ABI, linked with musl unless `needed` says otherwise."""
    return {MUSL_MODULE: native(**({"needed": OF_MUSL} | fields))[MODULE]}


def _wanting(folder: Path, *wants: Want, **fields: Any) -> WheelFacts:  # noqa: ANN401
    """A wheel for musl with one extension module that wants these symbols."""
    module = _module(**({"wants": (Want("PyModule_Create2"), *wants)} | fields))
    return Trigger(finding="", files=module, tag=MUSLLINUX).facts(folder)


def _target(*version: int) -> Target:
    return replace(MUSL, distro=replace(MUSL.distro, libc=musl(*version)))


def _predicted(facts: WheelFacts, *version: int) -> list[tuple[str, str]]:
    found = predict_target(facts, _target(*version or (1, 2, 5))).findings
    return [(f.name, f.severity.value) for f in found]


LACKED = [("symbol-not-in-musl", "error")]


@pytest.mark.parametrize(
    "symbol",
    [
        *("__memcpy_chk", "__snprintf_chk", "__fdelt_chk", "__isoc23_strtol", "__libc_single_threaded"),
        *("getcontext", "makecontext", "swapcontext", "setcontext", "backtrace", "error", "fts_open"),
        *("gnu_get_libc_version", "mallinfo", "mallinfo2", "mallopt", "malloc_trim"),
        *("pthread_mutexattr_setrobust_np", "strerrorname_np", "__isnan", "__sched_cpualloc"),
    ],
)
def test_what_only_glibc_has_is_foretold(symbol: str, tmp_path: Path) -> None:
    facts = _wanting(tmp_path, Want(symbol))
    assert _predicted(facts) == LACKED
    assert _predicted(facts, 1, 2, 6) == LACKED


@pytest.mark.parametrize(
    ("symbol", "since"),
    [
        ("qsort_r", (1, 2, 3)),
        ("pthread_getname_np", (1, 2, 3)),
        ("statx", (1, 2, 5)),
        ("preadv2", (1, 2, 5)),
        ("__getauxval", (1, 2, 6)),
        ("memcpy", (1, 2, 2)),
        ("fopen64", (1, 2, 2)),
        ("__tls_get_addr", (1, 2, 2)),
    ],
)
def test_a_symbol_counts_by_musls_version(symbol: str, since: tuple[int, ...], tmp_path: Path) -> None:
    facts = _wanting(tmp_path, Want(symbol))
    for version in ((1, 2, 2), (1, 2, 3), (1, 2, 5), (1, 2, 6)):
        assert _predicted(facts, *version) == (LACKED if version < since else [])


@pytest.mark.parametrize(
    ("wants", "needed"),
    [
        ((Want("getcontext", weak=True),), OF_MUSL),
        ((Want("_ZNSt6vectorIiE4sizeEv"), Want("_Unwind_Resume")), ("libstdc++.so.6", *OF_MUSL)),
        ((Want("PyFrobnicate"), Want("frobnicate")), OF_MUSL),
        ((Want("getcontext"),), ("libucontext.so.1", *OF_MUSL)),
    ],
    ids=["weak", "C++", "not-glibc's", "by-a-library-unknown-to-us"],
)
def test_what_may_come_from_elsewhere_is_not_judged(
    wants: tuple[Want, ...], needed: tuple[str, ...], tmp_path: Path
) -> None:
    facts = _wanting(tmp_path, *wants, needed=needed)
    assert "symbol-not-in-musl" not in {name for name, _ in _predicted(facts)}


def test_a_grafted_library_defines_what_musl_lacks(tmp_path: Path) -> None:
    """Or wants it: then that file is named."""
    fields: dict[str, Any] = {"needed": ("libfoo.so.1", *OF_MUSL), "runpath": "$ORIGIN/../demo.libs"}
    for number, (exports, wants, expected) in enumerate(
        [(("getcontext",), (), []), ((), (Want("__sprintf_chk"),), LACKED)]
    ):
        grafted = library(needed=OF_MUSL, exports=exports, wants=wants)
        module = _module(wants=(Want("PyModule_Create2"), *map(Want, exports)), **fields)
        files = {**module, "demo.libs/libfoo.so.1": grafted}
        facts = Trigger(finding="", files=files, tag=MUSLLINUX).facts(tmp_path / str(number))
        found = predict_target(facts, MUSL).findings
        assert [(f.name, f.severity.value) for f in found] == expected
        assert all(f.files == ("demo.libs/libfoo.so.1",) for f in found)


def test_another_file_of_the_wheel_may_have_it_loaded(tmp_path: Path) -> None:
    module = _module(wants=(Want("backtrace"),))
    files = {**module, "demo/_core.so": library(needed=OF_MUSL, exports=("backtrace",))}
    facts = Trigger(finding="", files=files, tag=MUSLLINUX).facts(tmp_path)
    assert _predicted(facts) == [("symbol-not-in-musl", "warning")]


def test_a_version_of_glibcs_tells_whose_symbol_it_is(tmp_path: Path) -> None:
    """Librt's and libresolv's names are in no table; on glibc rows none of this is asked."""
    want = Want("__future_of_glibc", "GLIBC_2.99", "libc.so.6")
    facts = _wanting(tmp_path, want, needed=("libc.so.6",))
    assert _predicted(facts) == LACKED
    words = raised("ImportError", "Error relocating /v/x.so: __future_of_glibc: symbol not found")
    verdict = judge(facts, make_observation(words), MUSL, wheel=facts.wheel)
    assert [f.name for f in verdict.errors] == ["symbol-not-in-musl"]
    assert "symbol-not-in-musl" not in {f.name for f in predict_target(facts, make_target()).findings}


@pytest.mark.parametrize(
    ("wants", "needed", "marks"),
    [
        ((), OF_MUSL, []),
        ((), ("libc.so",), []),
        ((), ("libc.so.6",), ["needs libc.so.6"]),
        ((), ("ld-linux-aarch64.so.1", *OF_MUSL), ["needs ld-linux-aarch64.so.1"]),
        (
            (Want("memcpy", "GLIBC_2.14", "libc.so.6"), Want("read", "GLIBC_2.2.5", "libc.so.6")),
            ("libc.so.6",),
            ["needs libc.so.6", "wants GLIBC_2.14, GLIBC_2.2.5"],
        ),
    ],
)
def test_a_file_that_was_linked_with_glibc_is_told(
    wants: tuple[Want, ...], needed: tuple[str, ...], marks: list[str], tmp_path: Path
) -> None:
    facts = _wanting(tmp_path, *wants, needed=needed)
    found = [f for f in judge_audit(facts, audit_wheel(facts)).findings if f.name == "built-for-glibc"]
    assert [line for f in found for line in f.evidence] == [f"{MUSL_MODULE} {mark}" for mark in marks]


@pytest.mark.parametrize(
    ("wants", "words"),
    [
        (("pthread_create",), ["128 KiB"]),
        (("pthread_create", "pthread_attr_setstacksize"), []),
        (("iconv_open", "iconv", "setlocale", "localeconv"), ["//TRANSLIT", "localeconv, setlocale"]),
        (("malloc", "strlen"), []),
    ],
)
@pytest.mark.parametrize("platform", ["musllinux_1_2", "manylinux_2_17"])
def test_what_an_import_does_not_show_is_told_of_wheels_for_musl(
    wants: tuple[str, ...], words: list[str], platform: str, tmp_path: Path
) -> None:
    files = _module(wants=(Want("PyModule_Create2"), *map(Want, wants)))
    facts = Trigger(finding="", files=files, tag=f"cp311-abi3-{platform}_x86_64").facts(tmp_path)
    told = [f for f in judge_audit(facts, audit_wheel(facts)).findings if f.name == "differs-on-musl"]
    assert all(f.severity is Severity.INFORMATION for f in told)
    lines = [line for f in told for line in f.evidence]
    wanted = words if platform.startswith("musl") else []
    assert len(lines) == len(wanted)
    assert all(word in line for word, line in zip(wanted, lines, strict=True)), lines


def test_only_glibc_opens_what_a_filter_names() -> None:
    """DT_FILTER (gABI); musl's ldso/dynlink.c does not have it."""
    elves = (
        make_elf(path="demo/_native.so", needed=("libstub.so",), runpath=("$ORIGIN",)),
        make_elf(path="demo/libstub.so", soname="libstub.so", filters=("libreal.so",)),
    )
    facts = make_facts(elf=elves, extension_paths=(("demo._native", "demo/_native.so"),))
    assert "libreal.so" in unreached(facts, make_target())
    assert "libreal.so" not in unreached(facts, MUSL)
