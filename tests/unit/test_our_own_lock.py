"""The lock holds what pyproject.toml asks for; an audit that looked up nothing is none."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import audit
import lock
import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT: dict[str, Any] = tomllib.loads((lock.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PLACES = lock.environments(PROJECT)
DIGEST = f"--hash=sha256:{'0' * 64}"


def read(name: str) -> str:
    return Path(lock.FOLDER, name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", lock.LOCKED)
def test_the_lock_holds_what_is_asked_for_on_every_python(name: str) -> None:
    wanted = lock.asked(PROJECT, lock.LOCKED[name])
    assert wanted
    assert lock.disagreements(wanted, lock.read_lock(read(name)), PLACES) == []


def test_every_group_is_locked_but_what_ci_does_not_run() -> None:
    locked = {part for parts in lock.LOCKED.values() for part in parts} - {lock.PROJECT}
    assert locked == set(PROJECT["dependency-groups"]) - {"lock", "bench"}


def test_every_python_that_is_supported_is_looked_at() -> None:
    assert [place["python_version"] for place in PLACES[::2]] == ["3.10", "3.11", "3.12", "3.13"]


@pytest.mark.parametrize("name", lock.LOCKED)
def test_the_lock_names_no_address_and_no_option(name: str) -> None:
    words = re.sub(r"--hash=sha256:[0-9a-f]{64}", "", read(name))
    assert "://" not in words
    assert "--" not in words
    assert "@" not in words


@pytest.mark.parametrize(
    ("asked", "pins", "said"),
    [
        ("a>=2", ["a==2.1"], ""),
        ("a>=2", ["a==1.0"], "a>=2: the lock has 1.0"),
        ("A_b>=2", ["a-b==2"], ""),
        ("a", ["b==1"], "nothing of it for Python 3.10"),
        ("a", ["a==1 ; python_version < '3.12'"], "nothing of it for Python 3.12"),
        ("a; python_version < '3.11'", ["a==1 ; python_version < '3.12'"], ""),
        ("a", ["a==1", "a==2"], "the lock has 2 of it"),
        ("a>=2", ["a==1 ; python_version < '3.13'", "a==2 ; python_version >= '3.13'"], "has 1"),
        ("a", ["a==1 ; platform_machine == 'x86_64'"], "on aarch64"),
    ],
)
def test_what_disagrees_is_said(asked: str, pins: list[str], said: str) -> None:
    known = lock.read_lock("".join(f"{pin} \\\n    {DIGEST}\n    # via x\n" for pin in pins))
    found = lock.disagreements([Requirement(asked)], known, PLACES)
    assert bool(found) == bool(said)
    assert said in "".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "a==1",
        "a==1 --hash=md5:00",
        f"a>=1 {DIGEST}",
        f"a==1 {DIGEST} --index-url=x",
        f"a @ https://x.test/a.whl {DIGEST}",
        "--index-url=x",
    ],
)
def test_an_entry_that_pip_would_not_hold_to_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        lock.read_lock(line)


def test_a_lock_that_was_left_behind_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in lock.LOCKED:
        (tmp_path / name).write_text(re.sub(r"(?m)^pytest==\S+", "pytest==1.0", read(name)))
    monkeypatch.setattr(lock, "FOLDER", tmp_path)
    assert lock.check() == 1
    said = capsys.readouterr().err
    assert "tests.txt: pytest>=8: the lock has 1.0" in said
    assert "make lock" in said


def entry(name: str, *holes: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "version": "1", "vulns": list(holes)}


HOLE = {"id": "PYSEC-1", "fix_versions": ["2"]}


@pytest.mark.parametrize(
    ("found", "code", "said"),
    [
        ([entry("a"), entry("B_c")], audit.CLEAN, "2 of 2 looked up, 0 vulnerabilities"),
        ([entry("a", HOLE), entry("b-c")], audit.VULNERABLE, "a 1: PYSEC-1, mended in 2"),
        ([entry("a"), {"name": "b-c", "skip_reason": "x"}], audit.UNKNOWN, "NOT AUDITED: b-c"),
        ([entry("a")], audit.UNKNOWN, "1 of 2 looked up"),
        ([entry("a", HOLE)], audit.VULNERABLE, "NOT AUDITED: b-c"),
        ([], audit.UNKNOWN, "0 of 2 looked up"),
    ],
)
def test_an_audit_is_one_only_if_everything_was_looked_up(
    found: list[dict[str, Any]], code: int, said: str
) -> None:
    end, words = audit.judge("x", {"a", "b-c"}, {"dependencies": found})
    assert end == code
    assert said in "\n".join(words)


def test_no_pins_are_no_audit() -> None:
    assert audit.judge("x", set(), {"dependencies": []})[0] == audit.UNKNOWN
