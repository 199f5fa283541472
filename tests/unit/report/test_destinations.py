"""What a report may be written over: an earlier report, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_manylinux.errors import UsageError
from pytest_manylinux.report.destinations import Destination, ReportForm, check_destinations

FORMS = {
    ReportForm.JSON: '{\n "_type": "https://in-toto.io/Statement/v1"}',
    ReportForm.HTML: '<!doctype html>\n<html lang="en">',
    ReportForm.MARKDOWN: "## Portability of wheels\n",
}
OTHERS = (b"PK\x03\x04", b"\x1f\x8b", b"[project]\n", b"# Read me\n", b"\x7fELF")


def check(path: Path, form: ReportForm = ReportForm.JSON) -> None:
    check_destinations([Destination("--flag", path, form)])


@pytest.mark.parametrize("form", ReportForm)
def test_an_earlier_report_of_its_kind_may_be_replaced(tmp_path: Path, form: ReportForm) -> None:
    path = tmp_path / "report"
    check(path, form)
    for text in ("", FORMS[form]):
        path.write_text(text)
        check(path, form)
    check(tmp_path / "not/yet/there", form)


@pytest.mark.parametrize("form", ReportForm)
def test_nothing_else_may_be(tmp_path: Path, form: ReportForm) -> None:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    for content in (*OTHERS, *(FORMS[other].encode() for other in ReportForm if other is not form)):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"--flag: .* is no earlier report"):
            check(path, form)
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(path)
        with pytest.raises(UsageError, match="is no earlier report"):
            check(tmp_path / "link", form)


def test_a_folder_and_a_place_below_a_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        check(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="could not be written"):
        check(tmp_path / "file/report.json")


def test_two_reports_do_not_go_into_one_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "one.json")
    places = [Destination("--a", tmp_path / "one.json", ReportForm.JSON)]
    check_destinations(places * 2)
    with pytest.raises(UsageError, match="--b and --a name one file"):
        check_destinations([*places, Destination("--b", tmp_path / "link", ReportForm.HTML)])
