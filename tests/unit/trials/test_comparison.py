"""What an installation left against the wheel's files: as the agent compares, and what comes of it."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from trial_values import make_facts
from wheels import build_wheel

from pytest_manylinux.errors import SandboxError
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.observation import DifferenceKind
from pytest_manylinux.trials.inside.comparison import compare
from pytest_manylinux.trials.judged_files import JudgedFiles, judged_files
from pytest_manylinux.trials.protocol import Files
from pytest_manylinux.trials.request import VenvEntry, VenvLayout

SITE = "lib/python3.11/site-packages"
LAYOUT = VenvLayout(
    entries=(
        VenvEntry("folder", SITE, 0o755, ""),
        VenvEntry("file", "bin/activate", 0o644, ""),
        VenvEntry("link", "lib64", 0, "lib"),
    ),
    heavy=(f"{SITE}/pip",),
    purelib=SITE,
    platlib=SITE,
    scripts="bin",
    data=".",
    seeded=frozenset({"pip"}),
)
FILES = {
    "demo/__init__.py": "print('fine')\n",
    "demo-1.0.data/scripts/tool": "#!/bin/sh\n",
    "demo-1.0.data/scripts/rewritten": "#!python\nprint()\n",
    "demo-1.0.data/data/lib64/demo.txt": "data",
    "demo-1.0.data/headers/demo.h": "",
}
MADE = (f"{SITE}/demo-1.0.dist-info/INSTALLER", "bin/main", f"{SITE}/demo/__pycache__/x.pyc")


@pytest.fixture
def judged(tmp_path: Path) -> JudgedFiles:
    path = build_wheel(tmp_path / "dist", FILES, entry_points={"main": "demo:main"})
    return judged_files(read_wheel(open_wheel(path)), LAYOUT)


@pytest.fixture
def venv(tmp_path: Path, judged: JudgedFiles) -> Path:
    """A virtual environment with the wheel installed as pip does it."""
    venv = tmp_path / "venv"
    path = build_wheel(tmp_path / "dist", FILES, entry_points={"main": "demo:main"})
    content = {name: content.encode() for name, content in FILES.items()}
    places = {
        "demo/__init__.py": f"{SITE}/demo/__init__.py",
        "demo-1.0.data/scripts/tool": "bin/tool",
        "demo-1.0.data/data/lib64/demo.txt": "lib/demo.txt",
        "demo-1.0.data/headers/demo.h": "include/site/python3.11/demo/demo.h",
    }
    for name, place in places.items():
        write(venv, place, content[name])
    write(venv, "bin/rewritten", b"#!/scratch/venv/bin/python\nprint()\n")
    with zipfile.ZipFile(path) as archive:
        for name in ("METADATA", "WHEEL", "entry_points.txt"):
            inside = f"demo-1.0.dist-info/{name}"
            write(venv, f"{SITE}/{inside}", archive.read(inside))
    for made in MADE:
        write(venv, made, b"made")
    write(venv, "bin/activate", b"")
    write(venv, f"{SITE}/pip/__init__.py", b"")
    (venv / "lib64").symlink_to("lib")
    record(venv, "demo", judged, *MADE)
    return venv


def write(venv: Path, path: str, content: bytes) -> None:
    (venv / path).parent.mkdir(parents=True, exist_ok=True)
    (venv / path).write_bytes(content)


def into_pipe(place: Path) -> None:
    place.unlink()
    os.mkfifo(place)


def record(venv: Path, project: str, judged: JudgedFiles, *more: str) -> None:
    """The RECORD as pip writes it, with paths from site-packages on."""
    own = f"{SITE}/{project}-1.0.dist-info/RECORD"
    paths = [path for path, _, _ in judged.files] if project == "demo" else []
    rows = [f"{os.path.relpath(path, SITE)},," for path in (*paths, *more, own)]
    write(venv, own, "\n".join(rows).encode())


def differences(venv: Path, judged: JudgedFiles) -> set[tuple[str, DifferenceKind, bool]]:
    """What the agent would tell, and what the host makes of it."""
    request: dict[str, Any] = {
        "files": [list(file) for file in judged.files],
        "venv": [[e.kind, e.path, e.mode, e.content] for e in LAYOUT.entries],
        "seeded": list(LAYOUT.heavy),
        "sites": [str(venv / SITE)],
        "own": judged.metadata,
    }
    told = msgspec.convert({"kind": "files", **compare(str(venv), request)}, Files)
    return {(one.path, one.kind, one.shared) for one in judged.differences(told)}


def test_what_pip_leaves_is_no_difference(venv: Path, judged: JudgedFiles) -> None:
    assert differences(venv, judged) == set()
    digest = hashlib.sha256(FILES["demo/__init__.py"].encode()).hexdigest()
    assert (f"{SITE}/demo/__init__.py", len(FILES["demo/__init__.py"]), digest) in judged.files
    assert ("bin/rewritten", -1, "") in judged.files


@pytest.mark.attack("forgery", by="path")
@pytest.mark.parametrize(
    "path", [f"{SITE}/demo/__init__.py", "bin/tool", "lib/demo.txt", f"{SITE}/demo-1.0.dist-info/WHEEL"]
)
@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda place: place.unlink(), DifferenceKind.MISSING),
        (lambda place: place.write_bytes(place.read_bytes() + b"x"), DifferenceKind.SIZE),
        (lambda place: place.write_bytes(place.read_bytes()[:-1] + b"x"), DifferenceKind.CONTENT),
        (lambda place: (place.unlink(), place.symlink_to("/etc/passwd")), DifferenceKind.MISSING),
        (lambda place: (place.unlink(), place.mkdir()), DifferenceKind.MISSING),
        (into_pipe, DifferenceKind.MISSING),
    ],
    ids=["gone", "longer", "other", "a link", "a folder", "a pipe"],
)
def test_a_file_that_is_not_what_was_judged_is_seen(
    venv: Path,
    judged: JudgedFiles,
    path: str,
    change: Callable[[Path], object],
    kind: DifferenceKind,
) -> None:
    change(venv / path)
    assert (path, kind, False) in differences(venv, judged)


@pytest.mark.attack("forgery", by="path")
@pytest.mark.parametrize(
    "path", [f"{SITE}/evil.py", f"{SITE}/demo/evil.py", "bin/evil", "evil", f"{SITE}/evil.pth"]
)
def test_a_file_besides_is_seen(venv: Path, judged: JudgedFiles, path: str) -> None:
    write(venv, path, b"")
    assert differences(venv, judged) == {(path, DifferenceKind.ADDED, False)}
    record(venv, "demo", judged, *MADE, path)
    assert differences(venv, judged) == {(path, DifferenceKind.ADDED, False)}


def test_files_of_other_distributions_are_theirs(venv: Path, judged: JudgedFiles) -> None:
    write(venv, f"{SITE}/other/__init__.py", b"")
    write(venv, "bin/other", b"")
    record(venv, "other", judged, f"{SITE}/other/__init__.py", "bin/other")
    assert differences(venv, judged) == set()


def test_a_file_that_two_distributions_bring_is_told_so(venv: Path, judged: JudgedFiles) -> None:
    path = f"{SITE}/demo/__init__.py"
    write(venv, path, b"theirs")
    record(venv, "other", judged, path)
    assert differences(venv, judged) == {(path, DifferenceKind.SIZE, True)}


@pytest.mark.parametrize("content", [b"\xff\xfe", b'"', b"a,b\0,c\n", b"x" * 200_000])
def test_a_damaged_record_of_another_is_no_trouble(
    venv: Path, judged: JudgedFiles, content: bytes
) -> None:
    write(venv, f"{SITE}/other-1.0.dist-info/RECORD", content)
    found = differences(venv, judged)
    assert {path for path, _, _ in found} <= {f"{SITE}/other-1.0.dist-info/RECORD"}


def test_half_a_comparison_is_no_account(judged: JudgedFiles) -> None:
    for told in (None, Files(compared=1, differing=(), besides=())):
        with pytest.raises(SandboxError, match="did not compare"):
            judged.differences(told)


def test_pip_names_its_programs_by_version() -> None:
    facts = make_facts(filename="pip-26.3-py3-none-any.whl", entry_points=("pip", "pip3"))
    assert judged_files(facts, LAYOUT).explains("bin/pip3.11")
    facts = make_facts(filename="other-1.0-py3-none-any.whl", entry_points=("pip",))
    assert not judged_files(facts, LAYOUT).explains("bin/pip3.11")


def test_digests_other_than_sha256_are_made_up_for(tmp_path: Path) -> None:
    record = b"demo/__init__.py,,\n" + b"".join(
        f"demo-1.0.dist-info/{name},,\n".encode() for name in ("METADATA", "WHEEL", "RECORD")
    )
    path = build_wheel(tmp_path, {"demo/__init__.py": "x"}, record=record)
    contents = {file.path: file.sha256 for file in read_wheel(open_wheel(path)).contents}
    assert contents["demo/__init__.py"] == hashlib.sha256(b"x").hexdigest()
    assert contents["demo-1.0.dist-info/RECORD"] == ""
