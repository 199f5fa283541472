"""The time of a trial beside what a user would do without us, side by side in one run.

    python benchmarks/trials.py WHEEL… [--distro debian-12] [--rounds 7] [--without-docker]

Cells, in turns, so that all see the same machine, each the wall clock of one wheel on one distro:

* naive: `docker run --rm` with `python3 -m venv`, `pip install` and `python -c "import …"`;
* kept: the same by `docker exec` in a container that stays;
* floor: a fresh sandbox, the wheel unpacked by zipfile, and the import;
* trial: ours, as a run does it (on an engine with fork servers, in one that is there already);
* alone: ours in a sandbox of its own, the long way;
* docker row: ours in containers, the mean of ten one after another, from the first container's start
  to the last one's removal;
* docker ready: one of ours in a container that is there and ready for it;
* docker alone: ours in a container of its own, the long way.

Those with docker in their names and the first two need a docker daemon: the machine's, or else a
`dockerd` of this run's own (root); without one they are left out.

Prints Markdown tables with medians in seconds; ratios are what travels to other machines.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from figures import Cell, Part, Row, in_turns, progress

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.api import Command, Engine, Mount, SandboxSpec
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.errors import EngineError
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.distro import Image, ImagePurpose, Target
from pytest_manylinux.model.observation import ImportStatus, Observation
from pytest_manylinux.trials.pool import PreloadedPool
from pytest_manylinux.trials.trial import TrialRequest, run_trial

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))

_ASKED = {
    "markupsafe": "25 times as fast as naive and at most 1.7 times the floor; 12 times by docker",
    "numpy": "8 times as fast as naive and at most 1.4 times the floor; 5 times by docker",
}
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


def trial(subject: Subject, engine: Engine, warm: PreloadedPool | None) -> Cell:
    """Ours; `warm` as a run has it."""

    def cell() -> Observation:
        observation = run_trial(subject.request, engine, warm)
        assert all(one.status is ImportStatus.OK for one in observation.imports), observation
        return observation

    return cell


def docker_row(subject: Subject, engine: Engine, length: int = 10, at_once: int = 1) -> Cell:
    """Seconds for each of so many, one after another or some at a time, as a run does on its cores."""

    def cell() -> float:
        warm = PreloadedPool(engine)
        started = time.monotonic()
        with ThreadPoolExecutor(at_once) as threads:
            work = [
                threads.submit(run_trial, subject.request, engine, warm, more)
                for more in reversed(range(length))
            ]
        for one in work:
            one.result()
        warm.close()
        return (time.monotonic() - started) / length

    return cell


def docker_ready(subject: Subject, engine: Engine) -> Cell:
    """Seconds for one whose container is there."""

    def cell() -> float:
        warm = PreloadedPool(engine)
        run_trial(subject.request, engine, warm, 1)
        time.sleep(_UNTIL_READY)
        started = time.monotonic()
        run_trial(subject.request, engine, warm)
        took = time.monotonic() - started
        warm.close()
        return took

    return cell


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


def beside_the_naive_way(
    wheels: Sequence[Path], *, rounds: int, docker: bool, distro: str = "debian-12"
) -> list[Part]:
    """A part for each wheel on one distro."""
    parts = []
    with contextlib.ExitStack() as stack:
        engine = select_engine("bubblewrap")
        stack.callback(engine.close)
        warm = PreloadedPool(engine)
        stack.callback(warm.close)
        containers = docker_engine(stack) if docker else None
        for wheel in wheels:
            progress(f"trials of {wheel.name}")
            with contextlib.ExitStack() as inner:
                subject = subject_of(wheel, distro)
                cells = _in_containers(subject, containers, inner) if containers else {}
                cells["floor"] = floor(subject, engine)
                cells["alone"] = trial(subject, engine, None)
                cells["trial"] = trial(subject, engine, warm)
                parts.append(_part(subject, in_turns(cells, rounds)))
    return parts


GLIBC, MUSL = "debian-13", "musl-1.2.5"
"""Two roots with one CPython, 3.13, of which one has glibc and the other musl."""


def on_both_libcs(manylinux: Path, musllinux: Path, *, rounds: int) -> Part:
    """A release's two wheels for one Python, each in a fork of its root's preloaded process."""
    progress(f"trials of {musllinux.name} beside {manylinux.name}")
    with contextlib.ExitStack() as stack:
        engine = select_engine("bubblewrap")
        stack.callback(engine.close)
        warm = PreloadedPool(engine)
        stack.callback(warm.close)
        pairs = {GLIBC: manylinux, MUSL: musllinux}
        subjects = {distro: subject_of(wheel, distro) for distro, wheel in pairs.items()}
        rows = in_turns({name: trial(one, engine, warm) for name, one in subjects.items()}, rounds)
    medians = {row.name: row.value for row in rows}
    wheel = subjects[MUSL].request.wheel
    return Part(
        title=f"A trial of {wheel.name} {wheel.version} on musl and on glibc",
        rows=rows,
        base=GLIBC,
        asked="a trial on musl takes at most 1.1 times one on glibc",
        note=f"On musl {medians[MUSL] / medians[GLIBC]:.2f} times the trial on glibc.",
    )


def _in_containers(subject: Subject, engine: Engine, stack: contextlib.ExitStack) -> dict[str, Cell]:
    reference = imported_reference(engine, subject.request.image)
    stays = stack.enter_context(container(reference, subject.wheel.parent))
    return {
        "naive": naive(subject, reference),
        "kept": kept(subject, stays),
        "docker row": docker_row(subject, engine),
        "docker ready": docker_ready(subject, engine),
        "docker alone": trial(subject, engine, None),
    }


def _part(subject: Subject, rows: tuple[Row, ...]) -> Part:
    medians = {row.name: row.value for row in rows}
    floors = [f"{name} {medians[name] / medians['floor']:.2f}" for name in _OURS if name in medians]
    wheel, image = subject.request.wheel, subject.request.target
    return Part(
        title=f"A trial of {wheel.name} {wheel.version} on {image.id}",
        rows=rows,
        base="naive",
        asked=_ASKED.get(wheel.name, ""),
        note=f"In multiples of the floor: {', '.join(floors)}.",
    )


def main() -> int:
    """Print the tables; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("wheels", nargs="+", type=Path)
    parser.add_argument("--distro", default="debian-12")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--without-docker", action="store_true")
    options = parser.parse_args()
    for part in beside_the_naive_way(
        options.wheels,
        rounds=options.rounds,
        docker=not options.without_docker,
        distro=options.distro,
    ):
        print("\n".join((*part.lines(), "")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
