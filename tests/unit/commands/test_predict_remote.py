"""`predict` of wheels on an index: ranges of files, the answers of whole files, clear errors."""

from __future__ import annotations

import base64
import json
import random
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bad_wheels import cut_short, not_a_zip, overlapping, two_infos, unlisted
from elf_files import Want
from range_server import RangeServer, served
from wheels import build_wheel, extension_spec

from pytest_manylinux.cli import main
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.indexes import IndexAccess, release_wheels
from pytest_manylinux.inspect import remote_wheel

NEW = Want("fcntl64", "GLIBC_2.28", "libc.so.6")
DISTROS = ("--distros", "debian-11,debian-12,ubuntu-18.04")


def release(folder: Path, pythons: range = range(8, 13), data: int = 400_000) -> list[Path]:
    """Wheels for several Pythons, data that is not code in each, and one for Windows."""
    folder.mkdir()
    noise = random.Random(0).randbytes(data)  # noqa: S311 - only has to be incompressible
    paths = []
    for minor in pythons:
        own = extension_spec("_x", wants=(NEW,), rodata=noise[-1000 - minor : -minor])
        files: dict[str, bytes | str] = {
            "demo/__init__.py": "import json\n" * 500,
            "demo/model.bin": noise,
            f"demo/_x.cpython-3{minor}-x86_64-linux-gnu.so": own.build(),
            "demo.libs/libbig-0a1b2c3d.so.1": extension_spec("z", rodata=noise[:50_000]).build(),
        }
        tag = f"cp3{minor}-cp3{minor}-manylinux_2_28_x86_64"
        paths.append(build_wheel(folder, files, tag=tag))
    build_wheel(folder, {"demo/__init__.py": "", "x.bin": noise}, tag="cp312-cp312-win_amd64")
    return paths


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    """A loopback index over `tmp_path/files`, which pip is set to."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with served(tmp_path / "files") as server:
        access = IndexAccess(environment={"PIP_INDEX_URL": f"{server.url}/simple/"})
        monkeypatch.setattr("pytest_manylinux.indexes.host_index", lambda: access)
        monkeypatch.setattr("pytest_manylinux.indexes.host_certificates", lambda: None)
        yield server


def predicted(capsys: pytest.CaptureFixture[str], *words: str | Path) -> dict[str, object]:
    assert main(["predict", *map(str, words), "--json", *DISTROS]) in {0, 1}
    document: dict[str, object] = json.loads(capsys.readouterr().out)
    return document


@pytest.mark.parametrize("page", ["json", "html"])
def test_a_release_has_the_answers_of_its_whole_files(
    page: str, index: RangeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = release(index.folder)
    index.html = page == "html"
    found = predicted(capsys, "demo==1.0")
    size = sum(path.stat().st_size for path in paths)
    assert 0 < index.sent < 0.15 * size
    assert found.pop("left-out") == ["demo-1.0-cp312-cp312-win_amd64.whl"]
    whole = predicted(capsys, *paths)
    assert whole.pop("left-out") == []
    by_name = sorted(whole["projects"][0]["wheels"], key=lambda wheel: wheel["file"])  # type: ignore[index]
    assert found["projects"][0]["wheels"] == by_name  # type: ignore[index]
    assert found["projects"][0]["reach"] == whole["projects"][0]["reach"]  # type: ignore[index]


def test_a_release_is_a_table_and_says_what_was_fetched(
    index: RangeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    release(index.folder, range(11, 13))
    assert main(["predict", "Demo==1.0.0", *DISTROS]) == ExitCode.OK
    said = capsys.readouterr()
    rows = [line.split() for line in said.out.splitlines() if line.startswith("demo-1.0-cp311")]
    # Debian 12 has Python 3.11, Debian 11 has 3.9, Ubuntu 18.04 an older glibc and Python 3.6.
    assert rows == [["demo-1.0-cp311-cp311-manylinux_2_28_x86_64.whl", "1", "0", "2"]]
    assert "no wheel here is for Python 3.9, the Python of debian-11" in " ".join(said.out.split())
    assert said.err.startswith("fetched ")
    assert f"{index.sent:,} of " in said.err


def test_an_address_with_a_login_that_the_index_gave(
    index: RangeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = release(index.folder, range(11, 12))
    index.login = "Basic " + base64.b64encode(b"ann:secret").decode()
    login = index.url.replace("://", "://ann:secret@")
    assert main(["predict", f"{login}/files/{path.name}", *DISTROS]) == ExitCode.OK
    assert main(["predict", "demo==1.0", "--index-url", f"{login}/simple", *DISTROS]) == ExitCode.OK
    capsys.readouterr()
    assert main(["predict", f"{index.url}/files/{path.name}", *DISTROS]) == ExitCode.NOT_PROVEN
    assert "401 Unauthorized" in capsys.readouterr().err


def test_strict_takes_addresses(index: RangeServer, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = release(index.folder, range(11, 12))
    index.redirects["/files/there.whl"] = f"/files/{path.name}"
    index.redirects[f"/moved/{path.name}"] = f"/files/{path.name}"
    assert main(["predict", "--strict", f"{index.url}/moved/{path.name}", "--for", "debian-12"]) == 0
    assert capsys.readouterr().out.startswith(f"{path.name}: works on every distro")


def test_a_server_that_sends_the_file_instead_of_a_range_is_asked_once_a_wheel(
    index: RangeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = release(index.folder, range(8, 13))
    index.ranges = False
    whole = predicted(capsys, "demo==1.0")
    assert sorted(name for name, _ in index.asked) == sorted(path.name for path in paths)
    assert index.sent == sum(path.stat().st_size for path in paths)
    index.ranges = True
    assert predicted(capsys, "demo==1.0") == whole


@pytest.mark.parametrize("status", [416, 501])
def test_a_server_that_refuses_ranges_is_asked_for_one_once(
    status: int, index: RangeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = release(index.folder, range(8, 13))
    index.refusal = status
    assert main(["predict", "demo==1.0", *DISTROS]) == ExitCode.OK
    assert len([name for name, wanted in index.asked if wanted]) == 1
    whole = sorted(name for name, wanted in index.asked if not wanted)
    assert whole == sorted(path.name for path in paths)
    said = capsys.readouterr().err
    assert f" in {len(paths) + 1} requests; whole, since ranges did not do: demo-1.0-" in said


def test_a_whole_file_has_the_digest_that_the_index_says(
    index: RangeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = release(index.folder, range(11, 12))
    index.ranges = False
    assert main(["predict", "demo==1.0", *DISTROS]) == ExitCode.OK
    assert f"whole, since ranges did not do: {path.name}" in capsys.readouterr().err
    index.digests[path.name] = "0" * 64
    assert main(["predict", "demo==1.0", *DISTROS]) == ExitCode.NOT_PROVEN
    assert "another file than the index says" in capsys.readouterr().err


def test_wheels_of_a_release_are_read_at_the_same_time(
    index: RangeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = release(index.folder, range(11, 15))
    index.meeting = threading.Barrier(len(paths) - 1)
    found = predicted(capsys, "demo==1.0")
    named = [wheel["file"] for wheel in found["projects"][0]["wheels"]]  # type: ignore[index]
    assert named == [path.name for path in paths]
    assert not index.meeting.broken


def test_a_file_that_a_wheel_has_twice_is_fetched_once(
    index: RangeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    index.folder.mkdir()
    noise = random.Random(1)  # noqa: S311 - only has to be incompressible
    library = extension_spec("z", rodata=noise.randbytes(200_000)).build()
    files: dict[str, bytes | str] = {
        "demo.libs/liba.so.1": library,
        "demo/data.bin": noise.randbytes(200_000),
        "demo.libs/liba.so": library,
    }
    path = build_wheel(index.folder, files, tag="py3-none-manylinux_2_28_x86_64")
    found = predicted(capsys, f"{index.url}/files/{path.name}#sha256={'0' * 64}")
    assert index.sent < 260_000
    whole = predicted(capsys, path)
    assert found["projects"][0]["reach"] == whole["projects"][0]["reach"]  # type: ignore[index]


def test_a_damaged_wheel_in_a_release_takes_nothing_from_the_others(
    index: RangeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = release(index.folder, range(8, 13))
    data = bytearray(paths[0].read_bytes())
    with zipfile.ZipFile(paths[0]) as archive:
        place = archive.getinfo("demo/_x.cpython-38-x86_64-linux-gnu.so").header_offset + 700
    data[place : place + 100] = bytes(100)
    paths[0].write_bytes(data)
    code, told = main(["predict", "demo==1.0", *DISTROS]), capsys.readouterr().err
    assert f"{paths[0].name}: demo/_x.cpython-38-x86_64-linux-gnu.so cannot" in told
    said = main(["predict", *map(str, paths), *DISTROS]), capsys.readouterr().err
    assert said == (code, told)
    paths[0].unlink()
    found = predicted(capsys, "demo==1.0")
    sound = predicted(capsys, *sorted(paths[1:]))
    assert found["projects"][0]["reach"] == sound["projects"][0]["reach"]  # type: ignore[index]


@pytest.mark.parametrize("damage", [cut_short, not_a_zip, overlapping, two_infos, unlisted])
def test_a_damaged_wheel_is_told_as_for_a_whole_file(
    damage: Callable[[Path], Path], index: RangeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    index.folder.mkdir()
    path = damage(index.folder)
    code = main(["predict", str(path), *DISTROS])
    told = capsys.readouterr()
    assert main(["predict", f"{index.url}/files/{path.name}", *DISTROS]) == code
    again = capsys.readouterr()
    assert again.out == told.out
    assert again.err.startswith(told.err)


def test_a_change_of_bytes_that_are_fetched_is_seen(
    index: RangeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = release(index.folder, range(11, 12))
    with zipfile.ZipFile(path) as archive:
        place = archive.getinfo("demo/_x.cpython-311-x86_64-linux-gnu.so").header_offset + 120
    data = bytearray(path.read_bytes())
    data[place] ^= 0xFF
    path.write_bytes(data)
    main(["predict", str(path), *DISTROS])
    told = capsys.readouterr()
    main(["predict", f"{index.url}/files/{path.name}", *DISTROS])
    again = capsys.readouterr()
    assert (again.out, again.err.partition("\nfetched")[0]) != ("", "")
    assert again.out == told.out


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("absent==1.0", "absent==1.0: the index has no project absent"),
        ("demo==7", "demo==7: the index has no wheel of that version"),
        ("demo==one", "demo==one: not a release"),
        ("demo[x]==1.0", "demo[x]==1.0: not a release"),
    ],
)
def test_what_is_not_a_release(
    word: str, said: str, index: RangeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    release(index.folder, range(11, 12), data=10)
    assert main(["predict", word]) == ExitCode.USAGE
    assert capsys.readouterr().err.startswith(f"pytest-manylinux: {said}\n")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("/files/demo-1.0-py3-none-any.whl", "404 Not Found"),
        ("/loop/demo-1.0-py3-none-any.whl", "it redirects without end"),
    ],
)
def test_a_server_that_does_not_give_it(
    place: str, said: str, index: RangeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    index.folder.mkdir()
    index.redirects["/loop/demo-1.0-py3-none-any.whl"] = "/loop/demo-1.0-py3-none-any.whl"
    assert main(["predict", index.url + place]) == ExitCode.NOT_PROVEN
    assert capsys.readouterr().err == (
        f"pytest-manylinux: {index.url}{place} cannot be read\n  why: {said}\n"
    )


def test_a_server_that_is_silent(
    index: RangeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    index.folder.mkdir()
    index.stalls = threading.Event()
    monkeypatch.setattr(remote_wheel, "TIMEOUT", 0.2)
    place = f"{index.url}/files/demo-1.0-py3-none-any.whl".replace("://", "://ann:secret@")
    assert main(["predict", place]) == ExitCode.NOT_PROVEN
    said = capsys.readouterr().err
    assert "no answer within 0.2 s" in said
    assert "secret" not in said


def test_an_index_without_a_release(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "x.whl", "--index-url", "http://127.0.0.1:1/simple"]) == ExitCode.USAGE
    assert "--index-url says where releases are, and none is named" in capsys.readouterr().err


def test_the_first_index_wins_for_a_name_on_two(tmp_path: Path, index: RangeServer) -> None:
    release(index.folder, range(11, 12))
    release(tmp_path / "other", range(11, 13))
    from pytest_manylinux.indexes import index_session  # noqa: PLC0415

    with served(tmp_path / "other") as other:
        places = [f"{index.url}/simple", f"{other.url}/simple"]
        found = release_wheels("demo==1.0", places, index_session())
    assert [file.url.startswith(index.url) for file in found if "manylinux" in file.filename] == [
        True,
        False,
    ]
