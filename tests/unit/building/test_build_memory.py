"""Which builds are taken as done before, and which are not."""

from __future__ import annotations

import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux.building.api import BuildInputs, BuildRequest
from pytest_manylinux.building.source import OBJECTS, Snapshot
from pytest_manylinux.building.wheelhouse import BuildMemory, build_key, fingerprint, put
from pytest_manylinux.model.distro import Image, ImageSource
from pytest_manylinux.model.policy import policy_of_platform_tag
from pytest_manylinux.model.python import PythonVersion
from pytest_manylinux.model.run import BuildRecord

NAME = "demo-1.0-cp311-cp311-manylinux1_x86_64.whl"
IMAGE = Image(digest="sha256:1", name="debian-12", source=ImageSource.ARCHIVE, arch="x86_64")


def request(tmp_path: Path) -> BuildRequest:
    policy, _ = policy_of_platform_tag("manylinux1_x86_64") or pytest.fail("no policy")
    return BuildRequest(
        project=tmp_path,
        python=PythonVersion(3, 11),
        policy=policy,
        arch="x86_64",
        image=IMAGE,
        wheelhouse=tmp_path,
        cache=tmp_path,
        log=tmp_path / "log",
    )


def record(wheel: Path) -> BuildRecord:
    import hashlib  # noqa: PLC0415

    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return BuildRecord(
        project="demo", python="cp311", policy="manylinux1", builder="zig", wheel_sha256=digest
    )


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "out" / NAME
    path.parent.mkdir()
    path.write_bytes(b"wheel" * 1000)
    return path


def test_what_was_built_is_recalled_with_its_bytes(tmp_path: Path, wheel: Path) -> None:
    memory = BuildMemory(tmp_path / "wheels")
    memory.keep("key", wheel, record(wheel))
    found, again = memory.recall("key") or pytest.fail("nothing is recalled")
    assert found.read_bytes() == wheel.read_bytes()
    assert found.name == NAME
    assert again == replace(record(wheel), remembered=True)
    assert memory.recall("other") is None


def test_fresh_recalls_nothing_but_keeps(tmp_path: Path, wheel: Path) -> None:
    fresh = BuildMemory(tmp_path / "wheels", fresh=True)
    fresh.keep("key", wheel, record(wheel))
    assert fresh.recall("key") is None
    assert BuildMemory(tmp_path / "wheels").recall("key") is not None


@pytest.mark.parametrize("damage", ["flip", "cut", "record", "no wheel"])
def test_a_damaged_entry_is_never_used(tmp_path: Path, wheel: Path, damage: str) -> None:
    memory = BuildMemory(tmp_path / "wheels")
    memory.keep("key", wheel, record(wheel))
    kept = tmp_path / "wheels/key" / NAME
    match damage:
        case "flip":
            kept.write_bytes(b"X" + kept.read_bytes()[1:])
        case "cut":
            kept.write_bytes(kept.read_bytes()[:-1])
        case "record":
            (kept.parent / "record.json").write_text("{")
        case _:
            kept.unlink()
    assert memory.recall("key") is None
    memory.keep("key", wheel, record(wheel))
    assert memory.recall("key") is not None


def test_a_cache_that_cannot_be_written_is_no_failure(tmp_path: Path, wheel: Path) -> None:
    (tmp_path / "wheels").write_text("a file is in the way")
    memory = BuildMemory(tmp_path / "wheels")
    memory.keep("key", wheel, record(wheel))
    assert memory.recall("key") is None


def test_the_least_recently_used_goes_first(tmp_path: Path, wheel: Path) -> None:
    memory = BuildMemory(tmp_path / "wheels", limit=3 * wheel.stat().st_size)
    for age, key in enumerate(["newest", "middle", "oldest"]):
        memory.keep(key, wheel, record(wheel))
        os.utime(tmp_path / "wheels" / key, (1e9 - age, 1e9 - age))
    assert memory.recall("oldest") is not None  # used now
    memory.keep("one more", wheel, record(wheel))
    left = {key for key in ("newest", "middle", "oldest", "one more") if memory.recall(key)}
    assert left == {"oldest", "one more"}


def packed(tmp_path: Path, files: dict[str, bytes], *, mtime: int = 0, mode: int = 0o644) -> Path:
    path = tmp_path / "source.tar"
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(content), mtime, mode
            archive.addfile(member, io.BytesIO(content))
    return path


FILES = st.dictionaries(st.sampled_from(["s/a.c", "s/b.c", "s/setup.py"]), st.binary(max_size=9))


@given(one=FILES, other=FILES)
def test_a_fingerprint_tells_sources_apart(
    tmp_path_factory: pytest.TempPathFactory, one: dict[str, bytes], other: dict[str, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("packed")
    first = fingerprint(packed(folder, one))
    second = fingerprint(packed(folder, other))
    assert (first == second) == (list(one.items()) == list(other.items()))


def test_times_and_the_index_of_git_do_not_count(tmp_path: Path) -> None:
    one = fingerprint(packed(tmp_path, {"s/a.c": b"1", "s/.git/index": b"1"}, mtime=1))
    two = fingerprint(packed(tmp_path, {"s/a.c": b"1", "s/.git/index": b"2"}, mtime=2))
    assert one == two
    assert one != fingerprint(packed(tmp_path, {"s/a.c": b"1"}, mode=0o755))


def key(request: BuildRequest, snapshot: Snapshot | None = None, **changed: object) -> str:
    values: dict[str, object] = {
        "builder": "zig",
        "policy": "manylinux1",
        "tools": (("zig", "1"),),
        "index": "i",
        **changed,
    }
    return build_key(request, "source", snapshot or Snapshot(epoch=1), BuildInputs(**values))  # type: ignore[arg-type]


def test_everything_that_decides_is_in_the_key(tmp_path: Path) -> None:
    base = request(tmp_path)
    keys = [
        key(base),
        key(base, Snapshot(epoch=2)),
        key(base, builder="official"),
        key(base, policy="manylinux2014"),
        key(base, tools=(("zig", "2"),)),
        key(base, index="j"),
        key(replace(base, python=PythonVersion(3, 12))),
        key(replace(base, arch="i686")),
        key(replace(base, image=replace(IMAGE, digest="sha256:2"))),
        key(replace(base, before_build=("make",))),
        key(replace(base, build_packages=("zlib1g-dev",))),
        key(replace(base, network=False)),
    ]
    assert len(set(keys)) == len(keys)


def test_the_commit_counts_only_where_the_build_can_see_it(tmp_path: Path) -> None:
    base = request(tmp_path)
    folder = Path(OBJECTS)
    assert key(base, Snapshot(epoch=1, commit="a")) == key(base, Snapshot(epoch=1, commit="b"))
    assert key(base, Snapshot(epoch=1, commit="a", objects=folder)) != key(
        base, Snapshot(epoch=1, commit="b", objects=folder)
    )


def test_a_wheelhouse_that_is_made_is_ignored_by_git(tmp_path: Path) -> None:
    wheel = tmp_path / "demo-1.0-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    made, there = tmp_path / "a" / "made", tmp_path / "there"
    there.mkdir()
    for folder in (made, there):
        put(wheel, folder)
        put(wheel, folder)
    assert (made / ".gitignore").read_text() == "*\n"
    assert [path.name for path in there.iterdir()] == [wheel.name]


def test_a_fingerprint_tells_names_apart_that_are_not_utf_8(tmp_path: Path) -> None:
    names = [os.fsdecode(name) for name in (b"s/\xff", b"s/\xfe", "s/ä".encode(), b"s/\xe4")]
    assert len({fingerprint(packed(tmp_path, {name: b"1"})) for name in names}) == len(names)
