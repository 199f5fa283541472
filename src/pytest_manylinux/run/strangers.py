"""Other people's trees given as paths: which of their files pytest may load, which links are followed.

pytest imports `conftest.py` of every folder that it meets, and takes its configuration from the
nearest file above the paths. With `--manylinux` paths are wheels and projects, whose code has no
business outside of a sandbox. So a run with paths takes both from the caller's own folders only: the
current one and those above it, unless they are at or below a path themselves.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pytest_manylinux.config.merge import file_layer
from pytest_manylinux.errors import UsageError
from pytest_manylinux.escape import printable
from pytest_manylinux.host.path_checks import kind_of, stays_within
from pytest_manylinux.run.found_files import ARCHIVES, is_other_archive, lies_aside
from pytest_manylinux.run.monorepo import is_project

WITH_TESTS = "--manylinux-with-tests"
_ARTIFACTS = (".whl", *ARCHIVES)
_ASIDE = "they lie in a project's folders for tests, documentation or examples"
_SHOWN = 3  # links named in the note; the rest is counted


def given_paths(words: Iterable[str], here: Path) -> tuple[Path, ...]:
    """The paths among pytest's positional words, resolved, with `::NAME` taken off.

    Words that name nothing are left out: before `conftest.py` is read they may be values of its
    options.
    """
    bases = (here / os.fspath(word).partition("::")[0] for word in words)
    return tuple(path.resolve() for path in bases if os.path.lexists(path))


def is_own(folder: Path, paths: Iterable[Path], here: Path) -> bool:
    """Whether a folder is the current one or above it, and neither at nor below one of the paths."""
    folder = folder.resolve()
    return here.resolve().is_relative_to(folder) and not any(
        folder.is_relative_to(path) for path in paths
    )


def own_conftest(paths: Iterable[Path], here: Path) -> Path | None:
    """The nearest `conftest.py` of the caller's own folders; pytest then reads those above it too."""
    paths = tuple(paths)
    for folder in (here, *here.parents):
        if is_own(folder, paths, here) and (folder / "conftest.py").is_file():
            return folder / "conftest.py"
    return None


def is_own_root(config: pytest.Config) -> bool:
    """Whether the root folder is the caller's choice: named by a flag, or at or above where he stands.

    Otherwise pytest found it next to a path, and what lies there does not speak for the whole run.
    """
    chosen = config.known_args_namespace
    if chosen.rootdir or chosen.inifilename:
        return True
    return config.invocation_params.dir.resolve().is_relative_to(config.rootpath.resolve())


def folder_of_table(config: pytest.Config, *, bare: bool) -> Path:
    """The folder whose table holds for the whole run; `bare` tells that no paths were given.

    With paths that is the current folder or the nearest above it that has a table, wherever the paths
    lie: pytest takes its root folder from them. A root that the caller names, or that has the
    configuration of pytest, is his word too, where no folder between has a table.
    """
    root, here = config.rootpath, config.invocation_params.dir
    if bare or config.known_args_namespace.rootdir or config.known_args_namespace.inifilename:
        return root
    for folder in (here, *here.parents):
        if has_table(folder):
            return folder
        if folder == root:
            break
    return root if is_own_root(config) else here


def has_table(folder: Path) -> bool:
    """Whether a folder's pyproject.toml has a table of ours, or cannot be read: its reader says why."""
    try:
        return bool(file_layer(folder / "pyproject.toml", shown="").values)
    except UsageError:
        return True


def root_above(paths: Sequence[Path], here: Path) -> Path | None:
    """The folder to name several paths from: the current one, if they are below it, or what they share.

    None for a single path elsewhere: then it names itself.
    """
    here = here.resolve()
    if all(here in path.parents for path in paths):
        return here
    return Path(os.path.commonpath([path.parent for path in paths])) if len(paths) > 1 else None


def require_own_configuration(config: pytest.Config) -> None:
    """Raise UsageError if pytest took its configuration from a path's own tree.

    A file that holds none (a pyproject.toml without a table for pytest) is fine, as is one that the
    caller names with `-c`.
    """
    file = config.inipath
    if file is None or config.known_args_namespace.inifilename or not _holds_configuration(config):
        return
    if config.invocation_params.dir.resolve().is_relative_to(file.resolve().parent):
        return
    raise UsageError(
        f"pytest took its configuration from {file}, which comes with a path that was given",
        why="a configuration can load plugins and import modules; what its addopts, pythonpath and"
        " filterwarnings name, pytest itself has imported by now",
        remedy="name a configuration of yours: `pytest -c /dev/null --rootdir=. --manylinux PATH...`;"
        f" or, if you trust that tree, add {WITH_TESTS} or go to its folder: `pytest --manylinux`",
    )


def _holds_configuration(config: pytest.Config) -> bool:
    """Whether the file set anything; what `-o` sets is the caller's."""
    overrides = {word.partition("=")[0] for word in config.known_args_namespace.override_ini or ()}
    raw = vars(config).get("_inicfg")  # pytest 9; `inicfg`, which was public, warns there
    return bool((config.inicfg if raw is None else raw).keys() - overrides)


def check_there(words: Sequence[str], here: Path) -> None:
    """Raise UsageError for the first path that names nothing."""
    for word in words:
        if not os.path.lexists(here / word.partition("::")[0]):
            raise UsageError(
                f"{printable(word)} is not there",
                why="no file matches it" if "*" in word else "",
                remedy="`pytest --manylinux` builds the project of this folder, and its wheels go into"
                " wheelhouse/; or name wheels, sdists or projects that are there",
            )


_OF_PROJECTS = ("pyproject.toml", "setup.py", "setup.cfg")


def check_kinds(words: Sequence[str], here: Path) -> None:
    """Raise UsageError for a path that is there and is neither a folder, a wheel nor an sdist."""
    for word in words:
        path = here / word.partition("::")[0]
        if path.is_dir() or not os.path.lexists(path):
            continue  # check_there says so, once the settings are known to be sound
        shown = printable(word)
        if not path.exists():
            raise UsageError(f"{shown} is a link that leads nowhere", remedy="name what it should be")
        if not path.is_file():
            kind = kind_of(path.resolve())
            raise UsageError(f"{shown} is {kind}", remedy="name wheels, sdists or projects")
        if path.name in _OF_PROJECTS:
            raise UsageError(
                f"{shown} is a file of a project, and projects are named by their folders",
                remedy=f"pytest --manylinux {printable(str(Path(word).parent))}",
            )
        if not path.name.endswith(_ARTIFACTS):
            raise UsageError(
                f"{shown} is neither a wheel, an sdist nor a folder",
                why="with --manylinux, paths are wheels and projects; tests are not collected",
                remedy=f"leave it out, or add {WITH_TESTS} to collect tests as well",
            )


@dataclass(slots=True)
class Links:
    """Which links below the paths are followed. `roots` are the paths, resolved.

    Links to folders never are: what they name is met where it lies, if it is in the tree, and no
    loop can arise. Links to files are, as long as they stay in the tree. `special` are pipes, sockets
    and devices that are called wheels or sdists, `aside` wheels, sdists and projects that lie in a
    project's folders for tests and the like, `others` packed sources that are called as sdists are.
    """

    roots: tuple[Path, ...]
    with_tests: bool = False
    left: list[Path] = field(default_factory=list)
    special: list[Path] = field(default_factory=list)
    aside: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)

    def leaves_out(self, path: Path) -> bool:
        """Whether an entry is special, a link not followed, or nothing to try; remembers which."""
        kind = kind_of(path)
        if not kind:
            return self._is_nothing_to_try(path)
        if not path.is_symlink():
            self.special += [path] if path.name.endswith(_ARTIFACTS) else []
            return True
        within = stays_within(path, self.roots)
        if not within and path.exists():
            self.left.append(path)
        return not within or path.is_dir()

    def _is_nothing_to_try(self, path: Path) -> bool:
        artifact = path.name.endswith(_ARTIFACTS)
        if artifact and path.resolve() in self.roots:
            return False
        if path.name.endswith(ARCHIVES) and path.is_file() and is_other_archive(path):
            self.others += [] if path.suffix == ".zip" else [path]
            return True
        project = not (artifact or self.with_tests)  # else its tests would be lost
        if not lies_aside(path, self.roots) or not (artifact or (project and is_project(path))):
            return False
        self.aside.append(path)
        return True

    def notes(self) -> list[str]:
        """A line on each kind of what was left out, if any was met."""
        links = [f"{printable(path)} -> {printable(path.readlink())}" for path in self.left]
        special = [f"{printable(path)} is {kind_of(path)}" for path in self.special]
        words = (
            ("links that lead out of the paths given were not followed", links),
            ("not wheels or sdists, whatever their names say", special),
            ("not sdists, since they hold no PKG-INFO", [_shown(path) for path in self.others]),
            (f"not tried unless named, since {_ASIDE}", [_shown(path) for path in self.aside]),
        )
        return [f"{what}: {_some(which)}" for what, which in words if which]


def _shown(path: Path) -> str:
    """A path as a person may type it where he stands."""
    here = Path.cwd()
    return printable(path.relative_to(here) if path.is_relative_to(here) else path)


def _some(words: Sequence[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return f"{', '.join(words[:_SHOWN])}{more}"


@contextmanager
def own_conftests(config: pytest.Config) -> Iterator[None]:
    """While pytest looks for `conftest.py` files: with paths, let it find the caller's own only.

    It looks for none later either. Raises pytest.UsageError if its configuration is a stranger's.
    """
    known, here = config.known_args_namespace, config.invocation_params.dir
    paths = given_paths(known.file_or_dir, here)
    if not paths:
        yield
        return
    try:
        require_own_configuration(config)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error
    if not is_own_root(config) and (root := root_above(paths, here)):
        config._rootpath = root  # noqa: SLF001 - what --rootdir sets: ids are to tell the paths apart
    own = own_conftest(paths, here)
    known.noconftest = known.noconftest or own is None
    known.file_or_dir = [os.fspath(own or here)]  # pytest looks next to these, and above
    yield
    config.pluginmanager._noconftest = True  # noqa: SLF001 - what --noconftest sets
