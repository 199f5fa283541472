"""Typed values from outside: each type's description is made once, by one thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import msgspec
import pytest

from pytest_manylinux import decoding

THREADS = 6
Hook = Callable[[type, object], object]


class Part(msgspec.Struct):
    name: str
    day: date | None = None


class Whole(msgspec.Struct):
    parts: tuple[Part, ...]


class Watched:
    """Stands in for msgspec's decoder, and notes how many are made at once."""

    def __init__(self) -> None:
        self.made: list[Any] = []
        self.most = 0
        self._now = 0
        self._real = msgspec.json.Decoder

    def __call__(self, kind: type, *, dec_hook: Hook | None = None) -> msgspec.json.Decoder[object]:
        self._now += 1
        self.most = max(self.most, self._now)
        time.sleep(0.02)  # lets the other threads in, if nothing else keeps them out
        self.made.append(kind)
        self._now -= 1
        return self._real(kind, dec_hook=dec_hook)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    watch = Watched()
    monkeypatch.setattr(msgspec.json, "Decoder", watch)
    monkeypatch.setattr(decoding, "_made", {})
    return watch


def in_threads(ask: Callable[[], object]) -> list[object]:
    start = threading.Barrier(THREADS)

    def together(_: int) -> object:
        start.wait(30)
        return ask()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(together, range(THREADS)))


@pytest.mark.parametrize(
    "ask",
    [
        lambda: decoding.decode_json(b'{"parts": [{"name": "a"}]}', Whole),
        lambda: decoding.convert({"parts": [{"name": "a"}]}, Whole),
        lambda: decoding.json_decoder(Whole).decode(b'{"parts": [{"name": "a"}]}'),
    ],
    ids=["json", "convert", "decoder"],
)
def test_a_type_that_many_threads_ask_for_at_once_is_described_by_one(
    watched: Watched, ask: Callable[[], object]
) -> None:
    assert in_threads(ask) == [Whole(parts=(Part(name="a"),))] * THREADS
    assert watched.made == [Whole]


def test_decoders_with_hooks_of_their_own_are_made_in_turn(watched: Watched) -> None:
    def hook(kind: type, value: object) -> object:
        return kind(value)

    in_threads(lambda: decoding.json_decoder(list[complex], hook))
    assert watched.most == 1
    assert len(watched.made) == THREADS
    assert decoding.json_decoder(list[complex], hook).decode(b"[1]") == [1 + 0j]


def test_days_of_toml_are_days_already() -> None:
    told = {"parts": [{"name": "a", "day": date(2026, 5, 1)}]}
    assert decoding.convert(told, Whole).parts[0].day == date(2026, 5, 1)


def test_attributes_are_read_where_that_is_asked_for() -> None:
    class Other:
        name = "b"
        day = None

    assert decoding.convert(Other(), Part, from_attributes=True) == Part(name="b")
    with pytest.raises(msgspec.ValidationError):
        decoding.convert(Other(), Part)
