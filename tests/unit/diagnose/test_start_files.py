"""Files that every start of Python reads: what their lines tell, and Python's complaints about them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trial_values import imported, make_observation, make_target
from wheels import build_wheel

from pytest_manylinux.diagnose.judge import judge, judge_audit
from pytest_manylinux.diagnose.predict import predict_target
from pytest_manylinux.inspect.audit import audit_wheel
from pytest_manylinux.inspect.start_files import is_start_file, read_start_file, start_lines
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.observation import ImportStatus
from pytest_manylinux.model.verdict import Outcome
from pytest_manylinux.model.wheel import WheelFacts

_3_11 = """Error processing line 1 of /v/lib/python3.11/site-packages/demo.pth:

  Traceback (most recent call last):
    File "<frozen site>", line 195, in addpackage
    File "<string>", line 1, in <module>
  ModuleNotFoundError: No module named 'gone'

Remainder of file ignored
"""
_3_15 = """Error in import line from /v/lib/python3.15/site-packages/demo.pth: import gone
  Traceback (most recent call last):
  ModuleNotFoundError: No module named 'gone'
"""
_FOLDER = "In /v/lib/python3.15/site-packages/demo.pth: /src does not exist; skipping sys.path append\n"


def facts_of(
    folder: Path, text: str, name: str = "demo.pth", requires: tuple[str, ...] = ()
) -> WheelFacts:
    files = {
        "demo/__init__.py": "",
        "demo/inner.py": "",
        "paths.py": "import sys\nsys.path.append('x')",
    }
    wheel = build_wheel(folder, {**files, name: text}, requires=requires)
    return read_wheel(open_wheel(wheel))


def told(facts: WheelFacts, python: str) -> list[str]:
    findings = predict_target(facts, make_target(python=python)).findings
    return [finding.evidence[-1] for finding in findings if finding.name == "start-file-broken"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import demo\n", []),
        ("import os, demo.inner\n# import gone\n\n", []),
        ("import gone\n", ["no module named 'gone'"]),
        ("import demo, gone.inner\n", ["no module named 'gone'"]),
        ("import sys; if sys: pass\n", ["invalid syntax"]),
        ("/home/builder/src\n", []),
    ],
)
def test_the_lines_of_a_pth(text: str, words: list[str], tmp_path: Path) -> None:
    facts = facts_of(tmp_path, text)
    assert told(facts, "3.11") == words
    audited = judge_audit(facts, audit_wheel(facts))
    assert [f.name for f in audited.findings] == ["start-file-broken"] * len(words)
    assert audited.outcome is Outcome.PORTABLE


def test_a_requirement_may_bring_what_a_line_imports(tmp_path: Path) -> None:
    assert told(facts_of(tmp_path, "import gone\n", requires=("other",)), "3.11") == []


def test_only_python_3_15_tells_of_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert told(facts_of(tmp_path / "a", "/home/builder/src\n"), "3.15")
    assert told(facts_of(tmp_path / "b", "demo\n"), "3.15") == []


def test_a_module_that_left_python(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, "import imp\n")
    assert (told(facts, "3.11"), told(facts, "3.12")) == ([], ["no module named 'imp'"])


def test_callables_are_read_from_python_3_15_on(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, "demo.inner\ndemo:go\n", "demo.start")
    assert (told(facts, "3.14"), told(facts, "3.15")) == ([], ["it is not package.module:function"])


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("import demo\n", False),
        ("import paths\n", True),
        ("import sys; sys.path.append('x')\n", True),
        ("demo\n", False),
    ],
)
def test_code_that_may_lead_elsewhere(text: str, changes: object, tmp_path: Path) -> None:
    (line,) = facts_of(tmp_path, text).start_lines
    assert line.changes_search is changes


@pytest.mark.parametrize("name", ["demo/weights.pth", "demo-1.0.data/data/x.pth", "demo.pthx"])
def test_files_that_python_does_not_look_for(name: str) -> None:
    assert not is_start_file(name)
    assert is_start_file("demo-1.0.data/purelib/demo.pth")


@pytest.mark.parametrize(
    ("output", "last"),
    [
        (_3_11, "ModuleNotFoundError: No module named 'gone'"),
        (_3_15, "ModuleNotFoundError: No module named 'gone'"),
        (_FOLDER, _FOLDER.strip()),
    ],
)
def test_complaints_of_python_are_warnings_of_a_trial(output: str, last: str, tmp_path: Path) -> None:
    facts = facts_of(tmp_path, "import sys\n")
    target = make_target(python="3.11")
    verdict = judge(facts, make_observation(imported(output=output)), target, wheel=facts.wheel)
    (finding,) = verdict.findings
    assert (finding.name, finding.evidence[-1]) == ("start-file-broken", last)
    assert verdict.outcome is Outcome.PORTABLE
    others = facts_of(tmp_path / "others", "import sys\n", "other.pth")
    seen = make_observation(imported(output=output))
    assert judge(others, seen, target, wheel=others.wheel).findings == ()


@given(st.text(max_size=60))
def test_any_text_can_be_read(text: str) -> None:
    file = read_start_file("demo.pth", text.encode("utf-8", "surrogatepass"))
    for line in start_lines({"demo.pth": file}, {}, 8):
        assert line.line >= 1


_ENDS = """Traceback (most recent call last):
  File "<frozen site>", line 550, in venv
  File "{site}", line 192, in addpackage
  File "<string>", line 1, in <module>
SystemExit: 3
"""


@pytest.mark.parametrize("site", ["<frozen site>", "/usr/lib/python3.9/site.py"])
def test_a_start_file_that_ends_python_is_told_as_such(tmp_path: Path, site: str) -> None:
    facts = facts_of(tmp_path, "import sys; sys.exit(3)\n")
    ended = imported(status=ImportStatus.EXITED, exit_code=1, output=_ENDS.format(site=site))

    (finding,) = judge(facts, make_observation(ended), make_target(), wheel=facts.wheel).errors

    assert finding.message == (
        "import demo: the interpreter exited with code 1 as it started, over a .pth file"
    )
    assert "the wheel has demo.pth" in finding.evidence


def test_a_complaint_about_a_start_file_ends_no_python(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, "import gone\n")
    ended = imported(status=ImportStatus.EXITED, exit_code=1, output=_3_11)

    (finding,) = judge(facts, make_observation(ended), make_target(), wheel=facts.wheel).errors

    assert finding.message.endswith("exited with code 1 half-way")


def test_a_start_file_that_is_not_utf_8_ends_every_python_before_3_15(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path, {"demo/__init__.py": "", "demo.pth": b"\xff\n"})
    facts = read_wheel(open_wheel(wheel))

    errors = [predict_target(facts, make_target(python=one)).errors for one in ("3.9", "3.14", "3.15")]

    assert [[finding.name for finding in found] for found in errors] == [
        ["start-file-broken"],
        ["start-file-broken"],
        [],
    ]
