"""What builds leave: wheels, here and for builds that would be the same, and projects' caches.

A wheel is put into the wheelhouse whole or not at all, and never over another one. A build that would
be the same in every respect as an earlier one is not done again. What decides is the source as it is
packed, the policy, the interpreter, the image's digest, the tools' versions, the user's own build
settings and our own code. Build requirements are those that the source names; which releases of them
the index held at the time is in the kept record.

What the builds of one project keep between runs lies so that no project's build can reach another's:

    projects/<key>/NAME    one project's own caches, which its builds may write
    zig-warm/<edition>     what zig makes of its own C libraries; only `warm_up` writes it

A build's sandbox sees the second read-only, and begins by copying or linking it into the first
(inside/set_up.sh). Nothing on this machine ever writes into a folder that a sandbox has written:
what lies there may be a link to anywhere.
"""

from __future__ import annotations

import contextlib
import filecmp
import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from pytest_manylinux.building.api import BuildInputs, BuildRequest
from pytest_manylinux.building.compiler import edition
from pytest_manylinux.building.source import Snapshot
from pytest_manylinux.cache.atomic import draft, write_whole
from pytest_manylinux.cache.directories import make_once
from pytest_manylinux.cache.integrity import file_digest, sealed, unsealed
from pytest_manylinux.cache.least_recently_used import CacheEntry, entries, remove_surplus
from pytest_manylinux.cache.values import ValueCache, code_version, key_of
from pytest_manylinux.decoding import decode_json
from pytest_manylinux.errors import BuildError, StoreError
from pytest_manylinux.model.run import BuildRecord


def put(wheel: Path, wheelhouse: Path) -> Path:
    """Copy a wheel into the wheelhouse; the same bytes under that name are fine, others are not.

    A wheelhouse that is made for it tells git to ignore what is in it. Raises StoreError for a file of
    that name with other bytes, and for a folder that cannot be written.
    """
    target = wheelhouse / wheel.name
    try:
        _make(wheelhouse)
        with draft(wheelhouse) as copy, wheel.open("rb") as content:
            shutil.copyfileobj(content, copy.stream)
            try:
                copy.become(target)
            except FileExistsError:
                _check_same(wheel, target)
    except OSError as error:
        raise StoreError(
            f"the wheel cannot be put into {wheelhouse}",
            why=str(error),
            remedy="make room there, or name a folder that can be written: --manylinux-wheelhouse=DIR",
        ) from error
    return target


def _make(wheelhouse: Path) -> None:
    """Make the folder, unless it is there: then its user decides what git makes of it."""
    try:
        wheelhouse.mkdir(parents=True)
    except FileExistsError:
        if not wheelhouse.is_dir():
            raise
    else:
        (wheelhouse / ".gitignore").write_text("*\n", encoding="ascii")


def native_wheel(wheelhouse: Path, name: str, version: str) -> str:
    """The name of some wheel of this release with a platform tag in the wheelhouse, or nothing."""
    for path in sorted(wheelhouse.glob("*.whl")):
        try:
            its_name, its_version, _, tags = parse_wheel_filename(path.name)
        except InvalidWheelFilename:
            continue
        same = its_name == name and str(its_version) == version
        if same and any(tag.platform != "any" for tag in tags):
            return path.name
    return ""


def _check_same(ours: Path, theirs: Path) -> None:
    if not filecmp.cmp(ours, theirs, shallow=False):
        raise StoreError(
            f"{theirs} is there already, with other bytes",
            why="a wheel is never overwritten: it may have been proven, or uploaded, as it is",
            remedy="move it away, set another wheelhouse, or give the project a new version",
        )


LIMIT = 2 * 1024**3  # bytes; some thousands of small wheels
_RECORD = "record.json"
_CHUNK = 1 << 20


class BuildMemory:
    """Wheels with their records in folders below `root`, the least recently used forgotten first.

    `fresh` recalls nothing, but keeps what is built.
    """

    def __init__(self, root: Path, *, fresh: bool = False, limit: int = LIMIT) -> None:
        self._root = root
        self._fresh = fresh
        self._limit = limit

    def recall(self, key: str) -> tuple[Path, BuildRecord] | None:
        """The wheel built under this key, and how; None if there is none or its bytes changed."""
        if self._fresh:
            return None
        folder = self._root / key
        try:
            content = unsealed(key, (folder / _RECORD).read_bytes())
            if content is None:
                return None
            record = decode_json(content, BuildRecord)
            wheel = next(folder.glob("*.whl"), None)
            if wheel is None or file_digest(wheel) != record.wheel_sha256:
                return None
            os.utime(folder)
        except (OSError, msgspec.MsgspecError):
            return None
        return wheel, replace(record, remembered=True)

    def keep(self, key: str, wheel: Path, record: BuildRecord) -> None:
        """Keep a wheel; a cache that cannot be written keeps nothing."""

        def fill(folder: Path) -> None:
            shutil.copyfile(wheel, folder / wheel.name)
            (folder / _RECORD).write_bytes(sealed(key, msgspec.json.encode(record)))

        with contextlib.suppress(OSError, StoreError):
            make_once(self._root / key, fill, usable=lambda _: False)
            kept = (path.parent for path in self._root.glob(f"*/{_RECORD}"))
            remove_surplus(entries(kept), max_size=self._limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class _KnownRefusal:
    """A BuildError that named a newer policy."""

    what: str
    why: str
    remedy: str
    finding: str
    policy: str
    because: str


class PolicyMemory:
    """What sources, by their digests, were not built for a policy for, where a newer one would do.

    Only for a request with `auto`: the second run then begins with the policy that the first came to,
    and so does each further Python of one run.
    """

    def __init__(self, request: BuildRequest) -> None:
        self._request = request
        self._kept = ValueCache(
            request.cache / "policies", _KnownRefusal, limit=_REFUSALS, fresh=request.fresh
        )

    @contextlib.contextmanager
    def of(self, source: str, snapshot: Snapshot, how: BuildInputs) -> Iterator[None]:
        """Raise what an earlier build of this source raised; keep what this one raises."""
        if not self._request.auto:
            yield
            return
        key = self._key(source, snapshot, how)
        if known := self._kept.recall(key):
            raise BuildError(**{name: getattr(known, name) for name in _KnownRefusal.__slots__})
        try:
            yield
        except BuildError as error:
            if error.policy:
                words = {name: getattr(error, name) for name in _KnownRefusal.__slots__}
                self._kept.keep(key, _KnownRefusal(**words))
                self._kept.prune()
            raise

    def _key(self, source: str, snapshot: Snapshot, how: BuildInputs) -> str:
        """Not the Python, and the image only if libraries of its distro are linked.

        What the sources themselves ask for is so for all of a release.
        """
        request = self._request
        return key_of(
            code_version("building", "building.inside"),
            how.builder,
            source,
            (snapshot.commit, snapshot.dirty) if snapshot.objects is not None else (),
            how.policy,
            request.arch,
            how.index,
            request.before_build,
            request.build_packages,
            request.image.content if request.build_packages else "",
            request.network,
        )


_REFUSALS = 1024 * 1024  # bytes; a thousand or so


def build_key(request: BuildRequest, source: str, snapshot: Snapshot, how: BuildInputs) -> str:
    """A hexadecimal SHA-256 over all that decides what a build gives.

    `source` is the `fingerprint` of the packed source. Where git's own history goes along (for
    versions), the commit counts as well.
    """
    history = (snapshot.commit, snapshot.dirty) if snapshot.objects is not None else ()
    return key_of(
        code_version("building", "building.inside"),  # another one may give other bytes
        how.builder,
        source,
        snapshot.epoch,
        history,
        how.policy,
        request.arch,
        request.python.id,
        request.image.content,
        sorted(how.tools),
        how.index,
        request.before_build,
        request.build_packages,
        request.network,
        sorted((one.wheel.sha256, one.arguments(one.wheel.filename)) for one in request.siblings),
    )


def fingerprint(archive: Path) -> str:
    """A digest over names, modes and contents of a packed source.

    Not over times, which a checkout sets anew, nor over git's index, which holds such times.
    """
    digest = hashlib.sha256()
    with tarfile.open(archive) as members:
        for member in members:
            if member.name.endswith("/.git/index"):
                continue
            head = (member.name, member.mode, member.type.decode(), member.linkname, member.size)
            words = json.dumps(head, ensure_ascii=False, separators=(",", ":"))
            digest.update(words.encode("utf-8", "surrogateescape"))  # names need not be UTF-8
            content = members.extractfile(member) if member.isreg() else None
            while content and (chunk := content.read(_CHUNK)):
                digest.update(chunk)
    return digest.hexdigest()


KEPT = 30 * 86400.0
"""Seconds since its last build after which a project's caches are forgotten."""

MOST = 64
"""Projects whose caches are kept; of one day's work, all that there is room for."""

LARGEST = 4 << 30
"""Bytes that projects' caches take together, apart from those of the last hour: they may be at work."""

_SIZE = "size"  # a file in a project's folder, with the bytes that lay there after its last build
_HOUR, _DAY = 3600.0, 86400.0

_CXX = frozenset({".cc", ".cpp", ".cxx", ".c++", ".cppm", ".C"})
_MAY_BE_CXX = ".pyx"
_WORD = b"c++"
_LOOKED_AT = 1 << 20  # bytes of a .pyx file


def project_cache(cache: Path, project: Path, name: str) -> Path:
    """The folder `name` of the caches that belong to the project at a path and to nobody else.

    Whoever may change what lies at that path may change the caches too: no more than the project.
    """
    folder = _folder_of(cache, project) / name
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder.parent)
    return folder


def _folder_of(cache: Path, project: Path) -> Path:
    key = hashlib.sha256(os.fsencode(project.resolve())).hexdigest()[:32]
    return cache / "projects" / key


@contextlib.contextmanager
def within_bounds(cache: Path, project: Path) -> Iterator[None]:
    """Around a project's build: make room before it, and note what its caches take after it."""
    forget_old_projects(cache)
    try:
        yield
    finally:
        _note_size(_folder_of(cache, project))


def _note_size(folder: Path) -> None:
    """Only where there is a folder; what the builds wrote is looked at, not followed."""
    with contextlib.suppress(OSError):
        for entry in entries((folder,)):
            write_whole(folder / _SIZE, str(entry.size).encode())
            os.utime(folder)


def forget_old_projects(cache: Path) -> None:
    """Remove what was not used for long: projects' caches, other compilers'; what cannot be stays."""
    with contextlib.suppress(OSError):
        projects = [_as_noted(one) for one in entries((cache / "projects").iterdir(), sized=False)]
        remove_surplus(projects, max_age=KEPT, max_count=MOST, spared=_DAY)
        left = (one for one in projects if one.path.exists())
        remove_surplus(left, max_size=LARGEST, spared=_HOUR)
    with contextlib.suppress(OSError):
        others = (e for e in (cache / "zig-warm").iterdir() if not e.name.startswith(edition(cache)))
        remove_surplus(entries(others, sized=False), max_age=_DAY)


def _as_noted(entry: CacheEntry) -> CacheEntry:
    """With the size that was noted of it: to add up all files of all projects takes seconds."""
    with contextlib.suppress(OSError, ValueError):
        return replace(entry, size=int((entry.path / _SIZE).read_bytes()))
    return entry


def has_cxx(archive: Path) -> bool:
    """Whether a packed source seems to have C++ in it; a wrong answer costs time only."""
    with tarfile.open(archive) as members:
        return any(_is_cxx(member, members) for member in members)


def _is_cxx(member: tarfile.TarInfo, members: tarfile.TarFile) -> bool:
    suffix = Path(member.name).suffix
    if suffix != _MAY_BE_CXX:
        return suffix in _CXX
    content = members.extractfile(member) if member.isreg() else None
    return content is not None and _WORD in content.read(_LOOKED_AT)
