"""Whatever bytes are given to the command and to the audit: findings or one clear error."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from pathlib import Path

import pytest
from elf_files import ElfSpec, Segment, Want
from hypothesis import given, settings
from hypothesis import strategies as st
from wheels import NATIVE, build_wheel

from pytest_manylinux.cli import main
from pytest_manylinux.diagnose.judge import judge_audit, judge_unreadable
from pytest_manylinux.errors import ExitCode, MalformedWheelError
from pytest_manylinux.inspect.audit import audit_wheel
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel

pytestmark = pytest.mark.attack("archive")

NAME = f"demo-1.0-{NATIVE}.whl"
MODULE = "demo/_x.cpython-311-x86_64-linux-gnu.so"
ELF = ElfSpec(
    needed=("libfoo-0a1b2c3d.so.1", "libGL.so.1", "libc.so.6"),
    runpath="$ORIGIN/../demo.libs",
    wants=(Want("fcntl64", "GLIBC_2.28", "libc.so.6"), Want("frobnicate")),
    exports=("PyInit__x",),
    isa=3,
    stack="rwx",
    tls_size=64,
    relr=True,
    loads=(Segment(),),
    rodata=b"\0libz.so.1\0/etc/ssl/cert.pem\0",
).build()
FEW = settings(deadline=None, max_examples=40)
change = st.tuples(st.integers(0, 100_000), st.binary(min_size=1, max_size=8))


def with_elf(data: bytes) -> bytes:
    """A wheel around a file, its RECORD in order."""
    with tempfile.TemporaryDirectory() as folder:
        files: dict[str, bytes | str] = {"demo/__init__.py": "", MODULE: data}
        return build_wheel(Path(folder), files, tag=NATIVE).read_bytes()


WHEEL = with_elf(ELF)


def changed(data: bytes, changes: list[tuple[int, bytes]]) -> bytes:
    result = bytearray(data)
    for place, new in changes:
        start = place % len(data)
        result[start : start + len(new)] = new
    return bytes(result)


def ask(data: bytes) -> None:
    """The command and the audit, as a user meets them."""
    said, complaint = io.StringIO(), io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, NAME)
        path.write_bytes(data)
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complaint):
            code = main(["predict", str(path), "--json", "--distros", "debian-11,debian-testing"])
        try:
            facts = read_wheel(open_wheel(path))
        except MalformedWheelError as error:
            verdict = judge_unreadable(NAME, error)
        else:
            verdict = judge_audit(facts, audit_wheel(facts))
    assert all(finding.message and finding.remedy for finding in verdict.findings)
    if complaint.getvalue():
        assert code is not ExitCode.OK
        assert complaint.getvalue().startswith("pytest-manylinux: ")
        assert said.getvalue() == ""
    else:
        assert code in {ExitCode.OK, ExitCode.NOT_PORTABLE}
        assert len(json.loads(said.getvalue())["projects"]) == 1


@FEW
@given(changes=st.lists(change, max_size=4), cut=st.none() | st.integers(0, 100_000))
def test_mutated_wheels(changes: list[tuple[int, bytes]], cut: int | None) -> None:
    data = changed(WHEEL, changes)
    ask(data if cut is None else data[: cut % len(data)])


@FEW
@given(changes=st.lists(change, max_size=6))
def test_mutated_files_in_a_sound_wheel(changes: list[tuple[int, bytes]]) -> None:
    ask(with_elf(changed(ELF, changes)))


@FEW
@given(data=st.binary(max_size=400))
def test_random_files(data: bytes) -> None:
    ask(data)
    ask(with_elf(b"\x7fELF" + data))
