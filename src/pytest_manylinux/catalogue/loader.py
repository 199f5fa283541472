"""Read the packaged rows of the catalogue, lay a user's own rows over them.

Rows are TOML tables with kebab-case keys; the packaged ones and a user's own have the same shape
(docs/reference/catalogue.md).
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from pytest_manylinux.catalogue.lookup import Catalogue
from pytest_manylinux.decoding import convert
from pytest_manylinux.errors import UsageError
from pytest_manylinux.model.distro import ArchiveRecipe, ArchiveWay, Distro, Interpreter, image_file
from pytest_manylinux.model.packages import PackageManager, check_names, package_manager
from pytest_manylinux.model.policy import Libc, LibcKind
from pytest_manylinux.model.python import parse_python
from pytest_manylinux.model.system_calls import parse_kernel
from pytest_manylinux.toml import TomlError, parse_toml

_ID = re.compile(r"[a-z0-9][a-z0-9._]*(-[a-z0-9._]+)*")
_ORIGIN = re.compile(r"[a-z][a-z0-9-]*")
_SUITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_PART = re.compile(rf"{_SUITE.pattern}(/{_SUITE.pattern})*")
"""Further suites (`buster/updates`) and components of an archive.

All three become words of apt's sources, of mmdebstrap's command line and of paths below the cache.
"""
_LIBC = re.compile(r"(?P<kind>glibc) (?P<glibc>\d+\.\d+)|musl (?P<musl>\d+\.\d+\.\d+)")
_UNKNOWN_FIELD = re.compile(r"unknown field `(?P<key>[^`]+)`")


class _CommonKeys(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"
):
    """What all tables of a row have in common."""


class InterpreterRow(_CommonKeys, frozen=True, kw_only=True):
    """One entry of a row's `interpreters`."""

    version: str
    packages: tuple[str, ...]
    executable: str = "/usr/bin/python3"
    headers: tuple[str, ...] = ()
    pip: str = ""
    measured: bool = False
    abi: str = ""
    only_named: bool = False


class ArchiveRow(_CommonKeys, frozen=True, kw_only=True):
    """A row's `archive`: how a root is made without a registry.

    Without `ways` they are all of them, or for a row that is not `live` the last one alone.
    """

    origin: str
    suite: str
    check_valid_until: bool = True
    live: bool = True
    ways: tuple[ArchiveWay, ...] = ()
    merged_usr: bool = False
    extra_suites: tuple[str, ...] = ()
    components: tuple[str, ...] = ("main",)
    architectures: tuple[str, ...] | None = None
    from_source: bool = False


class DistroRow(_CommonKeys, frozen=True, kw_only=True):
    """One `[[distro]]`."""

    id: str
    family: str
    release: str
    glibc: str = ""
    libc: str = ""
    package_manager: str
    architectures: tuple[str, ...]
    interpreters: tuple[InterpreterRow, ...]
    title: str = ""
    aliases: tuple[str, ...] = ()
    image: str | None = None
    image_architectures: tuple[str, ...] | None = None
    target_release: str = ""
    archive: ArchiveRow | None = None
    kernel: str = ""
    symbols: dict[str, str] = {}
    symbols_on: dict[str, dict[str, str]] = {}
    absent: tuple[str, ...] = ()
    end_of_life: date | None = None
    rolling: bool = False
    source: str = ""


def parse_row(raw: Mapping[str, object], *, where: str) -> Distro:
    """Turn one table into a Distro.

    Raises UsageError that names `where`, the row and the key, with the nearest right key for one
    that is unknown.
    """
    name = raw.get("id", "a row without id")
    try:
        row = convert(dict(raw), DistroRow)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{where}: {name}: not a row of the catalogue", why=str(error), remedy=_hint(str(error))
        ) from error
    return _distro(row, where=f"{where}: {name}")


def _distro(row: DistroRow, *, where: str) -> Distro:
    if not _ID.fullmatch(row.id):
        raise UsageError(
            f"{where}: {row.id!r} cannot be an id",
            remedy="use lower-case words and numbers joined by dashes, such as debian-12",
        )
    manager = package_manager(row.package_manager, where=where)
    if row.target_release:
        _check(_SUITE, (row.target_release,), f"{where}: target-release", "experimental")
    return Distro(
        id=row.id,
        family=row.family,
        release=row.release,
        title=row.title or row.id,
        libc=_libc(row, where=where),
        architectures=row.architectures,
        interpreters=tuple(_interpreter(entry, manager, where=where) for entry in row.interpreters),
        package_manager=manager.value,
        aliases=row.aliases,
        image=row.image,
        image_architectures=row.image_architectures,
        target_release=row.target_release,
        archive=None if row.archive is None else _archive(row.archive, where=where),
        symbol_maxima=tuple(row.symbols.items()),
        arch_symbol_maxima=tuple(
            (arch, tuple(symbols.items())) for arch, symbols in row.symbols_on.items()
        ),
        absent_libraries=row.absent,
        end_of_life=row.end_of_life,
        rolling=row.rolling,
        source=row.source,
        kernel=parse_kernel(row.kernel, f"{where}: kernel") if row.kernel else None,
    )


def _interpreter(row: InterpreterRow, manager: PackageManager, *, where: str) -> Interpreter:
    return Interpreter(
        version=parse_python(row.version, where=where),
        executable=row.executable,
        packages=check_names(row.packages, where=f"{where}: packages", manager=manager),
        headers=check_names(row.headers, where=f"{where}: headers", manager=manager),
        pip=row.pip,
        measured=row.measured,
        abi=row.abi,
        only_named=row.only_named,
    )


def _archive(row: ArchiveRow, *, where: str) -> ArchiveRecipe:
    _check(_ORIGIN, (row.origin,), f"{where}: archive.origin", "debian")
    _check(_SUITE, (row.suite,), f"{where}: archive.suite", "bookworm")
    _check(_PART, row.extra_suites, f"{where}: archive.extra-suites", "bookworm-updates")
    _check(_PART, row.components, f"{where}: archive.components", "main")
    ways = tuple(ArchiveWay) if row.live else (ArchiveWay.OLD_RELEASES,)
    return ArchiveRecipe(
        origin=row.origin,
        suite=row.suite,
        check_valid_until=row.check_valid_until,
        ways=row.ways or ways,
        merged_usr=row.merged_usr,
        extra_suites=row.extra_suites,
        components=row.components,
        architectures=row.architectures,
        from_source=row.from_source,
    )


def _check(pattern: re.Pattern[str], words: Iterable[str], where: str, example: str) -> None:
    for word in words:
        if not pattern.fullmatch(word):
            raise UsageError(
                f"{where}: {word!r} cannot be one",
                why="it becomes part of apt's sources and of a command line on this machine",
                remedy=f"write it as the archive has it, such as {example}",
            )


def _libc(row: DistroRow, *, where: str) -> Libc:
    """The C library, which a row has as `libc`, or as `glibc` with the version alone."""
    if bool(row.glibc) == bool(row.libc):
        raise UsageError(
            f"{where}: a row has one C library",
            remedy='write glibc = "2.36", or libc = "musl 1.2.5"',
        )
    match = _LIBC.fullmatch(row.libc or f"glibc {row.glibc}")
    if match is None:
        name = row.libc or row.glibc
        what = "C library" if row.libc else "glibc version"
        raise UsageError(
            f"{where}: {name!r} is not a {what}", remedy='write glibc = "2.36", or libc = "musl 1.2.5"'
        )
    kind = LibcKind.GLIBC if match["kind"] else LibcKind.MUSL
    return Libc(kind, tuple(map(int, (match["glibc"] or match["musl"]).split("."))))


def _hint(message: str) -> str:
    match = _UNKNOWN_FIELD.search(message)
    if match is None:
        return ""
    keys = [
        field.encode_name
        for kind in (DistroRow, InterpreterRow, ArchiveRow)
        for field in msgspec.structs.fields(kind)
    ]
    near = difflib.get_close_matches(match["key"], keys, n=1)
    return f"perhaps you meant {near[0]!r}" if near else ""


_Raw = dict[str, object]


def load_catalogue(
    overrides: Sequence[Mapping[str, object]] = (),
    *,
    where: str = "catalogue",
    file: Path | None = None,
    folder: Path | None = None,
) -> Catalogue:
    """Load the packaged catalogue with a user's rows laid over it: those of `file`, then `overrides`.

    A row whose `id` is known replaces single keys of that row. A new row may name another with
    `like` and says only what differs. `where` names the source of the overrides in errors. Images that
    are files are looked for beside `file`, or in `folder`.
    Raises UsageError.
    """
    packaged = _packaged_files()
    rows = {str(raw["id"]): raw for raw in _packaged_rows(packaged)}
    sources = {
        **{
            _lay_over(rows, _anchored(row, file and file.parent), where=str(file)): str(file)
            for row in _rows_of(file)
        },
        **{_lay_over(rows, _anchored(row, folder), where=where): where for row in overrides},
    }
    distros = tuple(
        parse_row(raw, where=sources.get(name, "packaged catalogue")) for name, raw in rows.items()
    )
    groups, kept = _packaged_groups()
    return Catalogue(
        distros=distros,
        groups=groups,
        version=_digest(rows, groups),
        checked=min(file["checked"] for file in (*packaged, _packaged("builders.toml"))),
        kept=kept,
    )


def _anchored(row: Mapping[str, object], folder: Path | None) -> Mapping[str, object]:
    """The row with an image that is a file named by its whole path."""
    image = row.get("image")
    found = image_file(image) if isinstance(image, str) else None
    if found is None or folder is None:
        return row
    kind, path = found
    return {**row, "image": f"{kind}:{folder.absolute() / Path(path).expanduser()}"}


def _packaged_files() -> list[Mapping[str, Any]]:
    folder = files("pytest_manylinux.catalogue") / "distros"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return [_packaged(f"distros/{name}") for name in names]


def _packaged(name: str) -> Mapping[str, Any]:
    return parse_toml((files("pytest_manylinux.catalogue") / name).read_text("utf-8"))


def _packaged_rows(packaged: Sequence[Mapping[str, Any]]) -> Iterator[_Raw]:
    for file in packaged:
        for row in file["distro"]:
            yield {**file.get("defaults", {}), **row}


def _rows_of(file: Path | None) -> list[_Raw]:
    """The rows of a user's own file: `[[distro]]`, and `[defaults]` for what they have in common."""
    if file is None:
        return []
    try:
        data = dict(parse_toml(file.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, TomlError) as error:
        raise UsageError(
            f"{file} cannot be read",
            why=str(error),
            remedy="the setting catalogue names a TOML file with [[distro]] tables",
        ) from error
    common, rows = data.pop("defaults", {}), data.pop("distro", [])
    tables = isinstance(rows, list) and all(isinstance(row, dict) for row in (common, *rows))
    if data or not tables:
        raise UsageError(
            f"{file}: not a catalogue of distros",
            why=f"there is {', '.join(data)}" if data else "distro or defaults is no table",
            remedy="write [[distro]] tables, and [defaults] for what they have in common",
        )
    return [{**common, **row} for row in rows]


def _packaged_groups() -> tuple[dict[str, tuple[str, ...]], dict[str, dict[str, str]]]:
    """The groups with a fixed list, and the reasons for members that are past their end of life."""
    data = _packaged("groups.toml")
    return {name: tuple(words) for name, words in data["groups"].items()}, data.get("kept", {})


def _lay_over(rows: dict[str, _Raw], override: Mapping[str, object], *, where: str) -> str:
    own = dict(override)
    name = own.get("id")
    if not isinstance(name, str):
        raise UsageError(f"{where}: a row has no id", remedy='give it one, such as id = "debian-12"')
    like = own.pop("like", name)
    base = rows.get(str(like), {})
    if not base and like != name:
        raise UsageError(
            f"{where}: {name}: like = {like!r}, but there is no such row",
            remedy="pytest-manylinux catalogue lists the ids",
        )
    left = set() if like == name else {"aliases"}
    if "libc" in own or "glibc" in own:  # one of them, whichever the base row has
        left |= {"libc", "glibc"}
    if "image" in own:  # what the base row's image exists for says nothing of another image
        left.add("image-architectures")
    rows[name] = {**{key: base[key] for key in base if key not in left}, **own}
    return name


def _digest(rows: Mapping[str, _Raw], groups: Mapping[str, tuple[str, ...]]) -> str:
    text = json.dumps([list(rows.values()), groups], sort_keys=True, default=str)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
