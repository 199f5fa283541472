"""Images that were made to do harm, as files of this machine: refused or kept inside; nothing is left.

What a registry sends is unpacked in the same way; faults of registries: test_folder_images.py.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from pushed_images import Entry, layer, write_layout

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.errors import ImageError
from pytest_manylinux.images import unpack
from pytest_manylinux.images.folder_images import FolderImages
from pytest_manylinux.images.store import ImageStore
from pytest_manylinux.images.user_namespace import TRIES, InsideRequest, laid_out, running_inside
from pytest_manylinux.model.distro import ImagePurpose

pytestmark = pytest.mark.integration

DIR, LINK, HARD = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
PLAIN = layer(Entry(name="usr", kind=DIR), Entry(name="usr/a", content=b"1"))
TERABYTE = 1 << 40
BOUND = 10_000_000  # bytes that an image may unpack to, here


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A store of one's own, and a folder beside it that no image may reach."""

    folder: Path
    outside: Path

    def root(self, *layers: bytes, spoil: Callable[[Path], None] = lambda _: None) -> Path:
        """Where an image of these layers was unpacked; `spoil` changes its layout before."""
        layout = self.folder / "layout"
        layout.mkdir()
        write_layout(layout, layers)
        spoil(layout)
        distro = load_catalogue().get("debian-12")
        interpreter = replace(distro.interpreters[0], packages=())
        row = replace(distro, image=f"oci:{layout}", interpreters=(interpreter,))
        images = FolderImages(store=ImageStore(self.folder / "cache"), say=print)
        image = images.provide(row, "x86_64", ImagePurpose.TRIAL, interpreter=interpreter)
        return Path(str(image.root))

    def left(self) -> list[Path]:
        """Roots, and unfinished work, in the store."""
        cache = self.folder / "cache"
        return [path for part in ("images/*/*", "aside/*") for path in cache.glob(part)]


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(unpack, "_LEAST", BOUND)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("1")
    return Scene(folder=tmp_path, outside=outside)


def sparse(size: int) -> Entry:
    """A file of nothing but an empty stretch, as GNU tar writes it (its manual: PAX 1.0)."""
    attributes = {"major": "1", "minor": "0", "name": "hole", "realsize": str(size)}
    return Entry(
        name="GNUSparseFile.0/hole",
        content=f"1\n{size}\n0\n".encode().ljust(512, b"\0"),
        attributes={f"GNU.sparse.{key}": value for key, value in attributes.items()},
    )


def many(count: int, size: int) -> tuple[Entry, ...]:
    return tuple(Entry(name=f"part{number}", content=b"x" * size) for number in range(count))


REFUSED = {
    "no archive": b"this is no archive, and no compressed one",
    "half an archive": PLAIN[: len(PLAIN) // 2],
    "a hole of a terabyte": layer(sparse(TERABYTE)),
    "many files too large together": layer(*many(40, BOUND // 20)),
    "a bomb within a bomb": gzip.compress(layer(*many(40, BOUND // 20))),
    "a folder upwards": layer(Entry(name="usr/../../outside/kept", content=b"2")),
    "a hard link upwards": layer(Entry(name="usr/h", kind=HARD, link="../../outside/kept")),
    "a hard link to nothing": layer(Entry(name="h", kind=HARD, link="no/where")),
}


@pytest.mark.parametrize("upper", [False, True], ids=["lowest", "upper"])
@pytest.mark.parametrize("kind", REFUSED)
def test_a_layer_is_refused_and_leaves_nothing(scene: Scene, kind: str, *, upper: bool) -> None:
    layers = [PLAIN, REFUSED[kind]] if upper else [REFUSED[kind]]
    with pytest.raises(ImageError) as caught:
        scene.root(*layers)
    assert caught.value.why
    assert caught.value.remedy
    assert scene.left() == []
    assert [path.read_text() for path in scene.outside.iterdir()] == ["1"]


@pytest.mark.parametrize("name", [".wh...", "usr/.wh...", "usr/.wh..", ".wh.."])
def test_a_whiteout_of_what_is_above_takes_nothing_away_there(scene: Scene, name: str) -> None:
    """What it does to its own image is the image's affair; it may be refused."""
    try:
        scene.root(PLAIN, layer(Entry(name=name), Entry(name="usr/b", content=b"2")))
    except ImageError:
        assert scene.left() == []
    assert [path.read_text() for path in scene.outside.iterdir()] == ["1"]
    assert Path("/usr/bin/env").exists()


def test_absolute_names_and_links_of_links_stay_inside(scene: Scene) -> None:
    """A link that leads out names a place in the root, for whichever layer goes through it."""
    inside = str(scene.outside)
    lower = layer(
        Entry(name=f".{inside}", kind=DIR),
        Entry(name="up", kind=LINK, link="../../../../.."),
        Entry(name="away", kind=LINK, link=f"up{inside}"),
    )
    upper = layer(
        Entry(name="away/kept", content=b"2"),
        Entry(name=f"{inside}/new", content=b"2"),
        Entry(name="up/top", content=b"2"),
    )
    root = scene.root(lower, upper)
    found = Path(f"{root}{inside}")
    assert sorted(path.name for path in found.iterdir()) == ["kept", "new"]
    assert (root / "top").read_text() == "2"
    assert [path.read_text() for path in scene.outside.iterdir()] == ["1"]


@pytest.mark.parametrize("laid", [False, True], ids=["plain", "overlay"])
def test_what_provisions_an_image_cannot_change_the_machines_devices(
    tmp_path: Path, *, laid: bool
) -> None:
    """To what they are already: nothing is lost where this fails. They can be used."""
    script = """
    for name in null zero full random urandom tty; do
        chmod 666 /dev/$name && echo could
        touch -d 2020-01-01 /dev/$name && echo could
    done
    echo words > /dev/null && echo used
    """
    folder = tmp_path / "overlay"
    (tmp_path / "lower").mkdir()
    request = InsideRequest(
        argv=("sh", "-c", script),
        view=("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"),
        environment={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        overlay=laid_out(folder, tmp_path / "lower") if laid else None,
    )
    with running_inside(request, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        said = process.communicate()[0].decode().splitlines()
    assert "could" not in said, said
    assert said[-1] == "used", said


# What bubblewrap does when a mount goes while it sees to it: all is made up to there, nothing is begun.
UNLUCKY = """#!{python}
import os, sys
folder, words = {folder!r}, sys.argv[1:]
tries = len(os.listdir(folder + "/tries"))
try:
    open(folder + "/tries/" + str(tries), "x").close()
except OSError:  # the second one, inside the first
    tries = {failures}
if tries < {failures}:
    said = "bwrap: Can't bind mount /oldroot/ on /newroot/: Unable to apply mount flags: gone"
    words[words.index("--") + 1:] = ["sh", "-c", 'echo "$0" >&2; exit 1', said]
os.execv({real!r}, ["bwrap", *words])
"""


@pytest.mark.parametrize("failures", [2, TRIES])
def test_a_mount_of_somebody_else_that_goes_meanwhile(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    folder, real = tmp_path / "unlucky", shutil.which("bwrap")
    (folder / "tries").mkdir(parents=True)
    program = folder / "bwrap"
    values = {"python": sys.executable, "folder": str(folder), "real": real, "failures": failures}
    program.write_text(UNLUCKY.format_map(values))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    packed = layer(Entry(name="usr", kind=DIR), Entry(name="usr/a", content=b"1"))
    if failures == TRIES:
        with pytest.raises(ImageError, match="cannot be unpacked") as caught:
            scene.root(packed)
        assert "mount flags" in str(caught.value.why)
        assert len([*(folder / "tries").iterdir()]) == TRIES
    else:
        assert (scene.root(packed) / "usr/a").read_text() == "1"
        assert failures < len([*(folder / "tries").iterdir()]) < TRIES


def test_a_hole_takes_no_room(scene: Scene) -> None:
    root = scene.root(layer(sparse(BOUND // 2)))
    assert (root / "hole").stat().st_size == BOUND // 2
    assert (root / "hole").stat().st_blocks == 0


def layer_of_other_bytes(layout: Path) -> None:
    """A layer that is whole, and not the one that its digest names."""
    blob = layout / "blobs/sha256" / hashlib.sha256(PLAIN).hexdigest()
    other = layer(Entry(name="usr", kind=DIR), Entry(name="usr/b", content=b"1"))
    blob.write_bytes(other)


def layer_that_is_half(layout: Path) -> None:
    blob = layout / "blobs/sha256" / hashlib.sha256(PLAIN).hexdigest()
    blob.write_bytes(PLAIN[:-10])


def layer_that_is_gone(layout: Path) -> None:
    (layout / "blobs/sha256" / hashlib.sha256(PLAIN).hexdigest()).unlink()


def digest_that_is_a_path(layout: Path) -> None:
    """The manifest names a file of this machine as its layer."""
    index = json.loads((layout / "index.json").read_text())
    (entry,) = index["manifests"]
    blobs = layout / "blobs/sha256"
    manifest = json.loads((blobs / entry["digest"].partition(":")[2]).read_text())
    manifest["layers"][0]["digest"] = f"sha256:../../../../{'../' * 20}etc/hostname"
    content = json.dumps(manifest).encode()
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    entry.update(digest=f"sha256:{digest}", size=len(content))
    (layout / "index.json").write_text(json.dumps(index))


def manifest_that_is_none(layout: Path) -> None:
    index = json.loads((layout / "index.json").read_text())
    digest = index["manifests"][0]["digest"].partition(":")[2]
    (layout / "blobs/sha256" / digest).write_text("[]")


SPOILT = (
    layer_of_other_bytes,
    layer_that_is_half,
    layer_that_is_gone,
    digest_that_is_a_path,
    manifest_that_is_none,
)


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda one: one.__name__)
def test_bytes_that_are_not_what_they_are_called_are_refused(
    scene: Scene, spoil: Callable[[Path], None]
) -> None:
    with pytest.raises(ImageError) as caught:
        scene.root(PLAIN, spoil=spoil)
    assert caught.value.why
    assert scene.left() == []
