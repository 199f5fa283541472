"""The suites of real projects, from their source distributions, against the same command by hand.

By hand is what a maintainer would do on each distro: `python3 -m venv`, its pip with network for the
wheel and what the tests require, then the command, without network, on the whole unpacked source
distribution. None of the trial's own code has a part in it. Every test must end as it does there, and
the verdict must say so. Only with `-m index`: what is built and installed comes from the package index.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree as ET

import pytest
from agreement import DISTROS, Place, places

from pytest_manylinux.engines.api import SCRATCH, Command, Engine, Limits, Mount, SandboxSpec
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.indexes import host_index
from pytest_manylinux.model.verdict import Outcome
from pytest_manylinux.report.junit import class_name
from pytest_manylinux.report.proof import read_proof

pytestmark = pytest.mark.index

TIMEOUT = 1200.0  # seconds
_SDIST = PurePosixPath("/tmp/sdist")  # noqa: S108 - inside a sandbox
_WHEELS = PurePosixPath("/tmp/wheels")  # noqa: S108 - the same
_READY = PurePosixPath("/tmp/ready.tar")  # noqa: S108 - the same
_LIMITS = Limits(memory=4 * 1024**3, scratch=4 * 1024**3, processes=2048)
_PREPARE = """
set -e
cd {scratch}
mkdir project
tar xf {sdist}/*.tar.gz -C project --strip-components=1
{python} -m venv by-hand
by-hand/bin/python -m pip install --quiet {wheels}/*.whl {requirements}
tar cf ready.tar by-hand project
"""
_RUN = """
cd {scratch} && tar xf {ready} && mkdir empty && cd empty || exit 99
. ../by-hand/bin/activate
{command}
"""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """One release's suite: the command, with `{project}`, and what it and the build want."""

    release: str
    command: str
    requires: tuple[str, ...] = ("pytest",)
    build_packages: tuple[str, ...] = ()
    fails: tuple[str, frozenset[str]] | None = None  # a distro, and all tests that fail there alone

    def settings(self) -> str:
        return f"""
[tool.pytest-manylinux]
distros = {list(DISTROS)}
build-packages = {list(self.build_packages)}
test-command = "{self.command}"
test-requires = {list(self.requires)}
test-timeout = {TIMEOUT:.0f}
"""


# The last releases for Python 3.9, which is debian-11's.
SUITES = (
    Suite(release="markupsafe==3.0.4", command="pytest {project}/tests"),
    Suite(release="msgpack==1.1.2", command="pytest {project}/test"),
    Suite(release="ujson==5.11.0", command="pytest {project}/tests"),
    Suite(release="pyyaml==6.0.3", command="pytest {project}/tests", build_packages=("libyaml-dev",)),
    Suite(  # the rest of its tests want a compiler, which no root has
        release="cffi==2.0.0",
        command="pytest {project}/src/c",
        requires=("pytest", "setuptools"),
        build_packages=("libffi-dev", "pkg-config"),
    ),
    Suite(  # one of its tests counts references by an assumption that CPython 3.14 no longer meets
        release="python-rapidjson==1.20",
        command="pytest {project}/tests",
        requires=("pytest", "pytz"),
        fails=("debian-testing", frozenset({"test_endarray_leak"})),
    ),
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = select_engine("bubblewrap")
    yield engine
    engine.close()


def download_sdist(release: str, folder: Path) -> Path:
    """From this machine's own index."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--no-binary", release.partition("==")[0], "--dest", str(folder), release]
    subprocess.run(command, check=True)
    (path,) = folder.iterdir()
    return path


def prove(suite: Suite, sdist: Path, folder: Path) -> None:
    """Run the tests as a user does; leaves `junit.xml`, `proof.json`, and wheels in `wheelhouse`."""
    (folder / "pyproject.toml").write_text(suite.settings())
    command = [sys.executable, "-m", "pytest", "--manylinux", "-p", "no:cacheprovider", str(sdist)]
    command += ["--junitxml=junit.xml", "--manylinux-proof=proof.json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode in {ExitCode.OK, ExitCode.NOT_PORTABLE}, done.stdout[-8000:] + done.stderr


def by_hand(suite: Suite, wheel: Path, place: Place, engine: Engine, folder: Path) -> int:
    """The exit code; leaves `hand.xml` below `folder`, where the source distribution is in `sdist`."""
    index, image = host_index(), place.image
    (sdist,) = (folder / "sdist").iterdir()
    mounts = [(sdist, _SDIST / sdist.name), (wheel, _WHEELS / wheel.name), *index.mounts]
    online = SandboxSpec(
        image=image,
        mounts=tuple(Mount(source=source, target=target) for source, target in mounts),
        network=True,
        limits=_LIMITS,
        label="by hand",
    )
    script = _PREPARE.format(
        scratch=SCRATCH,
        sdist=_SDIST,
        wheels=_WHEELS,
        python=place.target.interpreter.executable,
        requirements=" ".join(suite.requires),
    )
    kept = folder / place.target.id
    kept.mkdir()
    ready = kept / "ready.tar"
    with engine.open(online) as sandbox:
        done = sandbox.exec(shell(script, dict(index.environment)))
        assert done.ok, done.stdout + done.stderr
        sandbox.copy_out(SCRATCH / "ready.tar", ready)
    offline = SandboxSpec(
        image=image, mounts=(Mount(source=ready, target=_READY),), limits=_LIMITS, label="by hand"
    )
    command = suite.command.replace("{project}", f"{SCRATCH}/project")
    script = _RUN.format(scratch=SCRATCH, ready=_READY, command=command)
    with engine.open(offline) as sandbox:
        done = sandbox.exec(shell(script, {"PYTEST_ADDOPTS": f"--junitxml={SCRATCH}/hand.xml"}))
        assert done.exit_code in {0, 1}, done.stdout + done.stderr
        sandbox.copy_out(SCRATCH / "hand.xml", kept / "hand.xml")
    ready.unlink()
    return done.exit_code


def shell(script: str, environment: dict[str, str]) -> Command:
    return Command(argv=("/bin/sh", "-c", script), environment=environment, timeout=TIMEOUT)


def cases(path: Path) -> Iterator[tuple[str, str, str]]:
    """Class, name and status of each testcase of a JUnit file."""
    for case in ET.parse(path).iter("testcase"):  # noqa: S314 - pytest's own
        found = {child.tag for child in case} & {"error", "failure", "skipped"}
        yield case.get("classname", ""), case.get("name", ""), min(found, default="passed")


def cases_of(path: Path, project: str, place: str) -> dict[tuple[str, str], str]:
    """The same of what ran in a place, as it is called without project and place."""
    found = {}
    for whole, name, status in cases(path):
        group = whole.removeprefix(project).removeprefix(".")
        if name.endswith(f"-{place}]"):
            found[group, f"{name.removesuffix(f'-{place}]')}]"] = status
        elif name.endswith(f"[{place}]"):
            found[group, name.removesuffix(f"[{place}]")] = status
    return found


def shortened(found: dict[tuple[str, str], str]) -> set[tuple[str, str, str]]:
    """With names of parameters that are as long as a number of a thousand digits cut, as ours are."""
    return {(group, name[:300], status) for (group, name), status in found.items()}


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.release)
def test_each_test_ends_as_it_does_by_hand(suite: Suite, engine: Engine, tmp_path: Path) -> None:
    sdist = download_sdist(suite.release, tmp_path / "sdist")
    prove(suite, sdist, tmp_path)
    verdicts = {one.subject: one for one in read_proof(tmp_path / "proof.json").record.verdicts}
    for place in places(engine, DISTROS):
        target, verdict = place.target, verdicts[place.target.id]
        wheel = tmp_path / "wheelhouse" / verdict.wheel
        code = by_hand(suite, wheel, place, engine, tmp_path)
        assert verdict.outcome is (Outcome.NOT_PORTABLE if code else Outcome.PORTABLE)
        assert verdict.observation is not None
        assert verdict.observation.image == place.image.digest
        ours = cases_of(
            tmp_path / "junit.xml",
            class_name(f"sdist/{sdist.name}"),
            target.id.removesuffix(f"-{target.arch}"),
        )
        hand = {
            (group, name): status for group, name, status in cases(tmp_path / target.id / "hand.xml")
        }
        assert hand
        if suite.fails is not None:
            distro, tests = suite.fails
            failed = {name for (_, name), status in hand.items() if status == "failure"}
            assert failed == (tests if target.distro.id == distro else set())
        unlike = sorted(shortened(ours) ^ shortened(hand))
        assert not unlike, f"{target.id}: {len(unlike)} of {len(hand)} differ: {unlike[:20]}"
