"""One running container, and commands in it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

import docker
from docker.errors import APIError, NotFound

from pytest_manylinux.closing import Closing
from pytest_manylinux.engines import transfer
from pytest_manylinux.engines.api import (
    SCRATCH,
    Command,
    Completed,
    OutputListener,
    SandboxSpec,
    Status,
)
from pytest_manylinux.engines.daemons import speaking_to
from pytest_manylinux.engines.endings import Ending, completed
from pytest_manylinux.engines.environment import clean_environment
from pytest_manylinux.engines.hijack import STDERR, STDOUT, Frames, Hijacked
from pytest_manylinux.engines.output import BoundedOutput, Sink, tee
from pytest_manylinux.errors import EngineError, SandboxError

# The shell reaps what is left behind; it ends, and the container with it, when `cat` does: at the
# end of its input, which is our connection.
HOLDER = (
    "/bin/sh",
    "-c",
    "mkdir /scratch/home && echo ready; exec 3<&0; cat <&3 >/dev/null 2>&1 & wait",
)
# The same for a program that becomes the first process; folders that the daemon made are handed over
# before it is told to go on.
_PROGRAM = 'mkdir /scratch/home && echo ready && read -r _ && exec /usr/bin/env -i "$@"'
_WRITABLE = frozenset({SCRATCH, PurePosixPath("/tmp")})  # noqa: S108 - the sandbox's own
_START_TIMEOUT = 60.0
_END_TIMEOUT = 30.0
_IDLE = 0.2  # seconds without output after which we ask whether the command still runs
_QUIET = 2.0  # the same for a first process, which tells its own end
_SETTLE = 1.0  # seconds in which the last output of a command arrives
_GRACE = 0.5  # seconds in which a container whose processes were killed ends too
_SIGNALS = range(129, 193)  # exit codes that mean 128 + a signal
_SIGKILLED = 137


class ContainerSandbox(Closing):
    """A started container whose first process reads from a connection of ours."""

    def __init__(
        self,
        engine: str,
        client: docker.DockerClient,
        container: str,
        spec: SandboxSpec,
        *,
        forget: Callable[[ContainerSandbox], None],
        gave_up: Callable[[EngineError], None] = lambda _: None,
    ) -> None:
        self._engine = engine
        self._api = client.api
        self._container = container
        self._bound = spec.limits.scratch
        self._forget = forget
        self._gave_up = gave_up
        self._silent = False
        self._lock = threading.Lock()
        self._closed = False
        self._line: Hijacked | None = None
        try:
            parameters = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            self._line = Hijacked(self._api.attach_socket(container, params=parameters))
            self._api.start(container)
            self.await_ready(spec.image.name)
            self._hand_over(folders_above(spec))
        except BaseException as error:
            self._note(error)
            self.close()
            raise

    def _note(self, error: BaseException) -> None:
        """If the daemon does not answer any more, nor is it asked to remove the container.

        That ends with our connection, as soon as the daemon goes on.
        """
        if isinstance(error, EngineError) and not isinstance(error, SandboxError):
            self._silent = True
            self._gave_up(error)

    def become(self, name: str) -> None:
        """Have the `first_process` begin, and wait until it is `ready`; `name` is the image's.

        Raises SandboxError if it does not come so far.
        """
        self.tell(b"\n", _START_TIMEOUT)
        self.await_ready(name)

    def await_ready(self, name: str) -> None:
        """Wait until the first process says `ready`; raises SandboxError if it does not."""
        words = bytearray()
        frames = Frames({STDOUT: words.extend, STDERR: words.extend})
        end = time.monotonic() + _START_TIMEOUT
        while not words.endswith(b"ready\n"):
            data = self._line.receive(end - time.monotonic()) if self._line else b""
            if not data:
                raise SandboxError(
                    f"no sandbox could be started from image {name}",
                    why=words.decode(errors="replace").strip() or "its first process ended at once",
                )
            frames.feed(data)

    def tell(self, content: bytes, timeout: float) -> None:
        """Write to the first process's standard input; raises SandboxError if it cannot be had."""
        try:
            if self._line is None or self._closed:
                raise SandboxError("the sandbox is closed")
            self._line.write(content, time.monotonic() + timeout)
        except OSError as error:
            raise SandboxError("the sandbox has ended", why=str(error)) from error

    def listen(self, frames: Frames, timeout: float, *, until: Callable[[], bool]) -> bool:
        """Take the first process's output until `until` says so, or it ends.

        Whether that was in time; else the sandbox is killed.
        """
        deadline = time.monotonic() + timeout
        while self._line is not None and not until():
            remaining = deadline - time.monotonic()
            data = self._line.receive(min(_QUIET, remaining))
            if data:
                frames.feed(data)
            elif data == b"" or (remaining > 0 and not self._is_running()):
                break
            elif remaining <= 0:
                self.close()
                return False
        return True

    def _is_running(self) -> bool:
        """Ask the daemon; raises EngineError if that keeps silent."""
        try:
            with speaking_to(self._engine, "asking after a sandbox"):
                return bool(self._api.inspect_container(self._container)["State"]["Running"])
        except SandboxError:
            return False
        except EngineError as error:
            self._note(error)
            self.close()
            raise

    def _hand_over(self, folders: Sequence[PurePosixPath]) -> None:
        """Let the sandbox's user write to folders that the daemon made, as its own superuser."""
        if not folders:
            return
        with speaking_to(self._engine, "preparing a sandbox"):
            words = ["chmod", "0777", *map(str, folders)]
            execution = self._api.exec_create(self._container, words, user="0")["Id"]
            said = self._api.exec_start(execution)
            done = self._api.exec_inspect(execution)["ExitCode"] == 0
        if not done:
            raise SandboxError(
                "folders above mounts could not be made writable", why=said.decode(errors="replace")
            )

    def exec(self, command: Command, *, listener: OutputListener | None = None) -> Completed:
        """Run a command; keeps up to 8 MiB each of stdout and stderr (output.BOUND).

        The API tells a signal as exit code 128 + n, so that a command which exits with such a code
        of its own accord counts as signalled.
        """
        return self._run(command, listener=listener)

    def _run(
        self,
        command: Command,
        stdin: IO[bytes] | None = None,
        sink: Sink | None = None,
        listener: OutputListener | None = None,
    ) -> Completed:
        stdout, stderr = BoundedOutput(), BoundedOutput()
        frames = Frames({STDOUT: sink or tee(stdout, listener), STDERR: tee(stderr, listener)})
        started = time.monotonic()
        ending = self._attempt(command, stdin, frames)
        return completed(ending, stdout, stderr, started=started)

    def _attempt(self, command: Command, stdin: IO[bytes] | None, frames: Frames) -> Ending:
        if self._closed:
            raise SandboxError("the sandbox is closed")
        deadline = time.monotonic() + command.timeout
        execution, stream = self._start(command, with_input=stdin is not None)
        try:
            # Closed before the container: a daemon waits long for a reader that has stopped reading.
            with contextlib.closing(stream):
                if stdin is not None:
                    stream.send(stdin, deadline)
                self._follow(execution, stream, frames, deadline)
        except TimeoutError:
            self.close()
            return Status.TIMED_OUT, None
        except BaseException as error:
            self._note(error)
            self.close()  # the command may still run, and nobody reads it any more
            raise
        return self._ending(execution)

    def _start(self, command: Command, *, with_input: bool) -> tuple[str, Hijacked]:
        values = clean_environment(command.environment)
        environment = [f"{name}={value}" for name, value in values.items()]
        with speaking_to(self._engine, f"running {command.argv[0]}"):
            execution = self._api.exec_create(
                self._container,
                ["/usr/bin/env", "-i", *environment, *command.argv],
                stdin=with_input,
                workdir=str(command.cwd),
            )["Id"]
            return execution, Hijacked(self._api.exec_start(execution, socket=True))

    def _follow(self, execution: str, stream: Hijacked, frames: Frames, deadline: float) -> None:
        """Take output until the command ends. What it left behind may hold the stream open."""
        ended = False
        while (remaining := deadline - time.monotonic()) > 0:
            data = stream.receive(min(_IDLE, remaining))
            if data:
                frames.feed(data)
            elif data == b"" or ended:
                return
            elif not self._runs(execution):
                ended, deadline = True, min(deadline, time.monotonic() + _SETTLE)
        if not ended:
            raise TimeoutError

    def _runs(self, execution: str) -> bool:
        try:
            with speaking_to(self._engine, "asking after a command"):
                return bool(self._api.exec_inspect(execution)["Running"])
        except SandboxError:
            return False

    def _ending(self, execution: str) -> Ending:
        code = self._exit_code(execution)
        if code is None or (code == _SIGKILLED and self._is_gone(_GRACE)):
            self.close()
            return Status.LOST, None
        return (Status.SIGNALLED, code - 128) if code in _SIGNALS else (Status.EXITED, code)

    def _exit_code(self, execution: str) -> int | None:
        """The exit code, which the daemon may learn a little after the stream's end; None: lost."""
        end = time.monotonic() + _END_TIMEOUT
        while time.monotonic() < end:
            try:
                with speaking_to(self._engine, "asking how a command ended"):
                    facts = self._api.exec_inspect(execution)
            except SandboxError:
                return None
            if not facts["Running"] and facts["ExitCode"] is not None:
                return int(facts["ExitCode"])
            if self._is_gone(0.02):
                return None
        return None

    def _is_gone(self, seconds: float) -> bool:
        return self._line is None or self._line.receive(seconds) == b""

    def copy_in(self, source: Path, target: PurePosixPath) -> None:
        """Copy `source` to the path `target`; a folder is merged into one that is there."""
        transfer.send(self._run, source, target)

    def copy_out(self, source: PurePosixPath, target: Path) -> None:
        """Copy `source` to the path `target`; a file that is there already is an error."""
        transfer.fetch(self._run, source, target, bound=self._bound)

    def close(self) -> None:
        """Kill everything inside; return when the container is removed, or the daemon is gone."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                if not self._silent:
                    with speaking_to(self._engine, "ending a sandbox"):
                        self._remove()
            except EngineError as error:
                self._note(error)
            if self._line is not None:
                self._line.close()
        self._forget(self)

    def _remove(self) -> None:
        end = time.monotonic() + _END_TIMEOUT
        while time.monotonic() < end:
            try:
                self._api.remove_container(self._container, force=True, v=True)
            except NotFound:
                return
            except APIError as error:
                if error.status_code != 409:  # its removal is under way  # noqa: PLR2004
                    raise
                time.sleep(0.02)


def first_process(argv: Sequence[str]) -> tuple[str, ...]:
    """The command of a container whose first process is to be a program; see `become`."""
    environment = [f"{name}={value}" for name, value in clean_environment({}).items()]
    return (*HOLDER[:2], _PROGRAM, "sh", *environment, *argv)


def folders_above(spec: SandboxSpec) -> tuple[PurePosixPath, ...]:
    """The folders of the writable places that mounts are in, outermost first.

    A daemon makes them for itself. What is inside of a mount is not named.
    """
    targets = {mount.target for mount in spec.mounts} | {cache.target for cache in spec.caches}
    above = {folder for target in targets for folder in target.parents if folder not in _WRITABLE}
    ours = [
        folder
        for folder in above
        if targets.isdisjoint((folder, *folder.parents)) and not _WRITABLE.isdisjoint(folder.parents)
    ]
    return tuple(sorted(ours))
