"""One running container, and commands in it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import IO

import docker

from pytest_manylinux.engines import transfer
from pytest_manylinux.engines.api import (
    SCRATCH,
    Command,
    Completed,
    OutputListener,
    SandboxSpec,
    Sink,
    Status,
)
from pytest_manylinux.engines.container.attach import (
    STDERR,
    STDOUT,
    Frames,
    Hijacked,
    drain,
    exit_code_of,
    is_whole,
)
from pytest_manylinux.engines.container.connection import speaking_to
from pytest_manylinux.engines.container.leftovers import remove_container
from pytest_manylinux.engines.environment import clean_environment
from pytest_manylinux.engines.output import (
    INCOMPLETE,
    BoundedOutput,
    Ending,
    Heard,
    RunOutput,
    completed,
    tee,
)
from pytest_manylinux.errors import EngineError, SandboxError
from pytest_manylinux.host.shutdown import Closeable

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
_IDLE = 0.2  # seconds without output after which we ask whether the command still runs
_QUIET = 2.0  # the same for a first process, which tells its own end
_LATE = 30.0  # seconds in which the last output of what has ended arrives
_GRACE = 0.5  # seconds in which a container whose processes were killed ends too
_SIGNALS = range(129, 193)  # exit codes that mean 128 + a signal
_SIGKILLED = 137


class ContainerSandbox(Closeable):
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
            self._await_ready(f"no sandbox could be started from image {spec.image.name}")
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

        Raises SandboxError, and is closed then, if it does not come so far.
        """
        try:
            self.tell(b"\n", _START_TIMEOUT)
            self._await_ready(f"no preloaded process could be started from image {name}")
        except BaseException:
            self.close()
            raise

    def _await_ready(self, what: str) -> None:
        """Wait until the first process says `ready`; a SandboxError begins with `what`."""
        said, words = BoundedOutput(), bytearray()
        frames = Frames({STDOUT: tee(said, words.extend), STDERR: words.extend})
        end = time.monotonic() + _START_TIMEOUT
        while not said.value().endswith(b"ready\n"):
            data = self._line.receive(end - time.monotonic()) if self._line else b""
            if not data:
                raise SandboxError(
                    what,
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

    def listen(self, output: RunOutput, timeout: float) -> Heard:
        """Take a run's output from that of the first process, until it is complete or that ends.

        If that was not in time the sandbox is killed, and what was said until then is taken too. If
        one output has come to its end, the other one's is waited for as long as it may be late.
        """
        if self._line is None:
            raise SandboxError("the sandbox is closed")
        deadline = time.monotonic() + timeout
        frames = Frames({STDOUT: output.stdout.write, STDERR: output.stderr.write})
        while not output.has_ended():
            if (remaining := deadline - time.monotonic()) <= 0:
                return Heard(in_time=False, whole=self._kill(self._line, frames))
            data = self._line.receive(min(_QUIET, remaining))
            if data:
                frames.feed(data)
            elif data == b"" or not self._is_running():
                break
        whole = drain(self._line, frames, _LATE, until=output.is_complete)
        return Heard(in_time=True, whole=whole and output.has_ended() == output.is_complete())

    def _kill(self, stream: Hijacked, frames: Frames) -> bool:
        """Kill everything inside, and take what was said until then; whether that is all of it.

        It is read meanwhile: a daemon waits long for a reader that has stopped reading.
        """
        with ThreadPoolExecutor(max_workers=1) as pool:
            ending = pool.submit(self._end)
            whole = drain(stream, frames, _LATE)
            ending.result()
        self.close()
        return whole

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
        if self._exit_code(execution, time.monotonic() + _LATE) != 0:
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
        ending, whole = self._attempt(command, stdin, frames)
        if listener is not None and not whole:
            listener(INCOMPLETE)
        return completed(ending, stdout, stderr, started=started, whole=whole)

    def _attempt(
        self, command: Command, stdin: IO[bytes] | None, frames: Frames
    ) -> tuple[Ending, bool]:
        """How the command ended, and whether its output came whole."""
        if self._closed:
            raise SandboxError("the sandbox is closed")
        deadline = time.monotonic() + command.timeout
        execution, stream = self._start(command, with_input=stdin is not None)
        try:
            # Closed before the container: a daemon waits long for a reader that has stopped reading.
            with contextlib.closing(stream):
                try:
                    if stdin is not None:
                        stream.send(stdin, deadline)
                    whole = self._follow(execution, stream, frames, deadline)
                    return self._ending(execution, deadline), whole
                except TimeoutError:
                    return (Status.TIMED_OUT, None), self._kill(stream, frames)
        except BaseException as error:
            self._note(error)
            self.close()  # the command may still run, and nobody reads it any more
            raise

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

    def _follow(self, execution: str, stream: Hijacked, frames: Frames, deadline: float) -> bool:
        """Take output until the stream ends; whether it is whole. Raises TimeoutError.

        The daemon may know of the command's end well before it has delivered the last output. It ends
        the stream of a command that has ended even if what that left behind holds its outputs open:
        Podman 4.3 at once, Docker 20.10 after two seconds.
        """
        while (remaining := deadline - time.monotonic()) > 0:
            data = stream.receive(min(_IDLE, remaining))
            if data:
                frames.feed(data)
            elif data == b"":
                return is_whole(stream, frames)
            elif not self._runs(execution):
                return drain(stream, frames, _LATE)
        raise TimeoutError

    def _runs(self, execution: str) -> bool:
        try:
            with speaking_to(self._engine, "asking after a command"):
                return bool(self._api.exec_inspect(execution)["Running"])
        except SandboxError:
            return False

    def _ending(self, execution: str, deadline: float) -> Ending:
        """How a command ended whose stream has; raises TimeoutError if it has not by `deadline`."""
        code = self._exit_code(execution, max(deadline, time.monotonic() + _LATE))
        if code is None and self._runs(execution):
            raise TimeoutError
        if code is None or (code == _SIGKILLED and self._is_gone(_GRACE)):
            self.close()
            return Status.LOST, None
        return (Status.SIGNALLED, code - 128) if code in _SIGNALS else (Status.EXITED, code)

    def _exit_code(self, execution: str, deadline: float) -> int | None:
        """The exit code of a command whose stream has ended; None if it was lost, or runs on."""
        try:
            with speaking_to(self._engine, "asking how a command ended"):
                return exit_code_of(
                    lambda: self._api.exec_inspect(execution),
                    deadline,
                    gone=lambda: self._is_gone(0),
                )
        except SandboxError:
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
        self._end()
        if self._line is not None:
            self._line.close()

    def _end(self) -> None:
        """The same, but the first process's last output can still be had."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                if not self._silent:
                    with speaking_to(self._engine, "ending a sandbox"):
                        remove_container(self._api, self._container)
            except EngineError as error:
                self._note(error)
        self._forget(self)


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
