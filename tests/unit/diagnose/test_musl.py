"""What musl's loader does otherwise than glibc's, as checks and predictions know it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from trial_values import make_distro, make_elf, make_facts, make_target

from pytest_manylinux.diagnose.extension_files import is_found
from pytest_manylinux.diagnose.libraries import how_to_get, is_on
from pytest_manylinux.diagnose.loader_model import unreached
from pytest_manylinux.diagnose.loader_words import read_words
from pytest_manylinux.model.policy import LibcKind, musl
from pytest_manylinux.model.python import parse_python
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
    if there is not True:
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
