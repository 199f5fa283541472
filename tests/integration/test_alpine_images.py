"""Images like Alpine's, of a registry on loopback: apk installs Python, and wheels are tried there.

Neither an image of Alpine nor apk is to be had from Debian. The image is the embedded root of musl
without its Python; the apk in it takes the words of apk(8) that are used, and brings Python and pip
back. Wants `docker-registry`, `skopeo`, `bsdtar`, and `dockerd` for docker.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from agreement import ARCH
from engine_daemons import engine_running
from loopback_registry import registry_running
from musl_kinds import MUSL_ALONE, MUSL_KINDS, MUSL_ROOT
from pushed_images import push_root
from whole_runs import Place, WholeRun

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.transfer import pack_root
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.model.distro import ImagePurpose
from pytest_manylinux.model.verdict import Outcome

pytestmark = [pytest.mark.integration, pytest.mark.musl]

ROW = "alpine-3.23"
# The row as it is, but for the Python that the embedded root has.
SETTINGS = """
[tool.pytest-manylinux]
registry-mirror = ["docker.io={registry}/hub"]
image-source = "registry"

[[tool.pytest-manylinux.distro]]
id = "alpine-3.23"
interpreters = [{{ version = "3.13", packages = ["python3", "py3-pip"] }}]
"""
APK = """#!/bin/sh
# apk(8) as far as these two commands go; packages lie in folders.
set -eu
case "$*" in
    "info --verbose") cat /var/packages/installed ;;
    "add --no-cache -- "*)
        shift 3
        for name; do
            [ -d "/var/packages/$name" ] || { echo "ERROR: $name (no such package)" >&2; exit 1; }
            cp -a "/var/packages/$name/." /
            echo "$name-1-r0" >> /var/packages/installed
        done ;;
    *) echo "apk: no such words: $*" >&2; exit 1 ;;
esac
"""
PACKAGES = {
    "py3-pip": ("usr/lib/python3.13/site-packages/pip", "usr/lib/python3.13/site-packages/pip-*"),
    "python3": ("usr/bin/python3*", "usr/lib/python3.13"),
}


def bare_root(folder: Path) -> Path:
    """The embedded root, whose Python and pip are packages that are not installed yet."""
    distro = load_catalogue().get(MUSL_ROOT)
    image = ArchiveImages(ImageStore(), say=print).provide(
        distro, ARCH, ImagePurpose.TRIAL, interpreter=distro.interpreters[0]
    )
    root = folder / "root"
    subprocess.run(["cp", "--archive", str(image.root), str(root)], check=True)
    for name, patterns in PACKAGES.items():
        for path in [path for pattern in patterns for path in sorted(root.glob(pattern))]:
            kept = root / "var/packages" / name / path.relative_to(root)
            kept.parent.mkdir(parents=True, exist_ok=True)
            path.rename(kept)
    (root / "var/packages/installed").write_text("alpine-baselayout-1-r0\nmusl-1.2.5-r0\n")
    (root / "sbin/apk").write_text(APK)
    (root / "sbin/apk").chmod(0o755)
    return root


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    """A registry with the image as `hub/library/alpine:3.23`; its address."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="registry-")))
        address = stack.enter_context(registry_running(folder))
        with (folder / "root.tar").open("wb") as stream:
            pack_root(bare_root(folder), stream)
        shutil.rmtree(folder / "root")
        push_root(f"{address}/hub/library/alpine:3.23", folder / "root.tar")
        yield address


@pytest.mark.parametrize("engine", ["bubblewrap", "docker"])
def test_wheels_are_proven_in_an_image_whose_python_apk_installs(
    engine: str, registry: str, tmp_path: Path
) -> None:
    place = Place(folder=tmp_path).make()
    (place.project / "pyproject.toml").write_text(SETTINGS.format(registry=registry))
    wanted = {
        "fortified-copy": (Outcome.NOT_PORTABLE, ["symbol-not-in-musl"]),
        "library-by-runpath-of-the-outer": (Outcome.PORTABLE, []),
    }
    made = {}
    for kind in MUSL_KINDS:
        if kind.name in wanted:
            (tmp_path / kind.name).mkdir()
            wheel = kind.make(tmp_path / kind.name, MUSL_ALONE)
            shutil.copy(wheel, place.project)
            made[wheel.name] = wanted[kind.name]
    with engine_running(engine):
        run = WholeRun(
            place, [f"--manylinux-distros={ROW}", f"--manylinux-engine={engine}", "."], name=engine
        )
        assert run.end() == 1, run.words
    run.must_say_no_tracebacks()
    assert {v.wheel: (v.outcome, [f.name for f in v.errors]) for v in run.trials()} == made, run.words
    seen = [v.observation for v in run.trials() if v.observation]
    assert {(one.python[:4], one.image_source) for one in seen} == {("3.13", "registry")}
    assert all("alpine:3.23@sha256:" in one.image_name for one in seen), seen
