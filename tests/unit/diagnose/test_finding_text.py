from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_manylinux.cli import main
from pytest_manylinux.diagnose.api import TEXTS, Check, Remedy, read_text
from pytest_manylinux.diagnose.check_registry import checks, find_check
from pytest_manylinux.errors import ExitCode, UsageError
from pytest_manylinux.model.verdict import Severity

ROOT = Path(__file__).parents[3]
NAMES = [
    "policy-mismatch",
    "symbol-too-new",
    "missing-library",
    "library-not-grafted",
    "needs-driver",
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
    "loader-refusal",
    "program-not-started",
    "entry-point-broken",
    "module-shadowed",
    "syntax-error",
    "names-left-out",
    "start-file-broken",
    "tests-failed",
    "tests-not-run",
    "abi3-free-threaded",
    "gil-enabled",
    "installers-disagree",
    "symbol-not-in-musl",
    "built-for-glibc",
    "differs-on-musl",
    "graft-unaccounted",
    "sbom-wrong",
    "graft-license",
    "old-library",
    "not-reproducible",
    "system-call-too-new",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_stable(name: str) -> None:
    assert find_check(name).name == name


def test_every_finding_has_one_text_and_every_text_a_finding() -> None:
    texts = [path.stem for path in TEXTS.glob("*.md")]
    assert sorted(texts) == sorted(check.name for check in checks())
    assert len({check.code for check in checks()}) == len(texts)


def where(check: Check) -> str:
    functions = {
        "in the audit": check.audit,
        "in the wheel's bytes": check.wheel,
        "by prediction for each distro": check.static,
        "in a trial": check.dynamic,
    }
    seen = [words for words, function in functions.items() if function is not None]
    return f"Found {', '.join(seen)}." if seen else "Found by the run itself."


@pytest.mark.parametrize("check", checks(), ids=lambda check: check.name)
def test_every_finding_has_its_words(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    text = check.text
    page = (TEXTS / f"{check.name}.md").read_text("utf-8")
    assert text.heading == f"{check.code} {check.name}"
    summary = " ".join(page.split("\n\n")[1].split())
    assert summary == f"**{text.title}.** Severity: {check.severity.value}. {where(check)}"
    assert text.meaning.endswith(".")
    assert text.by_hand
    assert f"```sh\n{text.by_hand}\n```" in page
    assert len(text.remedies) == page.partition("## What to do")[2].partition("\n## ")[0].count("\n- ")
    assert text.links
    assert all(link.address.startswith("https://") for link in text.links)
    for sample in re.findall(r"sample_projects/[\w/]+", page):
        assert (ROOT / sample / "pyproject.toml").is_file()
    assert main(["explain", check.code]) == ExitCode.OK
    said = capsys.readouterr().out
    assert said.startswith(f"{check.code} {check.name} ({check.severity.value})\n{text.title}\n")
    assert text.by_hand.splitlines()[0] in said


@pytest.mark.parametrize(
    "page",
    ["", "# ML1 x\n\n**T.** S.\n\nM.\n", "# ML1 x\n\n**T.** S.\n\n## What to do\n\n- r\n"],
)
def test_a_page_that_lacks_a_part_is_named(page: str, tmp_path: Path) -> None:
    (tmp_path / "odd.md").write_text(page)
    with pytest.raises(ValueError, match=r"odd\.md"):
        read_text(tmp_path / "odd.md")


def test_a_check_of_another_project_brings_its_own_text(tmp_path: Path) -> None:
    head = "# XY1 odd\n\n**Odd.** Severity: warning.\n\nA.\nB.\n\n"
    (tmp_path / "odd.md").write_text(f"{head}## What to do\n\n- wrap\n  it\n- **meson**: no\n")
    check = Check(code="XY1", name="odd", severity=Severity.WARNING, texts=tmp_path)
    assert check.text.meaning == "A. B."
    assert check.text.remedies[1] == Remedy(tool="meson", words="no")
    assert check.finding("m").remedy == "wrap it"


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
    overview = capsys.readouterr().out
    assert overview.count("\n") == len(checks())
    assert all(f"{check.code}  {check.name}" in overview for check in checks())
    assert main(["explain", "hnag"]) == ExitCode.USAGE
    assert "perhaps you meant 'hang'" in capsys.readouterr().err
