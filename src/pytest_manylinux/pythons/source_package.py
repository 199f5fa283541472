"""The source of a CPython, from the source package that a Debian-style archive has of it.

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
from pathlib import Path

from pytest_manylinux.cache.atomic import write_whole
from pytest_manylinux.cache.locks import in_turn
from pytest_manylinux.errors import ImageError
from pytest_manylinux.host.shutdown import run_program
from pytest_manylinux.host.tempdirs import temporary_folder
from pytest_manylinux.images.api import Say
from pytest_manylinux.images.apt import MachineApt
from pytest_manylinux.model.distro import ArchiveRecipe, ArchiveWay
from pytest_manylinux.model.python import PythonVersion

_FETCH_TIMEOUT = 600.0
_NAME = re.compile(r"python[\d.]+_(?P<release>[\d.]+(?:~?(?:a|b|rc)\d+)?)\.orig\.tar\.\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceArchive:
    """The upstream source of a CPython: the file, its release (`3.14.8`), and the suite it is from."""

    path: Path
    release: str
    suite: str


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
