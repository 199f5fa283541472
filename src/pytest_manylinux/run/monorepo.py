"""Which projects a run without paths is of: that of the root folder, or those that its table names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pytest_manylinux.config.settings import Settings
from pytest_manylinux.errors import UsageError
from pytest_manylinux.escape import printable
from pytest_manylinux.host.path_checks import MAX_TEXT, is_file_of
from pytest_manylinux.toml import TomlError, parse_toml

_WILD = frozenset("*?[")


def projects_of_root(root: Path, settings: Settings) -> frozenset[Path]:
    """The root folder, if it is a project, and the folders of the setting `packages`.

    Raises UsageError where there is none, naming projects below the root if there are any; and for a
    pattern that no project matches, or a folder that is named and is none.
    """
    found = {root} if is_project(root) else set()
    for pattern in settings.packages:
        found.update(_matching(root, pattern, f"{settings.source('packages')}: packages"))
    if not found:
        below = " ".join(projects_below(root))
        raise UsageError(
            f"{root} is not a Python project: neither setup.py nor a pyproject.toml"
            " with [build-system]",
            why=f"there are projects below it: {below}" if below else "",
            remedy=f"pytest --manylinux {below}; or name them in pyproject.toml,"
            ' [tool.pytest-manylinux] packages = ["FOLDER/*"]'
            if below
            else "go to a project's folder, or name projects, sdists, wheels or folders of"
            " them: pytest --manylinux PATH...",
        )
    return frozenset(found)


def is_output(path: Path, settings: Settings) -> bool:
    """Whether a folder is the one that a run in a project's folder puts wheels into."""
    wheelhouse = Path(settings.wheelhouse)
    above = path.parents[: len(wheelhouse.parts)]
    return any(folder / wheelhouse == path and is_project(folder) for folder in above)


def _matching(root: Path, pattern: str, where: str) -> Iterator[Path]:
    """The projects that a pattern stands for; other folders that it matches are passed over."""
    shown = printable(pattern)
    wild = not _WILD.isdisjoint(pattern)
    paths = sorted(root.glob(pattern)) if wild else [root / pattern]
    projects = [path for path in paths if not _leads_away(root, path) and is_project(path)]
    if projects:
        yield from (root.joinpath(path.relative_to(root)) for path in projects)
        return
    what = f"no project matches {shown!r}" if wild else f"{shown!r} is not a project"
    below = " ".join(projects_below(root))
    raise UsageError(
        f"{where}: {what}",
        why="a project is a folder with setup.py, or with a pyproject.toml that has [build-system]",
        remedy=f"there are {below}" if below else "",
    )


def _leads_away(root: Path, path: Path) -> bool:
    """Whether a link is on the way; what it names is met where it lies."""
    return any(one.is_symlink() for one in (path, *path.parents) if one != root and root in one.parents)


_MOST_BELOW = 20


def projects_below(folder: Path) -> list[str]:
    """The projects in a folder and in the folders in it, some of many: for a person to choose from."""
    found: list[str] = []
    for pattern in ("*", "*/*"):
        for path in sorted(folder.glob(pattern)):
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if not hidden and not path.is_symlink() and path.is_dir() and is_project(path):
                found.append(printable(path.relative_to(folder).as_posix()))
            if len(found) == _MOST_BELOW:
                return found
    return found


def is_project(path: Path) -> bool:
    """Whether a folder can be built: a setup.py, or a pyproject.toml with a build system (PEP 518).

    Files of the folder only: not what a link that leaves it leads to.
    """
    if is_file_of(path, path / "setup.py"):
        return True
    file = path / "pyproject.toml"
    return is_file_of(path, file) and _has_build_system(file)


def _has_build_system(file: Path) -> bool:
    """Whether a pyproject.toml has that table; planning says what is wrong with the file."""
    try:
        if file.stat().st_size > MAX_TEXT:
            return True
        text = file.read_text(encoding="utf-8")
        return "build-system" in text and "build-system" in parse_toml(text)
    except TomlError:
        return True
    except (OSError, UnicodeDecodeError):
        return False
