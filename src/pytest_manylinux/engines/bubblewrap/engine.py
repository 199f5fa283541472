"""Sandboxes by bubblewrap: no daemon, no registry, started in milliseconds, for root and users.

What it needs: the `bwrap` program (0.8 or newer), libseccomp, and a kernel that gives user namespaces.
Memory and processes are limited by control groups where we may make one, else by rlimits.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO

from pytest_manylinux.engines import transfer
from pytest_manylinux.engines.api import (
    INBOX,
    LONGEST_WAIT,
    Command,
    Completed,
    OutputListener,
    SandboxSpec,
    Sink,
    Status,
)
from pytest_manylinux.engines.bubblewrap.cgroups import Group, find_control_groups
from pytest_manylinux.engines.bubblewrap.mounts import isolation_arguments, mount_arguments
from pytest_manylinux.engines.bubblewrap.supervisor import (
    DeadlineError,
    PendingRequest,
    SpareSupervisor,
    Supervisor,
)
from pytest_manylinux.engines.environment import USER, clean_environment, generated_files
from pytest_manylinux.engines.output import (
    BoundedOutput,
    Ending,
    Heard,
    RunOutput,
    completed,
    ending_of,
    tee,
)
from pytest_manylinux.engines.preloaded import (
    Inputs,
    PreloadedProcess,
    after,
    isolation_of_runs,
    preloaded_argv,
)
from pytest_manylinux.engines.seccomp import filter_of_this_machine, takes_filters
from pytest_manylinux.errors import EngineError, SandboxError
from pytest_manylinux.host.architecture import Emulation, emulation_of
from pytest_manylinux.host.containment import SETTINGS, allowing_namespaces
from pytest_manylinux.host.shutdown import Closeable
from pytest_manylinux.host.subprocesses import install_command
from pytest_manylinux.host.tempdirs import Staging

_OLDEST = (0, 8)
_PROBE_TIMEOUT = 60.0
# What a shell lies in. With all of `/` came all mounts below, and bubblewrap (0.8) ends where one goes
# while it sees to them, such as that of a container of somebody else's.
_SYSTEM = ("bin", "gnu", "lib", "lib32", "lib64", "libx32", "nix", "sbin", "usr")
# What a sandbox of ours needs of the kernel: nested user namespaces, a procfs, a tmpfs.
_PROBE = (
    *("--unshare-all", "--unshare-user", "--disable-userns", "--uid", "1000", "--gid", "1000"),
    *(word for name in _SYSTEM for word in ("--ro-bind-try", f"/{name}", f"/{name}")),
    *("--proc", "/proc", "--dev", "/dev", "--size", "4096", "--tmpfs", "/tmp"),  # noqa: S108
)


def find_bubblewrap(*, settings: Path = SETTINGS) -> tuple[str, str]:
    """The path of `bwrap` and its version. Raises EngineError if it is missing, old or forbidden."""
    program = shutil.which("bwrap")
    if program is None:
        raise EngineError(
            "engine bubblewrap is not on this machine",
            why="there is no program `bwrap` on PATH",
            remedy=install_command("bwrap"),
        )
    version = _read_version(program)
    words = _probe(program)
    if words:
        raise EngineError(
            "engine bubblewrap cannot make a sandbox on this machine",
            why=words,
            remedy=_cure(settings),
        )
    return program, version


def _read_version(program: str) -> str:
    text = subprocess.run(
        [program, "--version"], capture_output=True, text=True, check=False, timeout=_PROBE_TIMEOUT
    ).stdout
    match = re.search(r"(\d+)\.(\d+)(\.\d+)*", text)
    if match is None or (int(match[1]), int(match[2])) < _OLDEST:
        raise EngineError(
            "engine bubblewrap is too old on this machine",
            why=f"{program} says {text.strip()!r}; 0.8 or newer is needed",
            remedy=f"{install_command('bwrap')} on a newer release, or use docker or podman",
        )
    return match[0]


def _probe(program: str) -> str:
    """Start the smallest sandbox; what bubblewrap says if it fails, empty if it works."""
    done = subprocess.run(
        [program, *_PROBE, "--", "/bin/sh", "-c", ":"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=_PROBE_TIMEOUT,
    )
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}"


def _cure(settings: Path) -> str:
    if cure := allowing_namespaces(settings):
        return cure
    return (
        "if this is a container, it must be allowed to make user namespaces "
        "(docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined "
        "--security-opt systempaths=unconfined); else use the engine docker or podman"
    )


_START_TIMEOUT = 60.0
WITHOUT_FILTER = (
    "engine bubblewrap: sandboxes have no system call filter, because this kernel takes none; "
    "code in them may make every call that a user may"
)
_EMULATED_SPACE = 16 << 30  # bytes: qemu reserves all that a 32-bit program could use, and more
_ADDRESS_SPACE = 4  # multiples of the memory limit: what is reserved is not all used


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What a preloaded process may: all that the superuser of its sandbox's user namespace may.

    With a `user` it may make namespaces and mount, as the ordinary user with that id of a user
    namespace of its own, in which there can be no other.
    """

    user: int | None


class BubblewrapEngine:
    """Makes sandboxes with bubblewrap. Raises EngineError at once if this machine cannot."""

    name = "bubblewrap"

    def __init__(self) -> None:
        self._program, self._version = find_bubblewrap()
        filter_of_this_machine()  # raises EngineError without libseccomp
        self._groups = find_control_groups()
        if self._groups is not None:
            self._groups.sweep()
        self._sandboxes: set[BubblewrapSandbox] = set()
        self._lock = threading.Lock()
        self._staging: Staging | None = None
        self._closed = False
        self._supervisors = SpareSupervisor()

    def version(self) -> str:
        """The version of bubblewrap, such as `0.8.0`."""
        return self._version

    @property
    def caution(self) -> str:
        """Says so where the kernel takes no filters (CONFIG_SECCOMP_FILTER)."""
        return "" if takes_filters() else WITHOUT_FILTER

    @property
    def limits_by(self) -> str:
        """What limits memory and processes: `cgroup-v1`, `cgroup-v2` or `rlimits`."""
        return f"cgroup-v{self._groups.version}" if self._groups else "rlimits"

    def open(self, spec: SandboxSpec) -> BubblewrapSandbox:
        """Start a sandbox from the folder `spec.image.root`."""
        return self._open(spec)

    def _open(self, spec: SandboxSpec, rights: Rights | None = None) -> BubblewrapSandbox:
        setup, group = self._prepare(spec, rights)
        sandbox = BubblewrapSandbox(spec, setup, group, self._sandboxes, self._supervisors.take)
        self._supervisors.prepare()
        return sandbox

    def preload(
        self,
        spec: SandboxSpec,
        interpreter: str,
        code: str,
        *,
        setup: str = "",
        inbox: PurePosixPath = INBOX,
        max_runs: int | None = None,
    ) -> PreloadedProcess:
        """Start a preloaded process in a sandbox of its own; see `engines.api.PreloadingEngine`."""
        single, emulated = max_runs == 1, emulation_of(spec.image.arch).emulated
        inputs = Inputs(spec, self._folder(), inbox=inbox if single else None)
        isolation = isolation_of_runs(max_runs, emulated=emulated)
        argv = after(setup, preloaded_argv(interpreter, code, spec.limits, isolation, max_runs))
        try:
            shown = replace(spec, mounts=inputs.mounts)
            rights = None if single else Rights(user=USER if emulated else None)
            sandbox = self._open(shown, rights)
            program = BubblewrapProgram(sandbox, argv, rights=rights, name=spec.image.name)
        except BaseException:
            inputs.remove()
            raise
        return PreloadedProcess(program, inputs, max_runs=max_runs)

    def _folder(self) -> Path:
        with self._lock:
            if self._staging is None:
                self._staging = Staging()
            return self._staging.subfolder()

    def _prepare(
        self, spec: SandboxSpec, rights: Rights | None = None
    ) -> tuple[dict[str, object], Group | None]:
        """The supervisor's first request, and the control group that it names; see `_setup`."""
        if self._closed:
            raise EngineError("no sandbox is started any more", why="the run has ended")
        if spec.image.root is None:
            raise EngineError(
                f"engine bubblewrap cannot use image {spec.image.name}",
                why="it needs a root in a folder, and this image has none",
                remedy="use images from an archive, or the engine docker or podman",
            )
        _check_runs(emulation_of(spec.image.arch))
        setup = _setup(self._program, Path(spec.image.root), spec, rights)
        group = self._make_group(spec)
        if group is None:
            space = spec.limits.memory * _ADDRESS_SPACE
            if emulation_of(spec.image.arch).emulated:
                space = max(space, _EMULATED_SPACE)
            limits = {"AS": space, "NPROC": spec.limits.processes}
            setup["rlimits"] = limits
        else:
            setup["groups"] = [str(folder) for folder in group.folders]
        return setup, group

    def _make_group(self, spec: SandboxSpec) -> Group | None:
        try:
            return self._groups.make(spec.limits) if self._groups else None
        except OSError:
            self._groups = None
            return None

    def close(self) -> None:
        """Close all sandboxes that are still open; none is started any more."""
        self._closed = True
        self._supervisors.close()
        for sandbox in tuple(self._sandboxes):
            sandbox.close()
        if self._staging is not None:
            self._staging.close()


class BubblewrapSandbox(Closeable):
    """One running bubblewrap, kept by a supervisor process; in `known` until it is closed."""

    def __init__(
        self,
        spec: SandboxSpec,
        setup: dict[str, object],
        group: Group | None,
        known: set[BubblewrapSandbox],
        supervisor: Callable[[str], Supervisor],
    ) -> None:
        self._bound = spec.limits.scratch
        self._known = known
        self._group = group
        self._lock = threading.Lock()
        self._closed = False
        emulation = emulation_of(spec.image.arch)
        self._environment = dict(emulation.environment)
        self._supervisor = supervisor(emulation.registration)
        known.add(self)
        try:
            answer = self._supervisor.ask(setup, timeout=_START_TIMEOUT)
        except DeadlineError:
            answer = {"failed": f"it did not start within {_START_TIMEOUT:.0f} seconds"}
        except BaseException:
            self.close()
            raise
        if "ready" not in answer:
            self.close()
            raise SandboxError(
                f"no sandbox could be started from image {spec.image.name}",
                why=str(answer.get("failed", "its keeper ended at once")),
            )

    def exec(self, command: Command, *, listener: OutputListener | None = None) -> Completed:
        """Run a command; keeps up to 8 MiB each of stdout and stderr (output.BOUND)."""
        return self._run(command, listener=listener)

    def _run(
        self,
        command: Command,
        stdin: IO[bytes] | None = None,
        sink: Sink | None = None,
        listener: OutputListener | None = None,
    ) -> Completed:
        stdout, stderr = BoundedOutput(), BoundedOutput()
        sinks = (sink or tee(stdout, listener), tee(stderr, listener))
        started = time.monotonic()
        if self._closed:
            raise SandboxError("the sandbox is closed")
        ending: Ending = (Status.TIMED_OUT, None)
        try:
            answer = self._supervisor.ask(
                _request(command, self._environment),
                timeout=command.timeout,
                stdin=None if stdin is None else stdin.fileno(),
                sinks=sinks,
            )
        except DeadlineError:
            self.close()
        except BaseException:
            self.close()  # the command may still run, and nobody reads it any more
            raise
        else:
            ending = ending_of(answer, f"{command.argv[0]} could not be started")
        if ending[0] is Status.LOST:
            self.close()
        return completed(ending, stdout, stderr, started=started)

    def begin(self, command: Command, stdin: int, *, rights: Rights | None) -> PendingRequest:
        """Start a command that is not waited for, `stdin` its standard input."""
        return self._supervisor.begin(_request(command, self._environment, rights=rights), stdin=stdin)

    def copy_in(self, source: Path, target: PurePosixPath) -> None:
        """Copy `source` to the path `target`; a folder is merged into one that is there."""
        transfer.send(self._run, source, target)

    def copy_out(self, source: PurePosixPath, target: Path) -> None:
        """Copy `source` to the path `target`; a file that is there already is an error."""
        transfer.fetch(self._run, source, target, bound=self._bound)

    def end(self) -> None:
        """Have everything inside killed, now; `close` waits until it is gone."""
        self._closed = True
        self._supervisor.hang_up()

    def close(self) -> None:
        """Kill everything inside; return when it is gone, mounts and control groups too."""
        with self._lock:
            self._closed = True
            self._supervisor.close()
            if self._group is not None:  # the supervisor's work, unless it was killed
                self._group.remove()
        self._known.discard(self)


class BubblewrapProgram(Closeable):
    """See `engines.preloaded.RunningProgram`: a command of the sandbox, whose pipes stay open.

    Raises SandboxError, the sandbox closed, if it does not become ready.
    """

    def __init__(
        self, sandbox: BubblewrapSandbox, argv: tuple[str, ...], *, rights: Rights | None, name: str
    ) -> None:
        self._sandbox = sandbox
        self._single = rights is None
        stdin, self._input = os.pipe()
        os.set_blocking(self._input, False)
        try:
            self._pipes = sandbox.begin(Command(argv=argv), stdin, rights=rights)
        except BaseException:
            sandbox.close()
            os.close(self._input)
            raise
        finally:
            os.close(stdin)
        try:
            self._await_ready(name)
        except BaseException:
            self.close()
            raise

    def _await_ready(self, name: str) -> None:
        said, words = bytearray(), bytearray()
        sinks = (said.extend, words.extend)
        self._pipes.take(sinks, timeout=_START_TIMEOUT, until=lambda: said.endswith(b"ready\n"))
        if not said.endswith(b"ready\n"):
            raise SandboxError(
                f"no preloaded process could be started from image {name}",
                why=words.decode(errors="replace").strip()[-2000:] or "it did not become ready",
            )

    def tell(self, content: bytes, timeout: float) -> None:
        """Write to its standard input; raises SandboxError if that is not possible."""
        view, poll, end = memoryview(content), select.poll(), time.monotonic() + timeout
        poll.register(self._input, select.POLLOUT)
        try:
            while view and poll.poll(min(max(end - time.monotonic(), 0), LONGEST_WAIT) * 1000):
                view = view[os.write(self._input, view) :]
        except OSError as error:
            raise SandboxError("the preloaded process has ended", why=str(error)) from error
        if view:
            raise SandboxError("the preloaded process takes no requests")

    def listen(self, output: RunOutput, timeout: float) -> Heard:
        """Take a run's output until it is complete, or the program has ended, or `timeout` is over."""
        sinks = (output.stdout.write, output.stderr.write)
        in_time = self._pipes.take(sinks, timeout=timeout, until=output.is_complete)
        if self._single:  # a container ends with its first process, which has ended now
            self._sandbox.end()
        return Heard(in_time=in_time, whole=True)  # what was written is in the pipes

    def close(self) -> None:
        """End it with its sandbox, and return when all is gone."""
        self._sandbox.close()
        self._pipes.close()
        if self._input >= 0:
            os.close(self._input)
            self._input = -1


def _check_runs(emulation: Emulation) -> None:
    """Raise EngineError unless programs of the architecture run on this machine."""
    if not emulation.works:
        raise EngineError(
            f"programs of {emulation.arch} do not run on this machine",
            why=emulation.missing,
            remedy=emulation.remedy,
        )


def _setup(program: str, root: Path, spec: SandboxSpec, rights: Rights | None) -> dict[str, object]:
    """The supervisor's first request, without limits; `rights` are those of a command to come."""
    given = {str(mount.target) for mount in spec.mounts}
    generated = generated_files(root, network=spec.network)
    files = {path: content for path, content in generated.items() if path not in given}
    before, after = mount_arguments(root, spec, files)
    users = rights is not None and rights.user is None
    program_of_commands = filter_of_this_machine(forks=rights is not None, users=users)
    return {
        "program": program,
        "before": [*isolation_arguments(spec, nested=rights is not None), *before],
        "files": files,
        "after": after,
        "filter": filter_of_this_machine().hex(),
        "filter_of_commands": program_of_commands.hex(),
        "groups": [],
        "rlimits": {},
    }


def _request(
    command: Command, environment: Mapping[str, str], *, rights: Rights | None = None
) -> dict[str, object]:
    return {
        "rights": rights is not None,
        "rights_as": rights.user if rights is not None else None,
        "argv": list(command.argv),
        "environment": clean_environment({**environment, **command.environment}),
        "cwd": str(command.cwd),
    }
