"""Whether anything grows: trials in a row in one process, and whole runs side by side.

    python benchmarks/soak.py trials [--engine bubblewrap] [--trials 1000]
    python benchmarks/soak.py runs [--engine bubblewrap] [--minutes 20] [--beside 2]

`trials` makes trials of wheels that end in different ways (fine, raising, crashing, exiting, leaving
processes, filling memory) in one process as a run does, every tenth in a sandbox of its own. `runs`
starts whole runs of `pytest --manylinux --manylinux-fresh` on the same wheels, some at once on one
cache, again and again. What comes out of each is checked; between them are measured

* memory: MiB resident, of this process and of all that it has started (of a run: at most);
* open: file descriptors of this process, and processes that it has started;
* mounts, control groups: those that are this soak's;
* disk: MiB and files of cache and temporary folder.

All of it lies in one new folder, a root of Debian and with containers the daemon's data included; it
is removed in the end, and what is left then is told. Prints a Markdown table. The exit code is 1 if
something was left, or if a later figure is more than a tenth above the first (memory) or above it at
all (the rest; a handful of files may come and go).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from itertools import count, cycle, islice
from pathlib import Path

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.host import tempdirs
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.distro import ImagePurpose, Target
from pytest_manylinux.model.observation import ImportStatus
from pytest_manylinux.trials.pool import PreloadedPool
from pytest_manylinux.trials.trial import TrialRequest, run_trial

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/support"))

DISTRO = "debian-12"
ALONE = 10  # every so many trials one is made in a sandbox of its own
ROWS = 12
MIB = 1 << 20
WORDS = re.compile(r"(\d+) (failed|passed)")

# What is imported, and how that ends.
WAYS = {
    "fine": ("x = 1", ImportStatus.OK),
    "raises": ("import certainly_absent", ImportStatus.RAISED),
    "crashes": ("import os; os.abort()", ImportStatus.SIGNALLED),
    "exits": ("import os; os._exit(0)", ImportStatus.EXITED),
    "leaves": (
        "import subprocess; subprocess.Popen(['/bin/sleep', '86399'], start_new_session=True)",
        ImportStatus.OK,
    ),
    "fills": ("open('/scratch/big', 'wb').write(bytes(1 << 26))", ImportStatus.OK),
}


@dataclass(frozen=True)
class Sample:
    """One look; the fields are the table's columns."""

    done: int
    minutes: float
    memory: float
    memory_of_all: float
    descriptors: int
    processes: int
    mounts: int
    groups: int
    disk: float
    files: int


# How much more than in the first row is still flat: a share of it, and a number.
BEARABLE = {
    "memory": (0.1, 0),
    "memory_of_all": (0.1, 0),
    "descriptors": (0, 4),  # of runs the most of some looks: sockets come and go
    "processes": (0, 0),
    "mounts": (0, 0),
    "groups": (0, 0),
    "disk": (0, 1),
    "files": (0, 8),
}


@dataclass
class Meter:
    """Looks at this process, what it has started, and the folder that all of it is to lie in."""

    folder: Path
    started: float

    def look(self, done: int, *, peak: float = 0.0, open_files: int = 0) -> Sample:
        """What there is now; `peak` and `open_files` are those of whole runs, instead of our own."""
        others = descendants()
        disk, files = size_of(self.folder)
        return Sample(
            done=done,
            minutes=round((time.monotonic() - self.started) / 60, 1),
            memory=round(peak or resident(os.getpid())),
            memory_of_all=round(sum(map(resident, (os.getpid(), *others)))),
            descriptors=open_files or descriptors(os.getpid()),
            processes=len(others),
            mounts=Path("/proc/self/mountinfo").read_text().count(f" {self.folder}/"),
            groups=len(groups()),
            disk=round(disk / MIB),
            files=files,
        )


def descendants() -> list[int]:
    """Process ids of all that was started from here (proc(5), stat)."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found: list[int] = []
    fresh = {os.getpid()}
    while fresh:
        fresh = {process for process, parent in parents.items() if parent in fresh}
        found += fresh
    return found


def resident(process: int) -> float:
    """MiB of memory that a process has all for itself or shares (proc(5), statm)."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def descriptors(process: int) -> int:
    """Open files of a process."""
    try:
        return len(list(Path(f"/proc/{process}/fd").iterdir()))
    except OSError:
        return 0


def groups() -> list[Path]:
    """Control groups of processes that this one has started, or of itself."""
    ours = {str(process) for process in (os.getpid(), *descendants())}
    found = Path("/sys/fs/cgroup").glob("**/pytest-manylinux-*")
    return [path for path in found if path.name.split("-")[2] in ours]


def size_of(folder: Path) -> tuple[int, int]:
    """Bytes on disk and number of files below a folder, on its own file system."""
    size = files = 0
    device = folder.lstat().st_dev
    waiting = [str(folder)]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if status.st_dev == device:
                        size += status.st_blocks * 512
                        files += 1
                        waiting += [entry.path] if entry.is_dir(follow_symlinks=False) else []
    return size, files


def make_wheels(folder: Path) -> dict[str, Path]:
    """A wheel for each way."""
    from wheels import build_wheel  # noqa: PLC0415 - the tests' own maker of wheels

    return {
        name: build_wheel(folder, {f"{name}.py": code}, name=f"soak_{name}")
        for name, (code, _) in WAYS.items()
    }


def trials(engine_name: str, number: int, meter: Meter, wheels: dict[str, Path]) -> Iterator[Sample]:
    """Make trials one after the other, and look now and then."""
    distro = load_catalogue().get(DISTRO)
    target = Target(distro=distro, arch="x86_64", interpreter=distro.interpreters[0])
    images = ArchiveImages(ImageStore())
    image = images.provide(distro, target.arch, ImagePurpose.TRIAL, interpreter=target.interpreter)
    opened = {name: open_wheel(path) for name, path in wheels.items()}
    requests = {
        name: TrialRequest(wheel=wheel, facts=read_wheel(wheel), target=target, image=image)
        for name, wheel in opened.items()
    }
    with contextlib.ExitStack() as stack:
        engine = select_engine(engine_name)
        stack.callback(engine.close)
        warm = PreloadedPool(engine)
        stack.callback(warm.close)
        step = max(number // ROWS, 1)
        for done, (name, request) in enumerate(islice(cycle(requests.items()), number), 1):
            seen = run_trial(request, engine, None if done % ALONE == 0 else warm)
            assert [one.status for one in seen.imports] == [WAYS[name][1]], seen
            if done % step == 0:
                yield meter.look(done)


def runs(
    engine_name: str, minutes: float, beside: int, meter: Meter, wheels: dict[str, Path]
) -> Iterator[Sample]:
    """Have whole runs made side by side until the time is over, and look when none is at work."""
    place = next(iter(wheels.values())).parent.parent
    (place / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "--manylinux", "--manylinux-fresh", "dist"]
    command += [f"--manylinux-distros={DISTRO}", f"--manylinux-engine={engine_name}", "-q"]
    command += ["--manylinux-image-source=archive", "-p", "no:cacheprovider"]
    for done in count(beside, beside):
        peak, most = side_by_side(command, beside, place)
        yield meter.look(done, peak=peak, open_files=most)
        if time.monotonic() > meter.started + minutes * 60:
            return


def side_by_side(command: Sequence[str], beside: int, place: Path) -> tuple[float, int]:
    """Some runs at once; the most memory (MiB) and the most open files that one of them had."""
    bad = sum(status is not ImportStatus.OK for _, status in WAYS.values())
    expected = {"failed": bad, "passed": 2 * len(WAYS) - bad}  # an audit and a trial each
    outputs = [tempfile.TemporaryFile() for _ in range(beside)]  # noqa: SIM115 - closed below
    at_work = {
        subprocess.Popen(command, cwd=place, stdout=output, stderr=output).pid: output
        for output in outputs
    }
    peak = most = 0.0
    while at_work:
        most = max(most, *map(descriptors, at_work))
        pid, status, usage = os.wait4(-1, os.WNOHANG)
        if pid in at_work:
            peak = max(peak, usage.ru_maxrss / 1024)
            output = at_work.pop(pid)
            output.seek(0)
            words = output.read().decode()
            counts = {word: int(figure) for figure, word in WORDS.findall(words)}
            assert (os.waitstatus_to_exitcode(status), counts) == (1, expected), words
        elif not pid:
            time.sleep(0.05)
    for output in outputs:
        output.close()
    return peak, int(most)


def table(samples: Sequence[Sample]) -> str:
    """Some of the rows, the first and the last among them."""
    names = [field.name.replace("_", " ") for field in fields(Sample)]
    step = max(len(samples) // ROWS, 1)
    chosen = [*samples[:-1:step], samples[-1]]
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    lines += [f"| {' | '.join(f'{value:,}' for value in astuple(sample))} |" for sample in chosen]
    return "\n".join(lines)


def grown(first: Sample, last: Sample) -> list[str]:
    """What is not flat."""
    return [
        f"{name} grew from {getattr(first, name)} to {getattr(last, name)}"
        for name, (share, number) in BEARABLE.items()
        if getattr(last, name) > getattr(first, name) * (1 + share) + number
    ]


@contextlib.contextmanager
def surroundings(engine: str) -> Iterator[Path]:
    """A folder for all of it, the engine's daemon too; says what is left of it in the end."""
    from engine_daemons import engine_running  # noqa: PLC0415 - the tests' own maker of daemons

    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        (folder / "tmp").mkdir()
        os.environ["PYTEST_MANYLINUX_CACHE"] = str(folder / "cache")
        tempfile.tempdir = name  # the daemon's
        with engine_running(engine):
            os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "tmp")
            yield folder
            tempfile.tempdir = None
            del os.environ["TMPDIR"]


def left_over(meter: Meter) -> list[str]:
    """What is there although all has ended: files but for the cache, processes, mounts, groups."""
    for place in tempdirs.places():  # they go with this process, and it goes on here
        place.close()
    found = Counter(
        {
            "files": len(list((meter.folder / "tmp").iterdir())),
            "processes": len(descendants()),
            "mounts": meter.look(0).mounts,
            "control groups": len(groups()),
        }
    )
    return [f"{number} {what} left" for what, number in found.items() if number]


def main() -> int:
    """Print the table; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", choices=["trials", "runs"])
    parser.add_argument("--engine", default="bubblewrap")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--beside", type=int, default=2)
    options = parser.parse_args()
    with surroundings(options.engine) as folder:
        wheels = make_wheels(folder / "place/dist")
        meter = Meter(folder, time.monotonic())
        if options.what == "trials":
            looks = trials(options.engine, options.trials, meter, wheels)
        else:
            looks = runs(options.engine, options.minutes, options.beside, meter, wheels)
        samples = []
        for sample in looks:
            samples.append(sample)
            print(sample, file=sys.stderr, flush=True)
        before_the_daemons_end = [] if options.engine != "bubblewrap" else left_over(meter)
    print(table(samples))
    wrong = [*grown(samples[0], samples[-1]), *before_the_daemons_end]
    print("; ".join(wrong) or "flat, and nothing left")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
