"""What the documents say is there: links, options, findings, samples, targets of make."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.config.keys import BY_NAME
from pytest_manylinux.config.merge import file_layer, merge
from pytest_manylinux.config.options import OPTIONS
from pytest_manylinux.config.settings import Settings
from pytest_manylinux.diagnose.check_registry import find_check
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.model.verdict import Cause, Outcome

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SAMPLES = ROOT / "sample_projects"
REFERENCE = DOCS / "reference"
# Those of the tree: the installed ones, of a wheel, have no sample projects above them.
TEXTS = ROOT / "src" / "pytest_manylinux" / "diagnose" / "texts"

PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *DOCS.rglob("*.md"),
        *SAMPLES.glob("*.md"),
        *SAMPLES.glob("*/*/*.md"),
        *TEXTS.glob("*.md"),
    ]
)
PROJECTS = sorted(path for kind in ("portable", "faulty") for path in (SAMPLES / kind).iterdir())

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (?P<title>.+)$", re.MULTILINE)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    return [match["target"] for match in _LINK.finditer(prose(page))]


def anchors(page: Path) -> set[str]:
    """The anchors that a renderer gives a page's headings."""
    titles = (match["title"].lower() for match in _HEADING.finditer(prose(page)))
    return {re.sub(r"[^\w\- ]", "", title).strip().replace(" ", "-") for title in titles}


def settings_of(project: Path) -> Settings:
    return merge([file_layer(project / "pyproject.toml", shown=name_of(project / "pyproject.toml"))])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        target, _, anchor = link.partition("#")
        if re.match(r"\w+:", target):
            continue
        aim = (page.parent / target).resolve() if target else page
        assert aim.exists(), link
        assert aim.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(aim), link


def test_every_page_can_be_reached_from_the_index() -> None:
    seen: set[Path] = set()
    waiting = [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        targets = (link.partition("#")[0] for link in links(page))
        waiting += [(page.parent / target).resolve() for target in targets if ":" not in target]
    assert [name_of(page) for page in DOCS.rglob("*.md") if page not in seen] == []


def test_the_reference_has_every_flag_of_the_help() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "pytest", "--help", "-p", "no:cacheprovider"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    flags = set(re.findall(r"^  (--manylinux[a-z-]*)", shown, re.MULTILINE))
    text = (REFERENCE / "options.md").read_text(encoding="utf-8")
    settings = {BY_NAME[name].option.flag for name in BY_NAME if f"`{name}`" in text}
    assert len(flags) > len(settings) > 1
    assert sorted(flag for flag in flags - settings if f"`{flag}" not in text) == []


def test_the_reference_has_every_table_and_no_setting_that_is_gone() -> None:
    text = (REFERENCE / "options.md").read_text(encoding="utf-8")
    tables = set(re.findall(r"tool\.pytest-manylinux\.([a-z-]+)", text))
    assert tables == {option.name for option in OPTIONS if not option.metavar}
    rows = set(re.findall(r"^\| `([a-z][a-z-]*)`", text, re.MULTILINE))
    assert rows == {option.name for option in OPTIONS if option.metavar}


def test_the_reference_has_every_exit_code_verdict_and_cause() -> None:
    codes = (REFERENCE / "exit-codes.md").read_text(encoding="utf-8")
    assert [code for code in ExitCode if f"\n| {code.value} |" not in codes] == []
    verdicts = (REFERENCE / "verdicts.md").read_text(encoding="utf-8")
    words = [*(outcome.value for outcome in Outcome), *(cause.value for cause in Cause)]
    assert [word for word in words if f"`{word}`" not in verdicts] == []


def test_the_documents_name_only_targets_that_make_has() -> None:
    targets = set(
        re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    named = {
        word
        for page in PAGES
        for word in re.findall(r"(?:`|\$ )make ([a-z-]+)", page.read_text(encoding="utf-8"))
    }
    assert {"prove", "test"} <= named
    assert named - targets == set()


@pytest.mark.parametrize("project", PROJECTS, ids=name_of)
def test_a_sample_is_whole_and_listed(project: Path) -> None:
    listed = links(SAMPLES / "README.md")
    assert f"{project.parent.name}/{project.name}/README.md" in listed
    readme = (project / "README.md").read_text(encoding="utf-8")
    assert readme.startswith(f"# {project.name}\n")
    assert "**Lesson:**" in readme
    assert "**Expected:**" in readme


@pytest.mark.parametrize("project", PROJECTS, ids=name_of)
def test_a_sample_declares_its_faults_and_no_others(project: Path) -> None:
    declared = settings_of(project).expect
    assert bool(declared) == (project.parent.name == "faulty")
    readme = (project / "README.md").read_text(encoding="utf-8")
    catalogue = load_catalogue()
    for expectation in declared:
        assert find_check(expectation.finding).name == expectation.finding
        assert f"`{expectation.finding}`" in readme
        if expectation.distro != "*":
            assert catalogue.get(expectation.distro).id == expectation.distro
            assert expectation.distro in readme
