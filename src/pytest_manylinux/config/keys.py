"""How each option's value is read, and what it is if nobody gives one.

One list serves the table `[tool.pytest-manylinux]`, the flags, the environment and the reference
page, so that they cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pytest_manylinux.config.cibuildwheel import inner_paths, patterns, requirements, variables
from pytest_manylinux.config.options import OPTIONS, Option
from pytest_manylinux.config.readers import (
    FOREIGN,
    address,
    architectures,
    build_patterns,
    builder,
    choice,
    choice_or_foreign,
    command_lines,
    distro_shares,
    expectations,
    gate_rule,
    ignore_rules,
    import_depth,
    installers,
    job_count,
    kernel,
    library_bounds,
    names,
    package_names,
    path,
    policies,
    processor,
    program_lines,
    pythons,
    repetitions,
    rows,
    seconds,
    skip_patterns,
    some_words,
    text,
    words,
)
from pytest_manylinux.config.settings import GateRule
from pytest_manylinux.model.observation import ImportDepth
from pytest_manylinux.model.policy import Policy, PolicyChoice
from pytest_manylinux.model.selection import EVERYTHING, PythonChoice

Reader = Callable[[object, str], object]

AUTO = "auto"
ENGINES = ("auto", "bubblewrap", "docker", "podman")
BUILDERS = ("auto", "zig", "official")
DEPENDENCIES = ("resolve", "build", "none")
RESOLUTIONS = ("highest", "lowest-direct")
BUILD_NETWORKS = ("host", "none")
NETWORKS_OF_TESTS = ("none", "host")
OTHER_PYTHONS = ("standalone", "source", "any", "none")
UNTARGETED = ("skip", "warn", "fail")
IMAGE_SOURCES = ("auto", "archive", "registry")

_READING: dict[str, tuple[Reader, object]] = {
    "packages": (inner_paths, ()),
    "policy": (policies, (PolicyChoice(Policy((2, 5)), auto=True),)),
    "distros": (some_words, (AUTO,)),
    "python": (pythons, PythonChoice()),
    "build": (build_patterns, EVERYTHING),
    "skip": (skip_patterns, ()),
    "other-pythons": (choice("source of other Pythons", OTHER_PYTHONS), "standalone"),
    "archs": (architectures, (AUTO,)),
    "untargeted": (choice("way with wheels without a target", UNTARGETED), "skip"),
    "engine": (choice_or_foreign("engine", ENGINES), "auto"),
    "builder": (builder(BUILDERS), "auto"),
    "wheelhouse": (path, Path("wheelhouse")),
    "imports": (words, ()),
    "import-skip": (words, ()),
    "import-depth": (import_depth, ImportDepth()),
    "programs": (program_lines, ()),
    "installer": (installers, ("pip",)),
    "kernel": (kernel, ""),
    "processor": (processor, ""),
    "test-command": (command_lines, ()),
    "before-test": (command_lines, ()),
    "test-requires": (requirements, ()),
    "test-extras": (names, ()),
    "test-groups": (names, ()),
    "test-sources": (inner_paths, ()),
    "test-environment": (variables, {}),
    "test-skip": (patterns, ()),
    "test-timeout": (seconds, 600.0),
    "test-network": (choice("network of tests", NETWORKS_OF_TESTS), "none"),
    "dependencies": (choice("way with dependencies", DEPENDENCIES), "resolve"),
    "extras": (names, ()),
    "resolution": (choice("resolution", RESOLUTIONS), "highest"),
    "build-timeout": (seconds, 1800.0),
    "trial-timeout": (seconds, 300.0),
    "repeat": (repetitions, 1),
    "jobs": (job_count, 0),
    "dask": (address, ""),
    "dask-wait": (seconds, 60.0),
    "before-build": (command_lines, ()),
    "build-packages": (package_names, ()),
    "build-network": (choice("network of builds", BUILD_NETWORKS), "host"),
    "image-source": (choice("source of images", IMAGE_SOURCES), "auto"),
    "registry-mirror": (words, ()),
    "catalogue": (text, ""),
    "library-bounds": (library_bounds, {}),
    "distro-shares": (distro_shares, {}),
    "expect": (expectations, ()),
    "ignore": (ignore_rules, ()),
    "distro": (rows, ()),
    "gate": (gate_rule, GateRule()),
}


class Key(NamedTuple):
    """An option with the reader of its raw value (TOML's or a string) and its default."""

    option: Option
    read: Reader
    default: object

    @property
    def name(self) -> str:
        """The key in the table."""
        return self.option.name

    @property
    def field(self) -> str:
        """The attribute of Settings."""
        return self.option.field


KEYS: tuple[Key, ...] = tuple(Key(option, *_READING[option.name]) for option in OPTIONS)
BY_NAME = {key.name: key for key in KEYS}


def is_foreign(name: str) -> bool:
    """Whether an engine or builder has the name of one that a plugin brings."""
    return FOREIGN.fullmatch(name) is not None
