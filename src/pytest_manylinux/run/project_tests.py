"""A project's own tests as its settings have them, for each target: commands, requirements, sources."""

from __future__ import annotations

import hashlib
import os
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from pytest_manylinux.building.project import Project, open_tree
from pytest_manylinux.building.source import pack
from pytest_manylinux.config.cibuildwheel import WORD, requirements, suite_values
from pytest_manylinux.config.keys import BY_NAME
from pytest_manylinux.config.settings import Settings, SourceKind
from pytest_manylinux.errors import ProjectError, UsageError
from pytest_manylinux.escape import printable
from pytest_manylinux.host.tempdirs import temporary_folder
from pytest_manylinux.model.distro import Distro, Target
from pytest_manylinux.model.selection import known_identifiers
from pytest_manylinux.run.subjects import Origin, WheelSubject, settings_of
from pytest_manylinux.toml import parse_toml
from pytest_manylinux.trials.suite import SuiteRequest, SuiteSettings, speaks_of_tree

_FIELDS = (
    *("test-command", "before-test", "test-requires", "test-extras", "test-groups", "test-sources"),
    *("test-environment", "test-skip"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A project's tree as a tar archive: its digest, and the names in it."""

    path: Path
    sha256: str
    names: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _TestedPackage:
    """The folder or sdist whose table holds, the package in it (`.`: the same), and its document."""

    root: Path
    package: str
    document: Mapping[str, Any]
    shown: str


class Suites:
    """The suites of one run; each tree is packed once. Thread-safe.

    `own` is the folder whose table holds for the run, `wheelhouse` is never part of a tree. `say` gets
    a line for each file that cannot be copied. `cores` is how many one trial may count on.
    """

    def __init__(self, *, own: Path, wheelhouse: Path, say: Callable[[str], None], cores: int) -> None:
        self._own = own
        self._wheelhouse = wheelhouse
        self._say = say
        self._cores = cores
        self._folders = ExitStack()
        self._lock = threading.Lock()
        self._packed: dict[Path, Packed] = {}
        self._documents: dict[Path, Mapping[str, Any]] = {}

    def wanted(self, origin: Origin, target: Target) -> SuiteRequest | None:
        """The same as `of`; what does not fit the project is why the tests are not run there."""
        try:
            return self.of(origin, target)
        except (UsageError, ProjectError) as error:
            words = f"{error.what}: {error.why}" if error.why else error.what
            lacking = " ".join(words.split())
            command = settings_of(origin).test_command
            return SuiteRequest(settings=SuiteSettings(command=command, lacking=lacking))

    def of(self, origin: Origin, target: Target) -> SuiteRequest | None:
        """What is to be run on a target after its trial; None if no `test-command` is set.

        Raises UsageError for settings that do not fit the project, ProjectError for a tree that cannot
        be copied.
        """
        settings = settings_of(origin)
        if not settings.test_command:
            return None
        place = self._place(origin, settings)
        values = _values(settings, place, identifier(target))
        before, command = values["before-test"], values["test-command"]
        sources, environment = values["test-sources"], tuple(values["test-environment"].items())
        texts = [*before, *command, *(value for _, value in environment)]
        tree, package = self._tree(place, texts, wanted=bool(sources))
        _check_sources(sources, tree, place)
        groups = grouped(place.document, values["test-groups"], place.shown)
        return SuiteRequest(
            settings=SuiteSettings(
                command=command,
                before=before,
                environment=environment,
                requires=tuple(dict.fromkeys((*values["test-requires"], *groups))),
                extras=values["test-extras"],
                sources=sources,
                package=package,
                timeout=settings.test_timeout,
                network=settings.test_network == "host",
                skip=_left_out(target, values["test-skip"]),
            ),
            tree=tree.path if tree else None,
            tree_sha256=tree.sha256 if tree else "",
            cores=self._cores,
        )

    def _place(self, origin: Origin, settings: Settings) -> _TestedPackage:
        """Where `{project}` is: the folder with the table that says `test-command`, or an sdist."""
        own = self._own
        if isinstance(origin, WheelSubject):
            return _TestedPackage(
                root=own, package=".", document=self._document(own), shown="pyproject.toml"
            )
        path, group = origin.subject.project.path, origin.subject.group
        shared = settings.source("test-command").kind is not SourceKind.PROJECT
        if path.is_dir() and shared and path != own and path.is_relative_to(own):
            inner = path.relative_to(own).as_posix()
            return _TestedPackage(root=own, package=inner, document=self._document(path), shown=group)
        return _TestedPackage(root=path, package=".", document=self._document(path), shown=group)

    def _document(self, path: Path) -> Mapping[str, Any]:
        """The pyproject.toml of a folder or an sdist; empty without one."""
        with self._lock:
            if path not in self._documents:
                text = open_tree(path).texts.get("pyproject.toml", "")
                self._documents[path] = parse_toml(text)
            return self._documents[path]

    def _tree(
        self, place: _TestedPackage, texts: Iterable[str], *, wanted: bool
    ) -> tuple[Packed | None, str]:
        """The tree that the commands speak of, and where the package is in it."""
        project, package = speaks_of_tree(texts)
        if not (project or package or wanted):
            return None, place.package
        inner = place.package
        root = place.root
        if not (project or wanted):  # the package alone
            root, inner = (root if inner == "." else root / inner), "."
        if root == self._own and not any((root / n).is_file() for n in ("pyproject.toml", "setup.py")):
            raise UsageError(
                f"the tests speak of the project, and {root} has neither pyproject.toml nor setup.py",
                remedy="run pytest in the project's folder, or take {project} out of test-command",
            )
        with self._lock:
            if root not in self._packed:
                self._packed[root] = self._pack(root)
            return self._packed[root], inner

    def _pack(self, root: Path) -> Packed:
        folder = self._folders.enter_context(temporary_folder())
        path = folder / "project.tar"
        source = Project(path=root, is_sdist=root.is_file())
        with tarfile.open(path, mode="w", format=tarfile.PAX_FORMAT) as archive:
            packed = pack(source, archive, below="project", leave_out=[self._wheelhouse], history=False)
            names = frozenset(name.partition("/")[2] for name in archive.getnames())
        for line in packed.left_out:
            self._say(line)
        with path.open("rb") as stream:
            digest = hashlib.sha256(stream.read()).hexdigest()
        return Packed(path=path, sha256=digest, names=names)

    def close(self) -> None:
        """Remove the archives."""
        self._folders.close()


def cores_of(jobs: int) -> int:
    """How many cores a trial can count on where so many are at work at once."""
    return max((os.cpu_count() or 1) // max(jobs, 1), 1)


def identifier(target: Target) -> str:
    """Cibuildwheel's identifier of the build that is for a target."""
    libc = "manylinux" if target.distro.musl is None else "musllinux"
    return f"{target.interpreter.version.id}-{libc}_{target.arch}"


def _values(settings: Settings, place: _TestedPackage, name: str) -> dict[str, Any]:
    """The settings by name: ours, and cibuildwheel's where ours say so and leave something open."""
    values: dict[str, Any] = {key: getattr(settings, BY_NAME[key].field) for key in _FIELDS}
    if values["test-command"] != (WORD,):
        return values
    for key, raw in suite_values(place.document, name, where=place.shown).items():
        if key == "test-command" or settings.source(key).kind is SourceKind.DEFAULT:
            values[key] = BY_NAME[key].read(raw, f"{place.shown}: tool.{WORD}.{key}")
    return values


def _left_out(target: Target, patterns: Iterable[str]) -> str:
    words = (target.id, target.place, target.distro.id, identifier(target))
    for pattern in patterns:
        if any(fnmatchcase(word, pattern) for word in words):
            return f"test-skip has {pattern!r}"
    return ""


def check_skipped(settings: Settings, distros: Iterable[Distro]) -> None:
    """Raise UsageError for a pattern of `test-skip` that no target or build identifier matches.

    Those of the catalogue count, whether this run has them or not, with every Python.
    """
    for pattern in settings.test_skip:
        if not any(fnmatchcase(word, pattern) for word in _words(distros)):
            raise UsageError(
                f"{settings.source('test-skip')}: test-skip: {pattern!r} matches no target",
                why="names of targets look like debian-12-cp311-x86_64, of builds like "
                "cp311-manylinux_x86_64",
                remedy="write * for what may follow, such as debian-11-* or cp39-*",
            )


def _words(distros: Iterable[Distro]) -> Iterator[str]:
    """What a pattern of `test-skip` is held against, for all targets that there may be."""
    identifiers = known_identifiers()
    yield from identifiers
    pythons = sorted({identifier.partition("-")[0] for identifier in identifiers})
    for distro in distros:
        yield distro.id
        for place in (f"{distro.id}{joint}{python}" for joint in "-+" for python in pythons):
            yield place
            yield from (f"{place}-{arch}" for arch in distro.architectures)


def _check_sources(sources: Iterable[str], tree: Packed | None, place: _TestedPackage) -> None:
    names = tree.names if tree else frozenset()
    for path in sources:
        inner = path.strip("/").removeprefix("./")
        found = inner in {"", "."} or any(n == inner or n.startswith(f"{inner}/") for n in names)
        if not found:
            raise UsageError(
                f"{place.shown}: test-sources has {path!r}, which is not in the project",
                why="what git ignores is not part of the copy",
                remedy="give paths relative to the folder of that pyproject.toml",
            )


def grouped(document: Mapping[str, Any], names: Iterable[str], shown: str) -> tuple[str, ...]:
    """The requirements of dependency groups, those that they include in their places (PEP 735).

    Raises UsageError for a group that is not there, that includes itself, or breaks the form.
    """
    table = document.get("dependency-groups", {})
    if not isinstance(table, Mapping):
        raise UsageError(f"{shown}: dependency-groups is no table")
    groups: dict[str, Any] = {canonicalize_name(name): rows for name, rows in table.items()}
    found: list[str] = []
    done: set[str] = set()
    for name in names:
        found += _group(groups, name, shown, (), done)
    return tuple(found)


_DEEPEST = 50  # groups that include one another


def _group(
    groups: Mapping[str, Any], name: str, shown: str, outer: tuple[str, ...], done: set[str]
) -> Iterable[str]:
    """The rows of a group; of one in `done`, nothing, for two that include it twice make four."""
    key = canonicalize_name(name)
    if key in done:
        return
    rows = groups.get(key)
    if not isinstance(rows, list) or key in outer or len(outer) > _DEEPEST:
        why = "it includes itself" if key in outer else f"there are {', '.join(groups) or 'none'}"
        why = why if len(outer) <= _DEEPEST else f"{_DEEPEST} groups include it one in the other"
        raise UsageError(f"{shown}: the dependency group {name!r} cannot be used", why=why)
    for row in rows:
        if isinstance(row, str):
            yield from requirements([row], f"{shown}: dependency-groups.{name}")
        elif isinstance(row, dict) and isinstance(row.get("include-group"), str):
            yield from _group(groups, row["include-group"], shown, (*outer, key), done)
        else:
            raise UsageError(f"{shown}: the dependency group {name!r} holds {printable(str(row))}")
    done.add(key)
