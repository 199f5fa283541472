"""Layers of settings put together: flags over environment over pyproject.toml over defaults."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_manylinux.cache.paths import CACHE_VARIABLE
from pytest_manylinux.config.keys import BY_NAME, KEYS
from pytest_manylinux.config.options import OPTIONS
from pytest_manylinux.config.readers import check_keys
from pytest_manylinux.config.settings import Settings, Source, SourceKind
from pytest_manylinux.errors import UsageError
from pytest_manylinux.escape import printable
from pytest_manylinux.host.path_checks import MAX_TEXT, is_file_of
from pytest_manylinux.toml import TomlError, parse_toml

TABLE = "pytest-manylinux"


@dataclass(frozen=True, slots=True)
class Layer:
    """Raw values by key name, and the kind of place they came from.

    `where` is the file's name for tables; flags and variables name themselves.
    """

    kind: SourceKind
    where: str
    values: Mapping[str, object]

    def place(self, name: str) -> str:
        """What to call the setting in a message."""
        key = BY_NAME[name]
        if self.kind is SourceKind.FLAG:
            return key.option.flag
        if self.kind is SourceKind.ENVIRONMENT:
            return key.option.variable
        return f"{self.where}: tool.{TABLE}.{name}"


def merge(layers: Iterable[Layer]) -> Settings:
    """Read every layer's values and let the highest kind win, key by key.

    Every value of every layer is read, so that a mistake in an overridden place is told as well.
    Raises UsageError for unknown keys and unusable values.
    """
    values: dict[str, Any] = {key.field: key.default for key in KEYS}
    sources: dict[str, Source] = {}
    for layer in sorted(layers, key=lambda layer: layer.kind.value):
        check_keys(layer.values, BY_NAME, f"{layer.where}: tool.{TABLE}")
        for name, raw in layer.values.items():
            key = BY_NAME[name]
            _check_values(raw, layer.place(name))
            value = key.read(raw, layer.place(name))
            if layer.kind is SourceKind.PROJECT and key.option.per_run:
                continue
            values[key.field] = value
            where = (
                layer.where if layer.kind.value < SourceKind.ENVIRONMENT.value else layer.place(name)
            )
            sources[name] = Source(layer.kind, where)
    return Settings(**values, sources=sources)


_WIDEST = 2**63  # TOML's integers are of 64 bits, and Python's of any length


def _check_values(raw: object, where: str) -> None:
    """Raise UsageError for what no setting can hold: NUL, an integer that is wider than TOML's."""
    if isinstance(raw, str) and "\0" in raw:
        raise UsageError(
            f"{where}: {raw!r} cannot be used", why="no path, argument or variable can hold a NUL"
        )
    if isinstance(raw, int) and not -_WIDEST <= raw < _WIDEST:
        raise UsageError(f"{where}: the number cannot be used", why="it is wider than 64 bits")
    if isinstance(raw, dict):
        for name, value in raw.items():
            _check_values(name, where)
            _check_values(value, where)
    elif isinstance(raw, list):
        for value in raw:
            _check_values(value, where)


_VARIABLE = "PYTEST_MANYLINUX_"
_MIRROR = "PYTEST_MANYLINUX_MIRROR_"  # images/apt.py; the rest is a distro's name
_NO_SETTINGS = (CACHE_VARIABLE, "PYTEST_MANYLINUX_SIGN_PASSPHRASE")  # the second: report/signing.py


def flag_layer(options: Mapping[str, str | None]) -> Layer:
    """Make a layer of flags from pytest's option values by `Option.dest`; None means not given."""
    given = {
        option.name: options[option.dest]
        for option in OPTIONS
        if option.metavar and options.get(option.dest) is not None
    }

    return Layer(SourceKind.FLAG, "command line", given)


def environment_layer(environment: Mapping[str, str]) -> Layer:
    """Make a layer of `PYTEST_MANYLINUX_…` variables; empty ones count as not set.

    Raises UsageError for one that nothing here reads.
    """
    known = [option.variable for option in OPTIONS if option.metavar]
    for name in sorted(environment):
        others = name in _NO_SETTINGS or name.startswith(_MIRROR)
        if name.startswith(_VARIABLE) and name not in known and not others:
            words = [variable.removeprefix(_VARIABLE) for variable in known]
            near = difflib.get_close_matches(name.removeprefix(_VARIABLE), words, n=1)
            raise UsageError(
                f"there is no variable {printable(name)}",
                remedy=f"perhaps you meant {_VARIABLE}{near[0]}"
                if near
                else "unset it; what has a flag has a variable: `pytest --help` lists the flags",
            )
    given = {
        option.name: environment[option.variable]
        for option in OPTIONS
        if option.metavar and environment.get(option.variable)
    }
    return Layer(SourceKind.ENVIRONMENT, "environment", given)


def text_of(file: Path, shown: str) -> str:
    """A file's text; raises UsageError where it is a link out of its folder, or above MAX_TEXT."""
    if not is_file_of(file.parent, file):
        raise UsageError(
            f"{shown} is not a file in that folder", why="links out of it are not followed"
        )
    if file.stat().st_size > MAX_TEXT:
        raise UsageError(
            f"{shown} is larger than {MAX_TEXT // 1024} KiB", remedy="is it the right file?"
        )
    return file.read_text(encoding="utf-8")


def file_layer(file: Path, *, shown: str, kind: SourceKind = SourceKind.PYPROJECT) -> Layer:
    """Read `[tool.pytest-manylinux]` of a pyproject.toml; a file that is not there is empty.

    Raises UsageError if the file is no TOML, lies elsewhere (a link out of its folder), is larger than
    MAX_TEXT, or if the table is no table. `shown` is its name in messages.
    """
    if not os.path.lexists(file):
        return Layer(kind, shown, {})
    try:
        document = parse_toml(text_of(file, shown))
    except (OSError, UnicodeDecodeError, TomlError) as error:
        raise UsageError(f"{shown} cannot be read", why=str(error)) from error
    tool = document.get("tool", {})
    table = tool.get(TABLE, {}) if isinstance(tool, dict) else {}
    if not isinstance(table, dict):
        raise UsageError(f"{shown}: tool.{TABLE} is no table", remedy=f"write [tool.{TABLE}]")
    return Layer(kind, shown, table)
