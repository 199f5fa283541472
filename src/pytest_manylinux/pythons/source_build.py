"""CPython built once from its source, for one distro, and kept below the cache folder."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from pytest_manylinux.cache.directories import make_once
from pytest_manylinux.decoding import decode_json
from pytest_manylinux.engines.api import SCRATCH, Command, Completed, Engine, Mount, SandboxSpec
from pytest_manylinux.errors import ManylinuxError, ToolchainError
from pytest_manylinux.host.architecture import allowed_time
from pytest_manylinux.images.api import Say
from pytest_manylinux.model.distro import AddedPython, InterpreterOrigin, Target, added_prefix
from pytest_manylinux.model.python import Implementation
from pytest_manylinux.pythons.build_place import (
    INSIDE,
    LIBRARIES,
    ROOM,
    BuildPlace,
    Root,
    build_place,
    check_place,
)
from pytest_manylinux.pythons.kept import FOLDER, keep_python, kept_python
from pytest_manylinux.pythons.source_package import SourceArchive

_FORMAT = 1  # of what is built; part of the key
_SCRIPTS = Path(__file__).parent / "inside"
_BUILD, _DESCRIBE = "build_cpython.sh", "describe_cpython.py"
_ARCHIVE = "python.tar"
_BUILD_TIMEOUT = 5400.0
_DESCRIBE_TIMEOUT = 60.0
_KEPT_LINES = 15
_STANDALONE = "use a standalone Python (other-pythons = standalone)"


class BuiltFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What inside/describe_cpython.py says of the Python that was built."""

    release: str
    abi: str
    free_threaded: bool
    pip: str


def built_folder(cache: Path, target: Target) -> Path:
    """Where the Python of a target is kept; one for each distro, with whose libraries it is linked."""
    version, libc = target.interpreter.version, target.distro.libc
    name = f"source-{_FORMAT}-{target.distro.id}-{libc.number}-{target.arch}-{version.id}"
    return cache / FOLDER / name


def built_python(cache: Path, target: Target) -> AddedPython | None:
    """The Python of a target as an earlier run has built it; None if none has."""
    return kept_python(built_folder(cache, target))


def check_buildable(target: Target) -> None:
    """Raise ToolchainError where a target's Python cannot be built from source."""
    version, distro = target.interpreter.version, target.distro
    if version.implementation is not Implementation.CPYTHON:
        raise ToolchainError(f"{version.title} is not built from source", remedy=_STANDALONE)
    if distro.archive is None or distro.package_manager != "apt":
        raise ToolchainError(
            f"{distro.id} has no source package of {version.title}",
            why="source packages are taken from archives of Debian's kind",
            remedy=_STANDALONE,
        )
    check_place(target)


def build_python(
    target: Target,
    source: SourceArchive,
    engine: Engine,
    cache: Path,
    *,
    root: Root,
    native: Callable[[Target], AddedPython],
    say: Say,
) -> AddedPython:
    """The Python of a target, built from `source`, or kept before.

    `root` gives the distro's roots to build in, `native` the same Python for this machine, which takes
    part where the target is of another architecture. Raises ToolchainError with the compiler's last
    words, ImageError, StoreError, and the engine's errors.
    """
    version = target.interpreter.version
    folder = built_folder(cache, target)
    title = f"{target.distro.id}: CPython {source.release}{' free-threaded' * version.free_threaded}"

    def make(place: Path) -> None:
        archive, inputs = place / _ARCHIVE, place / "inputs"
        inputs.mkdir()
        where = build_place(target, engine, root, inputs, native=native)
        _build(target, where, source, engine, archive)
        facts = _describe(target, archive, engine, root)
        if facts.free_threaded != version.free_threaded:
            raise ToolchainError(f"{source.path.name} became {facts.abi}, which is not {version.id}")
        keep_python(
            place,
            archive,
            version=version,
            release=facts.release,
            origin=InterpreterOrigin.SOURCE,
            source=f"{source.path.name} of {source.suite}, built on {target.distro.id}",
            pip=facts.pip,
        )
        for path in (archive, *inputs.iterdir()):
            path.unlink()
        inputs.rmdir()

    make_once(
        folder, make, announce=lambda: say(f"{title}: building it from source, once (some minutes)")
    )
    found = kept_python(folder)
    if found is None:
        raise ToolchainError(f"{title} could not be kept in {folder}", remedy="run it again")
    return found


def _build(
    target: Target, place: BuildPlace, source: SourceArchive, engine: Engine, archive: Path
) -> None:
    version = target.interpreter.version
    inside, script = INSIDE / source.path.name, INSIDE / _BUILD
    spec = SandboxSpec(
        image=place.image,
        mounts=(
            Mount(source=source.path, target=inside),
            Mount(source=_SCRIPTS / _BUILD, target=script),
            *place.mounts,
        ),
        limits=ROOM,
        label=f"building {version.title} from source",
    )
    environment = {
        "SOURCE": str(inside),
        "PREFIX": added_prefix(version),
        "OPTIONS": "--disable-gil" if version.free_threaded else "",
        "JOBS": str(os.cpu_count() or 1),
        **place.environment,
    }
    command = Command(argv=("sh", str(script)), environment=environment, timeout=_BUILD_TIMEOUT)
    with engine.open(spec) as sandbox:
        done = sandbox.exec(command)
        if not done.ok:
            raise _failed(target, source, done)
        sandbox.copy_out(SCRATCH / _ARCHIVE, archive)


def _describe(target: Target, archive: Path, engine: Engine, root: Root) -> BuiltFacts:
    """What the Python says of itself, where it was meant to run; missing modules are an error there."""
    inside, script = INSIDE / _ARCHIVE, INSIDE / _DESCRIBE
    spec = SandboxSpec(
        image=root(target.arch, LIBRARIES),
        mounts=(
            Mount(source=archive, target=inside),
            Mount(source=_SCRIPTS / _DESCRIBE, target=script),
        ),
        limits=ROOM,
        label=f"looking at {target.interpreter.version.title} from source",
    )
    words = f"tar --extract --file={inside} && exec ./bin/python3 -I {script}"
    timeout = allowed_time(_DESCRIBE_TIMEOUT, target.arch)
    with engine.open(spec) as sandbox:
        done = sandbox.exec(Command(argv=("sh", "-c", words), timeout=timeout))
    lines = done.stdout.decode("utf-8", "replace").strip().splitlines()
    try:
        return decode_json(lines[-1], BuiltFacts)
    except (IndexError, msgspec.MsgspecError) as error:
        raise _failed(target, None, done) from error


def _failed(target: Target, source: SourceArchive | None, done: Completed) -> ManylinuxError:
    words = done.reason(done.stderr or done.stdout).splitlines()
    release = source.release if source is not None else target.interpreter.version.dotted
    return ToolchainError(
        f"CPython {release} could not be built from source on {target.distro.id}",
        why="\n".join(words[-_KEPT_LINES:]),
        remedy=_STANDALONE,
    )
