"""Images of a registry as folders, by skopeo and bsdtar: what comes, what is refused, and what is left.

Wants the programs `skopeo`, `bsdtar`, `bwrap` and `docker-registry`.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from faulty_server import Fault, FaultyServer, faulty_server
from loopback_registry import log_in, registry_running
from pushed_images import Entry, layer, push, push_index, skopeo, write_layout
from whole_runs import wait_for

from pytest_manylinux.cache.integrity import is_as_sealed
from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.errors import ImageError, StoreError
from pytest_manylinux.images import (
    ArchiveImages,
    folder_images,
    image_progress,
    official_images,
    unpack,
)
from pytest_manylinux.images import skopeo as client
from pytest_manylinux.images.folder_images import FolderImages
from pytest_manylinux.images.provision import ProvisionPlan
from pytest_manylinux.images.store import ImageStore
from pytest_manylinux.model.distro import Distro, Image, ImagePurpose, ImageSource

pytestmark = pytest.mark.integration

DIR, LINK, HARD, DEVICE = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE
PLAIN = layer(Entry(name="usr", kind=DIR), Entry(name="usr/a", content=b"1"))
FAULTS = {fault.value: fault for fault in Fault if fault is not Fault.NONE}
# Names that a hostile image has, and the words of the refusal.
HOSTILE = {
    "traversal": ((Entry(name="../../escaped", content=b"x"),), r"'\.\.'|upwards"),
    "hard link to the host": ((Entry(name="h", kind=HARD, link="/etc/hostname"),), "does not exist"),
    "too large a file": ((Entry(name="big", content=bytes(30_000_000)),), "larger than|more than"),
}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A registry (`real`) behind a server that fails on demand, and a store of one's own."""

    server: FaultyServer
    real: str
    folder: Path

    def images(self, **more: object) -> FolderImages:
        said: list[str] = []
        return FolderImages(store=ImageStore(self.folder), say=said.append, **more)  # type: ignore[arg-type]

    def push(self, tag: str, *layers: bytes, **more: object) -> str:
        """Gives the name by which it is pulled through the server."""
        push(f"{self.real}/{tag}", layers, **more)  # type: ignore[arg-type]
        return f"{self.server.address}/{tag}"

    def left(self) -> list[str]:
        """Roots, and unfinished work, in the store."""
        return [str(path) for part in ("images/*/*", "aside/*") for path in self.folder.glob(part)]


@pytest.fixture(scope="module")
def registry() -> Iterator[tuple[str, FaultyServer]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="registry-")))
        real = stack.enter_context(registry_running(folder))
        yield real, stack.enter_context(faulty_server(f"http://{real}"))


@pytest.fixture
def scene(registry: tuple[str, FaultyServer], tmp_path: Path) -> Iterator[Scene]:
    real, server = registry
    server.asked.clear()
    yield Scene(real=real, server=server, folder=tmp_path / "cache")
    server.fault = Fault.NONE


def root_of(scene: Scene, name: str) -> Path:
    return Path(scene.images().pull(name, "x86_64", title="acme").root)


def test_an_image_is_known_by_its_registrys_digest_and_fetched_once(scene: Scene) -> None:
    name = scene.push("plain:1", PLAIN, environment=["PATH=/opt/bin", "A=b=c"])
    digest = push(f"{scene.real}/plain:1", [PLAIN], environment=["PATH=/opt/bin", "A=b=c"])
    pulled = scene.images().pull(name, "x86_64", title="acme")
    assert pulled.digest == digest
    assert pulled.environment == (("PATH", "/opt/bin"), ("A", "b=c"))
    assert scene.images().digest_of(name, "x86_64", title="acme") == digest
    scene.server.asked.clear()
    by_digest = f"{name.rpartition(':')[0]}@{digest}"
    again = scene.images().pull(by_digest, "x86_64", title="acme")
    assert (again.digest, again.root) == (digest, pulled.root)
    assert scene.server.asked == []
    offline = scene.images(known={name: digest})
    scene.server.fault = Fault.LOST
    assert offline.obtain(name, "x86_64", title="builder").root == pulled.root


def test_layers_are_fetched_once_whichever_image_has_them(scene: Scene) -> None:
    upper = layer(Entry(name="usr/b", content=b"2"))
    first = root_of(scene, scene.push("shared:1", PLAIN))
    second = root_of(scene, scene.push("shared:2", PLAIN, upper))
    assert not (first / "usr/b").exists()
    assert {path.name for path in (second / "usr").iterdir()} == {"a", "b"}
    blobs = [path for path in scene.server.asked if "/blobs/" in path]
    assert len(blobs) == len(set(blobs)), "no layer twice"


def test_a_damaged_layer_in_the_cache_is_fetched_again(scene: Scene) -> None:
    root_of(scene, scene.push("damaged:1", PLAIN))
    for path in (scene.folder / "layers/sha256").iterdir():
        if path.stat().st_size == len(PLAIN):
            path.write_bytes(bytes(len(PLAIN)))
            os.utime(path, (1, 1))
    other = scene.push("damaged:2", PLAIN, layer(Entry(name="usr/b")))
    assert (root_of(scene, other) / "usr/a").read_bytes() == b"1"


def test_a_list_of_images_gives_the_one_of_the_architecture(scene: Scene) -> None:
    arm = layer(Entry(name="usr/arm"))
    digests = {
        "amd64": push(f"{scene.real}/many:amd64", [PLAIN]),
        "arm64": push(f"{scene.real}/many:arm64", [arm], arch="arm64"),
    }
    index = push_index(f"{scene.real}/many:1", digests)
    name = f"{scene.server.address}/many:1"
    for arch, file in (("x86_64", "usr/a"), ("aarch64", "usr/arm")):
        pulled = scene.images().pull(name, arch, title="acme")
        assert pulled.digest == index
        assert (Path(pulled.root) / file).exists()
    with pytest.raises(ImageError, match="no image for s390x"):
        scene.images().pull(name, "s390x", title="acme")
    with pytest.raises(ImageError, match="not an image for x86_64"):
        scene.images().pull(f"{scene.server.address}/many:arm64", "x86_64", title="acme")


def test_a_tag_that_moves_is_told_and_a_pin_is_kept(scene: Scene) -> None:
    known: dict[str, str] = {}
    name = scene.push("moving:1", PLAIN)
    first = scene.images(known=known).pull(name, "x86_64", title="acme")
    scene.push("moving:1", layer(Entry(name="usr/new")))
    moved = scene.images(known=known).pull(name, "x86_64", title="acme")
    assert moved.note == f"{name} has moved since the last run, from {first.digest} to {moved.digest}"
    pinned = scene.images().pull(f"{name.rpartition(':')[0]}@{first.digest}", "x86_64", title="acme")
    assert (Path(pinned.root) / "usr/a").exists()


def test_a_cache_may_lie_in_the_memory_that_programs_share(scene: Scene) -> None:
    name = scene.push("memory:1", PLAIN, layer(Entry(name="usr/b", content=b"2")))
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        root = root_of(replace(scene, folder=Path(folder, "cache")), name)
        assert {path.name: path.read_bytes() for path in (root / "usr").iterdir()} == {
            "a": b"1",
            "b": b"2",
        }


def test_layers_are_laid_over_each_other_as_container_engines_do(scene: Scene) -> None:
    lower = layer(
        Entry(name="etc", kind=DIR),
        Entry(name="etc/gone", content=b"1"),
        Entry(name="etc/stays", content=b"2"),
        Entry(name="opaque", kind=DIR),
        Entry(name="opaque/old"),
        Entry(name="whole/folder/file"),
        Entry(name="run", kind=LINK, link="var/run"),
        Entry(name="lib", kind=LINK, link="usr/lib"),
        Entry(name="usr/lib", kind=DIR),
        Entry(name="odd\nname\\"),
    )
    upper = layer(
        Entry(name="etc/.wh.gone"),
        Entry(name="opaque/.wh..wh..opq"),
        Entry(name="opaque/new"),
        Entry(name="whole/.wh.folder"),
        Entry(name="run", kind=DIR),
        Entry(name="run/file"),
        Entry(name="lib/libc.so", content=b"3"),
        Entry(name=".wh.odd\nname\\"),
        Entry(name="hard", kind=HARD, link="etc/stays"),
    )
    root = root_of(scene, scene.push("layers:1", lower, upper))
    found = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    assert found == [
        *("etc", "etc/stays", "hard", "lib", "opaque", "opaque/new", "run", "run/file"),
        *("usr", "usr/lib", "usr/lib/libc.so", "whole"),
    ]
    assert not (root / "run").is_symlink()
    assert (root / "hard").samefile(root / "etc/stays")


def test_rights_are_taken_and_odd_files_kept(scene: Scene) -> None:
    odd = layer(
        Entry(name="su", mode=0o6755, content=b"x"),
        Entry(name="cap", attributes={"SCHILY.xattr.security.capability": "\x01\0\0\x02\0 \0\0"}),
        Entry(name="dev/null", kind=DEVICE),
        Entry(name="chroot/dev/random", kind=DEVICE),
        Entry(name="pipe", kind=tarfile.FIFOTYPE),
        Entry(name="closed", mode=0, content=b"x", owner=4_000_000_000),
        Entry(name="sparse", content=bytes(5_000_000)),
        Entry(name="shared", kind=DIR, mode=0o2775),
        Entry(name="to nowhere", kind=LINK, link="/no/where"),
    )
    root = root_of(scene, scene.push("odd:1", odd))
    assert stat.S_IMODE((root / "su").stat().st_mode) == 0o755
    assert os.listxattr(root / "cap") == []
    assert [path for path in root.rglob("*") if path.is_char_device()] == []
    assert (root / "pipe").is_fifo()
    assert (root / "sparse").stat().st_size == 5_000_000
    assert (root / "sparse").stat().st_blocks < 100
    assert (root / "to nowhere").readlink() == Path("/no/where")
    if os.geteuid() == 0:
        assert (root / "closed").stat().st_uid == 4_000_000_000


@pytest.mark.parametrize("upper", [False, True], ids=["lowest", "upper"])
@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_a_hostile_image_is_refused_and_leaves_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, kind: str, *, upper: bool
) -> None:
    monkeypatch.setattr(unpack, "_LEAST", 10_000_000)
    entries, words = HOSTILE[kind]
    layers = [PLAIN, layer(*entries)] if upper else [layer(*entries)]
    name = scene.push(f"hostile:{kind.replace(' ', '-')}-{upper}", *layers)
    with pytest.raises(ImageError, match="the image is refused") as caught:
        root_of(scene, name)
    assert re.search(words, caught.value.why)
    assert scene.left() == []
    assert not (scene.folder.parent / "escaped").exists()


def test_a_bomb_of_small_files_is_refused(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "_FILES", 200)
    name = scene.push("bomb:1", layer(*(Entry(name=f"d{n}", kind=DIR) for n in range(60_000))))
    with pytest.raises(ImageError, match="the image is refused") as caught:
        root_of(scene, name)
    assert "200 files" in caught.value.why
    assert scene.left() == []


def test_no_link_leads_out_of_the_root(scene: Scene) -> None:
    """The second layer writes and takes away through links of the first: inside, if at all."""
    outside = scene.folder.parent / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    lower = layer(Entry(name="l", kind=LINK, link=str(outside)), Entry(name=f".{outside}", kind=DIR))
    upper = layer(Entry(name="l/written", content=b"x"), Entry(name="l/.wh.kept"))
    root = root_of(scene, scene.push("links:1", lower, upper))
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert (root / str(outside).lstrip("/") / "written").read_bytes() == b"x"
    with pytest.raises(ImageError, match="the image is refused"):
        root_of(scene, scene.push("links:2", layer(*links_of_one_layer(outside))))


def links_of_one_layer(outside: Path) -> tuple[Entry, ...]:
    return Entry(name="l", kind=LINK, link=str(outside)), Entry(name="l/written", content=b"x")


@pytest.mark.parametrize("part", ["manifests", "blobs"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_pull_fails(scene: Scene, monkeypatch: pytest.MonkeyPatch, fault: str, part: str) -> None:
    """Told, nothing left, and the next pull works."""
    monkeypatch.setattr(image_progress, "TRICKLE", 4.0)
    monkeypatch.setattr(client, "_SILENCE", 8.0)
    name = scene.push(
        f"fault:{part}-{fault.replace(' ', '-')}", layer(Entry(name="f", content=os.urandom(400_000)))
    )
    scene.server.fault, scene.server.pattern = FAULTS[fault], f"/{part}/"
    with pytest.raises(ImageError, match="could not be pulled") as caught:
        root_of(scene, name)
    assert caught.value.why
    assert caught.value.remedy
    assert scene.left() == []
    assert not list((scene.folder / "layers").glob("*/*.*"))
    scene.server.fault = Fault.NONE
    assert (root_of(scene, name) / "f").exists()


def test_a_registry_that_is_gone_is_asked_once(scene: Scene) -> None:
    images = scene.images(mirrors={"docker.io": "127.0.0.1:9/hub"})
    with pytest.raises(ImageError, match="could not be pulled") as caught:
        images.pull("debian:1", "x86_64", title="debian-1")
    assert "refused" in caught.value.why
    with pytest.raises(ImageError, match="was not asked for"):
        images.pull("debian:2", "x86_64", title="debian-2")


def test_a_login_is_that_of_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "registry"
    place.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    with registry_running(place, login=True) as address:
        log_in(tmp_path / "login", address)
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "login/config.json"))
        digest = push(f"{address}/private:1", [PLAIN])
        monkeypatch.delenv("REGISTRY_AUTH_FILE")
        images = FolderImages(store=ImageStore(tmp_path / "cache"), say=print)
        with pytest.raises(ImageError, match="could not be pulled") as caught:
            images.pull(f"{address}/private:1", "x86_64", title="acme")
        assert "authentication required" in caught.value.why
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "login"))
        assert images.pull(f"{address}/private:1", "x86_64", title="acme").digest == digest


def test_a_full_disk_is_told_as_one(scene: Scene, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("an ordinary user mounts nothing")
    name = scene.push("full:1", layer(Entry(name="f", content=os.urandom(3_000_000))))
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "small", str(small)], check=True)
    try:
        little = replace(scene, folder=small)
        with pytest.raises(StoreError, match="no room left"):
            root_of(little, name)
        assert little.left() == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


KILLED = """
import sys
from pathlib import Path
from pytest_manylinux.images.folder_images import FolderImages
from pytest_manylinux.images.provision import ProvisionPlan
from pytest_manylinux.images.store import ImageStore

FolderImages(store=ImageStore(Path(sys.argv[1])), say=print).pull(sys.argv[2], "x86_64", title="acme")
"""


def test_a_run_that_is_killed_while_it_unpacks_leaves_what_the_next_one_sweeps(scene: Scene) -> None:
    entries = (Entry(name=f"f{n}", content=os.urandom(2000)) for n in range(20_000))
    name = scene.push("killed:1", layer(*entries))
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(scene.folder), name])
    wait_for(lambda: any(scene.folder.glob("aside/*/root/f1*")))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(scene.folder.glob("images/*/*"))
    wait_for(lambda: not processes_on(scene.folder))
    assert (root_of(scene, name) / "f19999").exists()
    assert not list(scene.folder.glob("aside/*"))


def processes_on(folder: Path) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words and b"pytest" not in words:
            found.append(words.decode(errors="replace"))
    return found


def row(image: str) -> Distro:
    distro = load_catalogue().get("debian-12")
    return replace(distro, image=image, interpreters=(replace(distro.interpreters[0], packages=()),))


def provide(scene: Scene, distro: Distro) -> Image:
    return scene.images().provide(
        distro, "x86_64", ImagePurpose.TRIAL, interpreter=distro.interpreters[0]
    )


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive", "dir", "tarball", "folder"])
def test_images_of_files_and_folders(scene: Scene, tmp_path: Path, kind: str) -> None:
    layout, path = tmp_path / "layout", tmp_path / "image"
    layout.mkdir()
    digest = write_layout(layout, [PLAIN])
    if kind == "oci":
        path = layout
    elif kind in {"tarball", "folder"}:
        (tmp_path / "root.tar.gz").write_bytes(PLAIN)
        path = tmp_path / "root.tar.gz"
        if kind == "folder":
            path = tmp_path / "root"
            shutil.unpack_archive(tmp_path / "root.tar.gz", path)
    else:
        skopeo("copy", f"oci:{layout}", f"{kind}:{path}")
    name = f"{'dir' if kind == 'folder' else kind}:{path}"
    image = provide(scene, row(name))
    assert image.source is ImageSource.LOCAL
    assert image.root is not None
    assert (Path(image.root) / "usr/a").read_bytes() == b"1"
    assert provide(scene, row(name)) == image
    if kind in {"oci", "oci-archive"}:
        assert image.digest == digest


CHANGES = """
set -e
echo more >> /etc/debian_version
rm /etc/issue
rm -r /usr/share/doc && mkdir /usr/share/doc && echo 1 > /usr/share/doc/new
rm -r /usr/share/man && ln -s doc /usr/share/man
rm /etc/os-release && mkdir -p /etc/os-release/folder
chmod 700 /opt && chown 7:7 /srv 2>/dev/null || true
mv /etc/profile /etc/profile.moved
echo x > /usr/bin/su && chmod 6755 /usr/bin/su
ln /usr/bin/su /usr/bin/su.too && mkfifo /opt/pipe && mkdir -p "/opt/a:b,c/d"
test -s /etc/resolv.conf || test ! -s /host/etc/resolv.conf
sync
"""


@pytest.mark.parametrize("lower", ["", ":,\\"], ids=["plain", "odd"])
def test_a_plan_over_a_root_and_in_a_copy_come_out_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lower: str
) -> None:
    """And the root below stays as it was, to the byte; what did not change is there once."""
    plan = ProvisionPlan(commands=(("sh", "-c", CHANGES),), key="changes", listing=("ls", "/opt"))
    monkeypatch.setattr(official_images, "provision_plan", lambda *_, **__: plan)
    (tmp_path / "root").mkdir()
    shutil.unpack_archive(small_root(tmp_path), tmp_path / "root", "tar", filter="fully_trusted")
    distro = row(f"dir:{tmp_path / 'root'}")
    found = []
    for way in ("over", "copy"):
        if way == "copy":
            monkeypatch.setattr(folder_images, "overlays_work", lambda _: False)
        store = ImageStore(tmp_path / f"cache{lower}{way}")
        images = FolderImages(store=store, say=print)
        interpreter = distro.interpreters[0]
        image = images.provide(distro, "x86_64", ImagePurpose.TRIAL, interpreter=interpreter)
        below = next(one for one in store.images() if one.record.digest == image.base).folder
        assert is_as_sealed(below)
        root = Path(str(image.root))
        assert (root / "usr/bin/env").samefile(below / "root/usr/bin/env")
        assert not (root / "etc/debian_version").samefile(below / "root/etc/debian_version")
        assert not (below / "root/opt/pipe").exists()
        assert is_as_sealed(root.parent)
        assert not list(store.root.glob("aside/*"))
        found.append(listing(root))
    assert found[0] == found[1]
    assert found[0]["usr/bin/su"][0] == found[0]["usr/bin/su.too"][0] == "-rwxr-xr-x"
    assert found[0]["usr/share/man"] == ("lrwxrwxrwx", "doc")
    gone = {"etc/issue", "etc/profile", "etc/resolv.conf", "usr/share/doc/base-files"}
    assert gone.isdisjoint(found[0])


def small_root(folder: Path) -> Path:
    """A root of Debian 12, without what is large."""
    distro = load_catalogue().get("debian-12")
    image = ArchiveImages(ImageStore()).provide(
        distro, "x86_64", ImagePurpose.TRIAL, interpreter=distro.interpreters[0]
    )
    path = folder / "root.tar"
    large = ("python3*", "perl*", "*-linux-gnu/gconv", "./usr/share/[a-ce-ln-z]*", "./var/lib/*")
    words = [f"--exclude={name}" for name in (*large, "./etc/resolv.conf")]
    subprocess.run(["tar", "-C", str(image.root), *words, "-cf", str(path), "."], check=True)
    return path


def listing(root: Path) -> dict[str, tuple[str, str]]:
    """Of each path its kind with its mode, and its content."""
    found = {}
    for path in root.rglob("*"):
        mode, content = stat.filemode(path.lstat().st_mode), ""
        if path.is_symlink():
            content = str(path.readlink())
        elif path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(root))] = (mode, content)
    return found


@pytest.mark.parametrize(
    "name", ["oci:/no/where", "docker-archive:/no/where", "dir:/no/where", "dir:/proc"]
)
def test_files_that_hold_no_image_are_an_image_error(scene: Scene, name: str) -> None:
    with pytest.raises(ImageError):
        provide(scene, row(name))
    assert scene.left() == []
