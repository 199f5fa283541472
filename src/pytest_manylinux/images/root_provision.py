"""Provision a root in a folder: a plan's commands, as user 0 of a namespace that sees that root alone.

The user's network, proxies and certificates are there for the commands only: none of them is written
into the root.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from pytest_manylinux.engines.seccomp import no_sync_program
from pytest_manylinux.errors import EngineError, ImageError
from pytest_manylinux.host.shutdown import lifetime
from pytest_manylinux.images.provision import CA_INSIDE, Network, ProvisionPlan, command_failed
from pytest_manylinux.images.user_namespace import (
    TRIES,
    Ids,
    InsideRequest,
    ids_here,
    lost_a_mount,
    running_inside,
)

_SILENCE = 900.0
"""Seconds without a word after which an installation counts as hung."""
_LOOK_UP = 0.5
_SIGNALS = range(129, 193)
_KEPT_BYTES = 1 << 20
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
RESOLVING = ("resolv.conf", "hosts")
# apt drops its rights to a user of the image's, whom a namespace with one id does not have.
_APT_ALONE = 'APT::Sandbox::User "root";\n'


@dataclass(frozen=True, kw_only=True)
class Provisioning:
    """Runs the commands of one plan in `root`; `scratch` is a folder of ours that is made.

    With `overlay` (`laid_out`), `root` is what that shows, and `scratch` is in its folder.
    """

    root: Path
    scratch: Path
    plan: ProvisionPlan
    network: Network = field(default_factory=Network)
    environment: tuple[tuple[str, str], ...] = ()
    title: str
    overlay: Path | None = None

    def run(self, command: tuple[str, ...], log: IO[bytes]) -> str:
        """Run one command; gives the end of its output, all of which goes to `log` too.

        Raises CommandFailedError, ImageError.
        """
        request = InsideRequest(
            argv=command,
            view=tuple(self._view()),
            environment=self._environment(),
            network=True,
            filter=_without_fsync(),
            overlay=self.overlay,
        )
        code, output = 0, ""
        for _ in range(TRIES):
            with running_inside(request, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
                output = self._follow(process, log)
                code = process.wait()
            if not lost_a_mount(code, output):
                break
        if code != 0:
            raise command_failed(self.title, command, code, output)
        return output

    def _view(self) -> Iterator[str]:
        yield from ("--bind", str(self.root), "/", "--proc", "/proc", "--dev", "/dev")
        yield from ("--perms", "1777", "--tmpfs", "/tmp")  # noqa: S108 - the namespace's own
        yield from ("--bind", str(self._memory), "/dev/shm", "--chdir", "/")  # noqa: S108 - the same
        for name in RESOLVING:
            yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
        if self.network.ca_bundle is not None:
            yield from ("--ro-bind", str(self.network.ca_bundle.resolve()), CA_INSIDE)

    @property
    def _memory(self) -> Path:
        folder = self.scratch / "shm"
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o1777)
            (folder / "apt.conf").write_text(_APT_ALONE)
        return folder

    def _environment(self) -> dict[str, str]:
        alone = {"APT_CONFIG": "/dev/shm/apt.conf"} if ids_here() is Ids.ONE else {}  # noqa: S108
        own = dict(self.environment)
        return {
            "PATH": _PATH,
            "HOME": "/root",
            "LC_ALL": "C.UTF-8",
            **own,
            **alone,
            **self.plan.environment,
        }

    def _follow(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> str:
        """The last of a command's output, when it has ended; raises ImageError after a long silence."""
        kept, waited = bytearray(), 0.0
        if process.stdout is None:
            return ""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while waited < _SILENCE:
                lifetime().check()
                if not selector.select(_LOOK_UP):
                    waited += _LOOK_UP
                    continue
                chunk, waited = os.read(process.stdout.fileno(), 1 << 16), 0.0
                if not chunk:
                    return kept.decode("utf-8", "replace")
                log.write(chunk)
                kept.extend(chunk)
                del kept[:-_KEPT_BYTES]
        raise ImageError(
            f"{self.title}: installing Python hung: not a word for {_SILENCE:.0f} s",
            remedy="see whether the image's package mirrors answer, then run it again",
        )


def _without_fsync() -> bytes:
    """Slower, but no different, without libseccomp."""
    try:
        return no_sync_program()
    except EngineError:
        return b""


@contextlib.contextmanager
def resolving(root: Path, upper: Path | None = None) -> Iterator[None]:
    """Have plain files in `root` that this machine's settings of names can be mounted on, for now.

    An image may have a link there that leads nowhere, or nothing; that is put back in the end. With
    `upper`, the folder that is laid over `root`, they are made there. Nothing here follows a link of
    the image's.
    """
    try:
        below = os.open(root / "etc", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        yield
        return
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, below)
        before = {name: _link(below, name) for name in RESOLVING if not _is_plain(below, name)}
        etc = below if upper is None else _same_folder(root / "etc", upper / "etc", stack)
        for name in before:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=etc)
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644, dir_fd=etc))
        yield
        for name, link in before.items():
            if _is_plain(etc, name) and not os.stat(name, dir_fd=etc, follow_symlinks=False).st_size:
                os.unlink(name, dir_fd=etc)
                if link and upper is None:
                    os.symlink(link, name, dir_fd=etc)


def _same_folder(model: Path, folder: Path, stack: contextlib.ExitStack) -> int:
    """A new folder with the rights of another; gives it opened until the end of `stack`."""
    folder.mkdir()
    shutil.copystat(model, folder)
    if os.geteuid() == 0:
        status = model.stat()
        os.chown(folder, status.st_uid, status.st_gid)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    stack.callback(os.close, descriptor)
    return descriptor


def _is_plain(folder: int, name: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _link(folder: int, name: str) -> str:
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:
        return ""


def signal_of_true(root: Path) -> int:
    """The signal that ends `/bin/true` of a root, 0 if none does. Raises ImageError."""
    view = ("--ro-bind", str(root), "/", "--chdir", "/")
    request = InsideRequest(argv=("/bin/true",), view=view)
    with running_inside(request, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        code = process.wait()
    return code - 128 if code in _SIGNALS else 0  # what bubblewrap makes of a signal (bwrap(1))
