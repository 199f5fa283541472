"""A process that is one worker, from its start to its end in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from distributed import Worker
from distributed.comm.core import connect
from distributed.security import Security

from pytest_manylinux.cache.directories import aside_folder, sweep
from pytest_manylinux.cluster import quieten
from pytest_manylinux.cluster.client import CONNECT, first_cause, unreachable
from pytest_manylinux.cluster.worker import TrialExecutor, TrialPlugin
from pytest_manylinux.errors import ClusterError, UsageError

_CLOSE = 30.0  # seconds for the worker's end
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which scheduler a worker joins, and as what. `host` and `interface` may be empty, not both set.

    `folder` is the cache, for what Dask itself writes; `jobs` are trials at once.
    """

    scheduler: str
    jobs: int
    folder: Path
    name: str = ""
    host: str = ""
    interface: str = ""


def serve(place: Place, executor: TrialExecutor, say: Say) -> None:
    """Be a worker until a signal (SIGTERM, SIGINT) or the scheduler ends it.

    Raises ClusterError if the scheduler cannot be reached or goes away, UsageError for an address or
    interface that this machine does not have.
    """
    quieten()
    folder = place.folder / "dask"
    sweep(folder)
    try:
        with aside_folder(folder) as own:
            asyncio.run(_serve(place, executor, say, own))
    finally:
        executor.close()


async def check(address: str) -> None:
    """Raise ClusterError if no scheduler answers at an address."""
    arguments = Security().get_connection_args("worker")
    try:
        comm = await connect(address, timeout=CONNECT, **arguments)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise unreachable(address, error) from error
    await comm.close()


async def _serve(place: Place, executor: TrialExecutor, say: Say, own: Path) -> None:
    await check(place.scheduler)
    plugin = TrialPlugin(executor)
    told: asyncio.Event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    try:
        worker = await Worker(
            place.scheduler,
            nthreads=place.jobs,
            name=place.name or None,
            host=place.host or None,
            interface=place.interface or None,
            local_directory=os.fspath(own),
            memory_limit=0,  # it waits for sandboxes, whose memory is limited by themselves
            dashboard=False,
            plugins=(plugin,),
            death_timeout=_CLOSE,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(
            "the worker cannot start as it was told",
            why=first_cause(error),
            remedy="see --host and --interface: the machine must have them; --name must be new",
        ) from error
    say(f"worker {worker.name} at {worker.address}: {_words(executor, place.jobs)}")
    await _until_told(worker, told, plugin, place.scheduler)


def _words(executor: TrialExecutor, jobs: int) -> str:
    offer = executor.offer
    return f"{offer.arch}, {offer.engine} {offer.engine_version}, {jobs} trials at once"


async def _until_told(worker: Worker, told: asyncio.Event, plugin: TrialPlugin, scheduler: str) -> None:
    waits = [asyncio.ensure_future(told.wait()), asyncio.ensure_future(worker.finished())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    gone = not told.is_set()
    # What is at work ends now, and is done elsewhere: nobody waits for a trial's own time limit.
    await asyncio.to_thread(plugin.end)
    with contextlib.suppress(Exception):
        await worker.close(timeout=_CLOSE)
    for wait in waits:
        wait.cancel()
    if gone:
        raise ClusterError(
            f"the scheduler {scheduler} went away, or closed this worker",
            remedy="start the worker again when the scheduler is there",
        )
