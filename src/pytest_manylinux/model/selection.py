"""The Pythons and platforms that a run is asked for: the settings `python`, `build` and `skip`.

`build` and `skip` are cibuildwheel's: patterns for its build identifiers, such as `cp3{11,12}-*` or
`*-musllinux_*`, with its meaning: what a pattern of `build` matches and none of `skip`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import product

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from pytest_manylinux.errors import UsageError
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.python import PythonVersion, parse_python

EVERYTHING = ("*",)
_MOST = 1000  # patterns that one may expand to, as in cibuildwheel's own library for it
_LONGEST = 400  # characters of a pattern
_SPACE_IN_CLAUSE = re.compile(r"([<>=!~]=?=?)\s+")
_OPERATORS = tuple("<>=!~")
_PATCH = re.compile(r"\d+\.\d+\.[\d*]")
_RANGE = re.compile(r"(?P<first>-?\d{1,9})\.\.(?P<last>-?\d{1,9})")
# What cibuildwheel makes wheels for, as the last part of an identifier (its build-platforms.toml).
_ELSEWHERE = (
    *("macosx_x86_64", "macosx_arm64", "macosx_universal2", "win32", "win_amd64", "win_arm64"),
    *("pyodide_wasm32", "android_x86_64", "android_arm64_v8a"),
    *("ios_arm64_iphoneos", "ios_arm64_iphonesimulator", "ios_x86_64_iphonesimulator"),
)
_ARCHITECTURES = (
    *("x86_64", "i686", "aarch64", "armv7l", "ppc64le", "s390x", "riscv64", "loongarch64"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonChoice:
    """Pythons by name, from one to another, and by comparison; empty for all.

    `spans` are pairs of the first and the last. `specifier` are clauses as in Requires-Python that all
    hold together; they are for Pythons of every implementation, with the GIL and without.
    """

    versions: tuple[PythonVersion, ...] = ()
    spans: tuple[tuple[PythonVersion, PythonVersion], ...] = ()
    specifier: str = ""

    def __bool__(self) -> bool:
        """Whether anything was chosen."""
        return bool(self.versions or self.spans or self.specifier)

    def __contains__(self, version: PythonVersion) -> bool:
        """Whether a Python is chosen; of an empty choice none is."""
        if version in self.versions or any(_is_within(version, *span) for span in self.spans):
            return True
        return bool(self.specifier) and version.dotted in SpecifierSet(self.specifier, prereleases=True)

    def __str__(self) -> str:
        """As in the configuration."""
        spans = (f"{first}-{last}" for first, last in self.spans)
        return " ".join(filter(None, (*map(str, self.versions), *spans, self.specifier)))


def _is_within(version: PythonVersion, first: PythonVersion, last: PythonVersion) -> bool:
    return _kind(version) == _kind(first) and first.release <= version.release <= last.release


def _kind(version: PythonVersion) -> tuple[object, ...]:
    return version.implementation, version.free_threaded


def parse_pythons(texts: Iterable[str], *, where: str) -> PythonChoice:
    """Read names, ranges such as `3.11-3.14`, and comparisons such as `>=3.11`.

    They are separated by commas or spaces. Raises UsageError for anything else.
    """
    words = [
        word
        for text in texts
        for word in re.split(r"[\s,]+", _SPACE_IN_CLAUSE.sub(r"\1", text))
        if word
    ]
    clauses = [word for word in words if word.startswith(_OPERATORS)]
    others = [word for word in words if word not in clauses]
    return PythonChoice(
        versions=tuple(sorted({parse_python(word, where=where) for word in others if "-" not in word})),
        spans=tuple(dict.fromkeys(_span(word, where) for word in others if "-" in word)),
        specifier=_specifier(clauses, where),
    )


def _span(word: str, where: str) -> tuple[PythonVersion, PythonVersion]:
    first, last = (parse_python(end, where=where) for end in word.split("-", 1))
    if _kind(first) != _kind(last) or first > last:
        raise UsageError(
            f"{where}: {word!r} is not a range of Pythons",
            remedy="write the older one first, and both of one kind: 3.11-3.14, cp313t-cp315t",
        )
    return first, last


def _specifier(clauses: Sequence[str], where: str) -> str:
    text = ",".join(clauses)
    try:
        SpecifierSet(text)
    except InvalidSpecifier as error:
        raise UsageError(
            f"{where}: {text!r} cannot be used", why=str(error), remedy="write it as >=3.11"
        ) from error
    if _PATCH.search(text):
        raise UsageError(
            f"{where}: {text!r} speaks of patch releases",
            why="a distro has one of each Python, and changes it",
            remedy="compare with feature releases, such as >=3.11",
        )
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What the three settings leave of a run's targets and builds."""

    python: PythonChoice = PythonChoice()
    build: tuple[str, ...] = EVERYTHING
    skip: tuple[str, ...] = ()

    def names(self, version: PythonVersion) -> bool:
        """Whether `python` or `build` name a Python, rather than leave it in."""
        if version in replace(self.python, specifier=""):
            return True
        patterns = (expanded for pattern in self.build for expanded in _expanded(pattern))
        return any(pattern.startswith(f"{version.id}-") for pattern in patterns)

    def excluded_by(self, target: Target) -> str:
        """The setting that leaves a target out; empty if none does."""
        version = target.interpreter.version
        if self.python and version not in self.python:
            return "python"
        platform = target.distro.libc.kind.policies
        return self.left_out_by(build_identifier(version, target.arch, platform))

    def left_out_by(self, identifier: str) -> str:
        """`build` or `skip`, if it leaves a build out; empty if neither does."""
        if not is_matched(identifier, self.build):
            return "build"
        return "skip" if is_matched(identifier, self.skip) else ""


def build_identifier(version: PythonVersion, arch: str, platform: str = "manylinux") -> str:
    """What cibuildwheel calls a build, such as `cp314t-manylinux_aarch64`."""
    return f"{version.id}-{platform}_{arch}"


@lru_cache(maxsize=4096)  # asked for each target of each wheel of a release
def is_matched(identifier: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of the patterns, braces expanded, matches the whole identifier (fnmatch)."""
    return any(
        fnmatchcase(identifier, expanded) for pattern in patterns for expanded in _expanded(pattern)
    )


@lru_cache(maxsize=256)
def _expanded(pattern: str) -> tuple[str, ...]:
    return tuple(expand_braces(pattern))


def expand_braces(pattern: str) -> list[str]:
    """A word as a shell expands its braces: `cp3{9,1{0..2}}-*`; a brace that means nothing stays.

    Raises OverflowError where that makes too many.
    """
    start = pattern.find("{")
    while start >= 0:
        end = _closing(pattern, start)
        choices = _choices(pattern[start + 1 : end]) if end > 0 else []
        if choices:
            inner = [one for choice in choices for one in expand_braces(choice)]
            rest = expand_braces(pattern[end + 1 :])
            if len(inner) * len(rest) > _MOST:
                raise OverflowError(pattern)
            return [pattern[:start] + one + after for one, after in product(inner, rest)]
        start = pattern.find("{", start + 1)
    return [pattern]


def _closing(pattern: str, start: int) -> int:
    """Where the brace that opens at `start` closes; -1 if it does not."""
    depth = 0
    for place in range(start, len(pattern)):
        depth += (pattern[place] == "{") - (pattern[place] == "}")
        if not depth:
            return place
    return -1


def _choices(inner: str) -> list[str]:
    """What stands between commas outside of inner braces, or a range's numbers; [] for neither."""
    if match := _RANGE.fullmatch(inner):
        first, last = int(match["first"]), int(match["last"])
        step = 1 if first <= last else -1
        return [str(number) for number in range(first, last + step, step)[: _MOST + 1]]
    parts, depth = [""], 0
    for character in inner:
        depth += (character == "{") - (character == "}")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return parts if len(parts) > 1 else []


def parse_patterns(texts: Iterable[str], *, where: str) -> tuple[str, ...]:
    """Patterns between spaces; raises UsageError for one that no build identifier matches."""
    patterns = tuple(dict.fromkeys(word for text in texts for word in text.split()))
    for pattern in patterns:
        try:
            known = any(is_matched(name, (pattern[:_LONGEST],)) for name in known_identifiers())
        except OverflowError as error:
            raise UsageError(
                f"{where}: {pattern!r} stands for more than {_MOST} patterns",
                remedy="write it with * or ?",
            ) from error
        if not known or len(pattern) > _LONGEST:
            raise UsageError(
                f"{where}: {pattern!r} matches no build identifier",
                remedy="they look like cp312-manylinux_x86_64 or pp311-musllinux_aarch64; "
                "patterns are separated by spaces, such as cp3{11,12}-* *-musllinux_*",
            )
    return patterns


@lru_cache(maxsize=1)
def known_identifiers() -> tuple[str, ...]:
    """Identifiers of what cibuildwheel builds or built, and of some releases to come."""
    pythons = [f"cp3{minor}" for minor in range(6, 25)] + [f"cp3{minor}t" for minor in range(13, 25)]
    pythons += [f"pp3{minor}" for minor in range(6, 25)] + [
        f"gp3{n}_2{m}" for n in (11, 12, 13, 14) for m in (42, 50, 53)
    ]
    linux = [f"{libc}_{arch}" for libc in ("manylinux", "musllinux") for arch in _ARCHITECTURES]
    return tuple(f"{python}-{platform}" for python in pythons for platform in (*linux, *_ELSEWHERE))
