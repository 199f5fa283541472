"""Read the packaged rows, lay a user's own rows over them."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from pytest_manylinux.catalogue.lookup import Catalogue
from pytest_manylinux.catalogue.rows import parse_row
from pytest_manylinux.errors import UsageError

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
) -> Catalogue:
    """Load the packaged catalogue with a user's rows laid over it: those of `file`, then `overrides`.

    A row whose `id` is known replaces single keys of that row. A new row may name another with
    `like` and says only what differs. `where` names the source of the overrides in errors.
    Raises UsageError.
    """
    rows = {str(raw["id"]): raw for raw in _packaged_rows()}
    sources = {
        **{_lay_over(rows, row, where=str(file)): str(file) for row in _rows_of(file)},
        **{_lay_over(rows, row, where=where): where for row in overrides},
    }
    distros = tuple(
        parse_row(raw, where=sources.get(name, "packaged catalogue")) for name, raw in rows.items()
    )
    groups = _packaged_groups()
    return Catalogue(distros=distros, groups=groups, version=_digest(rows, groups))


def _packaged_rows() -> Iterator[_Raw]:
    folder = files("pytest_manylinux.catalogue") / "distros"
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".toml"):
            data = tomllib.loads(file.read_text("utf-8"))
            for row in data["distro"]:
                yield {**data.get("defaults", {}), **row}


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


def _packaged_groups() -> dict[str, tuple[str, ...]]:
    text = (files("pytest_manylinux.catalogue") / "groups.toml").read_text("utf-8")
    return {name: tuple(words) for name, words in tomllib.loads(text)["groups"].items()}


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
    inherited = base if like == name else {key: base[key] for key in base if key != "aliases"}
    rows[name] = {**inherited, **own}
    return name


def _digest(rows: Mapping[str, _Raw], groups: Mapping[str, tuple[str, ...]]) -> str:
    text = json.dumps([list(rows.values()), groups], sort_keys=True, default=str)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
