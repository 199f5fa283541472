"""The protocol of engines: something that runs commands in a fresh sandbox made from an image.

Every engine passes the one suite in tests/conformance. The contract, in full:

* `Engine.open` starts a sandbox: own process, network, IPC and host-name namespaces; the image's
  root read-only; `/tmp` and `/scratch` writable, in memory, `Limits.scratch` bytes together at
  most (half each); no network unless `SandboxSpec.network`, then the host's; only `Mount`s come in,
  read-only, at any absolute path. `/dev/shm` is writable too, 64 MiB.
* A sandbox lives until `close`, or until its owner's process dies: then it and everything in it
  ends at once, and leaves no mount, process or file behind.
* `Sandbox.exec` runs one command to its end with a cleared environment (`Command.environment` and
  PATH, HOME=/scratch/home, LANG=C.UTF-8, TMPDIR=/tmp only), standard input closed. Files stay from
  one exec to the next; processes a command leaves behind stay until close.
* A program that is not there ends as EXITED with 127 (126 if it is no program), as in a shell.
* On timeout the whole sandbox is killed, `Completed.status` is TIMED_OUT, and further execs raise
  SandboxError.
* Output is complete: all that the command wrote before its end, or before the timeout, is there,
  however late a daemon delivers it. Where that cannot be had, `Completed.output_complete` is False.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Protocol, runtime_checkable

from pytest_manylinux.model.distro import Image
from pytest_manylinux.model.observation import how_it_ended

MIB = 1024 * 1024
LONGEST_WAIT = 2e6
"""Seconds that one poll(2) may last: it takes no more than an `int` of milliseconds."""

SCRATCH = PurePosixPath("/scratch")
INBOX = PurePosixPath("/tmp/inputs")  # noqa: S108 - the sandbox's own
"""Where the inputs of a preloaded process's runs come, unless another folder is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a sandbox may use: bytes of memory and scratch, a count of processes."""

    memory: int = 4096 * MIB
    scratch: int = 2048 * MIB
    processes: int = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A file or folder of the host, seen read-only inside under `target` (absolute)."""

    source: Path
    target: PurePosixPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """A folder of the host that builds may write: a compiler's cache. Never given to trials."""

    source: Path
    target: PurePosixPath


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxSpec:
    """What a sandbox is made from. `label` names it for people and leftovers' clean-up.

    `hostname` is what its programs see as the machine's name.
    """

    image: Image
    mounts: tuple[Mount, ...] = ()
    caches: tuple[Cache, ...] = ()
    network: bool = False
    limits: Limits = field(default_factory=Limits)
    label: str = ""
    hostname: str = "sandbox"

    def __post_init__(self) -> None:
        """Add the mount of the image's added Python, so that nobody who opens it has to."""
        added = self.image.added
        if added is None:
            return
        mount = Mount(source=Path(added.folder), target=PurePosixPath(added.prefix))
        if mount not in self.mounts:
            object.__setattr__(self, "mounts", (mount, *self.mounts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One program to run. `timeout` in seconds; `environment` is added to the cleared one."""

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    cwd: PurePosixPath = SCRATCH
    timeout: float = 600.0


class Status(enum.Enum):
    """How a command ended."""

    EXITED = "exited"
    SIGNALLED = "signalled"
    TIMED_OUT = "timed-out"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The end of a command: exit code (EXITED) or signal number (SIGNALLED), and its output.

    `stdout` and `stderr` are kept up to a bound each (the engine says which); `truncated` tells.
    `duration` is in seconds. With `output_complete` False the engine did not deliver the end of the
    output; then the last line of `stderr` says so.
    """

    status: Status
    exit_code: int | None
    signal: int | None
    stdout: bytes
    stderr: bytes
    truncated: bool
    duration: float
    output_complete: bool = True

    @property
    def ok(self) -> bool:
        """Whether the command ended by itself with exit code 0, and all of its output is there."""
        return self.status is Status.EXITED and self.exit_code == 0 and self.output_complete

    @property
    def ending(self) -> str:
        """How it ended, for an error's reason: `it did not end within 60 s`, `exit code 1`."""
        match self.status:
            case Status.TIMED_OUT:
                return f"it did not end within {self.duration:.0f} s"
            case Status.LOST:
                return "the sandbox was lost"
            case _:
                return how_it_ended(self.exit_code, self.signal)

    def reason(self, *outputs: bytes, bound: int = 2000) -> str:
        """The end of what it said (of `stderr` unless other `outputs` are named) and how it ended.

        Up to `bound` characters of output; never empty, since a command that is killed says nothing.
        """
        said = b"\n".join(outputs or (self.stderr,)).decode(errors="replace").strip()[-bound:]
        return f"{said} ({self.ending})" if said else f"{self.ending}, without a word"


OutputListener = Callable[[bytes], None]
Sink = Callable[[bytes], object]
"""Takes output as it comes."""


class Sandbox(Protocol):
    """One running instance. Use it as a context manager: leaving closes it."""

    def exec(self, command: Command, *, listener: OutputListener | None = None) -> Completed:
        """Run a command to its end; `listener` gets stdout and stderr as they come."""

    def copy_in(self, source: Path, target: PurePosixPath) -> None:
        """Copy a file or folder of the host to the path `target` below /scratch or /tmp.

        Missing folders above are made; a folder is merged into one that is there; links stay links.
        Raises SandboxError for anything else, special files too.
        """

    def copy_out(self, source: PurePosixPath, target: Path) -> None:
        """Copy a file or folder to the path `target` of the host; a folder is merged into one there.

        Raises SandboxError for links and special files (they are never followed), for more bytes
        than `Limits.scratch`, and rather than overwrite a file.
        """

    def close(self) -> None:
        """Kill everything inside and forget it. May be called twice."""

    def __enter__(self) -> Sandbox: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class Engine(Protocol):
    """A way to make sandboxes. `name` is what `--manylinux-engine` takes."""

    @property
    def name(self) -> str:
        """`bubblewrap`, `docker` or `podman`."""

    def version(self) -> str:
        """The engine's own version, for the header and the proof."""

    @property
    def caution(self) -> str:
        """A protection of sandboxes that this machine lacks, a line for the user; empty if none."""

    def open(self, spec: SandboxSpec) -> Sandbox:
        """Start a sandbox; raises SandboxError or EngineError."""

    def close(self) -> None:
        """Release what the engine holds for the run."""


class Preloaded(Protocol):
    """A program that has made itself ready inside a sandbox, and runs in forks of itself.

    Each run is a sandbox by the contract above, with what was `SandboxSpec.mounts` and its own inputs,
    except that its program need not start up: new process, network, IPC and host-name namespaces,
    empty /tmp, /scratch and /dev/shm, no rights. What it leaves behind is gone when `run` returns, and
    no later run can tell that there was one. One run at a time; `Limits` are for all together. Where a
    process may run only once, that run is in the process's own sandbox: all in it is killed when `run`
    returns, and gone when `close` does. Output is kept as a command's is.
    """

    def run(self, mounts: Sequence[Mount], *, timeout: float) -> Completed:
        """Run the program once, to its end, with `mounts` (below /tmp or /scratch) besides.

        On timeout the process ends with the run. Raises SandboxError if no run could be started, and
        when all are used up; then, and after LOST and TIMED_OUT, the process is of no use any more.
        """

    def close(self) -> None:
        """Kill it and everything inside; may be called twice."""


@runtime_checkable
class PreloadingEngine(Protocol):
    """An engine that has preloaded processes."""

    def preload(
        self,
        spec: SandboxSpec,
        interpreter: str,
        code: str,
        *,
        setup: str = "",
        inbox: PurePosixPath = INBOX,
        max_runs: int | None = None,
    ) -> Preloaded:
        """Start `interpreter` (a path inside), and execute `code` (Python) once.

        `setup` is a shell script that is run before; the interpreter is started if it ends with 0.

        `code` defines `work`, which each run calls without arguments; a run ends with exit code 0
        when it returns. It must not run anything that is foreign to the image.

        `max_runs` is how often it may run; None: any number. Only a process that runs once is there on
        every machine: others need a kernel that gives namespaces inside of the sandbox. Its inputs come
        into the folder `inbox` (absolute), and it and what of `spec.mounts` lies in it are read-only
        inside. Raises SandboxError or EngineError.
        """
