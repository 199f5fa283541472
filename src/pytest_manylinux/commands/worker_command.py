"""`pytest-manylinux worker`: do trials for other machines, as one worker of a Dask cluster."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pytest_manylinux.errors import ExitCode


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `worker`."""
    parser = subparsers.add_parser(
        "worker",
        help="do trials for other machines, as a worker of a Dask cluster",
        description="Joins a scheduler (`dask scheduler`) and does the trials that fit this machine, "
        "until SIGTERM, Ctrl-C or the scheduler's end. Anyone who reaches that scheduler can run code "
        "here: see docs/explanation/security.md.",
    )
    parser.add_argument(
        "address", metavar="ADDRESS", help="the scheduler, such as tcp://192.0.2.7:8786"
    )
    parser.add_argument("--engine", default="", help="auto, bubblewrap, docker, podman (default: auto)")
    parser.add_argument("--jobs", default="auto", metavar="N", help="trials at once (default: auto)")
    parser.add_argument("--name", default="", help="what reports call it (default: its address)")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--host", default="", metavar="IP", help="the address to listen on")
    where.add_argument("--interface", default="", metavar="NAME", help="the network to listen on: eth0")
    parser.set_defaults(func=_worker)


def _worker(arguments: argparse.Namespace) -> int:
    from pytest_manylinux.cluster import require_library  # noqa: PLC0415 - slow, and so below
    from pytest_manylinux.config.readers import address, job_count  # noqa: PLC0415
    from pytest_manylinux.run.tasks import core_count  # noqa: PLC0415

    require_library()
    scheduler = address(arguments.address, "ADDRESS")
    jobs = job_count(arguments.jobs, "--jobs") or core_count()

    from pytest_manylinux.cache.paths import cache_root  # noqa: PLC0415
    from pytest_manylinux.cluster.executor import Executor  # noqa: PLC0415
    from pytest_manylinux.cluster.hosting import Place, serve  # noqa: PLC0415
    from pytest_manylinux.host.shutdown import end_in_order  # noqa: PLC0415

    place = Place(
        scheduler=scheduler,
        jobs=jobs,
        folder=Path(cache_root()) / "cluster",
        name=arguments.name,
        host=arguments.host,
        interface=arguments.interface,
    )
    end_in_order()
    serve(place, Executor(environment=os.environ, engine=arguments.engine, say=_say), _say)
    return ExitCode.OK


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
