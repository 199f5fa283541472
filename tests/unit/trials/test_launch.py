"""What a trial does besides imports, on this machine: programs, libraries, sources."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from wheels import compile_shared

import pytest_manylinux.trials.inside.launch as launching

EXAMINE = Path(launching.__file__).with_name("examine.py")
CACHE_TAG = sys.implementation.cache_tag


@pytest.mark.parametrize(
    ("text", "mode", "words"),
    [
        ("#!/bin/sh\n", 0o755, ""),
        ("#!/bin/sh\n", 0o644, "it has no permission to be executed (mode 0644)"),
        ("#!/usr/bin/env sh\n", 0o755, ""),
        ("#!/usr/bin/env -S LANG=C sh -e\n", 0o755, ""),
        ("#!/usr/bin/env absent\n", 0o755, "its interpreter absent is not there (asked of env)"),
        ("#!/opt/absent/python\n", 0o755, "its interpreter /opt/absent/python is not there"),
        ("#! \n", 0o755, "its first line names no interpreter"),
        ("exit 0\n", 0o755, "it has no first line with #! and is not an ELF file"),
        ("\ufeff#!/bin/sh\n", 0o755, "a byte order mark stands before its first line"),
    ],
)
def test_why_a_script_is_refused(tmp_path: Path, text: str, mode: int, words: str) -> None:
    path = tmp_path / "script"
    path.write_text(text)
    path.chmod(mode)
    assert launching.refusal(str(path), str(tmp_path), is_elf=False) == words


def test_a_carriage_return_is_part_of_the_interpreters_name(tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_bytes(b"#!/usr/bin/env sh\r\n")
    path.chmod(0o755)
    assert "carriage return" in launching.refusal(str(path), str(tmp_path), is_elf=False)


def examined(folder: Path, work: str, *paths: str) -> dict[str, object]:
    """What the examining interpreter reports."""
    listing, pipe = folder / "listing", folder / "pipe"
    listing.write_text("\0".join(paths))
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    words = f"token\n{pipe}\n{work}\n{listing}"
    subprocess.run([sys.executable, "-c", EXAMINE.read_text()], input=words, text=True, check=True)
    told = os.read(reader, 1 << 20).decode().strip()
    os.close(reader)
    report: dict[str, object] = ast.literal_eval(told.removeprefix("token "))
    return report


def test_sources_are_compiled_and_not_run(tmp_path: Path) -> None:
    (tmp_path / "fine.py").write_text("raise SystemExit\n")
    (tmp_path / "bad.py").write_text("x = 1\nprint 'x'\n")
    (tmp_path / "null.py").write_bytes(b"x\0")
    paths = [str(tmp_path / name) for name in ("fine.py", "bad.py", "null.py")]
    report = examined(tmp_path, "sources", *paths)
    assert report["compiled"] == len(paths)
    faults = report["faults"]
    assert isinstance(faults, list)
    assert [(path, line) for path, line, _ in faults[:1]] == [(paths[1], 2)]
    assert [path for path, *_ in faults] == paths[1:]


def test_an_import_finds_the_bytecode_of_a_compiled_source(tmp_path: Path) -> None:
    source = tmp_path / "fine.py"
    source.write_text("value = 1\n")
    examined(tmp_path, "sources", str(source))
    (bytecode,) = tmp_path.glob("__pycache__/fine.*.pyc")
    command = [sys.executable, "-v", "-c", "import fine"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "matches" in next(line for line in done.stderr.splitlines() if bytecode.name in line)


def test_bytecode_that_a_wheel_has_brought_stays(tmp_path: Path) -> None:
    source, bytecode = tmp_path / "fine.py", tmp_path / f"__pycache__/fine.{CACHE_TAG}.pyc"
    source.write_text("value = 1\n")
    bytecode.parent.mkdir()
    bytecode.write_bytes(b"its own")
    assert examined(tmp_path, "sources", str(source))["faults"] == []
    assert bytecode.read_bytes() == b"its own"


def test_bytecode_that_cannot_be_written_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "fine.py").write_text("value = 1\n")
    (tmp_path / "__pycache__").write_text("a file in the way\n")
    assert examined(tmp_path, "sources", str(tmp_path / "fine.py"))["faults"] == []


def test_libraries_are_opened_alone_and_beside_others(tmp_path: Path) -> None:
    low = compile_shared(tmp_path, "liblow", "int low(void) { return 1; }")
    (tmp_path / "liblow.so").write_bytes(low)
    high = compile_shared(tmp_path, "libhigh", "int low(void); int high(void) { return low(); }")
    (tmp_path / "libhigh.so").write_bytes(high)
    bad = compile_shared(
        tmp_path, "libbad", "void abort(void); __attribute__((constructor)) void f(void) { abort(); }"
    )
    (tmp_path / "libbad.so").write_bytes(bad)
    (tmp_path / "libtext.so").write_text("not ELF")
    names = ("liblow", "libhigh", "libbad", "libtext")
    report = examined(tmp_path, "libraries", *(str(tmp_path / f"{name}.so") for name in names))
    opened = report["opened"]
    assert isinstance(opened, list)
    found = {Path(one["path"]).stem: one for one in opened}
    assert not found["liblow"]["lazily"]
    assert not found["liblow"]["beside"]
    # Its symbol is found once the other is open to all; lazily it opens alone.
    assert not found["libhigh"]["at_once"]
    assert found["libhigh"]["beside"]
    assert found["libbad"]["signal"] == 6
    assert found["libtext"]["lazily"].endswith(("file too short", "invalid ELF header"))
