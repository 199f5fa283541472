"""A build's network, on each engine: the host's, or none at all."""

from __future__ import annotations

import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_manylinux.building.api import BuildRequest
from pytest_manylinux.building.pipeline import Pipeline
from pytest_manylinux.building.zig import zig_toolchain
from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.model.distro import Image, ImagePurpose
from pytest_manylinux.model.policy import Policy

# A back end in the source: it needs no index, and writes into the wheel what it could reach.
BACK_END = """
import os, socket, zipfile

def look():
    try:
        socket.create_connection(("127.0.0.1", {port}), timeout=30).close()
    except OSError:
        return "refused"
    return "connected"

def build_wheel(folder, config_settings=None, metadata_directory=None):
    info = "reach-1.0.dist-info"
    files = {{
        "reach.py": f"FOUND = {{look()!r}}\\n",
        f"{{info}}/METADATA": "Metadata-Version: 2.1\\nName: reach\\nVersion: 1.0\\n",
        f"{{info}}/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }}
    record = "".join(f"{{name}},,\\n" for name in files)
    files[f"{{info}}/RECORD"] = record + f"{{info}}/RECORD,,\\n"
    name = "reach-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
    return name
"""
TABLE = """
[build-system]
requires = []
build-backend = "back_end"
backend-path = ["."]
[project]
name = "reach"
version = "1.0"
"""


@pytest.fixture(scope="module")
def grown() -> Image:
    """The image of `image`, with the headers that builds want; made once, then kept."""
    distro = load_catalogue().get("debian-12")
    images = ArchiveImages(ImageStore(), say=print)
    return images.provide(distro, "x86_64", ImagePurpose.BUILD, interpreter=distro.interpreters[0])


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.attack("escape")
@pytest.mark.parametrize(("network", "found"), [(True, "connected"), (False, "refused")])
def test_a_build_reaches_the_host_only_where_it_may(
    engine: Engine, grown: Image, port: int, tmp_path: Path, *, network: bool, found: str
) -> None:
    project = tmp_path / "reach"
    project.mkdir()
    (project / "pyproject.toml").write_text(TABLE)
    (project / "back_end.py").write_text(BACK_END.format(port=port))
    request = BuildRequest(
        project=project,
        python=load_catalogue().get("debian-12").interpreters[0].version,
        policy=Policy((2, 5)),
        arch="x86_64",
        image=grown,
        wheelhouse=tmp_path / "wheelhouse",
        network=network,
        cache=ImageStore().root / "build",
        log=tmp_path / "log",
        fresh=True,
    )
    wheel = Pipeline(name="zig", toolchain=zig_toolchain).build(request, engine, say=print).wheel
    assert wheel is not None
    with zipfile.ZipFile(wheel) as file:
        assert file.read("reach.py").decode() == f"FOUND = {found!r}\n"
