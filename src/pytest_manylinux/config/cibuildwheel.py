"""The test settings of `[tool.cibuildwheel]`, for one place: the table, its `linux`, its overrides.

As cibuildwheel reads them for Linux (its docs/configuration.md and options.md); its variables CIBW_…
are not looked at. Of its keys only those about tests, and `environment`, which its tests see too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from pytest_manylinux.config.suite_readers import patterns
from pytest_manylinux.errors import UsageError

WORD = "cibuildwheel"
"""What `test-command` is set to for these settings to be taken."""

_ENVIRONMENT = "environment"
_KEYS = (
    *("test-command", "before-test", "test-requires", "test-extras", "test-groups", "test-sources"),
    *("test-environment", "test-skip", _ENVIRONMENT),
)


def suite_values(document: Mapping[str, Any], identifier: str, *, where: str) -> dict[str, object]:
    """The raw values that hold for one of cibuildwheel's identifiers (`cp311-manylinux_x86_64`).

    Raises UsageError where there is no `test-command` for it.
    """
    table = _table(_table(document, "tool"), WORD)
    values: dict[str, object] = {}
    for layer in (table, _table(table, "linux")):
        values |= {key: layer[key] for key in _KEYS if key in layer}
    for override in _overrides(table, identifier, where):
        inherit = _table(override, "inherit")
        for key in (key for key in _KEYS if key in override):
            values[key] = _joined(values.get(key), override[key], str(inherit.get(key, "none")))
    if not values.get("test-command"):
        raise UsageError(
            f"{where}: test-command = {WORD!r}, and [tool.{WORD}] has none for {identifier}",
            remedy=f"set test-command in [tool.{WORD}], or say it here",
        )
    common = values.pop(_ENVIRONMENT, None)
    if common is not None:
        values["test-environment"] = _joined(common, values.get("test-environment"), "append")
    return values


def _table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = table.get(key, {})
    return found if isinstance(found, Mapping) else {}


def _overrides(table: Mapping[str, Any], identifier: str, where: str) -> Iterator[Mapping[str, Any]]:
    rows = table.get("overrides", [])
    for row in rows if isinstance(rows, Sequence) else ():
        chosen = patterns(row.get("select", ""), f"{where}: tool.{WORD}.overrides.select")
        if any(fnmatchcase(identifier, pattern) for pattern in chosen):
            yield row


def _joined(before: object, after: object, way: str) -> object:
    """Two values of one key, joined as `inherit` says; a string and a list are cut by their reader."""
    if after is None or before is None or way == "none":
        return before if after is None else after
    first, second = (before, after) if way == "append" else (after, before)
    match first, second:
        case Mapping(), Mapping():
            return {**first, **second}
        case str(), str():
            return f"{first} {second}"
        case _:
            return [*_listed(first), *_listed(second)]


def _listed(value: object) -> list[object]:
    if isinstance(value, Mapping):
        return [f"{name}={content}" for name, content in value.items()]
    return [value] if isinstance(value, str) else list(value) if isinstance(value, Sequence) else []
