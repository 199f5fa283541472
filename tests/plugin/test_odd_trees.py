"""Files as they should not be, and faults of our own: a clear line each, in every report."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from collecting import make_project
from lxml import etree
from wheels import build_wheel

from pytest_manylinux import cli, hooks
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.inspect import audit
from pytest_manylinux.report import terminal
from pytest_manylinux.report.proof import read_proof
from pytest_manylinux.run.collection import Context
from pytest_manylinux.run.reports import Outputs

NAME = "sample-1.0-py3-none-any.whl"
ODD = os.fsdecode(b"caf\xe9")


def run(pytester: pytest.Pytester, *arguments: str | Path) -> pytest.RunResult:
    pytester.makeini("[pytest]")
    return pytester.runpytest("--manylinux", "--manylinux-distros=debian-12", *arguments)


def said(result: pytest.RunResult) -> str:
    return result.stdout.str() + result.stderr.str()


def good_wheel(folder: Path) -> Path:
    folder.mkdir()
    return build_wheel(folder, name="sample", version="1.0", files={"sample.py": b""})


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("PYTEST_MANYLINUX_CACHE", os.fspath(folder))
    return folder


@pytest.mark.attack("odd tree", by="options")
@pytest.mark.parametrize("options", [(), ("-n1",)], ids=["alone", "xdist"])
def test_names_that_are_not_utf_8_reach_every_report(
    pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    good_wheel(pytester.path / ODD)
    (pytester.path / ODD / os.fsdecode(b"bad\xff.whl")).write_bytes(b"")
    reports = ("--manylinux-proof=p.json", "--manylinux-html=p.html", "--manylinux-markdown=p.md")
    result = run(pytester, "-v", "-k", "audit", *reports, "--junitxml=j.xml", *options, ".")
    assert result.ret == ExitCode.NOT_PORTABLE
    assert f"caf\\xe9/{NAME}::audit" in said(result)
    assert "bad\\xff.whl: not the name of a wheel" in said(result)
    assert "Traceback" not in said(result)
    assert {verdict.wheel for verdict in read_proof(pytester.path / "p.json").record.verdicts} == {
        NAME,
        "bad\\xff.whl",
    }
    assert "bad\\xff" in (pytester.path / "p.html").read_text("utf-8")
    assert "bad" in (pytester.path / "p.md").read_text("utf-8")
    names = [case.get("name") for case in etree.parse(pytester.path / "j.xml").iter("testcase")]
    assert names == ["audit", "audit"]


@pytest.mark.attack("odd tree")
def test_a_project_in_such_a_folder_is_planned(pytester: pytest.Pytester) -> None:
    make_project(pytester.path / ODD)
    result = run(pytester, "--collect-only", "-q", ".")
    assert "caf\\xe9::build[cp311-manylinux_auto_x86_64]" in said(result)


@pytest.mark.attack("odd tree")
def test_files_that_are_called_wheels(pytester: pytest.Pytester) -> None:
    folder = good_wheel(pytester.path / "wheels").parent
    os.mkfifo(folder / "pipe-1.0-py3-none-any.whl")
    with (folder / "hole-1.0-py3-none-any.whl").open("wb") as file:
        file.truncate(3 * 1024**3)
    (folder / "folder-1.0-py3-none-any.whl").mkdir()
    result = run(pytester, "-k", "audit", "wheels")
    result.stdout.fnmatch_lines(
        [
            "*hole-1.0-py3-none-any.whl: not a zip archive*",
            "*pipe-1.0-py3-none-any.whl is a named pipe*",
        ]
    )
    result.assert_outcomes(failed=1, passed=1, deselected=2)


@pytest.mark.attack("odd tree")
def test_a_wheel_that_goes_away_is_not_proven(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = good_wheel(pytester.path / "wheels")
    planned = Context.plan_wheel

    def plan(self: Context, path: Path) -> object:
        subject = planned(self, path)
        wheel.unlink()
        return subject

    monkeypatch.setattr(Context, "plan_wheel", plan)
    result = run(pytester, "-k", "audit", "wheels")
    assert result.ret == ExitCode.NOT_PROVEN
    result.stdout.fnmatch_lines(
        ["*not proven*", "*its file cannot be read*", f"*{NAME}*", "*No such file*"]
    )
    assert "Traceback" not in said(result)


def fault(*_: object, **__: object) -> None:
    raise IndexError("tuple index out of range")


# Imported above, so that pytester's runs in this process use these very modules.
PLACES: dict[str, tuple[Any, str]] = {
    "audit": (audit, "audit_wheel"),
    "collection": (Context, "plan_wheel"),
    "header": (hooks, "header_lines"),
    "reports": (Outputs, "write"),
    "start": (Context, "__init__"),
    "summary": (terminal, "matrix"),
}


@pytest.mark.attack("fault of ours", by="where")
@pytest.mark.parametrize("where", PLACES)
def test_a_fault_of_ours_is_one_line_with_a_saved_traceback(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, cache: Path, where: str
) -> None:
    owner, name = PLACES[where]
    monkeypatch.setattr(owner, name, fault)
    good_wheel(pytester.path / "wheels")
    result = run(pytester, "-k", "audit", "wheels", "--manylinux-proof=p.json")
    assert result.ret == ExitCode.NOT_PROVEN
    text = said(result)
    assert "internal error in " in text
    assert "IndexError: tuple index out of range (test_odd_trees.py:" in text
    assert "Traceback" not in text
    assert "INTERNALERROR" not in text
    (saved,) = cache.glob("tracebacks/*.txt")
    assert os.fspath(saved) in text.replace("\n", "")
    assert "Traceback (most recent call last)" in saved.read_text("utf-8")


@pytest.mark.attack("fault of ours")
def test_a_fault_of_a_command_is_one_line(
    monkeypatch: pytest.MonkeyPatch, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("argparse.ArgumentParser.parse_args", lambda *_: _Asked())
    assert cli.main(["explain"]) == ExitCode.NOT_PROVEN
    out, err = capsys.readouterr()
    assert len((out + err).splitlines()) == 1
    assert "internal error in the command explain: IndexError" in err
    assert len(list(cache.glob("tracebacks/*.txt"))) == 1


class _Asked:
    func = staticmethod(fault)


@pytest.mark.attack("fault of ours")
def test_without_a_cache_it_is_saved_with_temporary_files(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    shutil.rmtree(cache)
    cache.write_text("a file where a folder should be")
    monkeypatch.setenv("TMPDIR", os.fspath(pytester.path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(audit, "audit_wheel", fault)
    good_wheel(pytester.path / "wheels")
    result = run(pytester, "-k", "audit", "wheels")
    assert result.ret == ExitCode.NOT_PROVEN
    assert list(pytester.path.glob("manylinux-*.txt"))
