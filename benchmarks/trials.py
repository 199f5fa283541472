"""The time of a trial beside what a user would do without us, side by side in one run.

    python benchmarks/trials.py WHEEL… [--distro debian-12] [--rounds 7] [--without-docker]

Cells, in turns, so that all see the same machine, each the wall clock of one wheel on one distro:

* naive: `docker run --rm` with `python3 -m venv`, `pip install` and `python -c "import …"`;
* kept: the same by `docker exec` in a container that stays;
* floor: a fresh sandbox, the wheel unpacked by zipfile, and the import;
* trial: ours, as a run does it (on an engine with fork servers, in one that is there already);
* alone: ours in a sandbox of its own, the long way;
* docker row: ours in containers, the mean of ten one after another from the first to the last
  container's removal: containers are started ahead while others run, as in a run;
* docker ready: one of ours in a container that has waited for it; a run does not get it faster;
* docker alone: ours in a container of its own, the long way.

Those with docker in their names and the first two need a docker daemon: the machine's, or else a
`dockerd` of this run's own (root); without one they are left out.

Prints a Markdown table with medians in seconds; ratios are
what travels to other machines.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.api import Command, Engine, Mount, SandboxSpec
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.errors import EngineError
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.inspect.wheel import open_wheel, read_wheel
from pytest_manylinux.model.distro import Image, ImagePurpose, Target
from pytest_manylinux.model.observation import ImportStatus, Observation
from pytest_manylinux.prove.trial import TrialRequest, run_trial
from pytest_manylinux.prove.warm import WarmTrials

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))

Cell = Callable[[], object]
_OURS = ("trial", "docker row", "docker ready", "docker alone")
_UNTIL_READY = 3.0  # seconds
NAIVE = (
    "python3 -m venv {venv} && {venv}/bin/pip -q install --no-deps {wheel}"
    " && {venv}/bin/python -c '{code}'"
)
FLOOR = """
import sys, zipfile
zipfile.ZipFile(sys.argv[1]).extractall("/scratch/site")
sys.path.insert(0, "/scratch/site")
for name in sys.argv[2:]:
    __import__(name)
"""


@dataclass(frozen=True)
class Subject:
    """One wheel on one target."""

    request: TrialRequest

    @property
    def names(self) -> tuple[str, ...]:
        """What is imported."""
        return self.request.facts.top_level

    @property
    def wheel(self) -> Path:
        """The file."""
        return self.request.wheel.path.resolve()


def naive(subject: Subject, reference: str) -> Cell:
    """One container for each cell."""
    command = ["docker", "run", "--rm", "--network", "none", "-v", f"{subject.wheel.parent}:/w:ro"]
    script = NAIVE.format(
        venv="/tmp/venv",  # noqa: S108 - the container's own
        wheel=f"/w/{subject.wheel.name}",
        code=f"import {', '.join(subject.names)}",
    )
    return lambda: subprocess.run([*command, reference, "sh", "-c", script], check=True)


def kept(subject: Subject, container: str) -> Cell:
    """A container that stays; the venv is made anew for each cell."""
    script = "rm -rf /tmp/venv; " + NAIVE.format(
        venv="/tmp/venv",  # noqa: S108 - the container's own
        wheel=f"/w/{subject.wheel.name}",
        code=f"import {', '.join(subject.names)}",
    )
    return lambda: subprocess.run(["docker", "exec", container, "sh", "-c", script], check=True)


def floor(subject: Subject, engine: Engine) -> Cell:
    """A fresh sandbox, nothing installed: what no trial can be faster than."""
    inside = PurePosixPath("/tmp", subject.wheel.name)  # noqa: S108 - the sandbox's own
    spec = SandboxSpec(
        image=subject.request.image, mounts=(Mount(source=subject.wheel, target=inside),)
    )
    python = subject.request.target.interpreter.executable
    command = Command(argv=(python, "-c", FLOOR, str(inside), *subject.names))

    def cell() -> None:
        with engine.open(spec) as sandbox:
            completed = sandbox.exec(command)
        assert completed.ok, completed

    return cell


def trial(subject: Subject, engine: Engine, warm: WarmTrials | None) -> Cell:
    """Ours; `warm` as a run has it."""

    def cell() -> Observation:
        observation = run_trial(subject.request, engine, warm)
        assert all(one.status is ImportStatus.OK for one in observation.imports), observation
        return observation

    return cell


def docker_row(subject: Subject, engine: Engine, length: int = 10) -> Cell:
    """Seconds for each of so many in a row."""

    def cell() -> float:
        warm = WarmTrials(engine)
        started = time.monotonic()
        for more in reversed(range(length)):
            run_trial(subject.request, engine, warm, more)
        warm.close()
        return (time.monotonic() - started) / length

    return cell


def docker_ready(subject: Subject, engine: Engine) -> Cell:
    """Seconds for one whose container is there."""

    def cell() -> float:
        warm = WarmTrials(engine)
        run_trial(subject.request, engine, warm, 1)
        time.sleep(_UNTIL_READY)
        started = time.monotonic()
        run_trial(subject.request, engine, warm)
        took = time.monotonic() - started
        warm.close()
        return took

    return cell


def measure(cells: dict[str, Cell], rounds: int) -> dict[str, float]:
    """Medians in seconds; one round before, in turns, is not counted. A cell may tell its own."""
    seen: dict[str, list[float]] = {name: [] for name in cells}
    for number in range(rounds + 1):
        for name, cell in cells.items():
            started = time.monotonic()
            told = cell()
            if number:
                took = told if isinstance(told, float) else time.monotonic() - started
                seen[name].append(took)
    return {name: statistics.median(times) for name, times in seen.items()}


def docker_engine(stack: contextlib.ExitStack) -> Engine | None:
    """The engine docker, by a daemon of our own if none answers; None if there can be none."""
    from engine_daemons import engine_running  # noqa: PLC0415 - the tests' own maker of daemons

    try:
        stack.enter_context(engine_running("docker"))
        engine = select_engine("docker")
    except (EngineError, FileNotFoundError) as error:
        print(f"(no docker: {error})", file=sys.stderr)
        return None
    stack.callback(engine.close)
    return engine


@contextlib.contextmanager
def container(reference: str, folder: Path) -> Iterator[str]:
    """A container that stays."""
    words = ["docker", "run", "-d", "--rm", "--network", "none", "-v", f"{folder}:/w:ro"]
    done = subprocess.run(
        [*words, reference, "sleep", "infinity"], check=True, capture_output=True, text=True
    )
    try:
        yield done.stdout.strip()
    finally:
        subprocess.run(["docker", "kill", done.stdout.strip()], check=True, capture_output=True)


def imported_reference(engine: Engine, image: Image) -> str:
    """What docker calls the image, which opening a sandbox imports."""
    with engine.open(SandboxSpec(image=image)) as sandbox:
        assert sandbox.exec(Command(argv=("true",))).ok
    words = ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}"]
    listed = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    return next(name for name in listed if image.digest.removeprefix("sha256:")[:32] in name)


def subject_of(wheel: Path, distro_id: str) -> Subject:
    """A wheel on a distro whose root is made if it is not there."""
    distro = load_catalogue().get(distro_id)
    target = Target(distro=distro, arch="x86_64", interpreter=distro.interpreters[0])
    images = ArchiveImages(ImageStore())
    image = images.provide(distro, target.arch, ImagePurpose.TRIAL, interpreter=target.interpreter)
    found = open_wheel(wheel)
    return Subject(TrialRequest(wheel=found, facts=read_wheel(found), target=target, image=image))


def row(subject: Subject, medians: dict[str, float]) -> str:
    """A line of the table: seconds, then our trial's ratios."""
    cells = [subject.request.wheel.name, *(f"{value:.3f}" for value in medians.values())]
    for name in _OURS:
        if name in medians:
            ours = medians[name]
            if "naive" in medians:
                cells.append(f"{medians['naive'] / ours:.1f} x")
                cells.append(f"{medians['kept'] / ours:.1f} x")
            cells.append(f"{ours / medians['floor']:.2f} x")
    return f"| {' | '.join(cells)} |"


def header(names: list[str]) -> str:
    """The table's head."""
    columns = ["wheel", *(f"{name}, s" for name in names)]
    for name in _OURS:
        if name in names:
            columns += [f"naive / {name}", f"kept / {name}"] if "naive" in names else []
            columns.append(f"{name} / floor")
    return f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"


def main() -> int:
    """Print the table; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("wheels", nargs="+", type=Path)
    parser.add_argument("--distro", default="debian-12")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--without-docker", action="store_true")
    options = parser.parse_args()
    subjects = [subject_of(wheel, options.distro) for wheel in options.wheels]
    with contextlib.ExitStack() as stack:
        engine = select_engine("bubblewrap")
        stack.callback(engine.close)
        warm = WarmTrials(engine)
        stack.callback(warm.close)
        docker = None if options.without_docker else docker_engine(stack)
        for number, subject in enumerate(subjects):
            with contextlib.ExitStack() as inner:
                cells: dict[str, Cell] = {}
                if docker is not None:
                    reference = imported_reference(docker, subject.request.image)
                    stays = inner.enter_context(container(reference, subject.wheel.parent))
                    cells |= {"naive": naive(subject, reference), "kept": kept(subject, stays)}
                    cells["docker row"] = docker_row(subject, docker)
                    cells["docker ready"] = docker_ready(subject, docker)
                    cells["docker alone"] = trial(subject, docker, None)
                cells["floor"] = floor(subject, engine)
                cells["alone"] = trial(subject, engine, None)
                cells["trial"] = trial(subject, engine, warm)
                medians = measure(cells, options.rounds)
            if number == 0:
                print(header(list(medians)))
            print(row(subject, medians), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
