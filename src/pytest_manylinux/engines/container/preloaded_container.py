"""A fork server that is a container's first process (preloaded_main.py is its inside).

A daemon hands no open files over, so requests are lines of the container's input, and the runs'
outputs are its own, between lines with a word of ours that comes with the request: no earlier run can
know it, and what one has left behind in the stream is not taken for a later one's.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Sequence

from pytest_manylinux.engines.api import Completed, Mount, SandboxSpec, Status
from pytest_manylinux.engines.container.sandbox import ContainerSandbox, first_process
from pytest_manylinux.engines.delimited import RunOutput
from pytest_manylinux.engines.endings import Ending, completed, ending_of
from pytest_manylinux.engines.preloaded import Requests, server_argv
from pytest_manylinux.errors import SandboxError
from pytest_manylinux.host.closeable import Closeable


def server_command(interpreter: str, code: str) -> tuple[str, ...]:
    """What the container's first process is: a fork server once it was sent a line."""
    return first_process(server_argv(interpreter, code, "lines"))


class ContainerForkServer(Closeable):
    """See `engines.api.ForkServer`: a started container whose first process has become the server."""

    def __init__(self, sandbox: ContainerSandbox, requests: Requests, spec: SandboxSpec) -> None:
        self._sandbox = sandbox
        self._requests = requests
        self._closed = False
        try:
            sandbox.become(spec.image.name)
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
        output = RunOutput(word)
        started = time.monotonic()
        try:
            with self._requests.next(mounts) as request:
                line = json.dumps({**request, "word": word}).encode() + b"\n"
                ending, whole = self._ask(line, output, timeout)
        except OSError as error:
            self.close()
            raise SandboxError("an input could not be shown in a sandbox", why=str(error)) from error
        except BaseException:
            self.close()
            raise
        return completed(ending, output.stdout, output.stderr, started=started, whole=whole)

    def _ask(self, line: bytes, output: RunOutput, timeout: float) -> tuple[Ending, bool]:
        """How the run ended, and whether its outputs are whole."""
        deadline = time.monotonic() + timeout
        self._sandbox.tell(line, timeout)
        heard = self._sandbox.listen(output, deadline - time.monotonic())
        if not heard.in_time:
            return (Status.TIMED_OUT, None), heard.whole
        ending = ending_of(output.stdout.answer(), "no run could be begun in a fork")
        if ending[0] is Status.LOST:
            self.close()
        return ending, heard.whole

    def close(self) -> None:
        """End the container; return when it is gone."""
        self._closed = True
        self._sandbox.close()
        self._requests.remove()
