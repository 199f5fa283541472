"""Random and mutated files: facts, or one clear error; never a traceback, never without end."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from elf_files import ElfSpec, Segment, Want
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from wheels import NATIVE, build_wheel, extension_spec

from pytest_manylinux.errors import ManylinuxError
from pytest_manylinux.inspect import symbols
from pytest_manylinux.inspect.audit import audit_wheel
from pytest_manylinux.inspect.elf import MAGIC, MalformedElfError, read_elf
from pytest_manylinux.inspect.wheel_file import glance, open_wheel, read_wheel
from pytest_manylinux.model.elf_facts import ElfFacts
from pytest_manylinux.model.wheel import WheelFacts

pytestmark = pytest.mark.attack("archive")

SPEC = ElfSpec(
    needed=("liba.so.1", "libc.so.6"),
    soname="libx.so",
    rpath="$ORIGIN/../x.libs",
    wants=(Want("memcpy", "GLIBC_2.14", "libc.so.6"), Want("a", "A_1", "liba.so.1")),
    exports=("PyInit_x", "b@B_1", "c@B_2"),
    isa=2,
    tls_size=8,
    rodata=b"\0libz.so.1\0/etc/ssl/cert.pem\0",
    symtab=True,
    debug=True,
    loads=(Segment(),),
)
FILES = [
    ElfSpec(**{**SPEC.__dict__, "arch": arch, "hash_style": style, "sections": sections}).build()
    for arch in ("x86_64", "i686", "s390x")
    for style in ("sysv", "gnu")
    for sections in (True, False)
]
TINY = settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))

place = st.integers(0, 100_000)
INTERESTING = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 63, (1 << 64) - 1)
change = st.one_of(
    st.tuples(place, st.binary(min_size=1, max_size=8)),
    st.tuples(
        place,
        st.builds(
            lambda value, size, order: (value & ((1 << 8 * size) - 1)).to_bytes(size, order),
            st.sampled_from(INTERESTING),
            st.sampled_from([2, 4, 8]),
            st.sampled_from(["little", "big"]),
        ),
    ),
)


def mutated(data: bytes, changes: list[tuple[int, bytes]], cut: int | None) -> bytes:
    """Overwrite bytes at some places (taken modulo the length), then cut the end off."""
    result = bytearray(data)
    for spot, new in changes:
        start = spot % len(data)
        result[start : start + len(new)] = new
    return bytes(result if cut is None else result[: cut % (len(result) + 1)])


def check(error: ManylinuxError) -> None:
    """One clear sentence, on one line, without control characters."""
    assert error.what
    assert error.what.isprintable()


def read(data: bytes) -> ElfFacts | None:
    try:
        return read_elf("x.so", data)
    except MalformedElfError as error:
        check(error)
        return None


@TINY
@given(
    data=st.sampled_from(FILES),
    changes=st.lists(change, min_size=1, max_size=6),
    cut=st.none() | place,
)
def test_mutated_elf_files(data: bytes, changes: list[tuple[int, bytes]], cut: int | None) -> None:
    facts = read(mutated(data, changes, cut))

    if facts is not None:
        assert facts.size <= len(data) + 8
        assert len(facts.wants) + len(facts.exports) <= len(data)


@TINY
@given(data=st.binary(max_size=300).map(lambda rest: MAGIC + rest))
@example(data=MAGIC)
@example(data=MAGIC + b"\x02\x01\x01")
def test_random_elf_files(data: bytes) -> None:
    facts = read(data)
    assert facts is None or facts.size == len(data)


def test_loops_in_the_version_tables_end() -> None:
    """A chain whose links point at itself, with the largest counts that fit."""
    data = bytearray(FILES[0])
    sound = read_elf("x.so", FILES[0])
    assert sound.version_needs
    for form in (b"\x01\0\x01\0", b"\x01\0\x02\0"):
        spot = bytes(data).find(form)
        while spot >= 0:
            data[spot + 2 : spot + 4] = b"\xff\xff"
            spot = bytes(data).find(form, spot + 1)

    read(bytes(data))


def test_names_that_overlap_without_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wants = tuple(Want("n" * 500) for _ in range(100))
    data = ElfSpec(wants=wants).build()
    assert len(read_elf("x.so", data).wants) == 100
    monkeypatch.setattr(symbols, "MAX_NAME_BYTES", 10_000)

    with pytest.raises(MalformedElfError) as caught:
        read_elf("x.so", data)

    assert "overlap" in caught.value.why


def test_incredible_counts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbols, "MAX_SYMBOLS", 2)

    for data in FILES:
        with pytest.raises(MalformedElfError, match="damaged"):
            read_elf("x.so", data)


def wheel_bytes() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        files: dict[str, bytes | str] = {
            "demo/__init__.py": "import this\n",
            "demo/_x.so": extension_spec("_x").build(),
            "demo-1.0.data/scripts/demo": "#!python\n",
        }
        path = build_wheel(
            Path(folder), files, tag=NATIVE, requires=["other>=1"], entry_points={"demo": "demo:main"}
        )
        return path.read_bytes()


WHEEL = wheel_bytes()


def facts_of(data: bytes) -> WheelFacts | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"demo-1.0-{NATIVE}.whl")
        path.write_bytes(data)
        seen = attempt(lambda: glance(path))
        facts = attempt(lambda: read_wheel(open_wheel(path)))
        at_a_glance = facts and replace(facts, contents=(), mismatches=())  # no digests there
        assert facts is None or at_a_glance == seen, "a sound wheel's facts are the same at a glance"
        return facts


def attempt(reading: Callable[[], WheelFacts]) -> WheelFacts | None:
    try:
        return reading()
    except ManylinuxError as error:
        check(error)
        return None


@TINY
@given(changes=st.lists(change, min_size=1, max_size=4), cut=st.none() | place)
def test_mutated_wheels(changes: list[tuple[int, bytes]], cut: int | None) -> None:
    facts = facts_of(mutated(WHEEL, changes, cut))

    if facts is not None:
        assert audit_wheel(facts).promised == ("manylinux_2_17_x86_64",)


MEMBER = st.sampled_from(["METADATA", "WHEEL", "RECORD", "entry_points.txt"])


@TINY
@given(member=MEMBER, data=st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
@example(member="RECORD", data=b'"demo/__init__.py')
@example(member="RECORD", data=b"a,sha256=\xc3\xa9,1\n")
@example(member="METADATA", data=b"Name: demo\nName: demo\nVersion: 1.0\n")
@example(member="METADATA", data=b"Name: demo\nVersion: 1.0\nRequires-Python: \x00\n")
@example(member="WHEEL", data=b"Wheel-Version: 1.0\nTag: " + b"a.b-" * 50 + b"c\n")
@example(member="entry_points.txt", data=b"[console_scripts]\n[console_scripts]\nx\n%(y)s = z\n")
def test_any_bytes_in_the_metadata(member: str, data: bytes) -> None:
    output = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(WHEEL)) as old, zipfile.ZipFile(output, "w") as new:
        for info in old.infolist():
            name = info.filename.rpartition("/")[2]
            new.writestr(info.filename, data if name == member else old.read(info))

    facts_of(output.getvalue())
