"""Bare Debian roots under the names of other distros, and repositories that bring them Python.

Each has its distro's package manager as Debian packages it, and no Python but the one that dnf 4 is
written in. The packages are made of the Python of Debian's own root of that release, under the names
that the catalogue's row asks for: as .rpm with metadata by createrepo_c, as .deb with an index. The
images' own sources lead to loopback, where they are served over http.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from pushed_images import Entry, layer, push_root

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.api import Cache, Command, Mount, SandboxSpec
from pytest_manylinux.engines.bubblewrap.engine import BubblewrapEngine
from pytest_manylinux.engines.transfer import pack_root
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.model.distro import Image, ImagePurpose

RPM = ("rpm", "createrepo-c")
_NOT_PACKED = ("boot", "dev", "proc", "run", "sys", "tmp", "usr/share/doc", "usr/share/man", "var")
_OF_PIP = ("/dist-packages/pip", "/dist-packages/setuptools", "/dist-packages/wheel", "bin/pip")
_OF_VENV = ("/ensurepip/", "share/python-wheels/")
_ROW = """
[[tool.pytest-manylinux.distro]]
id = "{id}"
glibc = "{glibc}"
[[tool.pytest-manylinux.distro.interpreters]]
version = "{version}"
executable = "/usr/bin/python{version}"
packages = {packages}
"""
_SPEC = """
%global __os_install_post %{{nil}}
%global debug_package %{{nil}}
%define _binary_payload w1.gzdio
%define _build_id_links none
Name: {name}
Version: 1
Release: 1
Summary: made for a test
License: MIT
AutoReqProv: no
%description
Made for a test.
%install
tar -C /full -cf - --verbatim-files-from --no-recursion -T /lists/{name} | tar -C %{{buildroot}} -xf -
%files -f /lists/{name}.files
%defattr(-,root,root)
"""
_MAKE_RPMS = """
for name; do
  rpmbuild -bb --quiet "/lists/$name.spec" \
    --define '_topdir /scratch/rpm' --define '_rpmdir /out' --define '_tmppath /scratch'
done
createrepo_c --quiet /out
"""


@dataclass(frozen=True, kw_only=True)
class BareImage:
    """What one image is: `distro` is the catalogue's row, `debian` the release that it is made of.

    `packages` are the row's: one for Python, one for pip with the rest that venv wants, and empty ones.
    """

    distro: str
    repository: str
    debian: str
    manager: tuple[str, ...]
    version: str
    glibc: str
    packages: tuple[str, ...]
    links: tuple[tuple[str, str], ...] = ()

    @property
    def row(self) -> str:
        """The catalogue's row with the version and the C library that Debian has."""
        words = [f'"{name}"' for name in self.packages]
        return _ROW.format(
            id=self.distro, glibc=self.glibc, version=self.version, packages=f"[{', '.join(words)}]"
        )


IMAGES = (
    BareImage(
        distro="ubuntu-24.04",
        repository="library/ubuntu:24.04",
        debian="debian-12",
        manager=("apt",),
        version="3.11",
        glibc="2.36",
        packages=("python3", "python3-pip", "python3-venv"),
    ),
    BareImage(
        distro="opensuse-leap-15.6",
        repository="opensuse/leap:15.6",
        debian="debian-12",
        manager=("zypper", *RPM),
        version="3.11",
        glibc="2.36",
        packages=("python311", "python311-pip"),
    ),
    BareImage(
        distro="fedora-43",
        repository="library/fedora:43",
        debian="debian-unstable",
        manager=("dnf5", *RPM),
        version="3.14",
        glibc="2.43",
        packages=("python3", "python3-pip"),
        links=(("usr/bin/dnf", "dnf5"),),  # as in Fedora, from 41 on
    ),
    BareImage(
        distro="almalinux-9",
        repository="library/almalinux:9",
        debian="debian-12",
        manager=("dnf", *RPM),
        version="3.11",
        glibc="2.36",
        packages=("python3.11", "python3.11-pip"),
    ),
)
"""As Debian had them when this was written; `glibc` is compared with what a trial sees."""


def root(debian: str, packages: Sequence[str]) -> Path:
    """A root of a Debian release with these packages and no others that are not needed."""
    distro = load_catalogue().get(debian)
    interpreter = replace(distro.interpreters[0], packages=tuple(packages), headers=())
    return Path(str(_provide(debian, tuple(interpreter.packages)).root))


def _provide(debian: str, packages: tuple[str, ...] | None) -> Image:
    distro = load_catalogue().get(debian)
    interpreter = distro.interpreters[0]
    if packages is not None:
        interpreter = replace(interpreter, packages=packages, headers=())
    images = ArchiveImages(ImageStore(), say=print)
    return images.provide(distro, "x86_64", ImagePurpose.TRIAL, interpreter=interpreter)


def publish(image: BareImage, registry: str, served: str, folder: Path) -> str:
    """Push the image to a registry, with its packages in `folder`/distro; gives the digest.

    `served` is the address under which `folder` is served.
    """
    bare, full = root(image.debian, image.manager), Path(str(_provide(image.debian, None).root))
    where = folder / image.distro
    where.mkdir()
    lists = _lists(image, full, bare)
    if image.manager[0] == "apt":
        _make_debs(lists, full, where)
    else:
        _make_rpms(lists, image, where)
    archive = folder.parent / f"{image.distro}.tar"
    with archive.open("wb") as stream:
        pack_root(bare, stream)
    upper = layer(*_sources(image, f"http://{served}/{image.distro}"))
    digest = push_root(f"{registry}/{image.repository}", archive, upper)
    archive.unlink()
    return digest


def _lists(image: BareImage, full: Path, bare: Path) -> dict[str, list[str]]:
    """By package, the paths that the root with Python has and the bare one has not."""
    python, pip, *_ = image.packages
    lists: dict[str, list[str]] = {name: [] for name in image.packages}
    for path in _paths(full):
        if not os.path.lexists(bare / path):
            is_of_pip = any(part in f"/{path}" for part in (*_OF_PIP, *_OF_VENV))
            lists[pip if is_of_pip else python].append(path)
    assert lists[python], image
    assert lists[pip], image
    return lists


def _paths(full: Path) -> Iterator[str]:
    for folder, names, files in os.walk(full):
        inside = Path(folder).relative_to(full)
        names[:] = [name for name in names if str(inside / name) not in _NOT_PACKED]
        links = [name for name in names if Path(folder, name).is_symlink()]
        yield from (str(inside / name) for name in (*links, *files))


def _make_rpms(lists: dict[str, list[str]], image: BareImage, where: Path) -> None:
    """By rpmbuild and createrepo_c of the image itself."""
    notes = where.parent.parent / f"{image.distro}-lists"
    notes.mkdir()
    for name, paths in lists.items():
        (notes / name).write_text("".join(f"{path}\n" for path in paths))
        (notes / f"{name}.files").write_text("".join(f'"/{path}"\n' for path in paths))
        (notes / f"{name}.spec").write_text(_SPEC.format(name=name))
    own, full = _provide(image.debian, image.manager), _provide(image.debian, None)
    mounts = (
        Mount(source=notes, target=PurePosixPath("/lists")),
        Mount(source=Path(str(full.root)), target=PurePosixPath("/full")),
    )
    engine = BubblewrapEngine()
    cache = Cache(source=where, target=PurePosixPath("/out"))
    with engine.open(SandboxSpec(image=own, mounts=mounts, caches=(cache,))) as sandbox:
        done = sandbox.exec(Command(argv=("sh", "-e", "-c", _MAKE_RPMS, "sh", *lists), timeout=600.0))
        assert done.ok, done.stdout.decode()[-2000:] + done.stderr.decode()[-4000:]
    engine.close()


def _make_debs(lists: dict[str, list[str]], full: Path, where: Path) -> None:
    """And an index of them, as apt wants it of a folder."""
    index = []
    for name, paths in lists.items():
        tree = where / "tree"
        (tree / "DEBIAN").mkdir(parents=True)
        fields = (
            f"Package: {name}\nVersion: 1\nArchitecture: amd64\nMaintainer: test <test@example.org>\n"
        )
        fields += "Description: made for a test\n"
        (tree / "DEBIAN/control").write_text(fields)
        words = [
            "tar",
            "-C",
            str(full),
            "-cf",
            "-",
            "--verbatim-files-from",
            "--no-recursion",
            "-T",
            "-",
        ]
        packed = subprocess.run(words, input="\n".join(paths).encode(), capture_output=True, check=True)
        subprocess.run(["tar", "-C", str(tree), "-xf", "-"], input=packed.stdout, check=True)
        file = where / f"{name}.deb"
        command = ["dpkg-deb", "--build", "-Zgzip", "-z1", "--root-owner-group", str(tree), str(file)]
        subprocess.run(command, check=True, capture_output=True)
        shutil.rmtree(tree)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        place = f"Filename: ./{file.name}\nSize: {file.stat().st_size}\nSHA256: {digest}\n"
        index.append(fields + place)
    (where / "Packages.gz").write_bytes(gzip.compress("\n".join(index).encode()))


def _sources(image: BareImage, address: str) -> Iterator[Entry]:
    """The image's own sources are the folder that is served, and nothing else."""
    yield from (Entry(name=name, kind=tarfile.SYMTYPE, link=target) for name, target in image.links)
    if image.manager[0] == "apt":
        line = f"deb [trusted=yes] {address} ./\n"
        yield Entry(name="etc/apt/sources.list", content=line.encode(), mode=0o644)
        return
    text = f"[test]\nname=test\nbaseurl={address}\nenabled=1\ngpgcheck=0\n"
    for folder in ("etc/yum.repos.d", "etc/zypp/repos.d"):
        yield Entry(name=f"{folder}/test.repo", content=text.encode(), mode=0o644)
