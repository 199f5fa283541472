"""cibuildwheel's own run, with `pytest-manylinux predict --strict` as its `audit-command`.

The builder image is made by tools/make_builder_image.py with two Pythons: cibuildwheel looks into its
containers with /opt/python/cp39-cp39, whatever it builds for. Only with `-m index`: cibuildwheel, what
it installs and what it builds come from the package index. Wants root, `docker` and `dockerd`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipapp
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from engine_daemons import engine_running
from make_builder_image import changes, make_archive

from pytest_manylinux.engines.container.connection import connect_docker
from pytest_manylinux.indexes import host_index
from pytest_manylinux.model.policy import parse_policy
from pytest_manylinux.toml import parse_toml

pytestmark = pytest.mark.index

HOME = Path(__file__).parents[2]
IMAGE = "builder:cibuildwheel"
POLICY = parse_policy("manylinux2014")
SETTINGS = """
[tool.cibuildwheel]
build = "cp311-manylinux_x86_64"
manylinux-x86_64-image = "{image}"
before-build = "pip install build"
container-engine = {{ name = "docker", disable-host-mount = true, create-args = {arguments} }}

[tool.cibuildwheel.linux]
audit-requires = ["{ours}"]
audit-command = "pytest-manylinux predict --strict --for debian-12,debian-13,ubuntu-26.04 {{wheel}}"
"""
_RUN_VIRTUALENV = """
import sys
sys.path.insert(0, {folder!r})
from virtualenv.__main__ import run_with_catch
run_with_catch()
"""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """cibuildwheel, the wheel of this project, and the folder where cibuildwheel keeps downloads."""

    python: Path
    ours: Path
    cache: Path


@pytest.fixture(scope="module")
def tools() -> Iterator[Tools]:
    with (
        tempfile.TemporaryDirectory(prefix="cibuildwheel-", ignore_cleanup_errors=True) as name,
        engine_running("docker"),
    ):
        folder = Path(name)
        make_image(folder / "builder.tar")
        python = folder / "venv/bin/python"
        run(sys.executable, "-m", "venv", str(folder / "venv"))
        pip = (str(python), "-m", "pip")
        run(*pip, "install", "--quiet", "cibuildwheel>=4,<5")
        run(*pip, "wheel", "--quiet", "--no-deps", f"--wheel-dir={folder}", str(HOME))
        (ours,) = folder.glob("*.whl")
        (folder / "cache").mkdir()
        place_virtualenv(python, folder / "cache")
        yield Tools(python=python, ours=ours, cache=folder / "cache")


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, text=True, stdout=subprocess.PIPE).stdout


def make_image(archive: Path) -> None:
    make_archive(archive, ("debian-11", "debian-12"), POLICY)
    client = connect_docker()
    try:
        client.api.timeout = 600
        answer = client.api.import_image(src=str(archive), changes=changes(POLICY))
        name, _, tag = IMAGE.partition(":")
        client.api.tag(json.loads(answer.strip().splitlines()[-1])["status"], name, tag)
    finally:
        client.close()
    archive.unlink()


def place_virtualenv(python: Path, cache: Path) -> None:
    """Put virtualenv of the index where cibuildwheel keeps the one that it gets from GitHub."""
    where = "import cibuildwheel.util.resources as r; print(r.VIRTUALENV)"
    pinned = parse_toml(Path(run(str(python), "-c", where).strip()).read_text())["default"]
    folder, main = cache / "virtualenv", cache / "main"
    wanted = f"virtualenv=={pinned['version']}"
    run(str(python), "-m", "pip", "install", "--quiet", f"--target={folder}", wanted)
    main.mkdir()
    (main / "__main__.py").write_text(_RUN_VIRTUALENV.format(folder=str(folder)))
    zipapp.create_archive(main, cache / f"virtualenv-{pinned['version']}.pyz")


def cibuildwheel(tools: Tools, sample: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run it as a user does, in a copy of a sample project."""
    project = folder / sample
    shutil.copytree(HOME / "sample_projects" / sample, project)
    index = host_index()
    arguments = ["--network=host"]
    arguments += [f"--volume={source}:{target}:ro" for source, target in index.mounts]
    arguments += [f"--env={name}={value}" for name, value in index.environment.items()]
    with (project / "pyproject.toml").open("a") as file:
        words = json.dumps(arguments)
        file.write(SETTINGS.format(image=IMAGE, ours=tools.ours, arguments=words))
    return subprocess.run(
        [str(tools.python), "-m", "cibuildwheel", "--platform=linux"],
        cwd=project,
        env={**os.environ, "CIBW_CACHE_PATH": str(tools.cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900,
        check=False,
    )


def test_a_sound_project_is_built(tools: Tools, tmp_path: Path) -> None:
    done = cibuildwheel(tools, "portable/c_extension", tmp_path)
    assert done.returncode == 0, done.stdout
    (wheel,) = (tmp_path / "portable/c_extension/wheelhouse").iterdir()
    assert wheel.name.startswith("c_extension-1.0-cp311-cp311-manylinux")
    assert f"\n{wheel.name}: works on every distro that its tags promise: 3 (" in done.stdout


def test_an_executable_stack_ends_the_build(tools: Tools, tmp_path: Path) -> None:
    done = cibuildwheel(tools, "faulty/executable_stack", tmp_path)
    assert done.returncode != 0, done.stdout
    assert not list((tmp_path / "faulty/executable_stack/wheelhouse").glob("*"))
    _, audit, said = done.stdout.partition("Running audit command: pytest-manylinux")
    assert audit, done.stdout
    assert (
        "executable_stack.abi3.so asks for an executable stack; glibc 2.41 refuses to load it" in said
    )
    assert "on debian-13-cp313, " in said
    assert "Audit command failed with exit code 1" in said
