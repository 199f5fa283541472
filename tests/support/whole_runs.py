"""Whole runs as a user has them, watched from outside: how far they have come, and what they leave.

A run is started below a process that inherits whatever the run's own processes leave behind
(PR_SET_CHILD_SUBREAPER), so that nothing escapes the count by leaving its session.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from wheels import build_wheel

from pytest_manylinux.cache.paths import cache_root
from pytest_manylinux.images.store import ImageStore
from pytest_manylinux.model.verdict import Outcome, Verdict
from pytest_manylinux.report.proof import read_proof

PATIENCE = 600.0  # seconds until a run must have come to where a test waits for it
_LAST_WORDS = 4000  # characters of output that a failure shows
_KEEPER = """
import ctypes, json, os, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
folder, patience = sys.argv[1], float(sys.argv[2])
with open(folder + "/output", "wb") as output:
    run = subprocess.Popen(
        sys.argv[3:], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
    )
with open(folder + "/pid.new", "w") as file:
    file.write(str(run.pid))
os.rename(folder + "/pid.new", folder + "/pid")
code = run.wait()
with open(folder + "/code", "w") as file:
    file.write(str(code))

def children():
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/" + name + "/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            with open("/proc/" + name + "/cmdline") as file:
                words = file.read().replace(chr(0), " ")
        except OSError:
            continue
        if fields[1] == str(os.getpid()) and fields[0] != "Z":
            found.append(name + " " + fields[0] + ": " + words[:300])
    return found

end = time.monotonic() + patience
while (left := children()) and time.monotonic() < end:
    time.sleep(0.05)
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
print(json.dumps({"code": code, "left": left}), flush=True)
"""


def tree(folder: Path) -> dict[str, str]:
    """Every path below a folder: the digest of a file, the target of a link, the mode of all."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = ""
        if path.is_symlink():
            content = str(path.readlink())
        elif path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(folder))] = f"{status.st_mode:o} {content}"
    return found


_PLAIN = {"python3", "python3-pip", "python3-venv"}  # what a root for trials has of its own


def seed(cache: Path) -> None:
    """Begin a cache with what the usual one has for trials on debian-12, x86_64."""
    usual = cache_root()
    store = ImageStore(usual)
    for stored in store.images():
        recipe = stored.record.recipe
        plain = recipe.arch == "x86_64" and set(recipe.packages) == _PLAIN and not recipe.base
        if recipe.suite == "bookworm" and plain:
            target = cache / stored.folder.relative_to(usual)
            _copy(stored.folder, target)
    for name in ("recipes", "apt/bookworm-x86_64"):
        if (usual / name).is_dir():
            _copy(usual / name, cache / name)


def _copy(source: Path, target: Path) -> None:
    """Devices are copied as such, which only cp knows how to."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "--archive", "--reflink=auto", source, target], check=True)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Folders for the runs of one test: the project, and what may and may not be written."""

    folder: Path

    @property
    def project(self) -> Path:
        """The user's own; never written by a run, but for what it is told to write there."""
        return self.folder / "project"

    @property
    def cache(self) -> Path:
        """What PYTEST_MANYLINUX_CACHE names."""
        return self.folder / "cache"

    @property
    def temporary(self) -> Path:
        """TMPDIR."""
        return self.folder / "tmp"

    @property
    def out(self) -> Path:
        """The wheelhouse and the proof."""
        return self.folder / "out"

    def make(self) -> Place:
        """Make the folders."""
        for path in (self.project, self.temporary, self.out, self.folder / "keeper"):
            path.mkdir(parents=True, exist_ok=True)
        return self


@dataclass
class WholeRun:
    """`pytest --manylinux`, begun. `name` tells several runs of one place apart."""

    place: Place
    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    name: str = "run"
    wrapped_by: Sequence[str] = ()
    patience: float = 30.0
    left: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began = time.monotonic()
        self.keep = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=self.place.folder / "keeper"))
        self.proof = self.place.out / f"{self.name}.json"
        self.proof.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--manylinux"]
        command += [f"--manylinux-wheelhouse={self.place.out / 'wheelhouse'}"]
        command += [f"--manylinux-proof={self.proof}", *self.arguments]
        self.keeper = subprocess.Popen(
            [
                *(sys.executable, "-c", _KEEPER, str(self.keep), str(self.patience)),
                *(*self.wrapped_by, *command),
            ],
            cwd=self.place.project,
            stdout=subprocess.PIPE,
            env={
                **os.environ,
                "TMPDIR": str(self.place.temporary),
                "PYTEST_MANYLINUX_CACHE": str(self.place.cache),
                "PYTHONUNBUFFERED": "1",
                "PYTHONDONTWRITEBYTECODE": "1",
                **self.environment,
            },
        )

    @property
    def pid(self) -> int:
        """The process id of pytest."""
        wait_for((self.keep / "pid").exists, seconds=60)
        return int((self.keep / "pid").read_text())

    @property
    def words(self) -> str:
        """What it has printed."""
        path = self.keep / "output"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def has_ended(self) -> bool:
        """Whether pytest itself has."""
        return (self.keep / "code").exists()

    def await_stage(self, reached: Callable[[WholeRun], bool]) -> None:
        """Wait until it has come so far; it must not end before."""
        end = time.monotonic() + PATIENCE
        while not reached(self):
            assert not self.has_ended, f"ended before: {self.words[-_LAST_WORDS:]}"
            assert time.monotonic() < end, f"never came so far: {self.words[-_LAST_WORDS:]}"
            time.sleep(0.002)

    def send(self, number: signal.Signals, *, to_all: bool = False) -> None:
        """Signal pytest, or as a terminal does its whole process group."""
        if to_all:
            os.killpg(self.pid, number)
        else:
            os.kill(self.pid, number)

    def end(self, *, within: float = PATIENCE) -> int:
        """Wait for its end and for its processes'; gives the exit code, fills `left`."""
        try:
            output, _ = self.keeper.communicate(timeout=within + self.patience)
        except subprocess.TimeoutExpired:
            stacks = self.words[-_LAST_WORDS:]
            self.kill()
            raise AssertionError(f"still there after {within:.0f} s: {stacks}") from None
        told = json.loads(output)
        self.left = told["left"]
        return int(told["code"])

    def kill(self) -> None:
        """End it and what is below it, for a test that has failed."""
        for pid in descendants(self.keeper.pid):
            with _gone():
                os.kill(pid, signal.SIGKILL)
        self.keeper.kill()
        self.keeper.wait()

    def verdicts(self) -> list[Verdict]:
        """The verdicts in its proof; none if it wrote none."""
        return list(read_proof(self.proof).record.verdicts) if self.proof.exists() else []

    def trials(self) -> list[Verdict]:
        """Those of trials."""
        return [verdict for verdict in self.verdicts() if not verdict.subject.startswith("audit")]

    def passes(self) -> list[str]:
        """The subjects of trials that count as passed."""
        return [v.subject for v in self.trials() if v.outcome is Outcome.PORTABLE]

    def must_say_no_tracebacks(self) -> None:
        """A fault of the machine is told in words."""
        assert "Traceback" not in self.words, self.words[-_LAST_WORDS:]
        assert "INTERNALERROR" not in self.words, self.words[-_LAST_WORDS:]


@contextmanager
def _gone() -> Iterator[None]:
    try:
        yield
    except ProcessLookupError:
        return


def descendants(root: int) -> list[int]:
    """The ids of all processes below one."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(folder.name)] = int(fields[1])
    found: list[int] = []
    fresh = {root}
    while fresh:
        fresh = {pid for pid, parent in parents.items() if parent in fresh}
        found += fresh
    return found


def wait_for(condition: Callable[[], bool], *, seconds: float = 60.0) -> bool:
    """Whether `condition` comes true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def mounts_below(folder: Path) -> list[str]:
    """Mounts of any process's view that have to do with a folder."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/mountinfo"):
        try:
            found |= {line for line in path.read_text().splitlines() if str(folder) in line}
        except OSError:
            continue
    return sorted(found)


def control_groups(pid: int) -> list[Path]:
    """The control groups that a process made for its sandboxes; others come and go meanwhile."""
    start = f"pytest-manylinux-{pid}-"
    return [
        Path(folder, name)
        for folder, names, _ in os.walk("/sys/fs/cgroup")
        for name in names
        if name.startswith(start)
    ]


def leftovers(run: WholeRun) -> list[str]:
    """What an ended run has left on the machine, its caches aside; asked for a generous while."""

    def look() -> list[str]:
        place = run.place
        found = [f"process {words}" for words in run.left]
        found += [f"temporary {path.name}" for path in place.temporary.iterdir()]
        found += [f"control group {path}" for path in control_groups(run.pid)]
        found += [f"mount {line}" for line in mounts_below(place.folder)]
        hidden = [path for path in place.out.rglob(".*") if path.name != ".gitignore"]
        return found + [f"half a file {path.name}" for path in hidden]

    wait_for(lambda: not look(), seconds=20)
    return look()


def look(verdict: Verdict) -> tuple[object, ...]:
    """What engines must agree on."""
    seen = verdict.observation
    findings = sorted((finding.name, finding.message) for finding in verdict.findings)
    if seen is None:
        return verdict.outcome, findings
    imports = [(outcome.name, outcome.status, outcome.message) for outcome in seen.imports]
    assert seen.install is not None
    places = (seen.image, seen.python, seen.libc, seen.install.pip_version, seen.install.installed)
    return verdict.outcome, findings, imports, places


def folder_of_wheels(folder: Path) -> None:
    """One wheel that works, and two that do not."""
    build_wheel(folder, {"good.py": "x = 1\n"}, name="good")
    build_wheel(folder, {"absent.py": "import no_such_module\n"}, name="absent")
    build_wheel(folder, {"library.py": "import ctypes\nctypes.CDLL('libGL.so.1')\n"}, name="library")
