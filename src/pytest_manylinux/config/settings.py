"""The settings as values, and where each came from."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from pytest_manylinux.errors import UsageError
from pytest_manylinux.model.observation import ImportDepth
from pytest_manylinux.model.policy import PolicyChoice
from pytest_manylinux.model.selection import PythonChoice
from pytest_manylinux.model.verdict import Expectation


class SourceKind(enum.Enum):
    """Where a value came from; later ones win over earlier ones."""

    DEFAULT = 0
    PYPROJECT = 1
    PROJECT = 2
    ENVIRONMENT = 3
    FLAG = 4


@dataclass(frozen=True, slots=True)
class Source:
    """A place that set a value: its kind, and its name as a user knows it."""

    kind: SourceKind
    where: str

    def __str__(self) -> str:
        """The name alone: `--manylinux-policy`, `pyproject.toml`, `default`."""
        return self.where


DEFAULT = Source(SourceKind.DEFAULT, "default")


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoreRule:
    """A finding that the project chooses to ignore or to weigh less; the proof keeps both.

    `distro` and `file` are ids and paths inside the wheel, or `*`. `severity` is what the finding
    is lowered to, or `ignore`.
    """

    finding: str
    reason: str
    distro: str = "*"
    file: str = "*"
    severity: str = "ignore"


WHOLE = 100.0
"""Per cent."""


def as_percentage(value: object, where: str) -> float:
    """A number from 0 to 100; raises UsageError for others."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= WHOLE:  # type: ignore[operator]
        raise UsageError(f"{where}: {value!r} cannot be used", remedy="give a percentage from 0 to 100")
    return float(value)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexChoice:
    """The package index that files are meant for, by its rules (upload_rules/).

    `name` is `pypi`, `none` (no rules at all) or `private`: PyPI's rules, or those of them in `rules`,
    but for those in `without`. `platforms` are platform tags that a private index takes too;
    `max_file_size` is in MiB, 0 for PyPI's usual.
    """

    name: str = "pypi"
    rules: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    max_file_size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GateRule:
    """What the gate requires. `max_age` is in days; 0 means any age.

    `require` are ids or groups; empty means every distro that the proof speaks of.
    `allow_ignored` lets findings that were ignored and faults that were declared through.
    `require_tests` asks for the project's own tests to have passed in every trial that counts.
    `signed_by` are paths of public keys; empty means that no signature is asked for.
    `other_platforms` is `allow` or `refuse`: wheels for other systems, which cannot be proven.
    `require_coverage` is the percentage of the Linux wheels that must be proven; where it is less than
    100, wheels that no target of the proven run could take pass with the others.
    `index` is the one that the files are meant for. `release` has the files judged together too;
    `require_same_as_last` also wants a wheel for whatever the last release on the index had one;
    `build_sdist` that the source distribution builds to the files that the wheels have.
    """

    require: tuple[str, ...] = ()
    max_age: float = 0.0
    allow_ignored: bool = False
    require_tests: bool = False
    signed_by: tuple[str, ...] = ()
    other_platforms: str = "refuse"
    require_coverage: float = 100.0
    index: IndexChoice = IndexChoice()
    release: bool = False
    require_same_as_last: bool = False
    build_sdist: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, typed. Field names are the keys of the table with `-` as `_`.

    Timeouts are in seconds. `python` empty means every Python that the chosen distros have; `build`
    and `skip` are patterns of model/selection.py, `other_pythons` is `standalone`, `source`, `any`
    or `none`; `archs` are words of host/architecture.py, `untargeted` is `skip`, `warn` or `fail`;
    `imports` empty means whatever the wheel's files offer; `repeat` is how often each trial is
    done; `kernel` is a version, `distro`, or empty for this machine's; `processor` is a level of
    x86-64, or empty for this machine's; `jobs` 0 means one per core;
    `dask` empty means that all is done on this machine; `library_bounds` are the oldest versions of
    libraries that a wheel may hold, by upstream's names (inspect/known_libraries.py);
    `distro_shares` are numbers of users in any unit, by distro, `other` for those of no distro
    here. `packages` are patterns of folders below the root; `extras` are names, `each` and `all`;
    `resolution` is `highest` or `lowest-direct`.
    """

    packages: tuple[str, ...]
    policy: tuple[PolicyChoice, ...]
    distros: tuple[str, ...]
    python: PythonChoice
    build: tuple[str, ...]
    skip: tuple[str, ...]
    other_pythons: str
    archs: tuple[str, ...]
    untargeted: str
    engine: str
    builder: str
    wheelhouse: Path
    imports: tuple[str, ...]
    import_skip: tuple[str, ...]
    import_depth: ImportDepth
    programs: tuple[str, ...]
    installer: tuple[str, ...]
    kernel: str
    processor: str
    test_command: tuple[str, ...]
    before_test: tuple[str, ...]
    test_requires: tuple[str, ...]
    test_extras: tuple[str, ...]
    test_groups: tuple[str, ...]
    test_sources: tuple[str, ...]
    test_environment: Mapping[str, str]
    test_skip: tuple[str, ...]
    test_timeout: float
    test_network: str
    dependencies: str
    extras: tuple[str, ...]
    resolution: str
    build_timeout: float
    trial_timeout: float
    repeat: int
    jobs: int
    dask: str
    dask_wait: float
    before_build: tuple[str, ...]
    build_packages: tuple[str, ...]
    build_network: str
    image_source: str
    registry_mirror: tuple[str, ...]
    catalogue: str
    library_bounds: Mapping[str, str]
    distro_shares: Mapping[str, float]
    expect: tuple[Expectation, ...]
    ignore: tuple[IgnoreRule, ...]
    distro: tuple[Mapping[str, object], ...]
    gate: GateRule
    sources: Mapping[str, Source] = field(default_factory=dict)

    def source(self, name: str) -> Source:
        """Where the setting `name` (as in the table) came from."""
        return self.sources.get(name, DEFAULT)


FIELD_NAMES = tuple(f.name for f in fields(Settings) if f.name != "sources")
