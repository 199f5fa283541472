from __future__ import annotations

import json
import pickle
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trial_values import imported, make_observation, make_target

from pytest_manylinux import errors
from pytest_manylinux.cluster.protocol import (
    Order,
    Part,
    RemoteResult,
    Root,
    encode_answer,
    encode_order,
    error_of,
    failed,
    read_answer,
    read_order,
)
from pytest_manylinux.errors import ClusterError, ManylinuxError
from pytest_manylinux.model.observation import ImportDepth

DIGEST = f"sha256:{'a' * 64}"


def order(**changes: Any) -> Order:  # noqa: ANN401
    values: dict[str, Any] = {
        "run": "0" * 32,
        "wheel": Part(filename="demo-1.0-py3-none-any.whl", sha256="b" * 64),
        "target": make_target(),
        "root": Root(digest=DIGEST, name="debian-12"),
        "resolve": False,
        "dependencies": None,
        "imports": ("demo",),
        "import_skip": (),
        "import_depth": ImportDepth(levels=2),
        "programs": (("demo", "--version"),),
        "timeout": 300.0,
    }
    return Order(**(values | changes))


def seen(**changes: Any) -> RemoteResult:  # noqa: ANN401
    observation = make_observation(imported(), target=make_target().id, image=DIGEST)
    return RemoteResult(
        worker="w", engine="bubblewrap 0.8.0", observation=replace(observation, **changes)
    )


def test_an_order_arrives_as_it_was_sent() -> None:
    assert read_order(encode_order(order())) == order()


def test_an_answer_arrives_as_it_was_sent() -> None:
    asked = encode_order(order())
    assert read_answer(encode_answer(seen(), asked), asked) == seen()


@given(st.data())
def test_a_damaged_answer_is_none(data: st.DataObject) -> None:
    asked = encode_order(order())
    whole = bytearray(encode_answer(seen(), asked))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ClusterError, match="no answer that can be used"):
        read_answer(bytes(whole), asked)


def test_an_answer_to_another_order_is_none() -> None:
    other = encode_order(order(timeout=1.0))
    with pytest.raises(ClusterError):
        read_answer(encode_answer(seen(), other), encode_order(order()))


@pytest.mark.parametrize(
    "changes", [{"target": "debian-13-cp313-x86_64"}, {"image": f"sha256:{'c' * 64}"}]
)
def test_what_was_seen_elsewhere_is_none(changes: dict[str, str]) -> None:
    asked = encode_order(order())
    with pytest.raises(ClusterError) as caught:
        read_answer(encode_answer(seen(**changes), asked), asked)
    assert next(iter(changes.values())) in caught.value.why or "another image" in caught.value.why


@pytest.mark.parametrize("data", [None, "text", 3, pickle.dumps("x"), b"", b"\n"])
def test_anything_else_is_no_answer(data: object) -> None:
    with pytest.raises(ClusterError):
        read_answer(data, encode_order(order()))


@pytest.mark.parametrize("name", ["../up.whl", "a/b.whl", ".hidden", "", "nul\0.whl"])
def test_a_file_name_leads_nowhere_else(name: str) -> None:
    content = json.loads(encode_order(order()))
    content["wheel"]["filename"] = name
    with pytest.raises(ClusterError, match="does not understand"):
        read_order(json.dumps(content).encode())


@pytest.mark.parametrize("change", [{"extra": 1}, {"timeout": "long"}, {"run": "me"}])
def test_an_order_of_another_form_is_refused(change: dict[str, object]) -> None:
    content = json.loads(encode_order(order())) | change
    with pytest.raises(ClusterError, match="does not understand"):
        read_order(msgspec.json.encode(content))


@pytest.mark.parametrize(
    "kind",
    [
        errors.ClusterError,
        errors.DeadImageError,
        errors.DependencyError,
        errors.EngineError,
        errors.ImageError,
        errors.NoWheelError,
        errors.SandboxError,
        errors.StoreError,
        errors.TrialTimeoutError,
    ],
)
def test_an_error_keeps_its_kind_and_names_the_worker(kind: type[ManylinuxError]) -> None:
    asked = encode_order(order())
    answer = read_answer(encode_answer(failed(kind("no", why="so", remedy="do"), "w7"), asked), asked)
    assert not isinstance(answer, RemoteResult)
    error = error_of(answer)
    assert type(error) is kind
    assert (error.what, error.why, error.remedy) == ("worker w7: no", "so", "do")


def test_a_source_that_a_worker_could_not_build_is_named_for_who_can() -> None:
    asked = encode_order(order())
    told = failed(errors.NoWheelError("no", sdist="demo-1.0.tar.gz"), "w7")
    answer = read_answer(encode_answer(told, asked), asked)
    assert not isinstance(answer, RemoteResult)
    error = error_of(answer)
    assert isinstance(error, errors.NoWheelError)
    assert error.sdist == "demo-1.0.tar.gz"


def test_a_bug_on_a_worker_is_an_error_and_no_pass() -> None:
    error = error_of(failed(ZeroDivisionError("division by zero"), "w7"))
    assert type(error) is errors.EngineError
    assert "ZeroDivisionError" in error.why
