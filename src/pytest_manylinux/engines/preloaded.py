"""A preloaded process: a program that has made itself ready in a sandbox, and runs in forks of itself.

The one outside of inside/preloaded_main.py, on every engine. Requests are lines of the program's input,
and the runs' outputs are its own, between lines with a word of ours that comes with the request: no
earlier run can know it, and what one has left behind in the stream is not taken for a later one's.

What a run is to find is put into a folder of the host that the sandbox shows read-only from its
beginning: by hard links where that is possible, else copied.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from pytest_manylinux.engines.api import (
    INBOX,
    SCRATCH,
    Completed,
    Limits,
    Mount,
    SandboxSpec,
    Status,
)
from pytest_manylinux.engines.environment import READ_ONLY_PROC, SHARED_MEMORY, USER, check_mounts
from pytest_manylinux.engines.output import Ending, Heard, RunOutput, completed, ending_of
from pytest_manylinux.engines.seccomp import filter_of_this_machine
from pytest_manylinux.errors import SandboxError
from pytest_manylinux.host.shutdown import Closeable

INSIDE = Path(__file__).parent / "inside" / "preloaded_main.py"
# Nothing that is imported is garbage: looking for some would take a tenth of the time.
_START = """
import gc, sys
gc.disable()
names = {}
exec(sys.argv[1], names)
exec(sys.argv[2])
main(names["work"])
"""
_OF_SHELLS = ("PWD", "OLDPWD", "SHLVL", "_")
_TMP = PurePosixPath("/tmp")  # noqa: S108 - the sandbox's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """What the process inside does for each run; the rest is given from outside, by its own sandbox.

    `superuser`: at its start it enters a user namespace as its superuser, having no rights otherwise.
    `namespaces`: mount, process, network, IPC and host-name namespaces, with the run's mounts; without
    them a run is in the process's own sandbox, and there can be only one. `user`: a user namespace in
    which the run has this id. `drop_rights`: capabilities, and ways to new ones. `terminals`: a devpts;
    without, a run has its sandbox's, read-only. `system_calls`: a filter for the kernel, in
    hexadecimal.
    """

    superuser: bool = False
    namespaces: bool = False
    user: int | None = None
    drop_rights: bool = False
    terminals: bool = True
    system_calls: str = ""


def isolation_of_runs(
    max_runs: int | None, *, superuser: bool = False, emulated: bool = False
) -> Isolation:
    """All of it where there may be more runs than one; nothing for a single run.

    An `emulated` process can make neither user namespaces, since the emulator has a second thread in
    it, nor filters. It is in a user namespace already in which it has a run's id, and rights; and under
    a filter. A devpts wants an id 0, which there is none of.
    """
    if max_runs == 1:
        return Isolation()
    if emulated:
        return Isolation(namespaces=True, drop_rights=True, terminals=False)
    return Isolation(
        superuser=superuser,
        namespaces=True,
        user=USER,
        drop_rights=True,
        system_calls=filter_of_this_machine().hex(),
    )


def preloaded_argv(
    interpreter: str, code: str, limits: Limits, isolation: Isolation, max_runs: int | None
) -> tuple[str, ...]:
    """What starts the inside; it is ready when its standard output says `ready` and a line's end.

    The owner's code comes first: it may start again as another interpreter, which then begins anew.
    """
    settings = {
        "max_runs": max_runs,
        "cwd": str(SCRATCH),
        "isolation": asdict(isolation),
        "surroundings": {
            "writable": list(_writable(limits)),
            "folders": [str(SCRATCH / "home")],
            "read_only": [f"/proc/{name}" for name in READ_ONLY_PROC],
        },
    }
    inside = INSIDE.read_text(encoding="utf-8")
    return (interpreter, "-c", _START, code, inside, json.dumps(settings))


def after(setup: str, argv: tuple[str, ...]) -> tuple[str, ...]:
    """A command that runs a shell script, if it is not empty, and then goes on as `argv`.

    What shells add to the environment is taken out again: dash the first, bash all of it.
    """
    words = " ".join(f"-u {name}" for name in _OF_SHELLS)
    go_on = f'exec /usr/bin/env {words} "$0" "$@"'
    return ("/bin/sh", "-c", f"{setup} && {go_on}", *argv) if setup else argv


def _writable(limits: Limits) -> Iterator[tuple[str, str]]:
    """The same folders as in any sandbox (bubblewrap/mounts.py)."""
    yield str(_TMP), f"size={limits.scratch // 2},mode=1777"
    yield str(SCRATCH), f"size={limits.scratch // 2},mode=0755"
    yield "/dev/shm", f"size={SHARED_MEMORY},mode=1777"  # noqa: S108 - the sandbox's own


class Inputs:
    """The folder of the host with what runs are to find; `mounts` are those of the process's sandbox.

    A single run finds its inputs where they are put, in the inbox. Others have mounts of their own: a
    run's inputs lie in a folder that no other run sees, and are bound where they belong.
    `readable` gives another path for a file that the user inside may not read.
    """

    def __init__(
        self,
        spec: SandboxSpec,
        folder: Path,
        *,
        inbox: PurePosixPath | None,
        readable: Callable[[Path], Path] = lambda source: source,
    ) -> None:
        self._folder = folder
        self._inbox = inbox
        self._readable = readable
        self._serial = itertools.count()
        self._carried = [mount.target for mount in spec.mounts if _is_hidden(mount.target)]
        folder.chmod(0o755)
        inside = [mount for mount in spec.mounts if inbox in mount.target.parents]
        others = [mount for mount in spec.mounts if mount not in inside]
        self.mounts = (*others, Mount(source=folder, target=inbox or INBOX))
        self._put_in_place(inside)

    @contextlib.contextmanager
    def shown(self, mounts: Sequence[Mount]) -> Iterator[list[tuple[str, str]]]:
        """Put in a run's inputs; give what it has to bind: paths in the process's sandbox, its own."""
        if self._inbox is not None:
            self._put_in_place(mounts)
            yield []
            return
        check_mounts(mounts)
        folder = self._folder / str(next(self._serial))
        binds = [(str(target), str(target)) for target in self._carried]
        self._make(folder)
        try:
            for number, mount in enumerate(mounts):
                self._put(mount.source, folder / str(number))
                binds.append((str(INBOX / folder.name / str(number)), str(mount.target)))
            yield sorted(binds, key=lambda bind: len(PurePosixPath(bind[1]).parts))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _put_in_place(self, mounts: Sequence[Mount]) -> None:
        check_mounts(mounts)
        for mount in mounts:
            if self._inbox is None or self._inbox not in mount.target.parents:
                raise SandboxError(f"{mount.target} is no place for an input: not in {self._inbox}")
            place = self._folder / mount.target.relative_to(self._inbox)
            self._make(place.parent)
            self._put(mount.source, place)

    def _make(self, folder: Path) -> None:
        if not folder.exists():
            self._make(folder.parent)
            folder.mkdir()
            folder.chmod(0o755)

    def _put(self, source: Path, place: Path) -> None:
        source = self._readable(source.resolve())
        if source.is_dir():
            shutil.copytree(source, place, copy_function=_link, symlinks=True)
        else:
            _link(source, place)

    def remove(self) -> None:
        """Take the folder away."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _is_hidden(target: PurePosixPath) -> bool:
    """Whether a mount of the process's lies where each run gets an empty folder."""
    return any(folder in target.parents for folder in (_TMP, SCRATCH))


def _link(source: str | Path, target: str | Path, *, follow_symlinks: bool = True) -> None:
    try:
        os.link(source, target, follow_symlinks=follow_symlinks)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=follow_symlinks)


class RunningProgram(Protocol):
    """The inside, ready, in a sandbox that lives as long as it does; each engine has one."""

    def tell(self, content: bytes, timeout: float) -> None:
        """Write to its standard input; raises SandboxError if that is not possible."""

    def listen(self, output: RunOutput, timeout: float) -> Heard:
        """Take a run's output until it is complete, or the program has ended, or `timeout` is over."""

    def close(self) -> None:
        """End it with its sandbox, and return when all is gone. May be called twice."""


class PreloadedProcess(Closeable):
    """See `engines.api.Preloaded`."""

    def __init__(self, program: RunningProgram, inputs: Inputs, *, max_runs: int | None) -> None:
        self._program = program
        self._inputs = inputs
        self._left = max_runs
        self._closed = False

    def run(self, mounts: Sequence[Mount], *, timeout: float) -> Completed:
        """Run the program once; see `engines.api.Preloaded.run`."""
        if self._closed:
            raise SandboxError("the preloaded process is closed")
        if self._left is not None:
            if self._left == 0:
                raise SandboxError("the preloaded process has run already, as often as it may")
            self._left -= 1
        word = secrets.token_hex(16)
        output = RunOutput(word)
        started = time.monotonic()
        try:
            with self._inputs.shown(mounts) as binds:
                request = json.dumps({"word": word, "binds": binds}).encode()
                self._program.tell(request + b"\n", timeout)
                heard = self._program.listen(output, started + timeout - time.monotonic())
            ending: Ending = (Status.TIMED_OUT, None)
            if heard.in_time:
                ending = ending_of(output.stdout.answer(), "no run could be started in a fork")
        except OSError as error:
            self.close()
            raise SandboxError("an input could not be shown in a sandbox", why=str(error)) from error
        except BaseException:
            self.close()
            raise
        if ending[0] in {Status.LOST, Status.TIMED_OUT}:
            self.close()
        return completed(ending, output.stdout, output.stderr, started=started, whole=heard.whole)

    def close(self) -> None:
        """End the process and everything in its sandbox; return when it is gone."""
        self._closed = True
        self._program.close()
        self._inputs.remove()
