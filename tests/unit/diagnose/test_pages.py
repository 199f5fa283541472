from __future__ import annotations

from pathlib import Path

import pytest

from pytest_manylinux.cli import main
from pytest_manylinux.diagnose.api import Check
from pytest_manylinux.diagnose.check_registry import checks, find_check
from pytest_manylinux.diagnose.explain import explain, overview
from pytest_manylinux.diagnose.pages import FOLDER, pages
from pytest_manylinux.diagnose.pages import main as write_pages
from pytest_manylinux.errors import ExitCode, UsageError

ROOT = Path(__file__).parents[3]
NAMES = [
    "policy-mismatch",
    "symbol-too-new",
    "missing-library",
    "library-not-grafted",
    "rpath-lost",
    "undefined-symbol",
    "executable-stack",
    "libpython-linked",
    "isa-level",
    "page-alignment",
    "static-tls",
    "relr-relocations",
    "text-relocations",
    "tag-unsupported-by-pip",
    "python-mismatch",
    "abi3-violation",
    "undeclared-dependency",
    "runtime-dlopen",
    "system-library-shadowed",
    "baked-path",
    "dependency-abi",
    "dependency-unavailable",
    "removed-module",
    "requires-python",
    "wrong-architecture",
    "extension-not-built",
    "elf-in-purelib",
    "elf-in-pure-wheel",
    "import-error",
    "import-exited",
    "crash",
    "hang",
    "wheel-malformed",
    "unstripped",
    "oversized",
    "ucs2",
    "fpe",
    "prediction-wrong",
    "expectation-not-met",
    "install-failed",
    "glibc-too-old",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_stable(name: str) -> None:
    assert find_check(name).name == name


def test_the_committed_pages_are_those_that_the_checks_make() -> None:
    committed = {p.name: p.read_text("utf-8") for p in (ROOT / FOLDER).glob("*.md")}
    assert committed == pages(), "run: python -m pytest_manylinux.diagnose.pages"


def test_pages_of_findings_that_are_no_more_are_removed(tmp_path: Path) -> None:
    (tmp_path / "old-finding.md").write_text("old")
    assert write_pages([str(tmp_path)]) == 0
    assert {p.name for p in tmp_path.iterdir()} == set(pages())


@pytest.mark.parametrize("check", checks(), ids=lambda check: check.name)
def test_every_finding_has_its_words(check: Check) -> None:
    assert check.meaning.endswith(".")
    assert check.by_hand
    assert check.remedies[0].tool == "any"
    assert all(remedy.words for remedy in check.remedies)
    assert check.links
    assert all(link.address.startswith("https://") for link in check.links)
    if check.sample:
        assert (ROOT / check.sample / "pyproject.toml").is_file()
    text = explain(check.code)
    assert check.name in text
    assert check.by_hand.splitlines()[0] in text
    assert f"{check.code}  {check.name}" in overview()


@pytest.mark.parametrize("word", ["ML104", "ml104", "missing-library", "missing_library"])
def test_findings_are_found_by_any_of_their_words(word: str) -> None:
    assert find_check(word).code == "ML104"


def test_an_unknown_word_gets_the_nearest() -> None:
    with pytest.raises(UsageError, match="missing-library"):
        find_check("mising-library")


def test_the_command_explains(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "hang", "ML303"]) == ExitCode.OK
    said = capsys.readouterr().out
    assert "ML304 hang" in said
    assert "ML303 crash" in said
    assert main(["explain"]) == ExitCode.OK
    assert capsys.readouterr().out.count("\n") == len(checks())
    assert main(["explain", "hnag"]) == ExitCode.USAGE
    assert "perhaps you meant 'hang'" in capsys.readouterr().err
