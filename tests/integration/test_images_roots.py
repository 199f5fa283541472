"""The roots that a machine makes itself are what the catalogue says they are."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import pytest
from full_roots import full_root
from root_trees import differences, seen_inside

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.images import ArchiveImages, ImageStore, debian_archive
from pytest_manylinux.images.mmdebstrap import Making
from pytest_manylinux.model.distro import Distro, Image, ImagePurpose

pytestmark = pytest.mark.integration

OFTEN = ("debian-testing",)  # the newest way of each tool
CATALOGUE = load_catalogue()
DEBIANS = ("debian-11", "debian-12", "debian-13", "debian-testing")


def _provide(distro: Distro, purpose: ImagePurpose) -> Image:
    images = ArchiveImages(ImageStore(), say=print)
    return images.provide(distro, "x86_64", purpose, interpreter=distro.interpreters[0])


def _upstream(version: str) -> str:
    """The upstream part of a Debian version: `2.36-9+deb12u4` is 2.36."""
    return re.split(r"[-+]", version.rpartition(":")[2])[0]


@pytest.mark.parametrize("word", DEBIANS)
def test_a_trial_root_has_the_rows_python_pip_and_glibc(word: str) -> None:
    distro = CATALOGUE.get(word)
    image = _provide(distro, ImagePurpose.TRIAL)
    packages = dict(image.packages)
    root = Path(str(image.root))
    assert (root / "usr/bin/python3").resolve().name == f"python{distro.interpreters[0].version.dotted}"
    assert _upstream(packages["python3"]).startswith(f"{distro.interpreters[0].version.dotted}.")
    assert _upstream(packages["python3-pip"]) == distro.interpreters[0].pip
    glibc = distro.libc.number
    assert re.match(rf"{re.escape(glibc)}\b", packages["libc6"])
    assert not {"python3-dev", "gcc", "libpython3-dev"} & set(packages)


@pytest.mark.parametrize("word", DEBIANS)
def test_a_build_root_adds_headers_and_nothing_else_changes(word: str) -> None:
    distro = CATALOGUE.get(word)
    trial = _provide(distro, ImagePurpose.TRIAL)
    build = _provide(distro, ImagePurpose.BUILD)
    root = Path(str(build.root))
    version = distro.interpreters[0].version.dotted
    assert (root / f"usr/include/python{version}/Python.h").is_file()
    assert (root / "usr/include/crypt.h").is_file() or distro.interpreters[0].version.minor > 10
    assert set(trial.packages) <= set(build.packages)


@pytest.mark.parametrize("word", DEBIANS)
def test_nothing_of_the_host_is_in_a_root(word: str) -> None:
    root = Path(str(_provide(CATALOGUE.get(word), ImagePurpose.TRIAL).root))
    assert (root / "etc/resolv.conf").read_bytes() == b""
    assert (root / "etc/hostname").read_bytes() == b""
    assert list((root / "var/cache/apt").glob("*.bin")) == []
    assert list((root / "var/cache/apt/archives").glob("*.deb")) == []
    assert list((root / "var/lib/apt/lists").glob("*_*")) == []
    assert not (root / "etc/apt/apt.conf.d/00pytest-manylinux").exists()
    assert list((root / "proc").iterdir()) == []


@pytest.mark.parametrize(
    "word",
    [pytest.param(word, marks=[pytest.mark.managers] * (word not in OFTEN)) for word in DEBIANS],
)
def test_a_root_that_is_installed_at_one_go_is_as_mmdebstrap_makes_it(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distro = CATALOGUE.get(word)
    said: list[str] = []
    roots: list[Path] = []
    for name, at_one_go in (("go", True), ("steps", False)):
        monkeypatch.setattr(debian_archive, "Making", partial(Making, at_one_go=at_one_go))
        (tmp_path / name).mkdir()
        (tmp_path / name / "apt").symlink_to(tmp_path / "apt")  # nothing is fetched twice
        (tmp_path / "apt").mkdir(exist_ok=True)
        images = ArchiveImages(ImageStore(tmp_path / name), say=said.append)
        image = images.provide(distro, "x86_64", ImagePurpose.TRIAL, interpreter=distro.interpreters[0])
        roots.append(Path(str(image.root)))
    assert sum("installing the base system" in words for words in said) == 1, said
    assert roots[0].parent.name == roots[1].parent.name  # the digest
    assert differences(*roots) == []
    assert seen_inside(roots[0]) == seen_inside(roots[1])


# What scripts of packages leave, and neither a trial nor a build looks at: the databases of dpkg, apt
# and debconf, alternatives, services, logins, single certificates, bytecode besides Python's own.
BY_SCRIPTS = (
    *("dev/", "run/", "media", "opt", "srv", "var/", "usr/lib/python3/dist-packages/", "usr/local"),
    *("usr/share/python3/", "usr/share/man/", "usr/share/info/", "usr/share/doc/usr-is-merged"),
    *("usr/bin/awk", "usr/bin/nawk", "usr/bin/pager", "usr/bin/which", "usr/sbin/rmt"),
    *("etc/alternatives", "etc/ca-certificates.conf", "etc/dpkg/origins", "etc/environment"),
    *("etc/group", "etc/gshadow", "etc/passwd", "etc/shadow", "etc/subgid", "etc/subuid", "etc/.pwd"),
    *("etc/inputrc", "etc/ld.so.cache", "etc/motd", "etc/opt", "etc/pam.d/", "etc/python3", "etc/rc"),
    *("etc/security/", "etc/shells", "etc/ssl/certs", "etc/systemd/"),
)


@pytest.mark.emulated
def test_an_unpacked_root_is_as_an_installed_one(tmp_path: Path) -> None:
    """Every file of a package, and what Python and pip see: its bytecode, paths, distributions."""
    distro, arch = CATALOGUE.get("debian-12"), "aarch64"
    for name in ("unpacked", "installed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "apt").symlink_to(tmp_path / "apt")  # nothing is fetched twice
    (tmp_path / "apt").mkdir()
    images = ArchiveImages(ImageStore(tmp_path / "unpacked"), say=print)
    image = images.provide(distro, arch, ImagePurpose.TRIAL, interpreter=distro.interpreters[0])
    unpacked, installed = Path(str(image.root)), full_root(distro.id, arch, tmp_path / "installed")
    unlike = differences(unpacked, installed)
    assert [line for line in unlike if not line.startswith(BY_SCRIPTS)] == []
    assert _seen(unpacked, arch) == _seen(installed, arch)


def _seen(root: Path, arch: str) -> dict[str, object]:
    """What is seen inside, but for the loader's cache and bytecode besides Python's own."""
    seen: dict[str, object] = json.loads(seen_inside(root, arch))
    code = seen["code"]
    assert isinstance(code, dict)
    own = {path: what for path, what in code.items() if path.startswith("/usr/lib/python3.")}
    return {**seen, "code": own, "loader": ""}
