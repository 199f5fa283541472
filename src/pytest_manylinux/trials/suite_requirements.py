"""What a project's tests require, installed once by the distro's own pip and kept for later trials.

A trial installs it by pip, like the wheel. When the same set is wanted on the same image again, pip
does that once more, bytecode included, in a sandbox of its own, where no code of any wheel runs; what
it added to the environment is kept as a file. A trial lays that out instead of calling pip: the same
files, of its own, to write as it likes. That is done only where pip would have installed just these;
all else is left to pip in the trial, as are its errors.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from packaging.utils import (
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_wheel_filename,
)

from pytest_manylinux.cache.directories import ASIDE, make_once
from pytest_manylinux.cache.integrity import file_digest, is_whole
from pytest_manylinux.cache.least_recently_used import entries, remove_surplus
from pytest_manylinux.cache.locks import hold_alone
from pytest_manylinux.decoding import decode_json
from pytest_manylinux.engines.api import SCRATCH, Engine, Limits, Mount
from pytest_manylinux.errors import ManylinuxError, SandboxError
from pytest_manylinux.host.architecture import allowed_time
from pytest_manylinux.inspect.requirements import requirements_of_extras
from pytest_manylinux.trials.inside.installed_files import METADATA
from pytest_manylinux.trials.request import OFFLINE, QUIET, Errand, PreparedVenv, make_request, sent
from pytest_manylinux.trials.result import Asked, look
from pytest_manylinux.trials.suite import REQUIRED, KeptInstallation, SuiteRequest
from pytest_manylinux.trials.venv import prepared_venv

if TYPE_CHECKING:
    from pytest_manylinux.trials.trial import TrialRequest

_FORMAT = 1  # of the file; part of the key
_FILE = "installed"
_PACKED = SCRATCH / _FILE
_MOST_PACKED = 64 * 1024**2  # bytes of wheels; to unpack more takes longer than a start of pip
_ROOM = 2 * 1024**3  # bytes of the sandbox that it is made in
_MOST_KEPT = 1024**3  # bytes of all sets; pytest with what it requires takes 15 MB
_MOST_COUNT = 256
_SPARED = 86400.0  # seconds that a set is kept for, however many there are


class Stores(NamedTuple):
    """Folders of the cache: for sets of installed files, and for prepared environments."""

    kept: Path
    venvs: Path


def with_kept_installation(request: TrialRequest, engine: Engine, stores: Stores) -> TrialRequest:
    """The request, with the installed files of what its tests require if they are kept, or now made.

    Safe against runs and threads that do the same at once: one makes a
    set, the others do without it. Raises nothing for want of one: the trial then calls pip.
    """
    suite = request.suite
    if suite is None or not suite.can_run or suite.required is None:
        return request
    with contextlib.suppress(ManylinuxError, OSError, InvalidWheelFilename, msgspec.MsgspecError):
        kept = _kept(request, suite, suite.required, engine, stores)
        if kept is not None:
            return replace(request, suite=replace(suite, installed=kept))
    return request


def _kept(
    request: TrialRequest, suite: SuiteRequest, required: Path, engine: Engine, stores: Stores
) -> KeptInstallation | None:
    wheels, wanted = tuple(required.glob("*.whl")), _wanted(request, suite)
    if not wanted or sum(wheel.stat().st_size for wheel in wheels) > _MOST_PACKED:
        return None
    digests = {_name(wheel): file_digest(wheel) for wheel in wheels}
    venv = prepared_venv(request.image, request.target.interpreter, engine, stores.venvs)
    if not venv.layout.seeded.isdisjoint(digests):
        return None  # pip puts others in the place of the venv's own
    words = [str(_FORMAT), request.image.content, request.target.interpreter.executable, *wanted]
    words += sorted(f"{name} {digest}" for name, digest in digests.items())
    folder = stores.kept / hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]
    errand = _errand(request, venv, required, wanted)
    if not is_whole(folder) and not _made(folder, errand, engine):
        return None
    os.utime(folder)  # the date of its last use
    return _fitting(folder / _FILE, request, digests)


def _wanted(request: TrialRequest, suite: SuiteRequest) -> tuple[str, ...]:
    """What pip is to be asked for without the wheel at hand; empty where only pip can say."""
    extras = suite.settings.extras
    added = requirements_of_extras(request.facts.requires_dist, request.target, extras)
    return () if added is None else (*sorted(added), *suite.settings.requires)


def _errand(
    request: TrialRequest, venv: PreparedVenv, required: Path, wanted: tuple[str, ...]
) -> Errand:
    """Have the venv's own pip install what is wanted, bytecode included, and write what that added."""
    arguments = ("install", *QUIET, *OFFLINE, "--find-links", str(REQUIRED), *wanted)
    timeout = allowed_time(request.timeout, request.target.arch)
    return Errand(
        image=request.image,
        interpreter=request.target.interpreter,
        venv=venv,
        request=msgspec.structs.replace(make_request(venv, arguments, timeout), packed=str(_PACKED)),
        label=f"what tests require on {request.target.id}",
        mounts=(Mount(source=required.resolve(), target=REQUIRED),),
        limits=Limits(memory=_ROOM, scratch=_ROOM),
    )


def _made(folder: Path, errand: Errand, engine: Engine) -> bool:
    """Make a set, if it was wanted before and nobody else is at it."""
    asked = folder.with_suffix(".asked")
    if not asked.exists():
        asked.parent.mkdir(parents=True, exist_ok=True)
        asked.touch()
        return False
    held = hold_alone(asked)
    if held is None:
        return False
    try:
        make_once(folder, lambda unfinished: _make(errand, engine, unfinished))
        _forget(folder.parent)
    finally:
        os.close(held)
    return True


def _make(errand: Errand, engine: Engine, folder: Path) -> None:
    """Fill a folder; it stays empty where pip fails or does more than add files: that stays so."""
    with sent(errand, engine) as (sandbox, completed):
        installed = look(completed, Asked()).install
        if installed.ok and not installed.changed:
            with contextlib.suppress(SandboxError):  # nothing was written
                sandbox.copy_out(_PACKED, folder / _FILE)


def _fitting(
    file: Path, request: TrialRequest, digests: Mapping[NormalizedName, str]
) -> KeptInstallation | None:
    """The set for this trial; None where the trial has another wheel of a project that is in it."""
    if not file.exists():
        return None
    with file.open("rb") as stream:
        folders = decode_json(stream.readline(), dict[str, object])
    found = {
        canonicalize_name(folder.removesuffix(METADATA).rpartition("-")[0]): folder
        for folder in folders
    }
    resolved = request.dependencies.glob("*.whl") if request.dependencies else ()
    there = {_name(wheel): wheel for wheel in resolved}
    present = found.keys() & there.keys()
    others = [name for name in present if file_digest(there[name]) != digests.get(name)]
    if others or request.wheel.name in found or not found.keys() <= digests.keys():
        return None
    return KeptInstallation(path=file, present=tuple(sorted(found[name] for name in present)))


def _name(wheel: Path) -> NormalizedName:
    return parse_wheel_filename(wheel.name)[0]


def _forget(cache: Path) -> None:
    """Keep the sets that were used last, and of those that were wanted once the newest."""
    paths = [path for path in cache.iterdir() if path.name != ASIDE and path.suffix != ".lock"]
    remove_surplus(entries(paths), max_size=_MOST_KEPT, max_count=_MOST_COUNT, spared=_SPARED)
