"""The test settings of `[tool.cibuildwheel]`, for one place: the table, its `linux`, its overrides.

As cibuildwheel reads them for Linux (its docs/configuration.md and options.md); its variables CIBW_…
are not looked at. Of its keys only those about tests, and `environment`, which its tests see too.

The same values in this project's own table are read by the same readers: cibuildwheel (docs/options.md,
"Testing") takes lists, or one string: of requirements and patterns with
spaces between, of variables as a shell would read them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from pytest_manylinux.errors import UsageError
from pytest_manylinux.model.selection import expand_braces

WORD = "cibuildwheel"
"""What `test-command` is set to for these settings to be taken."""

_ENVIRONMENT = "environment"
_KEYS = (
    *("test-command", "before-test", "test-requires", "test-extras", "test-groups", "test-sources"),
    *("test-environment", "test-skip", _ENVIRONMENT),
)
_COMMANDS = frozenset({"test-command", "before-test"})


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
            way = str(inherit.get(key, "none"))
            values[key] = _joined(values.get(key), override[key], way, commands=key in _COMMANDS)
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


def _joined(before: object, after: object, way: str, *, commands: bool = False) -> object:
    """Two values of one key, joined as `inherit` says; a string and a list are cut by their reader.

    Commands are run one after the other, other strings are lists with spaces between.
    """
    if after is None or before is None or way == "none":
        return before if after is None else after
    first, second = (before, after) if way == "append" else (after, before)
    match first, second:
        case Mapping(), Mapping():
            return {**first, **second}
        case str(), str() if not commands:
            return f"{first} {second}"
        case _:
            return [*_listed(first), *_listed(second)]


def _listed(value: object) -> list[object]:
    if isinstance(value, Mapping):
        return [f"{name}={content}" for name, content in value.items()]
    return [value] if isinstance(value, str) else list(value) if isinstance(value, Sequence) else []


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _strings(raw: object, where: str) -> tuple[str, ...]:
    """A list of strings, or one string that is cut as a shell cuts it."""
    if isinstance(raw, str):
        try:
            found = shlex.split(raw)
        except ValueError as error:
            raise UsageError(f"{where}: {raw!r} cannot be read", why=str(error)) from error
    elif isinstance(raw, list) and all(isinstance(word, str) and word.strip() for word in raw):
        found = [word.strip() for word in raw]
    else:
        raise UsageError(f"{where}: {raw!r} cannot be used", remedy="give a list of strings")
    return tuple(dict.fromkeys(found))


def requirements(raw: object, where: str) -> tuple[str, ...]:
    """Dependency specifiers (PEP 508); one string holds several, with spaces between."""
    found = _strings(raw, where)
    for word in found:
        try:
            Requirement(word)
        except InvalidRequirement as error:
            raise UsageError(
                f"{where}: {word!r} is not a requirement",
                why=str(error).splitlines()[0],
                remedy="give them as in pyproject.toml: name, extras, version; files of requirements "
                "can be a dependency group (test-groups)",
            ) from error
    return found


def inner_paths(raw: object, where: str) -> tuple[str, ...]:
    """Paths inside of the project, relative to its folder."""
    found = _strings(raw, where)
    for word in found:
        path = PurePosixPath(word)
        if path.is_absolute() or ".." in path.parts:
            raise UsageError(
                f"{where}: {word!r} is not inside of the project",
                remedy="give paths relative to the project's folder",
            )
    return found


def variables(raw: object, where: str) -> Mapping[str, str]:
    """A table of names and values, or a string of `NAME=value`, as in a shell."""
    if isinstance(raw, dict):
        pairs = [(name, str(value)) for name, value in raw.items() if isinstance(value, (str, int))]
        if len(pairs) != len(raw):
            raise UsageError(f"{where}: a value is not a string", remedy='write NAME = "value"')
    else:
        words = [word.partition("=") for word in _strings(raw, where)]
        if missing := next((name for name, sign, _ in words if not sign), ""):
            raise UsageError(f"{where}: {missing!r} has no value", remedy="write NAME=value")
        pairs = [(name, value) for name, _, value in words]
    if wrong := next((name for name, _ in pairs if not _VARIABLE.fullmatch(name)), ""):
        raise UsageError(f"{where}: {wrong!r} is not the name of a variable")
    return dict(pairs)


def patterns(raw: object, where: str) -> tuple[str, ...]:
    """Patterns (fnmatch) with cibuildwheel's braces: `{cp39,cp310}-*` stands for two."""
    found: list[str] = []
    for word in _strings(raw, where):
        try:
            found += expand_braces(word)
        except OverflowError as error:
            raise UsageError(
                f"{where}: {word!r} stands for too many patterns", remedy="write it with * or ?"
            ) from error
    return tuple(dict.fromkeys(found))
