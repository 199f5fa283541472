"""Sandboxes by bubblewrap: no daemon, no registry, started in milliseconds, for root and users.

What it needs: the `bwrap` program (0.8 or newer), libseccomp, and a kernel that gives user namespaces.
Memory and processes are limited by control groups where we may make one, else by rlimits.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import IO

from pytest_manylinux.engines import transfer
from pytest_manylinux.engines.api import Command, Completed, OutputListener, SandboxSpec, Status
from pytest_manylinux.engines.bubblewrap.cgroups import Group, find_control_groups
from pytest_manylinux.engines.bubblewrap.mounts import isolation_arguments, mount_arguments
from pytest_manylinux.engines.bubblewrap.probe import find_bubblewrap
from pytest_manylinux.engines.bubblewrap.supervisor import DeadlineError, Streams, Supervisor
from pytest_manylinux.engines.endings import Ending, completed, ending_of
from pytest_manylinux.engines.environment import clean_environment, generated_files
from pytest_manylinux.engines.output import BoundedOutput, Sink, tee
from pytest_manylinux.engines.preloaded import (
    BubblewrapForkServer,
    server_argv,
    server_mounts,
)
from pytest_manylinux.engines.seccomp import filter_of_this_machine, takes_filters
from pytest_manylinux.errors import EngineError, SandboxError
from pytest_manylinux.host.closeable import Closeable
from pytest_manylinux.host.staged_files import Staging

_START_TIMEOUT = 60.0
WITHOUT_FILTER = (
    "engine bubblewrap: sandboxes have no system call filter, because this kernel takes none; "
    "code in them may make every call that a user may"
)
_ADDRESS_SPACE = 4  # multiples of the memory limit: what is reserved is not all used


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

    def fork_server(self, spec: SandboxSpec, interpreter: str, code: str) -> BubblewrapForkServer:
        """Start a fork server in a sandbox of its own; see `engines.api.ForkingEngine`."""
        spool = self._spool()
        inside = replace(spec, mounts=server_mounts(spec, spool))
        argv = server_argv(interpreter, code, "socket")
        sandbox = self._open(inside, nested=True)
        try:
            return BubblewrapForkServer(spec, argv, spool, serve=sandbox.serve, end=sandbox.close)
        except BaseException:
            sandbox.close()
            raise

    def _spool(self) -> Path:
        with self._lock:
            if self._staging is None:
                self._staging = Staging()
            return self._staging.subfolder()

    def _open(self, spec: SandboxSpec, *, nested: bool = False) -> BubblewrapSandbox:
        if self._closed:
            raise EngineError("no sandbox is started any more", why="the run has ended")
        if spec.image.root is None:
            raise EngineError(
                f"engine bubblewrap cannot use image {spec.image.name}",
                why="it needs a root in a folder, and this image has none",
                remedy="use images from an archive, or the engine docker or podman",
            )
        setup = _setup(self._program, Path(spec.image.root), spec, nested=nested)
        group = self._make_group(spec)
        if group is None:
            limits = {"AS": spec.limits.memory * _ADDRESS_SPACE, "NPROC": spec.limits.processes}
            setup["rlimits"] = limits
        else:
            setup["groups"] = [str(folder) for folder in group.folders]
        sandbox = BubblewrapSandbox(spec, setup, group, forget=self._forget)
        with self._lock:
            self._sandboxes.add(sandbox)
        return sandbox

    def _make_group(self, spec: SandboxSpec) -> Group | None:
        try:
            return self._groups.make(spec.limits) if self._groups else None
        except OSError:
            self._groups = None
            return None

    def _forget(self, sandbox: BubblewrapSandbox) -> None:
        with self._lock:
            self._sandboxes.discard(sandbox)

    def close(self) -> None:
        """Close all sandboxes that are still open; none is started any more."""
        self._closed = True
        for sandbox in tuple(self._sandboxes):
            sandbox.close()
        if self._staging is not None:
            self._staging.close()


class BubblewrapSandbox(Closeable):
    """One running bubblewrap, kept by a supervisor process of its own."""

    def __init__(
        self,
        spec: SandboxSpec,
        setup: dict[str, object],
        group: Group | None,
        *,
        forget: Callable[[BubblewrapSandbox], None],
    ) -> None:
        self._bound = spec.limits.scratch
        self._forget = forget
        self._group = group
        self._lock = threading.Lock()
        self._closed = False
        self._supervisor = Supervisor()
        try:
            answer = self._supervisor.ask(setup, timeout=_START_TIMEOUT)
        except DeadlineError:
            answer = {"failed": f"it did not start within {_START_TIMEOUT:.0f} seconds"}
        if "ready" not in answer:
            self.close()
            raise SandboxError(
                f"no sandbox could be started from image {spec.image.name}",
                why=str(answer.get("failed", "its keeper ended at once")),
            )

    def exec(self, command: Command, *, listener: OutputListener | None = None) -> Completed:
        """Run a command; keeps up to 8 MiB each of stdout and stderr (output.BOUND)."""
        return self._run(command, listener=listener)

    def serve(self, command: Command, channel: socket.socket) -> Completed:
        """Run a fork server to its end: it keeps its rights inside, and listens on `channel`."""
        return self._run(command, channel, rights=True)

    def _run(
        self,
        command: Command,
        stdin: IO[bytes] | socket.socket | None = None,
        sink: Sink | None = None,
        listener: OutputListener | None = None,
        *,
        rights: bool = False,
    ) -> Completed:
        stdout, stderr = BoundedOutput(), BoundedOutput()
        streams = Streams(
            stdin=None if stdin is None else stdin.fileno(),
            stdout=sink or tee(stdout, listener),
            stderr=tee(stderr, listener),
        )
        started = time.monotonic()
        ending = self._ask(_request(command, rights=rights), command, streams)
        return completed(ending, stdout, stderr, started=started)

    def _ask(self, request: dict[str, object], command: Command, streams: Streams) -> Ending:
        """How the command ended."""
        if self._closed:
            raise SandboxError("the sandbox is closed")
        try:
            answer = self._supervisor.ask(request, timeout=command.timeout, streams=streams)
        except DeadlineError:
            self.close()
            return Status.TIMED_OUT, None
        except BaseException:
            self.close()  # the command may still run, and nobody reads it any more
            raise
        ending = ending_of(answer, f"{command.argv[0]} could not be started")
        if ending[0] is Status.LOST:
            self.close()
        return ending

    def copy_in(self, source: Path, target: PurePosixPath) -> None:
        """Copy `source` to the path `target`; a folder is merged into one that is there."""
        transfer.send(self._run, source, target)

    def copy_out(self, source: PurePosixPath, target: Path) -> None:
        """Copy `source` to the path `target`; a file that is there already is an error."""
        transfer.fetch(self._run, source, target, bound=self._bound)

    def close(self) -> None:
        """Kill everything inside; return when it is gone, mounts and control groups too."""
        with self._lock:
            self._closed = True
            self._supervisor.close()
            if self._group is not None:  # the supervisor's work, unless it was killed
                self._group.remove()
        self._forget(self)


def _setup(program: str, root: Path, spec: SandboxSpec, *, nested: bool) -> dict[str, object]:
    """The supervisor's first request, without limits."""
    files = generated_files(root, network=spec.network)
    before, after = mount_arguments(root, spec, files)
    return {
        "program": program,
        "before": [*isolation_arguments(spec, nested=nested), *before],
        "files": files,
        "after": after,
        "filter": filter_of_this_machine().hex(),
        "filter_of_commands": filter_of_this_machine(forks=nested).hex(),
        "groups": [],
        "rlimits": {},
    }


def _request(command: Command, *, rights: bool) -> dict[str, object]:
    return {
        "rights": rights,
        "argv": list(command.argv),
        "environment": clean_environment(command.environment),
        "cwd": str(command.cwd),
    }
