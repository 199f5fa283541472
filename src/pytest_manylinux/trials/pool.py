"""Trials in preloaded processes: the distro's pip is imported already, and not once a trial.

Where none can be started that runs more than once, each trial has one of its own, started while other
trials run: so many are kept waiting for an image as trials on it are known to come, within bounds.

Anything odd there (a process that does not start or is lost, a run that does not end by itself) gives
no answer at all, and the trial is done in a sandbox of its own. So is what a preloaded process is not
for: a trial with a network or with other limits than the usual, a wheel that replaces what the venv was
seeded with. A project's own tests may take all that there is and leave anything behind: they have a
process that ends with them, in a sandbox with their limits, and however that ends is the answer.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from os import cpu_count
from typing import NamedTuple

import msgspec

from pytest_manylinux.engines.api import (
    Completed,
    Engine,
    Limits,
    Mount,
    Preloaded,
    PreloadingEngine,
    SandboxSpec,
)
from pytest_manylinux.errors import ManylinuxError, SandboxError
from pytest_manylinux.host.architecture import emulation_of
from pytest_manylinux.host.tempdirs import temporary_folder
from pytest_manylinux.trials.request import (
    GRACE,
    INPUTS,
    LIBRARY,
    OFFLINE,
    QUIET,
    REQUEST,
    VENV,
    Errand,
    library_mounts,
    whole_time,
)

# Not among the inputs, which are linked where that is possible: the cache's seal would not hold.
_LAYOUT, _SMALL = INPUTS.with_name("venv.json"), INPUTS.with_name("venv")
# By the distro's own `cp`: a Python that lays the venv out and starts again as its own takes 20 ms.
_SETUP = f"cp -RP {_SMALL}/. {VENV}"
_PYTHON = str(VENV / "bin/python")
_CODE = (
    f"import sys; sys.path.insert(1, {str(LIBRARY)!r}); "
    f"from pytest_manylinux.trials.inside.c_library import use_allocator; use_allocator(); "
    f"from pytest_manylinux.trials.inside.preload_pip import prepare; "
    f"work = prepare({str(LIBRARY)!r}, {str(REQUEST)!r}, {str(_LAYOUT)!r}, %r)"
)
_REHEARSED = ("install", *QUIET, *OFFLINE, "--no-compile", "--no-deps")
_AT_REST = 8  # processes that may run again; each is some 40 MB of memory
_WAITING = 16  # those for one run each, of all images together; each is some 50 MB


class Kind(NamedTuple):
    """What processes have in common that can stand in for each other."""

    image: str
    interpreter: str
    max_runs: int | None
    limits: Limits


@dataclass(slots=True)
class _Processes:
    """Processes at rest, the longest first; those that wait for their run; kinds that had trouble."""

    at_rest: list[tuple[Kind, Preloaded]] = field(default_factory=list)
    waiting: dict[Kind, list[Future[Preloaded]]] = field(default_factory=dict)
    troubled: set[Kind] = field(default_factory=set)
    closed: bool = False


class PreloadedPool:
    """Preloaded processes of one engine. Thread-safe: a process does one trial at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine if isinstance(engine, PreloadingEngine) else None
        self._processes = _Processes()
        self._lock = threading.Lock()
        self._cores = max(cpu_count() or 1, 2)
        self._makers = ThreadPoolExecutor(self._cores, thread_name_prefix="preload")
        self._removers = ThreadPoolExecutor(1, thread_name_prefix="preload-end")

    def attempt(self, errand: Errand, more: int = 0) -> Completed | None:
        """How the agent ended, if it came to its end in a preloaded process; None: do it the long way.

        `more` is how many trials in the same image's venv are known to come. Raises SandboxError once
        this is closed: then no new work is started.
        """
        if self._engine is None or not _is_plain(errand):
            return None
        spec, executable = _spec(errand), errand.interpreter.executable
        for max_runs in (1,) if _has_tests(errand) else (None, 1):
            kind = Kind(errand.image.content, executable, max_runs, errand.limits)
            code = _CODE % (_rehearsed(errand.image.arch, max_runs),)
            preload = partial(
                self._engine.preload,
                spec,
                _PYTHON,
                code,
                setup=_SETUP,
                inbox=INPUTS,
                max_runs=max_runs,
            )
            if not self._may_start(kind):
                continue
            try:
                process = self._take(kind, preload, more) or preload()
            except (ManylinuxError, OSError):
                self._may_start(kind)
                self._processes.troubled.add(kind)
                continue
            return self._run(kind, process, errand)
        return None

    def _may_start(self, kind: Kind) -> bool:
        """Whether a kind had no trouble yet; raises SandboxError once this is closed."""
        if self._processes.closed:
            raise SandboxError("the trial was cut short", why="the run has ended")
        return kind not in self._processes.troubled

    def _take(self, kind: Kind, preload: Callable[[], Preloaded], more: int) -> Preloaded | None:
        """One that is ready, or is being started; None if there is none."""
        with self._lock:
            self._may_start(kind)
            if kind.max_runs != 1:
                mine = [one for one in self._processes.at_rest if one[0] == kind][-1:]
                for one in mine:
                    self._processes.at_rest.remove(one)
                return mine[0][1] if mine else None
            waiting = self._processes.waiting.setdefault(kind, [])
            future = waiting.pop(0) if waiting else None
            for _ in range(self._wanted(more) - len(waiting)):
                waiting.append(self._makers.submit(self._make, kind, preload))
        return future.result() if future else None

    def _wanted(self, more: int) -> int:
        """How many of one image are to wait: as many as can run at once, fewer if images are many."""
        waiting = self._processes.waiting
        most = min(more, self._cores, max(_WAITING // len(waiting), 1))
        return most if sum(map(len, waiting.values())) + most <= _WAITING else 0

    def _make(self, kind: Kind, preload: Callable[[], Preloaded]) -> Preloaded:
        """Start one ahead; not if all is over by then."""
        self._may_start(kind)
        process = preload()
        if self._processes.closed:
            process.close()
        return process

    def _run(self, kind: Kind, process: Preloaded, errand: Errand) -> Completed | None:
        completed = None
        try:
            with contextlib.suppress(ManylinuxError, OSError), _inputs(errand) as mounts:
                completed = process.run(mounts, timeout=whole_time(errand.request) + GRACE)
        finally:
            well = completed is not None and completed.ok
            self._give_back(kind, process, well=well)
        if well or (completed is not None and _has_tests(errand)):
            return completed
        self._may_start(kind)
        return None

    def _give_back(self, kind: Kind, process: Preloaded, *, well: bool) -> None:
        """Keep it for the next trial, or have it removed: one that is used up in the background."""
        over = [] if well else [process]
        if well and kind.max_runs == 1:
            try:
                self._removers.submit(_end, process)
            except RuntimeError:  # closed meanwhile
                over = [process]
        elif well:
            with self._lock:
                self._processes.at_rest.append((kind, process))
                most = 0 if self._processes.closed else _AT_REST
                over = [self._processes.at_rest.pop(0)[1] for _ in self._processes.at_rest[most:]]
        for one in over:
            one.close()

    def close(self) -> None:
        """End all at rest and all that wait, and return when they and all that were used up are gone.

        Those at work end with their trials; none is started any more.
        """
        with self._lock:
            self._processes.closed = True
            at_rest, self._processes.at_rest = self._processes.at_rest, []
            waiting, self._processes.waiting = self._processes.waiting, {}
        for future in [future for futures in waiting.values() for future in futures]:
            if not future.cancel():
                future.add_done_callback(_end_made)
        self._makers.shutdown(wait=True)
        self._removers.shutdown(wait=True)
        for _, process in at_rest:
            process.close()


def _end(process: Preloaded) -> None:
    with contextlib.suppress(ManylinuxError, OSError):
        process.close()


def _end_made(future: Future[Preloaded]) -> None:
    if not future.cancelled() and future.exception() is None:
        _end(future.result())


def _has_tests(errand: Errand) -> bool:
    return errand.request.suite is not None


def _is_plain(errand: Errand) -> bool:
    """Whether nothing but its inputs makes an errand differ from others in the same venv."""
    return (
        not errand.network
        and not errand.interpreter.caretaker
        and not errand.environment
        and (errand.limits == Limits() or _has_tests(errand))
        and errand.venv.layout.seeded.isdisjoint(errand.replaced)
    )


def _rehearsed(arch: str, max_runs: int | None) -> tuple[str, ...]:
    """The installation that an emulated process rehearses; none for a single run, which it delays."""
    return _REHEARSED if max_runs != 1 and emulation_of(arch).emulated else ()


def _spec(errand: Errand) -> SandboxSpec:
    venv = errand.venv
    parts = (Mount(source=venv.record, target=_LAYOUT), Mount(source=venv.small, target=_SMALL))
    return SandboxSpec(
        image=errand.image,
        mounts=(*venv.mounts(), *library_mounts(), *parts),
        limits=errand.limits,
        label=f"preloaded process for trials on {errand.image.name}",
    )


@contextlib.contextmanager
def _inputs(errand: Errand) -> Iterator[tuple[Mount, ...]]:
    with temporary_folder() as folder:
        request = folder / REQUEST.name
        request.write_bytes(msgspec.json.encode(errand.request))
        yield (*errand.mounts, Mount(source=request, target=REQUEST))
