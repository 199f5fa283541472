"""A program that waits in a container of its own for its one run (standing.py is its inside).

What the run is to find is put into a folder of the host that the container shows read-only from its
beginning: hard links where they can be had, copies elsewhere, all readable to the user inside.
"""

from __future__ import annotations

import json
import secrets
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType

from pytest_manylinux.engines.api import Completed, Mount, SandboxSpec, Status
from pytest_manylinux.engines.container import HOLDER, ContainerSandbox
from pytest_manylinux.engines.environment import clean_environment
from pytest_manylinux.engines.forkserver import put
from pytest_manylinux.engines.hijack import STDERR, STDOUT, Frames
from pytest_manylinux.engines.layout import check_mounts
from pytest_manylinux.engines.output import BoundedOutput
from pytest_manylinux.engines.staging import Staging
from pytest_manylinux.errors import SandboxError

INSIDE = Path(__file__).with_name("standing.py")
_START_TIMEOUT = 60.0
_LAST_LINE = 256  # bytes, at most
# The shell says that it is there; folders that the daemon made are handed over before it goes on.
_BEGIN = 'mkdir /scratch/home && echo ready && read -r _ && exec /usr/bin/env -i "$@"'


def standby_command(interpreter: str, code: str) -> tuple[str, ...]:
    """What the container's first process is: ready once it was sent a line."""
    text = INSIDE.read_text(encoding="utf-8")
    environment = [f"{name}={value}" for name, value in clean_environment({}).items()]
    return (*HOLDER[:2], _BEGIN, "sh", *environment, interpreter, "-c", text, code)


class Inbox:
    """The folder of this machine behind the path `target` inside."""

    def __init__(self, folder: Path, target: PurePosixPath, staging: Staging) -> None:
        self.folder = folder
        self.target = target
        self._staging = staging
        folder.chmod(0o755)

    def holds(self, mount: Mount) -> bool:
        """Whether a mount's target lies inside."""
        return self.target in mount.target.parents

    def add(self, mounts: Iterable[Mount]) -> None:
        """Show more files and folders there."""
        mounts = tuple(mounts)
        check_mounts(mounts)
        for mount in mounts:
            if not self.holds(mount):
                raise SandboxError(f"{mount.target} is no place for an input: not in {self.target}")
            place = self.folder / mount.target.relative_to(self.target)
            self._make_folders(place.parent)
            put(self._staging.readable(mount.source.resolve()), place)

    def _make_folders(self, folder: Path) -> None:
        if not folder.exists():
            self._make_folders(folder.parent)
            folder.mkdir()
            folder.chmod(0o755)

    def remove(self) -> None:
        """Take the folder away."""
        shutil.rmtree(self.folder, ignore_errors=True)


class _Told(BoundedOutput):
    """The output, the last line of which tells how the run ended, after a word of our own."""

    def __init__(self) -> None:
        super().__init__()
        self.word = secrets.token_hex(16).encode()
        self._last = b""

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        super().write(data)
        self._last = (self._last + data)[-_LAST_LINE:]

    def is_complete(self) -> bool:
        """Whether the last line has come."""
        return b"\n%s " % self.word in self._last and self._last.endswith(b"\n")

    def ending(self) -> tuple[bytes, Status, int | None]:
        """Split the last line off; LOST if there is none."""
        head, found, last = self.value().rpartition(b"\n%s " % self.word)
        try:
            answer = json.loads(last) if found else {}
        except ValueError:
            answer = {}
        match answer:
            case {"exit_code": int(code)}:
                return head, Status.EXITED, code
            case {"signal": int(number)}:
                return head, Status.SIGNALLED, number
            case _:
                return self.value(), Status.LOST, None


class ContainerStandby:
    """See `engines.api.Standby`: a started container whose first process has become the program."""

    def __init__(self, sandbox: ContainerSandbox, inbox: Inbox, spec: SandboxSpec) -> None:
        self._sandbox = sandbox
        self._inbox = inbox
        self._used = False
        try:
            sandbox.tell(b"\n", _START_TIMEOUT)
            sandbox.await_ready(spec.image.name)
        except BaseException:
            self.close()
            raise

    def run(self, mounts: Sequence[Mount], *, timeout: float) -> Completed:
        """Run the program; see `engines.api.Standby.run`."""
        if self._used:
            raise SandboxError("the program in this sandbox has run already")
        self._used = True
        stdout, stderr = _Told(), BoundedOutput()
        frames = Frames({STDOUT: stdout.write, STDERR: stderr.write})
        started = time.monotonic()
        try:
            self._inbox.add(mounts)
        except OSError as error:
            raise SandboxError("an input could not be shown in a sandbox", why=str(error)) from error
        self._sandbox.tell(stdout.word + b"\n", timeout)
        in_time = self._sandbox.listen(frames, timeout, until=stdout.is_complete)
        output, status, number = (
            stdout.ending() if in_time else (stdout.value(), Status.TIMED_OUT, None)
        )
        return Completed(
            status=status,
            exit_code=number if status is Status.EXITED else None,
            signal=number if status is Status.SIGNALLED else None,
            stdout=output,
            stderr=stderr.value(),
            truncated=stdout.truncated or stderr.truncated,
            duration=time.monotonic() - started,
        )

    def close(self) -> None:
        """End the container; return when it is gone."""
        self._sandbox.close()
        self._inbox.remove()

    def __enter__(self) -> ContainerStandby:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
