"""`cache export` and `cache import`: what is carried, and what an archive that is not sound brings."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from pytest_manylinux.cache.integrity import is_whole, seal_folder
from pytest_manylinux.cache.paths import CACHE_VARIABLE
from pytest_manylinux.cli import main
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.images.store import ImageStore
from pytest_manylinux.model.distro import Image, InterpreterOrigin
from pytest_manylinux.model.python import parse_python
from pytest_manylinux.pythons.kept import write_record

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Adopt = Callable[..., Image]
Elsewhere = Callable[..., tuple[int, str]]


@pytest.fixture
def archive(store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where an export goes; the cache is the store's."""
    monkeypatch.setenv(CACHE_VARIABLE, str(store.root))
    return tmp_path / "carried.tar.zst"


@pytest.fixture
def elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: Path, capsys: pytest.CaptureFixture[str]
) -> Elsewhere:
    """`cache import` into an empty cache, which is the one from then on: its exit code and words."""

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "other"))
        capsys.readouterr()
        code = main(["cache", "import", str(archive), *words])
        return code, "".join(capsys.readouterr())

    return run


def test_images_pythons_and_values_arrive_elsewhere(
    store: ImageStore,
    adopt: Adopt,
    archive: Path,
    elsewhere: Elsewhere,
    tmp_path: Path,
) -> None:
    image = adopt(base="1", python3="3.11")
    _python(store.root / "pythons/standalone-cp314")
    value = store.root / "observations/ab/abcd.json"
    value.parent.mkdir(parents=True)
    value.write_text("seen")
    (store.root / "apt").mkdir()
    (store.root / "apt/package.deb").write_text("fetched again in seconds")
    assert main(["cache", "export", str(archive)]) == ExitCode.OK

    code, words = elsewhere()
    assert code == ExitCode.OK
    assert "2 new, 0 here before, 0 refused; 2 recalled values" in words
    other = ImageStore(tmp_path / "other")
    found = other.take("x86_64", image.digest)
    assert found is not None
    assert (found.folder / "root/bin/tool").read_bytes() == b"x" * 10_000
    assert is_whole(other.root / "pythons/standalone-cp314")
    assert (other.root / "observations/ab/abcd.json").read_text() == "seen"
    assert not (other.root / "apt").exists()
    assert list((other.root / "aside").iterdir()) == []

    code, words = elsewhere()
    assert code == ExitCode.OK
    assert "0 new, 2 here before, 0 refused; 0 recalled values" in words


def test_what_is_there_already_stays(
    store: ImageStore, adopt: Adopt, archive: Path, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    adopt()
    (store.root / "surveys").mkdir()
    (store.root / "surveys/one.json").write_text("theirs")
    assert main(["cache", "export", str(archive)]) == ExitCode.OK
    (tmp_path / "other/surveys").mkdir(parents=True)
    (tmp_path / "other/surveys/one.json").write_text("ours")
    assert elsewhere()[0] == ExitCode.OK
    assert (tmp_path / "other/surveys/one.json").read_text() == "ours"


def test_the_most_recently_used_fit_the_bound(
    adopt: Adopt, archive: Path, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    adopt("debian-11", base="1")
    image = adopt("debian-12", base="2")
    assert main(["cache", "export", str(archive), "--max-size", "20k"]) == ExitCode.OK
    assert elsewhere()[0] == ExitCode.OK
    assert [stored.record.digest for stored in ImageStore(tmp_path / "other").images()] == [
        image.digest
    ]


def test_a_file_that_is_there_is_not_replaced(
    adopt: Adopt, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adopt()
    archive.write_text("somebody's")
    assert main(["cache", "export", str(archive)]) == ExitCode.USAGE
    assert "is there already" in capsys.readouterr().err
    assert archive.read_text() == "somebody's"
    assert main(["cache", "export", str(archive), "--force"]) == ExitCode.OK
    assert archive.read_bytes().startswith(b"\x28\xb5\x2f\xfd")  # Zstandard (RFC 8878)


def test_an_empty_cache_is_said_to_be_empty(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "export", str(archive)]) == ExitCode.USAGE
    assert "has nothing to export" in capsys.readouterr().err
    assert not archive.exists()


@pytest.mark.parametrize("damage", ["cut", "flipped", "text", "tar of another kind"])
def test_a_damaged_file_brings_nothing(
    adopt: Adopt,
    archive: Path,
    elsewhere: Elsewhere,
    tmp_path: Path,
    damage: str,
) -> None:
    adopt()
    assert main(["cache", "export", str(archive)]) == ExitCode.OK
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 0xFF
    archive.write_bytes(
        {
            "cut": archive.read_bytes()[:-20],
            "flipped": bytes(data),
            "text": b"hello\n",
            "tar of another kind": _packed({"readme": b"hello"}),
        }[damage]
    )
    code, words = elsewhere()
    assert code == ExitCode.USAGE
    assert "cannot be imported" in words
    assert ImageStore(tmp_path / "other").images() == ()
    assert list((tmp_path / "other/aside").iterdir()) == []


def test_another_digest_is_refused(
    adopt: Adopt, archive: Path, elsewhere: Elsewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    adopt()
    assert main(["cache", "export", str(archive)]) == ExitCode.OK
    digest = capsys.readouterr().out.split()[-1]
    code, words = elsewhere("--sha256", "0" * 64)
    assert code == ExitCode.USAGE
    assert f"its sha256 is {digest}" in words
    assert elsewhere("--sha256", digest.upper())[0] == ExitCode.OK


def test_what_is_not_what_it_says_is_refused(
    store: ImageStore,
    adopt: Adopt,
    archive: Path,
    elsewhere: Elsewhere,
    tmp_path: Path,
) -> None:
    root = Path(adopt().root or "")
    _python(store.root / "pythons/standalone-cp314")
    (root / "var/lib/dpkg/status").write_text("")
    (store.root / "pythons/standalone-cp314/prefix/python").write_text("another one")
    files = {
        str(path.relative_to(store.root)): path.read_bytes()
        for path in store.root.rglob("*")
        if path.is_file() and path.name != "seal.json"
    }
    archive.write_bytes(_packed({"pytest-manylinux-cache": b"1\n", **files}))
    code, words = elsewhere()
    assert code == ExitCode.NOT_PROVEN
    assert "refused: debian-12: its packages are not those of its digest" in words
    assert "refused: standalone-cp314: its files are not those of its digest" in words
    assert ImageStore(tmp_path / "other").images() == ()


def test_links_in_an_archive_lead_nowhere(
    store: ImageStore, adopt: Adopt, archive: Path, elsewhere: Elsewhere, tmp_path: Path
) -> None:
    image = adopt()
    (store.root / "observations").mkdir()
    (store.root / "observations/mark.json").write_text("of this machine")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        _add(tar, "pytest-manylinux-cache", b"1\n")
        for name in ("observations", "images", "pythons/one"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, str(store.root / name)
            tar.addfile(link)
        _add(tar, "../mark.json", b"mark")
    archive.write_bytes(zstd.compress(buffer.getvalue()))
    elsewhere()
    other = ImageStore(tmp_path / "other")
    assert other.images() == ()
    assert not list(other.root.glob("**/mark.json"))
    assert Path(image.root or "").is_dir()


def test_the_file_is_what_the_usual_programs_read(adopt: Adopt, archive: Path) -> None:
    adopt()
    assert main(["cache", "export", str(archive)]) == ExitCode.OK
    data = zstd.decompress(archive.read_bytes())
    listed = subprocess.run(["tar", "-t"], input=data, capture_output=True, check=True).stdout.decode()
    assert listed.startswith("pytest-manylinux-cache\n")
    assert "seal.json" not in listed


def _python(folder: Path) -> None:
    (folder / "prefix").mkdir(parents=True)
    (folder / "prefix/python").write_text("an interpreter")
    write_record(
        folder,
        version=parse_python("cp314"),
        release="3.14.0",
        origin=InterpreterOrigin.STANDALONE,
        source="made for a test",
    )
    assert msgspec.json.decode((folder / "python.json").read_bytes())["python"] == "cp314"
    seal_folder(folder)


def _packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            _add(tar, name, content)
    return zstd.compress(buffer.getvalue())


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mode = 0o644
    tar.addfile(member, io.BytesIO(content))
