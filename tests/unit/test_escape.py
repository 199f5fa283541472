"""Words of others never speak for us: no line that is shown is a command to a CI system."""

from __future__ import annotations

import json
import re

import pytest
from ci_systems import obeyed
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_manylinux import escape
from pytest_manylinux.errors import UsageError
from pytest_manylinux.escape import plain, plain_json, plain_line, without_commands
from pytest_manylinux.model.observation import InstallOutcome, Observation
from pytest_manylinux.model.verdict import Finding, Outcome, Severity, Verdict
from pytest_manylinux.report.phrases import decisive_line, verdict_text

COMMANDS = [
    *(
        "::error::x",
        "::error title=x::y",
        "::set-output name=x::y",
        "::stop-commands::x",
        "::add-mask::x",
    ),
    *("##[error]x", "##[group]x", "##vso[task.setvariable variable=x]y", "##VSO[task.complete]x"),
    *(
        "##teamcity[buildStatus status='SUCCESS']",
        "section_start:1:x\r\x1b[0K",
        "section_end:1:x\r\x1b[0K",
    ),
    *(
        "travis_fold:start:x",
        "travis_time:end:x",
        "--- heading",
        "+++ heading",
        "~~~ heading",
        "^^^ +++",
    ),
]
BEFORE = [
    "",
    " ",
    "\t",
    "\r",
    "\x1b[0K",
    "\x1b[31m",
    "\x0b",
    "\xa0",
    "\u3000",
    "\u2028",
    "\ufeff",
    "\u200b",
]
BEFORE += ["\ufe0f", "\u034f", "\u3164", "\x00", "\x85", "\u180e", "  \u00ad "]
PIECES = st.sampled_from(
    [
        *COMMANDS,
        *BEFORE,
        "\n",
        "\r\n",
        "\r",
        ":",
        "::",
        "#",
        "##",
        "[",
        "]",
        "vso[",
        "x",
        "\\",
        "---",
        " ",
    ]
)
FOREIGN = st.one_of(st.lists(PIECES, max_size=8).map("".join), st.text(max_size=30))


@pytest.mark.attack("forgery")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("before", BEFORE)
def test_a_command_of_a_ci_system_is_shown_and_not_obeyed(before: str, command: str) -> None:
    for text in (before + command, f"x\n{before}{command}", f"x\r\n{before}{command}"):
        assert not obeyed(plain(text))
        assert not obeyed(plain_line(text))
        assert re.sub(r"[^a-z]", "", command.partition("\r")[0]) in re.sub(r"[^a-z]", "", plain(text))


@pytest.mark.attack("forgery")
@given(FOREIGN)
@example("---\ufe0f")
@example("-\ufe0f--")
@example("sec\u200btion_start:1:x")
def test_no_line_of_foreign_words_is_a_command(text: str) -> None:
    shown = plain(text)
    assert not obeyed(shown)
    assert plain(shown) == shown
    assert not obeyed(plain_line(text))
    assert not obeyed(f"{plain_line(text)}: {plain_line(text)}")
    assert not obeyed("\n".join(f"  {line}" for line in shown.splitlines()))
    assert not obeyed(plain_json(json.dumps([text])))
    assert json.loads(plain_json(json.dumps([text]))) == [text]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "std::string x;",
            "tests/test_x.py::test_y PASSED",
            "a::b",
            "x: y",
            "# title",
            "## title",
            "--flag",
        ),
        *(
            "----- x",
            "---",
            "-- x",
            "C++",
            "array[1]",
            "[error]",
            "#[x]",
            "section start:",
            "1:2",
            "http://x::1",
        ),
    ],
)
def test_ordinary_words_stay_as_they_are(text: str) -> None:
    if text != "---":
        assert without_commands(text) == text
    assert without_commands(f"a {text}") == f"a {text}"


def _verdict(text: str) -> Verdict:
    finding = Finding(
        code="PM000",
        name="x",
        severity=Severity.ERROR,
        message=text,
        evidence=(text, text),
        remedy=text,
    )
    install = InstallOutcome(ok=False, exit_code=1, output=text, pip_version=text, duration=1.0)
    seen = Observation(
        target="debian-12-cp311-x86_64",
        image=text,
        image_name=text,
        image_source="archive",
        engine="bubblewrap",
        python=text,
        libc=text,
        install=install,
    )
    return Verdict(
        outcome=Outcome.NOT_PORTABLE,
        subject="debian-12-cp311-x86_64",
        wheel=text,
        wheel_sha256="",
        findings=(finding,),
        observation=seen,
        reason=text,
    )


@pytest.mark.attack("forgery")
@given(FOREIGN, st.booleans())
def test_no_line_of_a_verdict_is_a_command(text: str, full: bool) -> None:  # noqa: FBT001 - drawn
    verdict = _verdict(text)
    shown = re.sub(
        r"^--- (import|pip install)", r"\1", verdict_text(verdict, full=full), flags=re.MULTILINE
    )
    assert not obeyed(shown)
    assert not obeyed(decisive_line(verdict))
    assert not obeyed(str(UsageError(text, why=text, remedy=text)))


@given(st.from_regex(escape._ORDINARY, fullmatch=True) | st.sampled_from(COMMANDS))
@example("a section_start:1:x")
@example("travis_fold:start:x")
def test_what_is_taken_for_ordinary_needs_nothing(text: str) -> None:
    if escape._ORDINARY.fullmatch(text):
        assert without_commands(text) == text == escape._SUSPECT.sub("", text)


@given(
    st.lists(st.sampled_from([*COMMANDS, " ", "\t", "\n", "a"]) | st.text(st.characters(codec="ascii")))
)
def test_of_ascii_the_short_patterns_say_what_the_long_ones_say(words: list[str]) -> None:
    """Nothing of ASCII is without weight, so nothing can stand between the letters of a command."""
    text = "".join(words)
    for short, long in zip(escape._COMMANDS, escape._spread_commands(), strict=True):
        assert [one.span() for one in short.finditer(text)] == [
            one.span() for one in long.finditer(text)
        ]
