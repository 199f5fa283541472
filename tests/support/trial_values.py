"""Facts, targets and observations as values, for tests of judgement and prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from packaging.utils import parse_wheel_filename

from pytest_manylinux.model.distro import Distro, Interpreter, Target
from pytest_manylinux.model.elf_facts import ElfFacts
from pytest_manylinux.model.observation import (
    ImportKind,
    ImportOutcome,
    ImportStatus,
    InstallOutcome,
    LoaderCheck,
    Observation,
)
from pytest_manylinux.model.policy import glibc
from pytest_manylinux.model.python import parse_python
from pytest_manylinux.model.wheel import Wheel, WheelFacts

FILENAME = "demo-1.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"


def make_wheel(filename: str = FILENAME) -> Wheel:
    name, version, build, tags = parse_wheel_filename(filename)
    return Wheel(
        path=Path("dist", filename),
        sha256="0" * 64,
        size=1,
        name=name,
        version=str(version),
        build="".join(map(str, build)),
        tags=tags,
    )


def make_facts(*, filename: str = FILENAME, **fields: Any) -> WheelFacts:  # noqa: ANN401
    wheel = make_wheel(filename)
    defaults: dict[str, Any] = {
        "metadata_name": wheel.name,
        "metadata_version": wheel.version,
        "files": tuple(elf.path for elf in fields.get("elf", ())),
        "top_level": ("demo",),
    }
    return WheelFacts(wheel=wheel, **(defaults | fields))


def make_elf(path: str = "demo/_native.so", **fields: Any) -> ElfFacts:  # noqa: ANN401
    defaults: dict[str, Any] = {"size": 1000, "arch": "x86_64", "bits": 64, "is_shared": True}
    return ElfFacts(path=path, **(defaults | fields))


def make_distro(**fields: Any) -> Distro:  # noqa: ANN401
    version = parse_python(fields.pop("python", "3.11"))
    interpreter = Interpreter(
        version=version,
        executable="/usr/bin/python3",
        packages=("python3",),
        pip=fields.pop("pip", "23.0.1"),
    )
    defaults: dict[str, Any] = {
        "id": "debian-12",
        "family": "debian",
        "release": "12",
        "title": "Debian 12",
        "libc": glibc(*fields.pop("glibc", (2, 36))),
        "architectures": ("x86_64",),
        "interpreters": (interpreter,),
        "package_manager": "apt",
    }
    return Distro(**(defaults | fields))


def make_target(**fields: Any) -> Target:  # noqa: ANN401
    distro = make_distro(**fields)
    return Target(distro=distro, arch="x86_64", interpreter=distro.interpreters[0])


def installed(output: str = "Successfully installed demo-1.0") -> InstallOutcome:
    return InstallOutcome(ok=True, pip_version="23.0.1", exit_code=0, output=output, duration=0.5)


def refused(output: str) -> InstallOutcome:
    return InstallOutcome(ok=False, pip_version="23.0.1", exit_code=1, output=output, duration=0.5)


def imported(name: str = "demo", **fields: Any) -> ImportOutcome:  # noqa: ANN401
    defaults: dict[str, Any] = {"kind": ImportKind.TOP_LEVEL, "status": ImportStatus.OK}
    return ImportOutcome(name=name, **(defaults | fields))


def raised(exception: str, message: str, name: str = "demo", **fields: Any) -> ImportOutcome:  # noqa: ANN401
    return imported(name, status=ImportStatus.RAISED, exception=exception, message=message, **fields)


def make_observation(
    *imports: ImportOutcome,
    install: InstallOutcome | None = None,
    loader: tuple[LoaderCheck, ...] = (),
    **fields: Any,  # noqa: ANN401
) -> Observation:
    defaults: dict[str, Any] = {
        "target": "debian-12-cp311-x86_64",
        "image": "sha256:0",
        "image_name": "debian-12",
        "image_source": "archive",
        "engine": "bubblewrap",
        "python": "3.11.2",
        "libc": "glibc 2.36",
    }
    return Observation(
        install=install or installed(), imports=imports, loader=loader, **(defaults | fields)
    )
