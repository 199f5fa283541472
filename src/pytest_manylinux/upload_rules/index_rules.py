"""An index's rules as values: PyPI's from the packaged table, or a private index's own list."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from pytest_manylinux.config.settings import IndexChoice
from pytest_manylinux.decoding import convert
from pytest_manylinux.errors import UsageError, nearest
from pytest_manylinux.toml import parse_toml


class UploadRule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule: a stable code and name, the rule in a sentence, what to do, where it was read.

    `source` is a path in PyPI's source at the snapshot's commit, or the address of a specification.
    One that does not refuse is only told.
    """

    code: str
    name: str
    says: str
    remedy: str
    source: str
    refuses: bool = True


class SourceSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The commit of PyPI's source that the rules were read from, and its day."""

    date: date
    commit: str


class IndexLimits(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """Figures: sizes in bytes, lengths in characters, ages in days."""

    file_size: int
    project_size: int
    ratio: int
    ratio_from: int
    summary: int
    url_label: int
    release_days: int


class MetadataWords(msgspec.Struct, frozen=True, kw_only=True):
    """The versions of the core metadata that are taken, and the fields that may be dynamic."""

    versions: tuple[str, ...]
    dynamic: tuple[str, ...]


class Platforms(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """The platform tags that are taken: whole ones, and the architectures of each family."""

    names: tuple[str, ...]
    linux: tuple[str, ...]
    manylinux_only: tuple[str, ...]
    macos: tuple[str, ...]
    macos_versions: tuple[str, ...]
    ios: tuple[str, ...]
    android: tuple[str, ...]

    def take(self, tag: str) -> bool:
        """Whether the tag is one of them."""
        return tag in self.names or any(re.match(pattern, tag) for pattern in self._patterns())

    def _patterns(self) -> Iterable[str]:
        yield rf"manylinux_\d+_\d+_({_any_of((*self.linux, *self.manylinux_only))})$"
        yield rf"musllinux_\d+_\d+_({_any_of(self.linux)})$"
        yield rf"macosx_(10_\d+|({_any_of(self.macos_versions)})_0)_({_any_of(self.macos)})$"
        yield rf"ios_\d+_\d+_({_any_of(self.ios)})_(iphoneos|iphonesimulator)"
        yield rf"android_\d+_({_any_of(self.android)})$"
        yield r"pyemscripten_\d+_\d+_wasm32"


def _any_of(words: Iterable[str]) -> str:
    return "|".join(map(re.escape, words))


class RuleTable(msgspec.Struct, frozen=True, kw_only=True):
    """The packaged table. `functions` has the digests of what was read, by file and name."""

    snapshot: SourceSnapshot
    limits: IndexLimits
    metadata: MetadataWords
    platforms: Platforms
    functions: dict[str, str]
    rule: tuple[UploadRule, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A file breaks a rule; `detail` says how: the field, the tag, the path."""

    rule: UploadRule
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRules:
    """The rules of the index in force. `name` is for people; without rules it takes everything."""

    name: str
    table: RuleTable
    rules: tuple[UploadRule, ...]
    platforms: tuple[str, ...] = ()
    file_size: int = 0

    def takes_platform(self, tag: str) -> bool:
        """Whether the index takes wheels with this platform tag."""
        return tag in self.platforms or self.table.platforms.take(tag)

    def kept(self, found: Iterable[tuple[str, str]]) -> tuple[Breach, ...]:
        """Breaches (rule's name, detail) of the rules that this index has; each once, by code."""
        by_name = {rule.name: rule for rule in self.rules}
        breaches = {
            (by_name[name].code, detail): Breach(rule=by_name[name], detail=detail)
            for name, detail in found
            if name in by_name
        }
        return tuple(breaches[key] for key in sorted(breaches, key=lambda key: key[0]))


@cache
def pypi_table() -> RuleTable:
    """The packaged table of PyPI's rules."""
    data = files(__package__).joinpath("pypi.toml").read_bytes()
    return convert(parse_toml(data.decode()), RuleTable)


def index_rules(choice: IndexChoice) -> IndexRules:
    """The rules that the settings ask for. Raises UsageError for a rule that there is not."""
    table = pypi_table()
    known = {rule.name: rule for rule in table.rule} | {rule.code: rule for rule in table.rule}
    wanted = [_find(word, known) for word in choice.rules]
    dropped = {_find(word, known).code for word in choice.without}
    rules: Sequence[UploadRule] = () if choice.name == "none" else wanted or table.rule
    return IndexRules(
        name={"pypi": "PyPI", "none": "no index"}.get(choice.name, "the private index"),
        table=table,
        rules=tuple(rule for rule in rules if rule.code not in dropped),
        platforms=choice.platforms,
        file_size=choice.max_file_size * 1024**2 or table.limits.file_size,
    )


def _find(word: str, known: dict[str, UploadRule]) -> UploadRule:
    if word not in known:
        names: Collection[str] = [name for name, rule in known.items() if name == rule.name]
        raise UsageError(
            f"gate: index: there is no rule {word!r}",
            remedy=f"{nearest(word, names)}docs/reference/index-rules.md lists them",
        )
    return known[word]


def rule_text(rule: UploadRule) -> str:
    """Code and name, as they are told."""
    return f"{rule.code} {rule.name}"


def as_plain(value: Any) -> Any:  # noqa: ANN401 - what msgspec makes of any value
    """A table as plain lists and dictionaries, in the table's own words."""
    return msgspec.to_builtins(value)
