from __future__ import annotations

from pathlib import Path

import pytest

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.errors import ImageError
from pytest_manylinux.images import image_survey
from pytest_manylinux.images.image_survey import LiveFigures, Surveys
from pytest_manylinux.model.distro import Image, ImageSource, Survey, SurveyedLibrary
from pytest_manylinux.model.policy import glibc

DISTRO = load_catalogue().get("debian-12")
IMAGE = Image(digest="sha256:1", name="debian-12", source=ImageSource.ARCHIVE, arch="x86_64")
LIBC = SurveyedLibrary(soname="libc.so.6", path="/lib/libc.so.6", versions=frozenset({"GLIBC_2.36"}))
SURVEY = Survey(distro="debian-12", image="sha256:1", arch="x86_64", libraries=(LIBC,))


class Looker:
    """Stands in for looking into an image; counts, or does not find an answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, answers: bool = True) -> None:
        self.looked = 0
        self.answers = answers
        monkeypatch.setattr(image_survey, "survey_image", self)

    def __call__(self, *_: object) -> LiveFigures:
        self.looked += 1
        if not self.answers:
            raise ImageError("the image does not answer")
        return LiveFigures(libc=glibc(2, 36), pythons=(), survey=SURVEY)


@pytest.fixture
def engine() -> Engine:
    return object()  # type: ignore[return-value]


def test_an_image_is_looked_into_once_for_all_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    looker = Looker(monkeypatch)
    known = Surveys(tmp_path / "surveys")
    assert known.of(DISTRO, IMAGE, engine) == SURVEY
    assert known.of(DISTRO, IMAGE, engine) == SURVEY
    assert Surveys(tmp_path / "surveys").of(DISTRO, IMAGE, engine) == SURVEY
    assert looker.looked == 1


def test_a_damaged_file_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    looker = Looker(monkeypatch)
    Surveys(tmp_path).of(DISTRO, IMAGE, engine)
    (file,) = tmp_path.glob("*/*")
    file.write_bytes(file.read_bytes()[:-9])
    assert Surveys(tmp_path).of(DISTRO, IMAGE, engine) == SURVEY
    assert looker.looked == 2
    assert list(tmp_path.glob("*/*")) == [file]


def test_an_image_without_an_answer_has_no_survey_and_leaves_none_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    looker = Looker(monkeypatch, answers=False)
    known = Surveys(tmp_path)
    assert known.of(DISTRO, IMAGE, engine) is None
    assert known.of(DISTRO, IMAGE, engine) is None
    assert looker.looked == 1
    assert list(tmp_path.iterdir()) == []
