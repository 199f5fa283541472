"""A wheel whose files depend on who reads it is refused; an odd one that does not is read."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wheels import build_wheel
from zip_confusion import CONFUSING, HARMLESS, Part, parts_of, zipped

from pytest_manylinux.errors import MalformedWheelError
from pytest_manylinux.inspect import wheel_file as wheel_module
from pytest_manylinux.inspect.wheel_file import glance, open_wheel, read_wheel
from pytest_manylinux.model.wheel import WheelFacts

FILENAME = "demo-1.0-py3-none-any.whl"


def read(folder: Path, data: bytes) -> WheelFacts:
    path = folder / FILENAME
    path.write_bytes(data)
    return read_wheel(open_wheel(path))


@pytest.mark.attack("archive", by="case")
@pytest.mark.parametrize("case", CONFUSING)
def test_what_is_read_in_several_ways_is_refused(tmp_path: Path, case: str) -> None:
    words, make = CONFUSING[case]
    data = make(parts_of(tmp_path, {}))

    with pytest.raises(MalformedWheelError, match=words) as caught:
        read(tmp_path, data)

    assert caught.value.what.startswith(f"{FILENAME}: ")
    assert caught.value.why
    assert caught.value.remedy


@pytest.mark.parametrize("case", HARMLESS)
def test_what_is_only_odd_is_read(tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = parts_of(tmp_path, {"demo/däta.txt": "ä" * 5000, "demo/empty.py": ""})
    facts = read(tmp_path, HARMLESS[case](parts))

    assert set(facts.files) == {part.name.decode() for part in parts}
    assert facts.top_level == ("demo",)
    assert glance(tmp_path / FILENAME).files == facts.files
    monkeypatch.setattr(wheel_module, "IN_MEMORY", 10)  # the same in pieces
    assert read(tmp_path, HARMLESS[case](parts)).files == facts.files


@pytest.mark.attack("archive", by="case")
@pytest.mark.parametrize(
    "case", [case for case in CONFUSING if case.startswith("a hidden file behind")]
)
def test_large_files_are_held_to_the_same(
    tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheel_module, "IN_MEMORY", 10)
    words, make = CONFUSING[case]
    with pytest.raises(MalformedWheelError, match=words):
        read(tmp_path, make(parts_of(tmp_path, {})))


@pytest.mark.attack("archive", by="twin")
@pytest.mark.parametrize(
    "twin",
    [
        "demo-1.0.data/purelib/demo/__init__.py",
        "demo-1.0.data/platlib/demo/__init__.py",
        "demo-1.0.data/data/lib/python3.11/site-packages/demo/__init__.py",
        "demo-1.0.data/purelib/demo-1.0.dist-info/METADATA",
    ],
)
def test_two_files_for_one_place_are_refused(tmp_path: Path, twin: str) -> None:
    path = build_wheel(tmp_path, {"demo/__init__.py": "", twin: "other"})
    with pytest.raises(MalformedWheelError, match="two files for one place"):
        read_wheel(open_wheel(path))


def test_a_program_twice_is_refused(tmp_path: Path) -> None:
    files = {"demo-1.0.data/scripts/tool": "a", "demo-1.0.data/data/bin/tool": "b"}
    with pytest.raises(MalformedWheelError, match="two files for one place"):
        read_wheel(open_wheel(build_wheel(tmp_path, files)))


names = st.text("ab/ä.", min_size=1, max_size=8).filter(
    lambda name: not name.startswith("/") and all(part.strip(".") for part in name.split("/"))
)


@settings(max_examples=50)
@given(st.dictionaries(names, st.binary(max_size=300), max_size=5), st.data())
def test_whatever_pythons_zipfile_writes_is_read_the_same(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], data: st.DataObject
) -> None:
    """And a changed byte never gives other files: the wheel is refused, or has the same."""
    folder = tmp_path_factory.mktemp("zips")
    made = {f"demo/{number}/{name}": content for number, (name, content) in enumerate(files.items())}
    path = build_wheel(folder, {"demo/__init__.py": "", **made})
    facts = read_wheel(open_wheel(path))
    assert set(made) <= set(facts.files)

    damaged = bytearray(path.read_bytes())
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)
    try:
        again = read_wheel(open_wheel(path))
    except MalformedWheelError:
        return
    assert again.files == facts.files


def test_what_is_written_to_a_pipe_is_read(tmp_path: Path) -> None:
    """zipfile puts sizes after the data where it cannot go back."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.written = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.written += bytes(data)  # type: ignore[call-overload]
            return len(bytes(data))  # type: ignore[call-overload]

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in parts_of(tmp_path, {"demo/data.txt": "x" * 9000}):
            archive.writestr(part.name.decode(), part.data)
    assert read(tmp_path, pipe.written).top_level == ("demo",)


def test_the_writer_of_these_tests_writes_sound_files() -> None:
    parts = [Part(name=b"a", data=b"x" * 1000), Part(name=b"b", data=b"", stored=True)]
    with zipfile.ZipFile(io.BytesIO(zipped(parts))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["a", "b"]
