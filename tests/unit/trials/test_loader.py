from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux.trials.result import is_relocated, loader_sentence, read_listing

SENTENCES = [
    "libfoo.so.1: cannot open shared object file: No such file or directory",
    "/lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by /x/_y.so)",
    "/lib64/libm.so.6: version 'GLIBC_2.29' not found (required by /x/_y.so)",
    "/x/_y.so: undefined symbol: SSL_CTX_new",
    "/x/_y.so: symbol foo, version BAR_1 not defined in file libbar.so.1 with link time reference",
    "/x/_y.so: symbol foo version BAR_1 not defined in file libbar.so.1 with link time reference",
    "/x/_y.so: cannot enable executable stack as shared object requires: Invalid argument",
    "/x/libz.so: cannot allocate memory in static TLS block",
    "/x/_y.so: invalid ELF header",
    "/x/_y.so: wrong ELF class: ELFCLASS32",
    "/x/_y.so: file too short",
    "/x/_y.so: ELF load command address/offset not properly aligned",
    "/x/_y.so: DT_RELR without GLIBC_ABI_DT_RELR dependency",
    "/x/_y.so: CPU ISA level is lower than required",
    "/x/_y.so: cannot restore segment prot after reloc: Permission denied",
    "/x/_y.so: failed to map segment from shared object",
    "Error loading shared library libfoo.so.1: No such file or directory (needed by /x/_y.so)",
    "Error relocating /x/_y.so: __memcpy_chk: symbol not found",
    "Error relocating /x/_y.so: counter: initial-exec TLS resolves to dynamic definition in /x/_y.so",
]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_the_loaders_sentence_is_found_deep_in_a_chain(sentence: str) -> None:
    wrapped = f"IMPORTANT: PLEASE READ THIS\n\n  {sentence}\n\nwe have compiled some suggestions"
    assert loader_sentence(["could not import", wrapped]) == sentence


@pytest.mark.parametrize(
    "words",
    [
        "No module named 'libfoo'",
        "cannot import name 'x' from partially initialized module 'y'",
        "Bindings generation error. Submodule name should always start with a parent module name.",
        "no display name and no $DISPLAY environment variable",
        "[Errno 2] No such file or directory: '/etc/demo'",
    ],
)
def test_other_errors_are_not_the_loaders(words: str) -> None:
    assert loader_sentence([words]) == ""


def test_a_listing_without_complaints() -> None:
    words = (
        "\tlinux-vdso.so.1 (0x00007f9db7a23000)\n"
        "\tlibpthread.so.0 => /lib/x86_64-linux-gnu/libpthread.so.0 (0x00007f9db7a0f000)\n"
        "\tlibz.so.1 => /scratch/venv/lib/demo/../demo.libs/libz.so.1 (0x00007f0000000000)\n"
        "\t/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 (0x00007f9db7a25000)\n"
    )
    assert read_listing(words) == ((), ())
    assert read_listing("\tstatically linked\n") == ((), ())


def test_a_listing_of_missing_libraries_and_versions() -> None:
    version = (
        "/x/_y.so: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.99' not found (required by /x)"
    )
    words = (
        f"{version}\n\tlinux-vdso.so.1 (0x00007ffc)\n\tlibabsent.so.1 => not found\n"
        "\tlibabsent.so.1 => not found\n\tlibc.so.6 => /lib/libc.so.6 (0x00007fe5)\n"
    )
    assert read_listing(words) == (("libabsent.so.1",), (version,))


@given(st.text())
def test_no_word_of_a_listing_is_lost(words: str) -> None:
    """A line is a resolved library, a missing one, or a complaint: there is no fourth kind."""
    missing, problems = read_listing(words)
    for line in words.splitlines():
        told = line.strip() in problems or any(name in line for name in missing)
        assert told or not line.strip() or "(0x" in line or line.strip() == "statically linked"


def test_the_listing_of_musls_loader_is_read_too() -> None:
    """Its own words (1.2.5): it goes on after a missing library, and relocates what it lists."""
    words = (
        "\t/lib/ld-musl-x86_64.so.1 (0x7f0c1a2b3000)\n"
        "Error loading shared library libabsent.so.1: No such file or directory (needed by /x/_y.so)\n"
        "\tlibc.musl-x86_64.so.1 => /lib/ld-musl-x86_64.so.1 (0x7f0c1a2b3000)\n"
        "Error relocating /x/_y.so: PyModuleDef_Init: symbol not found\n"
    )
    assert read_listing(words) == (("libabsent.so.1",), ())
    assert is_relocated(words)
    assert not is_relocated("\t/lib/ld-musl-x86_64.so.1 (0x7f0c1a2b3000)\n")
    other = "Error loading shared library /x/_y.so: Exec format error"
    assert read_listing(other) == ((), (other,))
