"""What a distro's program turned out to be is what the next run plans for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trial_values import make_target

from pytest_manylinux.model.distro import InterpreterOrigin
from pytest_manylinux.pythons.answered import NAME, AnsweredPythons

TARGET = make_target(python="3.15")


def test_the_next_run_plans_for_what_was_there(tmp_path: Path) -> None:
    AnsweredPythons(tmp_path, {}).keep(TARGET, "3.14")
    planned = AnsweredPythons(tmp_path, {}).target(TARGET)
    assert planned.id == TARGET.id.replace("cp315", "cp314")
    AnsweredPythons(tmp_path, {}).keep(planned, "3.15")  # the archive has what the row says again
    assert AnsweredPythons(tmp_path, {}).target(TARGET) is TARGET


def test_a_row_that_is_right_writes_nothing(tmp_path: Path) -> None:
    known = AnsweredPythons(tmp_path, {})
    known.keep(TARGET, "3.15")
    known.keep(TARGET, "")
    assert known.target(TARGET) is TARGET
    assert not (tmp_path / NAME).exists()


def test_a_pinned_image_is_another_matter(tmp_path: Path) -> None:
    distro = TARGET.distro.id
    AnsweredPythons(tmp_path, {distro: "sha256:1"}).keep(TARGET, "3.14")
    assert AnsweredPythons(tmp_path, {}).target(TARGET) is TARGET
    assert AnsweredPythons(tmp_path, {distro: "sha256:1"}).target(TARGET).id != TARGET.id


def test_an_added_python_is_what_was_asked_for(tmp_path: Path) -> None:
    source = replace(TARGET.interpreter, origin=InterpreterOrigin.SOURCE)
    added = replace(TARGET, interpreter=source)
    AnsweredPythons(tmp_path, {}).keep(added, "3.14")
    assert not (tmp_path / NAME).exists()
    AnsweredPythons(tmp_path, {}).keep(TARGET, "3.14")
    assert AnsweredPythons(tmp_path, {}).target(added) is added


def test_a_damaged_file_and_a_folder_without_room_keep_nothing(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("{")
    assert AnsweredPythons(tmp_path, {}).target(TARGET) is TARGET
    known = AnsweredPythons(tmp_path / "missing", {})
    known.keep(TARGET, "3.14")
    assert known.target(TARGET).id != TARGET.id  # this run knows all the same


@given(st.lists(st.sampled_from(["3.13", "3.14", "3.15"]), min_size=1))
def test_the_last_answer_counts(tmp_path_factory: pytest.TempPathFactory, answers: list[str]) -> None:
    folder = tmp_path_factory.mktemp("cache")
    for answer in answers:
        AnsweredPythons(folder, {}).keep(TARGET, answer)
    planned = AnsweredPythons(folder, {}).target(TARGET)
    assert planned.interpreter.version.dotted == answers[-1]
