from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux.engines.api import Completed, Status
from pytest_manylinux.errors import SandboxError
from pytest_manylinux.model.observation import ImportStatus
from pytest_manylinux.trials.protocol import GarbledError, read_answers
from pytest_manylinux.trials.result import Asked, look

NONCE = "0123456789abcdef" * 2
NAMES = ("alpha", "beta", "gamma")


def ending(**fields: object) -> dict[str, object]:
    return {"exit_code": 0, "signal": None, "overdue": False, "output": "", "duration": 0.1} | fields


def pip_line(**fields: object) -> dict[str, object]:
    there = ["pip-23.0.1.dist-info"]
    return {"kind": "pip", "ending": ending(**fields), "before": there, "installed": there}


def import_lines(name: str, status: str) -> list[dict[str, object]]:
    report: dict[str, object] = {"status": status, "pid": 7, "loaded": [], "inner": {}}
    end: dict[str, object] = {"kind": "import", "name": name, "ending": ending(), "report": report}
    begin: dict[str, object] = {"kind": "begin", "name": name}
    return [begin, end]


START = {"kind": "start", "python": "3.11.2", "libc": "glibc 2.36"}
END = {"kind": "end"}


def channel(lines: Iterable[dict[str, Any]], nonce: str = NONCE) -> bytes:
    written = [f"{nonce} {n} {json.dumps(line)}\n" for n, line in enumerate(lines)]
    return "".join(written).encode()


def completed(stdout: bytes, status: Status = Status.EXITED) -> Completed:
    return Completed(
        status=status,
        exit_code=0 if status is Status.EXITED else None,
        signal=9 if status is Status.SIGNALLED else None,
        stdout=stdout,
        stderr=b"",
        truncated=False,
        duration=1.0,
    )


def whole(statuses: dict[str, str]) -> list[dict[str, Any]]:
    imports = [line for name, status in statuses.items() for line in import_lines(name, status)]
    return [START, pip_line(), *imports, END]


transcripts = st.fixed_dictionaries(
    {name: st.sampled_from(["ok", "raised", "exited"]) for name in NAMES}
)


def fine_names(data: bytes, status: Status) -> set[str] | None:
    """The names that count as imported; None if nothing was believed or the account is not full."""
    try:
        seen = look(completed(data, status), Asked(imports=NAMES))
    except SandboxError:
        return None
    return {outcome.name for outcome in seen.imports if outcome.status is ImportStatus.OK}


def test_a_whole_account_is_read() -> None:
    answers = read_answers(channel(whole({"alpha": "ok", "beta": "raised"})))
    assert answers.complete
    assert answers.start is not None
    assert answers.start.python == "3.11.2"
    assert list(answers.imports) == ["alpha", "beta"]
    assert answers.unfinished == ()


@given(st.binary())
def test_garbage_is_never_an_account(data: bytes) -> None:
    assert fine_names(data, Status.EXITED) is None


@given(transcripts, st.sampled_from(list(Status)), st.data())
def test_cut_output_never_gains_a_success(
    statuses: dict[str, str], status: Status, data: st.DataObject
) -> None:
    full = channel(whole(statuses))
    cut = full[: data.draw(st.integers(0, len(full) - 1))]
    fine = fine_names(cut, status)
    truly = {name for name, word in statuses.items() if word == "ok"}
    assert fine is None or (fine <= truly and fine != set(NAMES))


@given(transcripts, st.binary(min_size=1, max_size=40), st.data())
def test_foreign_bytes_in_the_channel_never_gain_a_success(
    statuses: dict[str, str], foreign: bytes, data: st.DataObject
) -> None:
    full = channel(whole(statuses))
    place = data.draw(st.integers(0, len(full)))
    fine = fine_names(full[:place] + foreign + full[place:], Status.EXITED)
    assert fine is None or fine <= {name for name, word in statuses.items() if word == "ok"}


@given(transcripts, st.sampled_from(NAMES), st.data())
def test_whole_forged_lines_spoil_the_account(
    statuses: dict[str, str], name: str, data: st.DataObject
) -> None:
    """Someone who sees the form but not the nonce, or who knows it but not the number."""
    lines = channel(whole(statuses)).splitlines(keepends=True)
    forged = json.dumps(import_lines(name, "ok")[1])
    nonce = data.draw(st.sampled_from([NONCE, "f" * 32]))
    number = data.draw(st.integers(0, 20))
    place = data.draw(st.integers(1, len(lines)))
    lines.insert(place, f"{nonce} {number} {forged}\n".encode())
    assert fine_names(b"".join(lines), Status.EXITED) is None


@pytest.mark.parametrize(
    "lines",
    [
        [pip_line(), END],
        [START, START, END],
        [START, pip_line(), END, END],
        [START, {"kind": "end", "verdict": "portable"}],
        [START, {"kind": "import", "name": "a", "ending": ending(), "report": None}],
        [START, {"kind": "unheard-of"}],
        [START, {"kind": "pip", "ending": {"exit_code": "0"}, "before": [], "installed": []}],
    ],
    ids=["no start", "two starts", "two ends", "extra", "not begun", "kind", "type"],
)
def test_what_the_agent_would_not_say_is_refused(lines: list[dict[str, Any]]) -> None:
    with pytest.raises(GarbledError):
        read_answers(channel(lines))


def test_a_second_nonce_is_refused() -> None:
    first = channel([START])
    second = channel([START, END], nonce="f" * 32).splitlines(keepends=True)[1]
    with pytest.raises(GarbledError):
        read_answers(first + second)


def test_deeply_nested_json_is_refused() -> None:
    with pytest.raises(GarbledError):
        read_answers(f"{NONCE} 0 {{{'[' * 100_000}}}\n".encode())


def test_a_gil_that_was_turned_on_is_kept_of_imports_that_pass() -> None:
    begin, end = import_lines("alpha", "ok")
    end["report"] = {"status": "ok", "pid": 7, "loaded": [], "inner": {}, "gil": True}
    beside = {"kind": "beside", "name": "alpha._x", "report": {"status": "ok", "gil": True}}
    quiet = {"kind": "beside", "name": "alpha._y", "report": {"status": "ok"}}
    lines: list[dict[str, Any]] = [START, pip_line(), begin, end, beside, quiet, END]
    asked = Asked(imports=("alpha",), extensions=("alpha._x", "alpha._y"))
    seen = look(completed(channel(lines)), asked)
    assert [one.status for one in seen.imports] == [ImportStatus.OK] * 3
    assert [one.gil_enabled for one in seen.imports] == [True, True, False]
