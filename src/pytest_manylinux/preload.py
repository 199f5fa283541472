"""Makes workers that somebody else starts do trials: `dask worker --preload pytest_manylinux.preload`.

For clusters that start their workers themselves (dask-jobqueue, the Kubernetes operator, SSHCluster).
The setting `engine` comes from the worker's environment: PYTEST_MANYLINUX_ENGINE.
"""

from __future__ import annotations

import os
import sys

from distributed import Worker

from pytest_manylinux.cluster.executor import Executor
from pytest_manylinux.cluster.worker import TrialPlugin


async def dask_setup(worker: object) -> None:
    """Before a worker joins the scheduler: look at the machine, and offer what it has.

    Dask calls this for a scheduler or a nanny that was told the same, too; they do no trials.
    """
    if isinstance(worker, Worker):
        plugin = TrialPlugin(Executor(environment=os.environ, say=_log))
        await worker.plugin_add(plugin, catch_errors=False)


def _log(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201 - the worker's log
