"""What a wheel would write over in the environment it is installed into, and whose that is.

Rules: what `python3 -m venv` and its seeding of pip and setuptools leave behind; importlib.metadata,
which takes each .dist-info or .egg-info directly in a folder of sys.path for an installed distribution.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from packaging.utils import canonicalize_name

from pytest_manylinux.diagnose.api import Check, Findings, once_per_wheel
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import SITE, WheelFacts, environment_path, is_in_standard_library

_PROGRAM = re.compile(r"(?:python|pypy|graalpy|pip)w?\d*(?:\.\d+)*t?")
_ACTIVATION = re.compile(r"activate(?:\.(?:csh|fish|nu|bat|ps1)|_this\.py)?", re.IGNORECASE)
# What comes and goes with setuptools, which a wheel may require; easy_install left it in release 52.
_OF_SETUPTOOLS = re.compile(r"distutils-precedence\.pth|easy_install(?:-[\d.]+|\.py|\..*\.pyc)?")
_SEEDED = {
    "pip": "pip",
    "setuptools": "setuptools",
    "pkg_resources": "setuptools",
    "_distutils_hack": "setuptools",
    "distutils-precedence.pth": "setuptools",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Overwritten:
    """A file of the wheel, or an entry point (`path` is its name then), and whose place it takes."""

    path: str
    owner: str


@once_per_wheel
def overwritten(facts: WheelFacts) -> tuple[Overwritten, ...]:
    """What the wheel installs over Python, pip, setuptools or the environment's own files."""
    places = {path: environment_path(path) for path in facts.files}
    installed = set(places.values())
    programs = [name for name in facts.scripts if f"bin/{name}" not in installed]
    pairs = [*places.items(), *((f"the script {name}", f"bin/{name}") for name in programs)]
    found = ((path, _owner(place)) for path, place in pairs)
    return tuple(
        Overwritten(path=path, owner=owner)
        for path, owner in found
        if owner and owner != facts.wheel.name
    )


@once_per_wheel
def foreign_metadata(facts: WheelFacts) -> tuple[str, ...]:
    """The folders, and files, of metadata that the wheel installs next to its own .dist-info.

    An old .egg-info of the wheel's own name is not among them.
    """
    found: dict[str, None] = {}
    for path in facts.files:
        folder, _, rest = environment_path(path).partition("/")
        name = rest.partition("/")[0]
        if folder == SITE and _is_foreign(name, path, facts):
            found[path[: path.index(name) + len(name)]] = None
    return tuple(found)


def is_program(name: str) -> bool:
    """Whether a program of this name is taken for Python's or pip's."""
    return _PROGRAM.fullmatch(name) is not None


def _owner(place: str) -> str:
    """Whose place this is: the normalized name of a project, or words; empty if it is free."""
    folder, _, inside = place.partition("/")
    match folder:
        case "site-packages":
            return _SEEDED.get(inside.partition("/")[0], "")
        case "bin" if is_program(inside):
            return "pip" if inside.startswith("pip") else "Python"
        case "bin" if _ACTIVATION.fullmatch(inside):
            return "the virtual environment"
        case "pyvenv.cfg":
            return "the virtual environment"
        case _:
            return "Python's standard library" if is_in_standard_library(place) else ""


def _is_foreign(name: str, path: str, facts: WheelFacts) -> bool:
    stem, dot, kind = name.rpartition(".")
    if not dot or kind.lower() not in {"dist-info", "egg-info"}:  # importlib.metadata compares so
        return False
    if kind.lower() == "egg-info":
        return canonicalize_name(stem.partition("-")[0]) != facts.wheel.name
    own = kind == "dist-info" and path.startswith(f"{name}/")  # the reader admits only the wheel's
    return not own


def changed_by_others(
    facts: WheelFacts, changed: tuple[str, ...], *, pip_changed: bool
) -> Iterator[str]:
    """Which changed files of the environment are not explained: by another pip or setuptools, say.

    `changed` are paths below the environment; `pip_changed` tells that another pip was installed.
    """
    for path in changed:
        name = path.rpartition("/")[2]
        free = _OF_SETUPTOOLS.fullmatch(name) is not None or (
            (pip_changed or facts.wheel.name == "pip") and _owner(f"bin/{name}") == "pip"
        )
        if not free:
            yield path


# ML124: the wheel installs over Python, pip or the environment itself.

_SHOWN = 20


def _environment_overwritten_wheel(facts: WheelFacts) -> Findings:
    found = overwritten(facts)
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        yield ENVIRONMENT_OVERWRITTEN.finding(
            f"{found[0].path}{more} would take the place of what belongs to {found[0].owner}",
            evidence=[f"{one.path}: the place of {one.owner}" for one in found[:_SHOWN]],
            files=[one.path for one in found if one.path in facts.files],
        )


def _environment_overwritten_dynamic(
    facts: WheelFacts, observation: Observation, target: Target
) -> Findings:
    install = observation.install
    if install is None or not install.changed:
        return
    now = dict(install.installed).get("pip", "")
    changed = list(changed_by_others(facts, install.changed, pip_changed=now != install.pip_version))
    if changed:
        whose = "the wheel" if overwritten(facts) else "the wheel, or something it depends on,"
        yield ENVIRONMENT_OVERWRITTEN.finding(
            f"installing {whose} changed {changed[0]} of the virtual environment on {target.distro.id}",
            evidence=[f"changed or gone: {path}" for path in changed[:_SHOWN]],
        )


ENVIRONMENT_OVERWRITTEN = Check(
    code="ML124",
    name="environment-overwritten",
    severity=Severity.ERROR,
    wheel=_environment_overwritten_wheel,
    dynamic=_environment_overwritten_dynamic,
)


# ML125: the wheel installs metadata of a distribution other than itself.


def _foreign_metadata(facts: WheelFacts) -> Findings:
    found = foreign_metadata(facts)
    if found:
        yield FOREIGN_METADATA.finding(
            f"{found[0]} would be taken for an installed distribution of its own",
            evidence=found,
            files=[path for path in facts.files if path.startswith(found)],
        )


FOREIGN_METADATA = Check(
    code="ML125",
    name="foreign-metadata",
    severity=Severity.ERROR,
    wheel=_foreign_metadata,
)
