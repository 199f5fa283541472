"""Trials in fork servers that have the distro's pip imported: what is the same is not done again.

Where none can be started, but a program can wait in a sandbox of its own, it is one of those
(standbys.py).

Anything odd there (a server that does not start or is lost, a run that does not end by itself) gives
no answer at all, and the trial is done in a sandbox of its own. So is what a fork server is not for: a
trial with a network or with other limits than the usual, a wheel that replaces what the venv was
seeded with.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from pytest_manylinux.engines.api import (
    Completed,
    Engine,
    ForkingEngine,
    ForkServer,
    Limits,
    Mount,
    SandboxSpec,
    Standby,
    StandbyEngine,
)
from pytest_manylinux.errors import ManylinuxError, SandboxError
from pytest_manylinux.host.tempdirs import temporary_folder
from pytest_manylinux.trials.request import GRACE, INPUTS, LIBRARY, REQUEST, Errand, library_mounts
from pytest_manylinux.trials.standby_pool import Standbys

_CODE = (
    f"import sys; sys.path.insert(1, {str(LIBRARY)!r}); "
    f"from pytest_manylinux.trials.inside.preload_pip import prepare; "
    f"work = prepare({str(LIBRARY)!r}, {str(REQUEST)!r})"
)
_LAYOUT = LIBRARY / "venv.json"
_KEPT = 8  # servers at rest; each is some 40 MB of memory

_Key: TypeAlias = tuple[str, str]


@dataclass(slots=True)
class _Shelf:
    """Servers at rest by image and interpreter, the longest at rest first; keys that had trouble."""

    servers: list[tuple[_Key, ForkServer]] = field(default_factory=list)
    troubled: set[_Key] = field(default_factory=set)
    closed: bool = False


class WarmTrials:
    """Fork servers or standbys of one engine. Thread-safe: a server does one trial at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine if isinstance(engine, ForkingEngine) else None
        self._waiting = engine if isinstance(engine, StandbyEngine) else None
        self._standbys = Standbys()
        self._shelf = _Shelf()
        self._lock = threading.Lock()

    def attempt(self, errand: Errand, more: int = 0) -> Completed | None:
        """How the agent ended, if it came to its end in a fork server; None: do it the long way.

        `more` is how many trials in the same image's venv are known to come. Raises SandboxError once
        this is closed: then nothing is to be begun any more.
        """
        key = (errand.image.digest, errand.interpreter.executable)
        if not _is_plain(errand):
            return None
        if self._engine is not None and key not in self._shelf.troubled:
            completed = self._fork(key, errand, self._engine)
            if completed is not None or key not in self._shelf.troubled:
                return completed
        if (engine := self._waiting) is not None:
            return self._standbys.attempt(
                key, lambda: _stand_by(errand, engine), lambda one: _run(one, errand), more
            )
        return None

    def _fork(self, key: _Key, errand: Errand, engine: ForkingEngine) -> Completed | None:
        try:
            server = self._take(key, errand, engine)
        except (ManylinuxError, OSError):
            self._check_open()
            self._shelf.troubled.add(key)
            return None
        if server is None:
            return None
        completed = _run(server, errand)
        if completed is None or not completed.ok:
            server.close()
            self._check_open()
            return None
        self._put(key, server)
        return completed

    def _take(self, key: _Key, errand: Errand, engine: ForkingEngine) -> ForkServer | None:
        with self._lock:
            self._check_open()
            if key in self._shelf.troubled:
                return None
            for position in reversed(range(len(self._shelf.servers))):
                if self._shelf.servers[position][0] == key:
                    return self._shelf.servers.pop(position)[1]
        return _start(errand, engine)

    def _check_open(self) -> None:
        if self._shelf.closed:
            raise SandboxError("the trial was cut short", why="the run has ended")

    def _put(self, key: _Key, server: ForkServer) -> None:
        with self._lock:
            self._shelf.servers.append((key, server))
            most = 0 if self._shelf.closed else _KEPT
            over = [self._shelf.servers.pop(0) for _ in range(len(self._shelf.servers) - most)]
        for _, old in over:
            old.close()

    def close(self) -> None:
        """End all servers at rest; those at work end with their trials, and none is started then."""
        with self._lock:
            self._shelf.closed = True
            servers, self._shelf.servers = self._shelf.servers, []
        self._standbys.close()
        for _, server in servers:
            server.close()


def _is_plain(errand: Errand) -> bool:
    """Whether nothing but its inputs makes an errand differ from others in the same venv."""
    return (
        not errand.network
        and not errand.environment
        and errand.limits == Limits()
        and errand.venv.layout.seeded.isdisjoint(errand.replaced)
    )


def _start(errand: Errand, engine: ForkingEngine) -> ForkServer:
    spec = _spec(errand, "fork server")
    return engine.fork_server(spec, errand.interpreter.executable, _CODE)


def _stand_by(errand: Errand, engine: StandbyEngine) -> Standby:
    spec = _spec(errand, "standby")
    return engine.standby(spec, errand.interpreter.executable, _CODE, INPUTS)


def _spec(errand: Errand, what: str) -> SandboxSpec:
    layout = Mount(source=errand.venv.record, target=_LAYOUT)
    return SandboxSpec(
        image=errand.image,
        mounts=(*errand.venv.mounts(), *library_mounts(), layout),
        label=f"{what} for trials on {errand.image.name}",
    )


def _run(server: ForkServer | Standby, errand: Errand) -> Completed | None:
    with contextlib.suppress(ManylinuxError, OSError), _inputs(errand) as mounts:
        return server.run(mounts, timeout=errand.request.timeout + GRACE)
    return None


@contextlib.contextmanager
def _inputs(errand: Errand) -> Iterator[tuple[Mount, ...]]:
    with temporary_folder() as folder:
        request = folder / REQUEST.name
        request.write_bytes(msgspec.json.encode(errand.request))
        yield (*errand.mounts, Mount(source=request, target=REQUEST))
