"""Read the packaged rows, lay a user's own rows over them."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from pytest_manylinux.catalogue.lookup import Catalogue
from pytest_manylinux.catalogue.rows import parse_row
from pytest_manylinux.errors import UsageError
from pytest_manylinux.model.distro import image_file

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

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


def _packaged_files() -> list[dict[str, Any]]:
    folder = files("pytest_manylinux.catalogue") / "distros"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return [_packaged(f"distros/{name}") for name in names]


def _packaged(name: str) -> dict[str, Any]:
    return tomllib.loads((files("pytest_manylinux.catalogue") / name).read_text("utf-8"))


def _packaged_rows(packaged: Sequence[Mapping[str, Any]]) -> Iterator[_Raw]:
    for file in packaged:
        for row in file["distro"]:
            yield {**file.get("defaults", {}), **row}


def _rows_of(file: Path | None) -> list[_Raw]:
    """The rows of a user's own file: `[[distro]]`, and `[defaults]` for what they have in common."""
    if file is None:
        return []
    try:
        data = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
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
