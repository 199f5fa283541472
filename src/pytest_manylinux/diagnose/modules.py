"""Python modules that could not be found, and whose fault it is."""

from __future__ import annotations

import re
import sys

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from pytest_manylinux.diagnose.api import once_per_wheel
from pytest_manylinux.inspect.requirements import needed_requirements
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.wheel import WheelFacts

# Modules that left Python's own library, and the first version without them: "What's New in Python"
# 3.10 (formatter, parser, symbol), 3.11 (binhex, asynchat's deprecation), 3.12 (PEP 594, PEP 632 and
# others), 3.13 (PEP 594).
REMOVED: dict[str, tuple[int, int]] = {
    "formatter": (3, 10),
    "parser": (3, 10),
    "symbol": (3, 10),
    "macpath": (3, 8),
    "_bootlocale": (3, 10),
    "binhex": (3, 11),
    "asynchat": (3, 12),
    "asyncore": (3, 12),
    "distutils": (3, 12),
    "imp": (3, 12),
    "smtpd": (3, 12),
    **dict.fromkeys(
        (
            "aifc",
            "audioop",
            "cgi",
            "cgitb",
            "chunk",
            "crypt",
            "imghdr",
            "lib2to3",
            "mailcap",
            "msilib",
            "nis",
            "nntplib",
            "ossaudiodev",
            "pipes",
            "sndhdr",
            "spwd",
            "sunau",
            "telnetlib",
            "uu",
            "xdrlib",
        ),
        (3, 13),
    ),
}

# Not Python's own, but in every environment that venv seeded with setuptools: up to Python 3.11.
SEEDED = {"pkg_resources": (3, 12), "setuptools": (3, 12)}

ALWAYS_THERE = frozenset(
    {*sys.stdlib_module_names, *REMOVED, *SEEDED, "pip", "annotationlib", "compression", "_zstd"}
)
"""Python's own modules, of the Python that runs this and of others, and what environments had."""

TEST_FRAMEWORKS = frozenset({"pytest", "_pytest", "nose", "hypothesis", "unittest2", "testtools"})
"""Modules that a project's own tests import, and plug-ins that only such a framework loads."""

_EXTENSION = re.compile(r"\.(?P<tag>cpython-\d+[a-z]*|abi3)?[^/]*\.so$|\.so$")


def blame_missing_module(module: str, facts: WheelFacts, target: Target) -> str:
    """The name of the finding that a ModuleNotFoundError for `module` amounts to."""
    root = module.partition(".")[0]
    version = (target.interpreter.version.major, target.interpreter.version.minor)
    if built_for(module, facts):
        return "python-mismatch"
    if is_own(module, facts):
        return "import-error"
    gone = REMOVED.get(root) or SEEDED.get(root)
    if gone is not None and version >= gone and not declared(root, facts):
        return "removed-module"
    if root in sys.stdlib_module_names:
        return "import-error"
    return "import-error" if declared(root, facts) else "undeclared-dependency"


def is_own(module: str, facts: WheelFacts) -> bool:
    """Whether the module would belong to this wheel, by its place in a package of this wheel."""
    tops = set(facts.top_level)
    parts = module.split(".")
    return any(".".join(parts[:depth]) in tops for depth in range(1, len(parts) + 1))


def built_for(module: str, facts: WheelFacts) -> tuple[str, ...]:
    """The wheel's extension files for that module, whichever interpreter they are named for."""
    prefix = module.replace(".", "/") + "."
    return tuple(f for f in facts.files if f.startswith(prefix) and _EXTENSION.search(f))


@once_per_wheel
def variants(facts: WheelFacts) -> dict[str, tuple[str, ...]]:
    """Extension modules that are made several times, of which code of the wheel picks one.

    By dotted name, with the names of all: files of one name in folders side by side that hold no Python
    code, `picks/mpich/_x.abi3.so` and `picks/openmpi/_x.abi3.so`.
    """
    with_code = {path.rpartition("/")[0] for path in facts.files if path.endswith((".py", ".pyc"))}
    groups: dict[tuple[str, str], list[str]] = {}
    for name, path in facts.extension_paths:
        folder, _, file = path.rpartition("/")
        if "/" in folder and folder not in with_code:
            groups.setdefault((folder.rpartition("/")[0], file), []).append(name)
    return {name: tuple(names) for names in groups.values() if len(names) > 1 for name in names}


@once_per_wheel
def own_names(facts: WheelFacts) -> frozenset[str]:
    """Names that files and folders of the wheel may be imported by."""
    return frozenset(part.partition(".")[0] for path in facts.files for part in path.split("/"))


def needs_others(facts: WheelFacts) -> bool:
    """Whether the wheel declares dependencies that are not only an extra's."""
    return bool(required_names(facts))


def required_names(facts: WheelFacts) -> tuple[str, ...]:
    """The normalized names of what it requires, but for what only an extra does."""
    found = []
    for line in facts.requires_dist:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if requirement.marker is None or "extra" not in str(requirement.marker):
            found.append(canonicalize_name(requirement.name))
    return tuple(found)


def required(name: str, facts: WheelFacts, target: Target) -> tuple[Requirement, ...]:
    """What the wheel requires of a project on a target, without extras."""
    found = []
    for line in needed_requirements(facts.requires_dist, target):
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if canonicalize_name(requirement.name) == canonicalize_name(name):
            found.append(requirement)
    return tuple(found)


def declared(module: str, facts: WheelFacts) -> Requirement | None:
    """The Requires-Dist that is named like the module, if any; markers and extras unregarded."""
    wanted = canonicalize_name(module)
    for line in facts.requires_dist:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            continue
        if canonicalize_name(requirement.name) == wanted:
            return requirement
    return None
