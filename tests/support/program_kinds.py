"""Kinds of wheels with programs: on PATH, inside a package, by an entry point, and alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kinds_of_wheels import START, WORKS, WheelKind, compiled, module, packed, with_mode
from wheels import build_wheel

_READ, _WRITE = 4, 2  # PF_R, PF_W
_NOTHING = {"module-not-native": "error"}
_NO_START = {"program-not-started": "error"}
_MISMATCH = {"policy-mismatch": "error"}
_LOST = {"policy-mismatch": "error", "rpath-lost": "warning"}


def command(
    data: str | tuple[str, ...], *, mode: int = 0o100755, place: str = "scripts"
) -> Callable[[Path], Path]:
    """A sound module and a program on PATH: a text, or options for the linker of one that ends."""

    def make(folder: Path) -> Path:
        if isinstance(data, str):
            program = data.encode()
        else:
            program = compiled(folder, "program", START, "-nostdlib", *data, shared=False)
        path = f"tool-1.0.data/{place}/tool"
        files: dict[str, bytes | str] = {"tool/_x.abi3.so": module(folder, "_x"), path: program}
        return with_mode(packed(folder, "tool", files), path, mode)

    return make


def tool_alone(
    *flags: str, text: str = "", code: str = START, tag: str = "py3-none-manylinux_2_17_x86_64"
) -> Callable[[Path], Path]:
    """A wheel of one program and no module."""

    def make(folder: Path) -> Path:
        program: bytes | str = text
        if not text:
            program = compiled(folder, "program", code, "-nostdlib", *flags, shared=False)
        path = "alone-1.0.data/scripts/alone"
        made = build_wheel(folder, {path: program}, name="alone", tag=tag)
        return with_mode(made, path, 0o100755)

    return make


def read_only_dynamic(folder: Path) -> Path:
    """A program whose dynamic section is mapped for reading only, as patchelf may leave it."""
    program = bytearray(compiled(folder, "program", START, "-nostdlib", "-pie", shared=False))
    start, rows = int.from_bytes(program[32:40], "little"), int.from_bytes(program[56:58], "little")
    for row in range(start, start + 56 * rows, 56):  # Elf64_Phdr: p_type, p_flags
        if program[row] == 1 and program[row + 4] == _READ | _WRITE:
            program[row + 4] = _READ
    path = "tool-1.0.data/scripts/tool"
    files: dict[str, bytes | str] = {"tool/_x.abi3.so": module(folder, "_x"), path: bytes(program)}
    return with_mode(packed(folder, "tool", files), path, 0o100755)


def program_with(library: bytes | None, *, place: str = "scripts") -> Callable[[Path], Path]:
    """A sound module, and a program with a library beside it: another file in its place, or none."""

    def make(folder: Path) -> Path:
        sound = compiled(folder, "libpg.so.1", "int pg(void) { return 1; }", "-Wl,-soname,libpg.so.1")
        (folder / "libpg.so").write_bytes(sound)
        source = START.replace("{", "{ pg();", 1)
        flags = ("-nostdlib", "-pie", "-lpg", "-Wl,-rpath,$ORIGIN/../beside-libs")
        program = compiled(folder, "program", f"int pg(void); {source}", *flags, shared=False)
        files: dict[str, bytes | str] = {"beside/_x.abi3.so": module(folder, "_x")}
        inside = place != "scripts"
        at = "beside/tools/program" if inside else "beside-1.0.data/scripts/program"
        files[at] = program
        where = "beside/far/libpg.so.1" if inside else "beside-1.0.data/data/beside-libs/libpg.so.1"
        files[where] = sound if library is None else library
        return with_mode(packed(folder, "beside", files), at, 0o100755)

    return make


def offering(entry_points: str, code: str = "") -> Callable[[Path], Path]:
    """A sound module with entry points, and the code of their module `cli`."""

    def make(folder: Path) -> Path:
        files: dict[str, bytes | str] = {"offer/_x.abi3.so": module(folder, "_x")}
        if code:
            files["offer/cli.py"] = code
        files["offer-1.0.dist-info/entry_points.txt"] = f"[console_scripts]\n{entry_points}\n"
        return packed(folder, "offer", files)

    return make


KINDS: tuple[WheelKind, ...] = (
    WheelKind(name="program-dynamic", make=command(("-pie",))),
    WheelKind(name="program-static-pie", make=command(("-static-pie",))),
    WheelKind(
        name="program-with-a-read-only-dynamic-section",
        make=read_only_dynamic,
        audit={"loader-refusal": "error"},
        predicted="loader-refusal",
    ),
    WheelKind(
        name="program-of-nix",
        make=command(("-pie", "-Wl,--dynamic-linker,/nix/store/a-glibc/lib/ld-linux-x86-64.so.2")),
        audit=_NO_START,
        predicted="program-not-started",
    ),
    WheelKind(
        name="program-of-musl",
        make=command(("-pie", "-Wl,--dynamic-linker,/lib/ld-musl-x86_64.so.1")),
        audit=_NO_START,
        predicted="program-not-started",
    ),
    WheelKind(name="script-of-the-installer", make=command("#!python\nprint(1)\n")),
    WheelKind(name="script-of-env", make=command("#!/usr/bin/env python3\nprint(1)\n")),
    WheelKind(
        name="script-of-the-build-machine",
        make=command("#!/opt/python/cp311-cp311/bin/python\nprint(1)\n"),
        audit=_NO_START,
        predicted="program-not-started",
    ),
    WheelKind(
        name="script-of-one-systems-python",
        make=command("#!/usr/bin/python3.11\nprint(1)\n"),
        audit=_NO_START,
        predicted=("program-not-started", WORKS, "program-not-started", "program-not-started"),
    ),
    WheelKind(
        name="script-of-a-python-that-was-built-by-hand",
        make=command("#!/usr/local/bin/python3\nprint(1)\n"),
        audit={"program-not-started": "warning"},
        predicted="program-not-started",
    ),
    WheelKind(
        name="script-without-mode",
        make=command("#!/bin/sh\nexit 0\n", mode=0o100644),
        audit=_NO_START,
        predicted="program-not-started",
    ),
    WheelKind(
        name="script-with-byte-order-mark",
        make=command("\ufeff#!/bin/sh\nexit 0\n"),
        audit=_NO_START,
        predicted="program-not-started",
    ),
    WheelKind(
        name="script-with-carriage-return",
        make=command("#!/usr/bin/env python3\r\nprint(1)\r\n"),
        audit=_NO_START,
        predicted="program-not-started",
    ),
    WheelKind(
        name="script-without-first-line",
        make=command("exit 0\n"),
        audit=_NO_START,
        predicted="program-not-started",
    ),
    WheelKind(
        # what scripts read in lies beside them, as charliecloud's base.sh does
        name="text-as-data-beside-programs",
        make=command("x=1\n", mode=0o100644, place="data/bin"),
    ),
    WheelKind(
        name="script-as-data",
        make=command("#!/bin/sh\nexit 0\n", place="data/bin"),
    ),
    WheelKind(
        name="script-as-data-of-the-build-machine",
        make=command("#!/opt/python/cp311-cp311/bin/python\nprint(1)\n", place="data/bin"),
        audit=_NO_START,
        predicted="program-not-started",
    ),
    WheelKind(
        name="script-as-data-with-a-line-for-installers",
        make=command("#!python\nprint(1)\n", place="data/bin"),
        audit=_NO_START,
        predicted="program-not-started",
    ),
    WheelKind(
        name="program-as-data-without-mode",
        make=command(("-static-pie",), mode=0o100644, place="data/bin"),
        audit=_NO_START,
        predicted="program-not-started",
    ),
    WheelKind(name="tool-alone-static", make=tool_alone("-static-pie")),
    WheelKind(
        # no loader is asked for them: what relocates such a program is a part of it
        name="tool-alone-static-with-packed-relocations",
        make=tool_alone(
            "-static-pie",
            "-Wl,-z,pack-relative-relocs",
            code=f"static int one; int *volatile all[64] = {{[0 ... 63] = &one}}; {START}",
        ),
    ),
    WheelKind(
        name="tool-alone-that-traps",
        make=tool_alone("-static-pie", code='void _start(void) { __asm__ volatile("ud2"); }'),
        predicted=WORKS,
        seen="program-not-started",
    ),
    WheelKind(
        name="tool-alone-of-nix",
        make=tool_alone("-pie", "-Wl,--dynamic-linker,/nix/store/a-glibc/lib/ld-linux-x86-64.so.2"),
        audit=_NO_START,
        predicted="program-not-started",
    ),
    WheelKind(
        name="tool-alone-of-musl",
        make=tool_alone("-pie", "-Wl,--dynamic-linker,/lib/ld-musl-x86_64.so.1"),
        audit=_NO_START,
        predicted="program-not-started",
    ),
    WheelKind(
        name="tool-alone-script-of-the-build-machine",
        make=tool_alone(text="#!/opt/python/cp311-cp311/bin/python\nprint(1)\n"),
        audit={**_NO_START, "platform-tag-needless": "warning"},
        predicted="program-not-started",
    ),
    WheelKind(name="program-beside-its-library", make=program_with(None), audit=_MISMATCH),
    WheelKind(
        name="program-beside-a-text",
        make=program_with(b"INPUT(libpg.so.2)\n"),
        audit={**_MISMATCH, **_NOTHING},
        predicted="missing-library",
        seen="loader-refusal",
    ),
    WheelKind(
        name="program-inside-that-a-wrapper-starts",
        make=program_with(None, place="package"),
        audit=_LOST,
    ),
    WheelKind(
        name="entry-point", make=offering("offer = offer.cli:main", "def main():\n    return 0\n")
    ),
    WheelKind(
        # as a program of pip's says it, `from offer import cli` imports what `import offer` has not
        name="entry-point-in-a-submodule",
        make=offering("offer = offer:cli.main", "def main():\n    return 0\n"),
    ),
    WheelKind(
        name="entry-point-that-is-a-module",
        make=offering("offer = offer:cli", "x = 1\n"),
        seen="entry-point-broken",
    ),
    WheelKind(
        name="entry-point-without-module",
        make=offering("offer = offer.cli:main"),
        audit={"entry-point-broken": "error"},
        predicted="entry-point-broken",
    ),
    WheelKind(
        name="entry-point-without-callable",
        make=offering("offer = offer"),
        audit={"entry-point-broken": "error"},
        predicted="entry-point-broken",
        seen="install-failed",
    ),
    WheelKind(
        name="entry-point-with-blanks-around-its-colon",
        make=offering("offer = offer.cli : main", "def main():\n    return 0\n"),
        audit={"entry-point-broken": "warning"},
        predicted=(WORKS, "entry-point-broken", "entry-point-broken", "entry-point-broken"),
        seen=(WORKS, "install-failed", "install-failed", "install-failed"),
    ),
    WheelKind(
        # pip makes a program of the last word alone
        name="entry-point-of-two-words",
        make=offering("of fer = offer.cli:main", "def main():\n    return 0\n"),
        audit={"entry-point-broken": "error"},
        predicted="entry-point-broken",
        seen="installed-files-differ",
    ),
    WheelKind(
        name="entry-point-of-the-build-script",
        make=offering("offer = setup:main"),
        audit={"entry-point-broken": "error"},
        predicted="entry-point-broken",
    ),
    WheelKind(
        name="entry-point-in-no-package",
        make=offering("offer = absent_module.cli:main"),
        audit={"entry-point-broken": "error"},
        predicted="entry-point-broken",
    ),
    WheelKind(
        name="entry-point-without-attribute",
        make=offering("offer = offer.cli:main", "x = 1\n"),
        seen="entry-point-broken",
    ),
    WheelKind(
        name="entry-point-not-callable",
        make=offering("offer = offer.cli:main", "main = 1\n"),
        seen="entry-point-broken",
    ),
    WheelKind(
        name="entry-point-whose-module-is-the-program",
        make=offering("offer = offer.cli:main", "import sys\nsys.exit('usage: offer FILE')\n"),
    ),
    WheelKind(
        name="entry-point-whose-module-becomes-another-program",
        make=offering("offer = offer.cli:main", "import os\nos.execv('/bin/false', ['false'])\n"),
    ),
    WheelKind(
        name="entry-point-of-an-extra", make=offering("offer = offer.cli:main [all]", "import absent\n")
    ),
)
