"""A program that waits in a container of its own for its one run (standby_main.py is its inside).

What the run is to find is put into a folder of the host that the container shows read-only from its
beginning: hard links where they can be had, copies elsewhere, all readable to the user inside.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from pytest_manylinux.engines.api import Completed, Mount, SandboxSpec, Status
from pytest_manylinux.engines.bubblewrap.mounts import check_mounts
from pytest_manylinux.engines.container.sandbox import ContainerSandbox, first_process
from pytest_manylinux.engines.delimited import RunOutput
from pytest_manylinux.engines.endings import completed, ending_of
from pytest_manylinux.engines.preloaded import put
from pytest_manylinux.errors import SandboxError
from pytest_manylinux.host.closeable import Closeable
from pytest_manylinux.host.staged_files import Staging

INSIDE = Path(__file__).parents[1] / "inside" / "standby_main.py"


def standby_command(interpreter: str, code: str) -> tuple[str, ...]:
    """What the container's first process is: ready once it was sent a line."""
    return first_process((interpreter, "-c", INSIDE.read_text(encoding="utf-8"), code))


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


class ContainerStandby(Closeable):
    """See `engines.api.Standby`: a started container whose first process has become the program."""

    def __init__(self, sandbox: ContainerSandbox, inbox: Inbox, spec: SandboxSpec) -> None:
        self._sandbox = sandbox
        self._inbox = inbox
        self._used = False
        try:
            sandbox.become(spec.image.name)
        except BaseException:
            self.close()
            raise

    def run(self, mounts: Sequence[Mount], *, timeout: float) -> Completed:
        """Run the program; see `engines.api.Standby.run`."""
        if self._used:
            raise SandboxError("the program in this sandbox has run already")
        self._used = True
        word = secrets.token_hex(16)
        output = RunOutput(word)
        started = time.monotonic()
        try:
            self._inbox.add(mounts)
        except OSError as error:
            raise SandboxError("an input could not be shown in a sandbox", why=str(error)) from error
        self._sandbox.tell(word.encode() + b"\n", timeout)
        heard = self._sandbox.listen(output, timeout)
        ending = ending_of(output.stdout.answer(), "no run could be begun")
        return completed(
            ending if heard.in_time else (Status.TIMED_OUT, None),
            output.stdout,
            output.stderr,
            started=started,
            whole=heard.whole,
        )

    def close(self) -> None:
        """End the container; return when it is gone."""
        self._sandbox.close()
        self._inbox.remove()
