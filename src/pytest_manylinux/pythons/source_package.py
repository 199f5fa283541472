"""CPython from a Debian-style archive's own source package, built once in a distro's root.

The archive has sources of CPython's releases that no distro packages in this form, such as without the
GIL. Only the upstream part of a source package is taken: Debian's changes are about its own packaging.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path, PurePosixPath

import msgspec

from pytest_manylinux.cache.atomic import write_whole
from pytest_manylinux.cache.directories import make_once
from pytest_manylinux.cache.locks import in_turn
from pytest_manylinux.engines.api import MIB, Command, Completed, Engine, Limits, Mount, SandboxSpec
from pytest_manylinux.errors import ImageError, ManylinuxError, ToolchainError
from pytest_manylinux.host.architecture import emulation_of
from pytest_manylinux.host.shutdown import run_program
from pytest_manylinux.host.tempdirs import temporary_folder
from pytest_manylinux.images.api import Say
from pytest_manylinux.images.apt import MachineApt
from pytest_manylinux.model.distro import (
    AddedPython,
    ArchiveRecipe,
    ArchiveWay,
    Image,
    InterpreterOrigin,
    Target,
    added_prefix,
)
from pytest_manylinux.model.python import Implementation, PythonVersion
from pytest_manylinux.pythons.kept import FOLDER, keep_python, kept_python

PACKAGES = (
    *("gcc", "libc6-dev", "make", "libffi-dev", "libssl-dev"),
    *("zlib1g-dev", "libbz2-dev", "liblzma-dev", "libsqlite3-dev"),
)
"""What a root gets for building CPython: the libraries of the modules that pip and packages use."""

_FORMAT = 1  # of what is built; part of the key
_SCRIPT = Path(__file__).parent / "inside" / "build_cpython.sh"
_INSIDE = PurePosixPath("/tmp/inputs")  # noqa: S108 - the sandbox's own
_ROOM = Limits(memory=8192 * MIB, scratch=6144 * MIB)
_FETCH_TIMEOUT = 600.0
_BUILD_TIMEOUT = 5400.0
_KEPT_LINES = 15
_NAME = re.compile(r"python[\d.]+_(?P<release>[\d.]+(?:~?(?:a|b|rc)\d+)?)\.orig\.tar\.\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceArchive:
    """The upstream source of a CPython: the file, its release (`3.14.8`), and the suite it is from."""

    path: Path
    release: str
    suite: str


class BuiltFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What inside/build_cpython.sh says of the Python that it has built."""

    release: str
    abi: str
    free_threaded: bool
    pip: str


def fetch_source(
    version: PythonVersion,
    archives: Iterable[ArchiveRecipe],
    cache: Path,
    *,
    apt: MachineApt | None = None,
    say: Say,
) -> SourceArchive:
    """The upstream source of a feature release, from the first of the archives that has it.

    Kept below `cache`, whose file is taken again without asking. Fetched and checked against the
    archive's signature by this machine's apt. Raises ImageError with what each archive lacked.
    """
    name = f"python{version.dotted}"
    folder = cache / "sources" / name
    with _in_turn_at(folder):
        if (found := _fetched(folder)) is not None:
            return found
        lacking: list[str] = []
        for archive in archives:
            say(f"fetching the source of CPython {version.dotted} from {archive.suite}, once")
            try:
                return _fetch(name, archive, folder, apt or MachineApt())
            except ImageError as error:
                lacking.append(f"{archive.suite}: {error.why or error.what}")
    raise ImageError(
        f"no archive gives the source package {name}",
        why="; ".join(lacking) or "no suite is known to have it",
        remedy="name a mirror that has source packages in PYTEST_MANYLINUX_MIRROR_DEBIAN, or use "
        "standalone Pythons (other-pythons = standalone)",
    )


@lru_cache(maxsize=16)  # apt is asked
def has_mirror(archive: ArchiveRecipe) -> bool:
    """Whether this machine's apt knows a mirror of the archive."""
    try:
        MachineApt().sources(archive, ArchiveWay.PLAIN_SUITE)
    except ImageError:
        return False
    return True


@contextlib.contextmanager
def _in_turn_at(folder: Path) -> Iterator[None]:
    """One at a time for a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    with in_turn(folder.with_name(f"{folder.name}.lock")):
        yield


def _fetched(folder: Path) -> SourceArchive | None:
    for path in sorted(folder.glob("*.orig.tar.*")):
        match = _NAME.fullmatch(path.name)
        suite = folder / "suite"
        if match is not None and suite.is_file():
            return SourceArchive(path=path, release=match["release"], suite=suite.read_text("utf-8"))
    return None


def _fetch(name: str, archive: ArchiveRecipe, folder: Path, apt: MachineApt) -> SourceArchive:
    with temporary_folder() as here:
        environment = _private_apt(here, archive, apt)
        _apt_get("update", here=here, environment=environment)
        words = ("source", "--download-only", "--tar-only", name)
        _apt_get(*words, here=here, environment=environment)
        found = next((path for path in here.glob("*.orig.tar.*") if _NAME.fullmatch(path.name)), None)
        if found is None:
            raise ImageError(f"the source package {name} has no archive of upstream's source")
        write_whole(folder / found.name, found.read_bytes())
        write_whole(folder / "suite", archive.suite.encode())
    fetched = _fetched(folder)
    if fetched is None:
        raise ImageError(f"the source package {name} could not be kept in {folder}")
    return fetched


def _private_apt(here: Path, archive: ArchiveRecipe, apt: MachineApt) -> Mapping[str, str]:
    """Settings by which apt knows nothing but the sources of one suite; gives the environment."""
    plain = replace(archive, extra_suites=())
    lines = apt.sources(plain, ArchiveWay.PLAIN_SUITE)
    (here / "sources.list").write_text("\n".join(f"deb-src{line[3:]}" for line in lines) + "\n")
    for part in ("state/lists/partial", "cache/archives/partial", "etc"):
        (here / part).mkdir(parents=True)
    settings = {
        "Dir::State": here / "state",
        "Dir::State::status": "/dev/null",
        "Dir::Cache": here / "cache",
        "Dir::Etc::sourcelist": here / "sources.list",
        "Dir::Etc::sourceparts": here / "etc",
        "Dir::Etc::preferencesparts": here / "etc",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
    }
    text = "".join(f'{key} "{value}";\n' for key, value in settings.items()) + apt.transport()
    if not archive.check_valid_until:
        text += 'Acquire::Check-Valid-Until "false";\n'
    (here / "apt.conf").write_text(text, "utf-8")
    return {**os.environ, "APT_CONFIG": str(here / "apt.conf"), "LC_ALL": "C.UTF-8"}


def _apt_get(*words: str, here: Path, environment: Mapping[str, str]) -> None:
    command = ("sh", "-c", f"cd {shlex.quote(str(here))} && exec apt-get --quiet {shlex.join(words)}")
    try:
        done = run_program(command, environment=environment, timeout=_FETCH_TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise ImageError(f"apt-get {words[0]} took longer than {_FETCH_TIMEOUT:.0f} s") from error
    if done.returncode:
        lines = done.stdout.decode("utf-8", "replace").splitlines()
        wrong = [line for line in lines if line.startswith("E:")]
        raise ImageError(f"apt-get {words[0]} failed", why=(wrong or lines or ["it said nothing"])[0])


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
    if emulation_of(target.arch).emulated:
        raise ToolchainError(
            f"{version.title} is not built from source for {target.arch}",
            why="under an emulator that would take hours",
            remedy=_STANDALONE,
        )


_STANDALONE = "use a standalone Python (other-pythons = standalone)"


def build_python(
    target: Target, image: Image, source: SourceArchive, engine: Engine, cache: Path, *, say: Say
) -> AddedPython:
    """The Python of a target, built in `image` (a root with PACKAGES) from `source`, or kept before.

    Raises ToolchainError with the compiler's last words, StoreError, and the engine's errors.
    """
    version = target.interpreter.version
    folder = built_folder(cache, target)

    def make(place: Path) -> None:
        archive = place / "python.tar"
        facts = _build(target, image, source, engine, archive)
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
        archive.unlink()

    title = f"{target.distro.id}: CPython {source.release}{' free-threaded' * version.free_threaded}"
    make_once(
        folder, make, announce=lambda: say(f"{title}: building it from source, once (some minutes)")
    )
    found = kept_python(folder)
    if found is None:
        raise ToolchainError(f"{title} could not be kept in {folder}", remedy="run it again")
    return found


def _build(
    target: Target, image: Image, source: SourceArchive, engine: Engine, archive: Path
) -> BuiltFacts:
    version = target.interpreter.version
    inside = _INSIDE / source.path.name
    spec = SandboxSpec(
        image=image,
        mounts=(
            Mount(source=source.path, target=inside),
            Mount(source=_SCRIPT, target=_INSIDE / _SCRIPT.name),
        ),
        limits=_ROOM,
        label=f"building {version.title} from source",
    )
    environment = {
        "SOURCE": str(inside),
        "PREFIX": added_prefix(version),
        "OPTIONS": "--disable-gil" if version.free_threaded else "",
        "JOBS": str(os.cpu_count() or 1),
        "UNPACKER": target.distro.interpreters[0].executable,
    }
    command = Command(
        argv=("sh", str(_INSIDE / _SCRIPT.name)), environment=environment, timeout=_BUILD_TIMEOUT
    )
    with engine.open(spec) as sandbox:
        done = sandbox.exec(command)
        if not done.ok:
            raise _failed(target, source, done)
        sandbox.copy_out(PurePosixPath("/scratch/python.tar"), archive)
    lines = done.stdout.decode("utf-8", "replace").strip().splitlines()
    try:
        return msgspec.json.decode(lines[-1], type=BuiltFacts)
    except (IndexError, msgspec.MsgspecError) as error:
        raise _failed(target, source, done) from error


def _failed(target: Target, source: SourceArchive, done: Completed) -> ManylinuxError:
    words = done.reason(done.stderr or done.stdout).splitlines()
    return ToolchainError(
        f"CPython {source.release} could not be built from source on {target.distro.id}",
        why="\n".join(words[-_KEPT_LINES:]),
        remedy=_STANDALONE,
    )
