from __future__ import annotations

import pytest

from pytest_manylinux.cluster.scheduling import (
    ClusterWorker,
    Offer,
    asked,
    fitting,
    member,
    misfit,
    needs,
    resources,
)


def worker(name: str, **changes: object) -> ClusterWorker:
    values: dict[str, object] = {
        "arch": "x86_64",
        "engine": "bubblewrap",
        "engine_version": "0.8.0",
        "registry": False,
        "distros": ("debian-12",),
    }
    return member(name, resources(Offer(**{**values, **changes}), 4))  # type: ignore[arg-type]


INTEL = worker("intel")
ARM = worker("arm", arch="aarch64")
DOCKER = worker(
    "docker", engine="docker", engine_version="27.1", registry=True, distros=("ubuntu-24.04",)
)
ALL = (INTEL, ARM, DOCKER)
PLAIN = member("a-worker-for-other-work", {"GPU": 2})


@pytest.mark.parametrize(
    ("wanted", "who"),
    [
        ({"arch": "x86_64"}, ("intel", "docker")),
        ({"arch": "aarch64"}, ("arm",)),
        ({"arch": "x86_64", "engine": "docker"}, ("docker",)),
        ({"arch": "x86_64", "registry": True}, ("docker",)),
        ({"arch": "x86_64", "distro": "debian-12"}, ("intel",)),
        ({"arch": "aarch64", "engine": "docker"}, ()),
        ({"arch": "riscv64"}, ()),
    ],
)
def test_a_trial_goes_where_all_that_it_needs_is_offered(
    wanted: dict[str, object], who: tuple[str, ...]
) -> None:
    found = fitting(needs(**wanted), (*ALL, PLAIN))  # type: ignore[arg-type]
    assert tuple(one.name for one in found) == who


def test_what_dask_is_asked_for_is_what_it_was_offered() -> None:
    offer = Offer(
        arch="x86_64", engine="docker", engine_version="27", registry=True, distros=("alpine",)
    )
    offered = resources(offer, 3)
    wanted = asked(needs(arch="x86_64", engine="docker", registry=True, distro="alpine"))
    assert wanted.keys() <= offered.keys()
    assert set(offered.values()) == {3.0}, "each as often as trials are done at once"
    assert set(wanted.values()) == {1.0}


def test_another_version_does_no_trials_for_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_manylinux.cluster.scheduling.code_version", lambda *_: "0" * 64)
    other = worker("other")
    monkeypatch.undo()
    assert fitting(needs(arch="x86_64"), [other]) == ()
    assert "none of 1 worker offers version " in misfit(needs(arch="x86_64"), [other])


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ((), "no worker has joined the cluster"),
        ((INTEL,), "none of 1 worker offers architecture aarch64, but architecture x86_64"),
        ((INTEL, DOCKER), "none of 2 workers offers architecture aarch64, but architecture x86_64"),
    ],
)
def test_why_none_fits(members: tuple[ClusterWorker, ...], words: str) -> None:
    assert misfit(needs(arch="aarch64"), members) == words


def test_why_none_fits_where_each_has_something() -> None:
    wanted = needs(arch="aarch64", engine="docker")
    assert misfit(wanted, ALL).startswith("each of 3 workers lacks something of: architecture aarch64,")


def test_a_worker_in_words() -> None:
    assert str(INTEL) == "intel (x86_64, bubblewrap 0.8.0, 4 at once)"
    assert str(PLAIN) == "a-worker-for-other-work (not of pytest-manylinux, no engine, 0 at once)"
