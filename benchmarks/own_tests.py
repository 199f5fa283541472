"""What a trial costs that runs a project's own tests, beside the same tests by hand in the same root.

    python benchmarks/own_tests.py [--distro debian-12] [--rounds 5]

A made project with 200 tests, in turns, so that all see the same machine; seconds by the clock:

* by hand: `pytest tests` alone, in a sandbox of the root in which `python3 -m venv` and pip have
  installed the wheel and pytest before, bytecode compiled: the suite's own time;
* trial: all of ours, as a run does the only trial on an image: a sandbox, the wheel installed and
  imported, what the tests require laid out, the tests, their results read; the sandbox, in which all
  is killed by then, is removed meanwhile;
* first trial: the same where nothing of what the tests require is kept yet;
* one of many: the same where another trial on the image is known to come, whose process is made ready
  while the tests run;
* import: the first without tests, in a sandbox of its own.

Each test waits for a part of a second, as one that does something does; one suite is of 10 ms a test,
the other of 50 ms. What a trial adds does not grow with the suite: pip's start and what is laid out. On
a machine that does other things too, that work waits for a processor and the tests' sleep does not: the
last table has processor time, by a control group (root, version 1), for the first suite alone.
Prints Markdown tables with medians.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from figures import Cell, Part, counting, in_turns, progress
from trials import subject_of

from pytest_manylinux.cache.paths import cache_root
from pytest_manylinux.engines.api import SCRATCH, Command, Engine, Mount, Sandbox, SandboxSpec
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.indexes import host_index
from pytest_manylinux.model.observation import CaseStatus
from pytest_manylinux.trials.dependencies import resolve_dependencies
from pytest_manylinux.trials.pool import PreloadedPool
from pytest_manylinux.trials.suite import SuiteRequest, SuiteSettings
from pytest_manylinux.trials.suite_requirements import Stores, with_kept_installation
from pytest_manylinux.trials.trial import TrialRequest, run_trial

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))

TESTS = 200
MOST = 1.15
"""How many times the suite's own time a trial may take."""

_TREE = PurePosixPath("/tmp/project.tar")  # noqa: S108 - inside a sandbox
_WHEELS = PurePosixPath("/tmp/wheels")  # noqa: S108 - the same
_FILES = 10
_SUITE = """
import time

import pytest

import demo


@pytest.mark.parametrize("number", range({count}))
def test_it(number):
    time.sleep({seconds})
    assert demo.VALUE == 1
"""
_PREPARE = """
set -e
cd {scratch}
tar xf {tree}
{python} -m venv by-hand
by-hand/bin/python -m pip install --quiet {wheels}/*.whl pytest
"""


def made_request(folder: Path, distro: str, seconds: float, engine: Engine) -> TrialRequest:
    """A trial of a made wheel with a suite of so many seconds a test."""
    from wheels import build_wheel  # noqa: PLC0415 - the tests' own maker of wheels

    wheel = build_wheel(folder, {"demo/__init__.py": "VALUE = 1\n"}, tag="py3-none-any")
    tests = folder / "project/tests"
    tests.mkdir(parents=True)
    for number in range(_FILES):
        text = _SUITE.format(count=TESTS // _FILES, seconds=seconds)
        (tests / f"test_{number}.py").write_text(text, encoding="utf-8")
    with tarfile.open(folder / "project.tar", "w") as archive:
        archive.add(folder / "project", "project")
    request = subject_of(wheel, distro).request
    settings = SuiteSettings(command=("pytest {project}/tests",), requires=("pytest",))
    required = resolve_dependencies(
        request.wheel,
        request.facts,
        request.target,
        request.image,
        engine,
        cache=cache_root() / "dependencies",
        timeout=300.0,
        also=settings.requires,
    )
    suite = SuiteRequest(settings=settings, tree=folder / "project.tar", required=required)
    return replace(request, dependencies=None, suite=suite)


def with_kept(request: TrialRequest, engine: Engine) -> TrialRequest:
    """The same as a run has it that is not the first to want what the tests require."""
    stores = Stores(kept=cache_root() / "installed", venvs=cache_root() / "venvs")
    for _ in range(2):
        kept = with_kept_installation(request, engine, stores)
    assert kept.suite is not None
    assert kept.suite.installed is not None
    return kept


def trial(
    request: TrialRequest, engine: Engine, pool: PreloadedPool | None = None, more: int = 0
) -> Cell:
    """Ours; `more` trials are known to come."""

    def cell() -> None:
        seen = run_trial(request, engine, pool, more)
        if request.suite is not None:
            assert seen.tests is not None
            assert seen.tests.counts == ((CaseStatus.PASSED.value, TESTS),), seen.tests

    return cell


def ready_by_hand(request: TrialRequest, engine: Engine, stack: contextlib.ExitStack) -> Sandbox:
    """A sandbox with everything installed, which stays."""
    index, wheel = host_index(), request.wheel.path.resolve()
    assert request.suite is not None
    assert request.suite.tree is not None
    mounts = [(request.suite.tree, _TREE), (wheel, _WHEELS / wheel.name), *index.mounts]
    spec = SandboxSpec(
        image=request.image,
        mounts=tuple(Mount(source=source, target=target) for source, target in mounts),
        network=True,
        label="by hand",
    )
    sandbox = stack.enter_context(engine.open(spec))
    script = _PREPARE.format(
        scratch=SCRATCH, tree=_TREE, wheels=_WHEELS, python=request.target.interpreter.executable
    )
    done = sandbox.exec(
        Command(argv=("/bin/sh", "-c", script), environment=index.environment, timeout=300.0)
    )
    assert done.ok, done.stderr
    return sandbox


def by_hand(sandbox: Sandbox) -> Cell:
    """The tests alone."""
    script = f"cd {SCRATCH}/project && ../by-hand/bin/pytest tests"

    def cell() -> None:
        done = sandbox.exec(Command(argv=("/bin/sh", "-c", script), timeout=300.0))
        assert done.ok, done.stdout

    return cell


def beside_the_suite(
    distro: str = "debian-12", seconds: Sequence[float] = (0.01, 0.05), *, rounds: int
) -> list[Part]:
    """A part for each duration of a test, in seconds."""
    parts = []
    with contextlib.ExitStack() as stack:
        engine = select_engine("bubblewrap")
        stack.callback(engine.close)
        for each in seconds:
            progress(f"a suite of {TESTS} tests of {each * 1000:.0f} ms on {distro}")
            with contextlib.ExitStack() as inner:
                folder = Path(inner.enter_context(tempfile.TemporaryDirectory()))
                request = made_request(folder, distro, each, engine)
                alone, pool = PreloadedPool(engine), PreloadedPool(engine)
                inner.callback(alone.close)
                inner.callback(pool.close)
                kept = with_kept(request, engine)
                cells: dict[str, Cell] = {
                    "by hand": by_hand(ready_by_hand(request, engine, inner)),
                    "first trial": trial(request, engine, alone),
                    "trial": trial(kept, engine, alone),
                    "one of many": trial(kept, engine, pool, more=1),
                    "import": trial(without_tests(request), engine),
                }
                parts.append(_part(request, each, cells, rounds))
    return parts


def in_processor_time(distro: str = "debian-12", seconds: float = 0.01, *, rounds: int) -> Part:
    """The same by what processors did; each trial alone, its process and its sandbox's end included."""
    with contextlib.ExitStack() as stack:
        progress(f"processor time of {TESTS} tests on {distro}")
        read = stack.enter_context(counting())
        engine = select_engine("bubblewrap")
        stack.callback(engine.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        request = made_request(folder, distro, seconds, engine)
        sandbox = ready_by_hand(request, engine, stack)

        def of(work: Cell) -> Cell:
            def cell() -> float:
                before = read()
                work()
                return read() - before

            return cell

        def alone(request: TrialRequest) -> Cell:
            def cell() -> None:
                with contextlib.closing(PreloadedPool(engine)) as pool:
                    trial(request, engine, pool)()

            return of(cell)

        cells = {
            "by hand": of(by_hand(sandbox)),
            "first trial": alone(request),
            "trial": alone(with_kept(request, engine)),
            "import": alone(without_tests(request)),
        }
        title = f"Processor time of a trial with {TESTS} tests on {request.target.id}"
        return Part(title=title, rows=in_turns(cells, rounds), base="by hand")


def without_tests(request: TrialRequest) -> TrialRequest:
    """The same wheel on the same target, imported only."""
    return TrialRequest(
        wheel=request.wheel, facts=request.facts, target=request.target, image=request.image
    )


def _part(request: TrialRequest, each: float, cells: dict[str, Cell], rounds: int) -> Part:
    rows = in_turns(cells, rounds)
    medians = {row.name: row.value for row in rows}
    more = medians["trial"] - medians["by hand"]
    return Part(
        title=f"A trial with {TESTS} tests of {each * 1000:.0f} ms on {request.target.id}",
        rows=rows,
        base="by hand",
        asked=f"a trial takes at most {MOST} times the suite's own time",
        note=f"The trial takes {medians['trial'] / medians['by hand']:.3f} times the suite's own time "
        f"({more:.2f} s more), one of many {medians['one of many'] / medians['by hand']:.3f} times.",
    )


def main() -> int:
    """Print the tables; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--distro", default="debian-12")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    parts = beside_the_suite(options.distro, rounds=options.rounds)
    for part in (*parts, in_processor_time(options.distro, rounds=options.rounds)):
        print("\n".join((*part.lines(), "")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
