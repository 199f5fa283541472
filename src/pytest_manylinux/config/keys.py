"""Every key of `[tool.pytest-manylinux]`: how it is read, its default, its help.

One list serves the table, the flags (`--manylinux-NAME`), the environment
(`PYTEST_MANYLINUX_NAME`) and the reference page, so that they cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pytest_manylinux.config.readers import (
    choice,
    command_lines,
    expectations,
    gate_rule,
    ignore_rules,
    job_count,
    path,
    policy,
    pythons,
    rows,
    seconds,
    words,
)
from pytest_manylinux.config.settings import GateRule
from pytest_manylinux.model.policy import Policy

Reader = Callable[[object, str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One setting. `flag` tells whether a single string can say it (else: table only).

    `per_run` keys are taken from the root folder's table only, never from a project's below it.
    """

    name: str
    read: Reader
    default: object
    help: str
    metavar: str = "VALUE"
    flag: bool = True
    per_run: bool = False

    @property
    def field(self) -> str:
        """The attribute of Settings."""
        return self.name.replace("-", "_")

    @property
    def option(self) -> str:
        """The flag."""
        return f"--manylinux-{self.name}"

    @property
    def dest(self) -> str:
        """Where pytest keeps the flag's value."""
        return f"manylinux_{self.field}"

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"PYTEST_MANYLINUX_{self.field.upper()}"


ENGINES = ("auto", "bubblewrap", "docker", "podman")
BUILDERS = ("auto", "zig", "official")

KEYS: tuple[Key, ...] = (
    Key(
        name="policy",
        read=policy,
        default=Policy((2, 5)),
        metavar="POLICY",
        help="the policy to build for: manylinux1, manylinux2010, manylinux2014, manylinux_X_Y "
        "(default: manylinux1)",
    ),
    Key(
        name="distros",
        read=words,
        default=("default",),
        metavar="IDS",
        help="ids, aliases or groups of distros to prove on, separated by commas or spaces "
        "(default: the group `default`)",
    ),
    Key(
        name="python",
        read=pythons,
        default=(),
        metavar="VERSIONS",
        help="CPython versions, such as cp311 or 3.11 (default: all that the distros have)",
    ),
    Key(
        name="engine",
        read=choice("engine", ENGINES),
        default="auto",
        metavar="ENGINE",
        per_run=True,
        help=f"{', '.join(ENGINES)} (default: auto, the first that answers)",
    ),
    Key(
        name="builder",
        read=choice("builder", BUILDERS),
        default="auto",
        metavar="BUILDER",
        help=f"{', '.join(BUILDERS)} (default: auto)",
    ),
    Key(
        name="wheelhouse",
        read=path,
        default=Path("wheelhouse"),
        metavar="DIR",
        per_run=True,
        help="where built wheels go (default: wheelhouse/ in the root folder)",
    ),
    Key(
        name="imports",
        read=words,
        default=(),
        metavar="NAMES",
        help="what to import (default: every importable name that the wheel's files offer)",
    ),
    Key(
        name="import-skip",
        read=words,
        default=(),
        metavar="NAMES",
        help="importable names to leave out",
    ),
    Key(
        name="programs",
        read=command_lines,
        default=(),
        metavar="COMMAND",
        help="programs of the wheel to run in each trial, such as `tool --version`",
    ),
    Key(
        name="dependencies",
        read=choice("dependencies", ("resolve", "none")),
        default="resolve",
        metavar="HOW",
        help="resolve: a wheel's requirements are downloaded for each target beforehand; "
        "none: the wheel is installed with --no-deps (default: resolve)",
    ),
    Key(
        name="build-timeout",
        read=seconds,
        default=1800.0,
        metavar="SECONDS",
        help="limit of one build (default: 1800)",
    ),
    Key(
        name="trial-timeout",
        read=seconds,
        default=300.0,
        metavar="SECONDS",
        help="limit of one trial (default: 300)",
    ),
    Key(
        name="jobs",
        read=job_count,
        default=0,
        metavar="N",
        per_run=True,
        help="builds and trials at once: auto or a number (default: auto, one per core)",
    ),
    Key(
        name="before-build",
        read=command_lines,
        default=(),
        metavar="COMMAND",
        help="shell commands to run in the copied project before each build",
    ),
    Key(
        name="build-packages",
        read=words,
        default=(),
        metavar="PACKAGES",
        help="distro packages that the build needs",
    ),
    Key(
        name="image-source",
        read=choice("image-source", ("auto", "archive", "registry")),
        default="auto",
        metavar="SOURCE",
        per_run=True,
        help="where root filesystems come from: auto, archive, registry (default: auto)",
    ),
    Key(
        name="registry-mirror",
        read=words,
        default=(),
        metavar="REGISTRY=MIRROR",
        per_run=True,
        help="registries to reach by another name",
    ),
    Key(name="expect", read=expectations, default=(), flag=False, help="faults that must happen"),
    Key(name="ignore", read=ignore_rules, default=(), flag=False, help="findings to ignore"),
    Key(
        name="distro",
        read=rows,
        default=(),
        flag=False,
        per_run=True,
        help="rows added to the catalogue, or overrides of its rows",
    ),
    Key(
        name="gate",
        read=gate_rule,
        default=GateRule(),
        flag=False,
        per_run=True,
        help="what the gate requires",
    ),
)

@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A file that a run writes when asked: flag only, since nothing is written unasked."""

    name: str
    help: str

    @property
    def option(self) -> str:
        """The flag."""
        return f"--manylinux-{self.name}"

    @property
    def dest(self) -> str:
        """Where pytest keeps the flag's value."""
        return f"manylinux_{self.name.replace('-', '_')}"


REPORTS: tuple[Report, ...] = (
    Report(name="proof", help="write all verdicts, bound to digests, as an in-toto Statement"),
    Report(name="html", help="write one self-contained page"),
    Report(name="markdown", help="write the matrix as Markdown"),
)

BY_NAME = {key.name: key for key in KEYS}
