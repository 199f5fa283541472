"""Read the packaged rows, lay a user's own rows over them."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files

from pytest_manylinux.catalogue.lookup import Catalogue
from pytest_manylinux.catalogue.rows import parse_row
from pytest_manylinux.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_Raw = dict[str, object]


def load_catalogue(
    overrides: Sequence[Mapping[str, object]] = (), *, where: str = "catalogue"
) -> Catalogue:
    """Load the packaged catalogue with a user's rows laid over it.

    A row whose `id` is known replaces single keys of that row. A new row may name another with
    `like` and says only what differs. `where` names the source of the overrides in errors.
    Raises UsageError.
    """
    rows = {str(raw["id"]): raw for raw in _packaged_rows()}
    own = [_lay_over(rows, override, where=where) for override in overrides]
    distros = tuple(
        parse_row(raw, where=where if name in own else "packaged catalogue")
        for name, raw in rows.items()
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
