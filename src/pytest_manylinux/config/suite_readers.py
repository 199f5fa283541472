"""Readers of the settings of a project's own tests, in cibuildwheel's forms.

cibuildwheel (docs/options.md, "Testing") takes lists, or one string: of requirements and patterns with
spaces between, of variables as a shell would read them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement

from pytest_manylinux.errors import UsageError

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
    return tuple(one for word in _strings(raw, where) for one in expanded(word))


def expanded(pattern: str) -> Iterator[str]:
    """A pattern without braces for each way to choose among the words in them."""
    found = re.search(r"\{([^{}]*)\}", pattern)
    if found is None:
        yield pattern
        return
    for word in found[1].split(","):
        yield from expanded(pattern[: found.start()] + word + pattern[found.end() :])
