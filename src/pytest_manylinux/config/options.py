"""The names, places and help of all options, as plain tuples.

pytest asks every plugin for its options at every start, with or without `--manylinux`: this module
imports nothing that pytest has not loaded already. `keys` adds how values are read.
"""

from __future__ import annotations

from typing import NamedTuple

PREFIX = "--manylinux-"


class Option(NamedTuple):
    """A setting that a flag, a variable and the table can give.

    `per_run` ones are taken from the root folder's table only, never from a project's below it.
    Without a `metavar` there is no flag and no variable: only a table can say it.
    """

    name: str
    help: str
    metavar: str = ""
    per_run: bool = False

    @property
    def field(self) -> str:
        """The attribute of Settings."""
        return self.name.replace("-", "_")

    @property
    def flag(self) -> str:
        """The flag."""
        return f"{PREFIX}{self.name}"

    @property
    def dest(self) -> str:
        """Where pytest keeps the flag's value."""
        return f"manylinux_{self.field}"

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"PYTEST_MANYLINUX_{self.field.upper()}"


OPTIONS: tuple[Option, ...] = (
    Option(
        "packages",
        "the projects of a monorepo, as folders or patterns of them: what a run without paths is of",
        per_run=True,
    ),
    Option(
        "policy",
        "the policy to build for, or several: manylinux1, manylinux2010, manylinux2014, manylinux_X_Y, "
        "musllinux_X_Y, or auto: manylinux1 first, then what the code needs (default: auto)",
        metavar="POLICY",
    ),
    Option(
        "distros",
        "ids, aliases or groups of distros to prove on, separated by commas or spaces; "
        "debian-12+cp314t is a distro with a Python that it does not package "
        "(default: auto, the group `default` with docker or podman, `embedded` with bubblewrap)",
        metavar="IDS",
    ),
    Option(
        "python",
        "Pythons, such as cp311, 3.11, cp314t, pp311, gp312, 3.11-3.14, >=3.11 (default: all)",
        metavar="VERSIONS",
    ),
    Option(
        "build",
        "patterns of what to build and try, as cibuildwheel has them: cp3{11,12}-* (default: *)",
        metavar="PATTERNS",
    ),
    Option(
        "skip",
        "patterns of what not to build and try, as cibuildwheel has them, such as *-musllinux_*",
        metavar="PATTERNS",
    ),
    Option(
        "other-pythons",
        "where Pythons come from that no chosen distro packages: standalone, as uv installs them; "
        "source, built once from CPython's source package in the distro's archive; none (default: "
        "standalone)",
        metavar="SOURCE",
    ),
    Option(
        "archs",
        "architectures: auto, native, all, auto64, auto32, or names such as aarch64 (default: auto, "
        "this machine's own, and of a wheel that is given all that run here)",
        metavar="ARCHS",
    ),
    Option(
        "untargeted",
        "what becomes of a wheel that no chosen target takes: skip, warn, fail (default: skip)",
        metavar="WAY",
    ),
    Option(
        "engine",
        "auto, bubblewrap, docker, podman (default: auto, the first that answers)",
        metavar="ENGINE",
        per_run=True,
    ),
    Option(
        "builder",
        "auto, zig, official, or an image of the manylinux layout (default: auto)",
        metavar="BUILDER",
    ),
    Option(
        "wheelhouse",
        "where built wheels go (default: wheelhouse/)",
        metavar="DIR",
        per_run=True,
    ),
    Option(
        "imports",
        "what to import (default: every importable name that the wheel's files offer)",
        metavar="NAMES",
    ),
    Option(
        "import-skip",
        "importable names to leave out",
        metavar="NAMES",
    ),
    Option(
        "import-depth",
        "how many packages below those names submodules are imported too: a number or all, with :error "
        "where a failure is to be an error rather than an information (default: 0)",
        metavar="DEPTH",
    ),
    Option(
        "programs",
        "programs of the wheel to run in each trial, such as `tool --version`",
        metavar="COMMAND",
    ),
    Option(
        "installer",
        "what installs each wheel: pip (the distro's own), or pip and uv, which have to agree "
        "(default: pip)",
        metavar="INSTALLERS",
    ),
    Option(
        "kernel",
        "the kernel that trials are to find, such as 4.18, or `distro` for each distro's own: calls to "
        "newer ones fail as there (default: this machine's)",
        metavar="VERSION",
    ),
    Option(
        "processor",
        "the processor that native code of x86_64 is imported on, emulated by qemu: x86-64-v1 or "
        "x86-64-v2 (default: this machine's)",
        metavar="LEVEL",
    ),
    Option(
        "test-command",
        "shell command that runs the project's own tests in each trial, with {project}, {package} and "
        "{wheel}; `cibuildwheel`: the one in [tool.cibuildwheel] (default: none)",
        metavar="COMMAND",
    ),
    Option(
        "before-test",
        "shell commands to run in each trial before the tests",
        metavar="COMMAND",
    ),
    Option(
        "test-requires",
        "requirements of the tests, installed after the wheel was imported",
        metavar="REQUIREMENTS",
    ),
    Option(
        "test-extras",
        "extras of the wheel that the tests need",
        metavar="EXTRAS",
    ),
    Option(
        "test-groups",
        "dependency groups of pyproject.toml (PEP 735) that the tests need",
        metavar="GROUPS",
    ),
    Option(
        "test-sources",
        "files and folders of the project to copy into the folder that the tests run in",
        metavar="PATHS",
    ),
    Option(
        "test-environment",
        "variables for the tests: NAME=value, separated by spaces",
        metavar="VARIABLES",
    ),
    Option(
        "test-skip",
        "where to leave the tests out: patterns of targets (debian-11-*) or of cibuildwheel's "
        "identifiers (cp39-*, *_i686)",
        metavar="PATTERNS",
    ),
    Option(
        "test-timeout",
        "limit of before-test and of the tests, each (default: 600)",
        metavar="SECONDS",
    ),
    Option(
        "test-network",
        "none: the tests have no network; host: trials with tests have this machine's (default: none)",
        metavar="NETWORK",
    ),
    Option(
        "dependencies",
        "resolve: a wheel's requirements are downloaded for each target beforehand; build: what has "
        "no wheel for a target is compiled for it besides; none: the wheel is installed with --no-deps "
        "(default: resolve)",
        metavar="HOW",
    ),
    Option(
        "extras",
        "extras to try too, each in a trial of its own: names of extras; each, for each by itself; "
        "all, for all of them together (default: none)",
        metavar="NAMES",
    ),
    Option(
        "resolution",
        "highest, what users get today; lowest-direct, for what a wheel itself requires the oldest "
        "release that it admits (default: highest)",
        metavar="WAY",
    ),
    Option(
        "build-timeout",
        "limit of one build (default: 1800)",
        metavar="SECONDS",
    ),
    Option(
        "trial-timeout",
        "limit of one trial (default: 300; under an emulator fifteen times as long)",
        metavar="SECONDS",
    ),
    Option(
        "repeat",
        "try each wheel so often in each place, afresh each time; one failure fails it (default: 1)",
        metavar="N",
    ),
    Option(
        "jobs",
        "builds and trials at once: auto or a number (default: auto, one per core)",
        metavar="N",
        per_run=True,
    ),
    Option(
        "dask",
        "send trials to the Dask cluster of this scheduler (extra: dask; default: all is done here)",
        metavar="ADDRESS",
        per_run=True,
    ),
    Option(
        "dask-wait",
        "how long a trial waits for a worker that fits (default: 60)",
        metavar="SECONDS",
        per_run=True,
    ),
    Option(
        "before-build",
        "shell commands to run in the copied project before each build",
        metavar="COMMAND",
    ),
    Option(
        "build-packages",
        "distro packages that the build needs",
        metavar="PACKAGES",
    ),
    Option(
        "build-network",
        "host: builds have this machine's network; none: they have no network, and their requirements "
        "come from folders that pip's find-links names (default: host)",
        metavar="NETWORK",
    ),
    Option(
        "image-source",
        "where root filesystems come from: auto, archive, registry (default: auto)",
        metavar="SOURCE",
        per_run=True,
    ),
    Option(
        "registry-mirror",
        "registries to reach by another name",
        metavar="REGISTRY=MIRROR",
        per_run=True,
    ),
    Option(
        "catalogue",
        "a TOML file with rows for the catalogue, or overrides of its rows",
        metavar="FILE",
        per_run=True,
    ),
    Option(
        "library-bounds",
        "the oldest versions of libraries that a wheel may hold, such as openssl=3.0.16 zlib=1.3.1 "
        "(default: none)",
        metavar="NAME=VERSION",
    ),
    Option(
        "distro-shares",
        "how many users each distro has, for `pytest-manylinux predict --policies`",
        per_run=True,
    ),
    Option(
        "expect",
        "faults that must happen",
    ),
    Option(
        "ignore",
        "findings to ignore",
    ),
    Option(
        "distro",
        "rows added to the catalogue, or overrides of its rows",
        per_run=True,
    ),
    Option(
        "gate",
        "what the gate requires",
        per_run=True,
    ),
)

# Files that a run writes when asked: flags only, since nothing is written unasked.
REPORTS: tuple[Option, ...] = (
    Option("proof", "write all verdicts, bound to digests, as an in-toto Statement", metavar="FILE"),
    Option("html", "write one self-contained page", metavar="FILE"),
    Option("markdown", "write the matrix as Markdown", metavar="FILE"),
    Option("sbom", "write a CycloneDX document of the wheels that carry none", metavar="FILE"),
    Option("sign-key", "sign the proof with this private Ed25519 key (PEM)", metavar="FILE"),
    Option("history", "keep each run's proof here, and use earlier ones", metavar="DIR"),
    Option("shard", "do one part of the run: 2/5 is the second of five", metavar="N/M"),
)

# Flags that take no value.
SWITCHES: tuple[Option, ...] = (
    Option("fresh", "build and try everything again, also what an earlier run did in the same way"),
    Option(
        "rebuild",
        "build each wheel a second time in other surroundings, and compare: is it reproducible?",
    ),
    Option(
        "with-tests",
        "collect the tests below the paths too, which imports their conftest.py and test modules on "
        "this machine",
    ),
    Option("sigstore", "sign the proof with this CI job's identity (extra: sigstore)"),
    Option("gate", "fail unless the gate's rules let every wheel of this run through"),
)
