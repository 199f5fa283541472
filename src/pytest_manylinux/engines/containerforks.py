"""A fork server that is a container's first process (forks.py is its inside).

A daemon hands no open files over, so requests are lines of the container's input, and the runs'
outputs are its own, between lines with a word of ours that comes with the request: no earlier run can
know it, and what one has left behind in the stream is not taken for a later one's.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence
from types import TracebackType

from pytest_manylinux.engines.api import Completed, Mount, SandboxSpec, Status
from pytest_manylinux.engines.container import HOLDER, ContainerSandbox
from pytest_manylinux.engines.environment import clean_environment
from pytest_manylinux.engines.forkserver import Requests, server_argv
from pytest_manylinux.engines.hijack import STDERR, STDOUT, Frames
from pytest_manylinux.engines.output import BoundedOutput
from pytest_manylinux.errors import SandboxError

_START_TIMEOUT = 60.0
_LAST_LINE = 4096  # bytes, at most
# The shell says that it is there; folders that the daemon made are handed over before it goes on.
_BEGIN = 'mkdir /scratch/home && echo ready && read -r _ && exec /usr/bin/env -i "$@"'


def server_command(interpreter: str, code: str) -> tuple[str, ...]:
    """What the container's first process is: a fork server once it was sent a line."""
    environment = [f"{name}={value}" for name, value in clean_environment({}).items()]
    return (*HOLDER[:2], _BEGIN, "sh", *environment, *server_argv(interpreter, code, "lines"))


class _Stretch(BoundedOutput):
    """What one run put into a stream: all between the two lines with its word."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self._mark = b"\n%s " % word.encode()
        self._begin = self._mark + b"begin\n"
        self._before: bytes | None = b""
        self._last = b""

    def write(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        if self._before is not None:
            _, found, rest = (self._before + data).partition(self._begin)
            if not found:
                self._before = (self._before + data)[-len(self._begin) :]
                return
            self._before, data = None, rest
        super().write(data)
        self._last = (self._last + data)[-_LAST_LINE:]

    def is_complete(self) -> bool:
        """Whether the last line has come."""
        return self._mark in self._last and self._last.endswith(b"\n")

    def split(self) -> tuple[bytes, dict[str, object]]:
        """The run's own bytes, and what the last line says; nothing if there is none."""
        head, found, last = self.value().rpartition(self._mark)
        if not found:
            return self.value(), {}
        try:
            answer = json.loads(last)
        except ValueError:
            answer = None
        return head, answer if isinstance(answer, dict) else {}


class ContainerForkServer:
    """See `engines.api.ForkServer`: a started container whose first process has become the server."""

    def __init__(self, sandbox: ContainerSandbox, requests: Requests, spec: SandboxSpec) -> None:
        self._sandbox = sandbox
        self._requests = requests
        self._closed = False
        try:
            sandbox.tell(b"\n", _START_TIMEOUT)
            sandbox.await_ready(spec.image.name)
        except SandboxError as error:
            self.close()
            what = f"no fork server could be started from image {spec.image.name}"
            raise SandboxError(what, why=error.why) from error
        except BaseException:
            self.close()
            raise

    def run(self, mounts: Sequence[Mount], *, timeout: float) -> Completed:
        """Run the program once; see `engines.api.ForkServer.run`."""
        if self._closed:
            raise SandboxError("the fork server is closed")
        word = secrets.token_hex(16)
        stdout, stderr = _Stretch(word), _Stretch(word)
        started = time.monotonic()
        try:
            with self._requests.next(mounts) as request:
                line = json.dumps({**request, "word": word}).encode() + b"\n"
                in_time = self._ask(line, stdout, stderr, timeout)
        except OSError as error:
            self.close()
            raise SandboxError("an input could not be shown in a sandbox", why=str(error)) from error
        except BaseException:
            self.close()
            raise
        output, answer = stdout.split()
        status, number = self._judge(answer) if in_time else (Status.TIMED_OUT, None)
        return Completed(
            status=status,
            exit_code=number if status is Status.EXITED else None,
            signal=number if status is Status.SIGNALLED else None,
            stdout=output,
            stderr=stderr.split()[0],
            truncated=stdout.truncated or stderr.truncated,
            duration=time.monotonic() - started,
        )

    def _ask(self, line: bytes, stdout: _Stretch, stderr: _Stretch, timeout: float) -> bool:
        """Have one run done; whether it ended in time."""
        frames = Frames({STDOUT: stdout.write, STDERR: stderr.write})
        started = time.monotonic()
        self._sandbox.tell(line, timeout)
        left = timeout - (time.monotonic() - started)
        return self._sandbox.listen(
            frames, left, until=lambda: stdout.is_complete() and stderr.is_complete()
        )

    def _judge(self, answer: dict[str, object]) -> tuple[Status, int | None]:
        match answer:
            case {"exit_code": int(code)}:
                return Status.EXITED, code
            case {"signal": int(number)}:
                return Status.SIGNALLED, number
            case {"failed": str(words)}:
                self.close()
                raise SandboxError("no run could be begun in a fork", why=words)
            case _:
                self.close()
                return Status.LOST, None

    def close(self) -> None:
        """End the container; return when it is gone."""
        self._closed = True
        self._sandbox.close()
        self._requests.remove()

    def __enter__(self) -> ContainerForkServer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
