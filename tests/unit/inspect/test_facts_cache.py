"""Facts are remembered by a wheel's bytes, and read again where anything is in doubt."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from elf_files import ElfSpec
from wheels import NATIVE, build_wheel, extension_spec

from pytest_manylinux.errors import MalformedWheelError
from pytest_manylinux.inspect import facts_cache as module
from pytest_manylinux.inspect.facts_cache import FactsCache
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.wheel import Wheel, WheelFacts

FILES: dict[str, bytes | str] = {
    "demo/__init__.py": "",
    "demo/_a.so": extension_spec("_a").build(),
    "demo/libx.so.1": ElfSpec(soname="libx.so.1", needed=("libc.so.6",)).build(),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return build_wheel(tmp_path, FILES, tag=NATIVE, requires=["numpy>=2"])


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The wheels that were unpacked."""
    names: list[str] = []

    def reading(wheel: Wheel) -> WheelFacts:
        names.append(wheel.filename)
        return read_wheel(wheel)

    monkeypatch.setattr(module, "read_wheel", reading)
    return names


def test_what_is_recalled_is_what_was_read(tmp_path: Path, path: Path, read: list[str]) -> None:
    first = FactsCache(tmp_path / "kept").of(open_wheel(path))
    assert first.elf
    assert first == read_wheel(open_wheel(path))
    assert FactsCache(tmp_path / "kept").of(open_wheel(path)) == first
    assert read == [path.name]


def test_the_wheel_may_have_moved(tmp_path: Path, path: Path, read: list[str]) -> None:
    FactsCache(tmp_path / "kept").of(open_wheel(path))
    elsewhere = Path(shutil.copy(path, tmp_path / "kept"))
    assert FactsCache(tmp_path / "kept").of(open_wheel(elsewhere)).wheel.path == elsewhere
    assert len(read) == 1


def test_another_name_is_another_wheel(tmp_path: Path, path: Path, read: list[str]) -> None:
    FactsCache(tmp_path / "kept").of(open_wheel(path))
    renamed = Path(shutil.copy(path, path.with_name(f"other-1.0-{NATIVE}.whl")))
    with pytest.raises(MalformedWheelError, match="name and metadata disagree"):
        FactsCache(tmp_path / "kept").of(open_wheel(renamed))
    assert len(read) == 2


def test_fresh_reads_anew_and_keeps(tmp_path: Path, path: Path, read: list[str]) -> None:
    fresh = FactsCache(tmp_path / "kept", fresh=True)
    assert fresh.of(open_wheel(path)) == fresh.of(open_wheel(path))
    assert len(read) == 2
    FactsCache(tmp_path / "kept").of(open_wheel(path))
    assert len(read) == 2


def test_another_reader_reads_anew(
    tmp_path: Path, path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    FactsCache(tmp_path / "kept").of(open_wheel(path))
    monkeypatch.setattr(module, "_reader", lambda: "a later release")
    FactsCache(tmp_path / "kept").of(open_wheel(path))
    assert len(read) == 2


def test_damage_is_seen(tmp_path: Path, path: Path, read: list[str]) -> None:
    whole = FactsCache(tmp_path / "kept").of(open_wheel(path))
    (file,) = (tmp_path / "kept").glob("*/*.json")
    content = file.read_bytes()
    assert b"GLIBC" in content or b"libc.so.6" in content
    file.write_bytes(content.replace(b"libc.so.6", b"libc.so.7"))
    assert FactsCache(tmp_path / "kept").of(open_wheel(path)) == whole
    assert len(read) == 2


def test_without_a_cache_all_is_read(path: Path, read: list[str]) -> None:
    facts = FactsCache(None)
    assert facts.of(open_wheel(path)) == facts.of(open_wheel(path))
    assert len(read) == 2
    facts.prune()


def test_what_cannot_be_read_is_not_kept(tmp_path: Path) -> None:
    path = build_wheel(tmp_path, FILES, tag=NATIVE)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(MalformedWheelError):
        FactsCache(tmp_path / "kept").of(open_wheel(path))
    assert not (tmp_path / "kept").exists()


def test_the_least_recently_used_go(tmp_path: Path, path: Path) -> None:
    facts = FactsCache(tmp_path / "kept", limit=10)
    facts.of(open_wheel(path))
    assert list((tmp_path / "kept").glob("*/*.json"))
    facts.prune()
    assert not list((tmp_path / "kept").glob("*/*.json"))
