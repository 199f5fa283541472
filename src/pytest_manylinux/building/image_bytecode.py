"""Bytecode of what a builder image brings, made once: the official images have none, to be small.

Without it each start of an interpreter, and of auditwheel most of all, compiles what it imports. It is
made in a sandbox in which nothing of a project ever runs, and builds see it read-only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pytest_manylinux.building.api import BYTECODE, BuildRequest, Toolchain
from pytest_manylinux.cache.directories import make_once
from pytest_manylinux.cache.values import code_version, key_of
from pytest_manylinux.engines.api import SCRATCH, Cache, Command, Engine, Mount, SandboxSpec
from pytest_manylinux.host.architecture import host_arch
from pytest_manylinux.model.distro import Image

IMAGE_BYTECODE = SCRATCH / "kit/bytecode"
"""Where builds see it; a copy of links that they may add to is in BYTECODE."""

_LAY_OUT = f"cp -Rs {IMAGE_BYTECODE}/. {BYTECODE} || :"  # what is not there is compiled as ever
_SINCE = (3, 8)  # PYTHONPYCACHEPREFIX came with it (bpo-33499)
_TIMEOUT = 300.0
_COMPILE = """
import compileall, re, sysconfig
unused = re.compile("/(site-packages|test|tests|idlelib|lib2to3|turtledemo)/")
compileall.compile_dir(sysconfig.get_path("stdlib"), quiet=2, rx=unused)
"""
# auditwheel refuses a wheel without native code only when it has imported what a repair takes.
_REHEARSE = """
import subprocess, sys, zipfile
with zipfile.ZipFile("/tmp/empty-1-py3-none-any.whl", "w") as wheel:
    for name, text in {
        "METADATA": "Metadata-Version: 2.1\\nName: empty\\nVersion: 1\\n",
        "WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
        "RECORD": "",
    }.items():
        wheel.writestr("empty-1.dist-info/" + name, text)
subprocess.call(["auditwheel", "repair", "-w", "/tmp/repaired", wheel.filename])
"""


def prepare_bytecode(
    request: BuildRequest, image: Image, python: str, environment: Mapping[str, str], engine: Engine
) -> Path | None:
    """The folder with bytecode of an image's auditwheel and of its interpreter `python`'s library.

    None for Pythons that look for bytecode beside their sources alone, and for emulated ones, with
    which it would take minutes. `environment` is that of the image's own programs. Raises StoreError,
    and what the engine raises.
    """
    version, cache = request.python, request.cache / "bytecode"
    if (version.major, version.minor) < _SINCE or image.arch not in {host_arch(), "i686"}:
        return None

    def make(folder: Path) -> None:
        spec = SandboxSpec(
            image=image,
            caches=(Cache(source=folder, target=IMAGE_BYTECODE),),
            label="bytecode of a builder image",
        )
        writing = {**environment, "PYTHONPYCACHEPREFIX": str(IMAGE_BYTECODE)}
        with engine.open(spec) as sandbox:
            for program in (_COMPILE, _REHEARSE):
                argv = (python, "-c", program)
                sandbox.exec(Command(argv=argv, environment=writing, timeout=_TIMEOUT))

    key = key_of(code_version("building"), image.content, python)
    return make_once(
        cache / key[:32], make, doing=f"bytecode of {image.name} cannot be kept in {cache}"
    )


def with_bytecode(toolchain: Toolchain, bytecode: Path | None) -> Toolchain:
    """The toolchain of an image with the folder that `prepare_bytecode` gave."""
    if bytecode is None:
        return toolchain
    return replace(
        toolchain,
        mounts=(*toolchain.mounts, Mount(source=bytecode, target=IMAGE_BYTECODE)),
        set_up=("sh", "-c", _LAY_OUT),
        own_bytecode={"PYTHONPYCACHEPREFIX": str(IMAGE_BYTECODE)},
    )
