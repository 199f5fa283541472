"""What a machine's resources are made of: each once, on first use, for any architecture."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trial_values import make_target

from pytest_manylinux import workspace as module
from pytest_manylinux.cache.paths import CACHE_VARIABLE
from pytest_manylinux.config.merge import merge
from pytest_manylinux.errors import EngineError
from pytest_manylinux.workspace import OnFirstUse, Workspace


class Images:
    """Gives what it is asked for, as text; each with the pins that it was made with."""

    made: list[dict[str, str]]
    closed: list[dict[str, str]]

    def __init__(self, *, pins: dict[str, str], **_: object) -> None:
        self.pins = pins
        self.sources = self
        self.made.append(pins)

    def provide(self, distro: Any, arch: str, purpose: Any, extra: Any, *, interpreter: Any) -> str:  # noqa: ANN401
        assert interpreter.version
        return f"{distro.id} {arch} {purpose.value} {extra} {self.pins}"

    def close(self) -> None:
        self.closed.append(self.pins)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """A machine with a made-up engine; tells what was asked of it."""
    found = SimpleNamespace(asked=[], closed=[], said=[])
    engine = SimpleNamespace(
        name="bubblewrap",
        version=lambda: "1",
        caution="beware",
        close=lambda: found.closed.append("engine"),
    )

    def select(choice: str, *, others: object) -> object:
        assert others == {}
        found.asked.append(choice)
        if choice == "missing":
            raise EngineError("no engine")
        return engine

    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(module, "select_engine", select)
    monkeypatch.setattr(module, "RunImages", Images)
    monkeypatch.setattr(Images, "made", [], raising=False)
    monkeypatch.setattr(Images, "closed", [], raising=False)
    return found


def test_one_engine_for_all_threads_and_its_caution_once(machine: SimpleNamespace) -> None:
    place = Workspace(merge(()), say=machine.said.append)
    assert machine.asked == [], "nothing is made before it is asked for"
    with ThreadPoolExecutor(8) as pool:
        engines = list(pool.map(lambda _: place.engine(), range(8)))
    assert len(set(map(id, engines))) == 1
    assert (machine.asked, machine.said) == (["auto"], ["beware"])
    assert place.engine_label() == "bubblewrap 1"


def test_a_missing_engine_is_looked_for_once(machine: SimpleNamespace) -> None:
    place = Workspace(merge(()), engine="missing", say=machine.said.append)
    for _ in range(2):
        with pytest.raises(EngineError, match="no engine"):
            place.images  # noqa: B018 - it is made when it is read
    assert machine.asked == ["missing"]
    place.close()


def test_the_architecture_is_the_targets(machine: SimpleNamespace) -> None:
    place = Workspace(merge(()), say=machine.said.append)
    here = make_target()
    there = replace(here, arch="aarch64")
    assert str(place.image(here)).startswith(f"{here.distro.id} {here.arch} trial")
    assert str(place.image(there)).startswith(f"{here.distro.id} aarch64 trial")
    assert Images.made == [{}], "one source of images for both"


def test_an_image_that_is_pinned_by_an_order_has_a_source_of_its_own(machine: SimpleNamespace) -> None:
    place = Workspace(merge(()), pins={"debian-13": "sha256:1"}, say=machine.said.append)
    target = make_target()
    for _ in range(2):
        assert str(place.image(target, pinned="sha256:2")).endswith(str({target.distro.id: "sha256:2"}))
        assert str(place.image(target)).endswith(str({"debian-13": "sha256:1"}))
    assert len(Images.made) == 2
    place.close()
    assert Images.closed == Images.made
    assert machine.closed == ["engine"]


def test_closing_makes_nothing(machine: SimpleNamespace) -> None:
    Workspace(merge(()), say=machine.said.append).close()
    assert (machine.asked, machine.closed, Images.made) == ([], [], [])


def test_who_asks_meanwhile_waits_for_what_is_being_made() -> None:
    began, go = threading.Event(), threading.Event()

    def make() -> list[int]:
        began.set()
        assert go.wait(10)
        return [1]

    one = OnFirstUse(make)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(one)
        assert began.wait(10)
        second = pool.submit(one)
        assert one.made is None
        go.set()
        assert first.result() is second.result()
    assert one.made == [1]
