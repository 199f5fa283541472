#!/bin/sh
# distributed 2026.8.0: Client.scheduler_info(n_workers=-1) sometimes has no workers where there are two.
#
# It asks the scheduler, keeps the answer in the client, and gives what is kept then. Meanwhile the client's own periodic
# question (distributed.client.scheduler-info-interval, two seconds) keeps an answer with n_workers=0 in the same place. One expects
# an explicit question for all workers to be answered with all workers; a program that counts them sees an empty cluster now and
# then. The scheduler itself, asked by Client.scheduler.identity, always tells of both.
#
# The interval is set to 5 ms here, so that seconds suffice to see it.
#
# Wants: python3 with venv, a package index. Ends with 0 while the first question misses workers and the second does not.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv v
v/bin/python -m pip install -q --disable-pip-version-check "distributed==2026.8.0" "dask==2026.8.0"
cat >count.py <<'P'
import time
import warnings
from collections import Counter

import dask

warnings.simplefilter("ignore")
dask.config.set({"distributed.client.scheduler-info-interval": "5ms"})
from distributed import Client, LocalCluster

ground = LocalCluster(
    n_workers=2, processes=False, protocol="tcp", host="127.0.0.1", dashboard_address=None
)


def counted(question):
    found, end = Counter(), time.monotonic() + 10
    while time.monotonic() < end:
        found[len(question()["workers"])] += 1
    return dict(sorted(found.items()))


with ground, Client(ground) as client:
    client.wait_for_workers(2)
    info = counted(lambda: client.scheduler_info(n_workers=-1))
    identity = counted(lambda: client.sync(client.scheduler.identity, n_workers=-1))
print("expected:  two workers in each answer")
print("seen:      answers by number of workers, scheduler_info", info)
print("seen:      answers by number of workers, identity", identity)
raise SystemExit(0 if 0 in info and set(identity) == {2} else 1)
P
python3 --version
v/bin/python count.py
