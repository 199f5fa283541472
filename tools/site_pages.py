"""The site of the documentation: the order of its sections, and pages that lie outside docs/.

Pages link to READMEs of sample projects, to SECURITY.md and to other files of the repository, as a
reader on a forge follows them. Here those files become pages below `project/`, the texts of findings
become pages of the reference, and links to them are changed to match. `mkdocs.yml` names this module
under `hooks`; the functions are mkdocs's events.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
_DOCS = "docs"
_PLACE = "project"  # where pages from outside docs/ come to lie
_TEXTS = "src/pytest_manylinux/diagnose/texts"  # the texts of findings, a page each
_FINDINGS = "reference/findings"  # where they come to lie
_FINDINGS_LIST = "<!-- findings -->"
_SECTIONS = {
    "Learn": "tutorial",
    "Do": "how-to",
    "Look up": "reference",
    "Understand": "explanation",
}
_ELSEWHERE = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "sample_projects/**/README.md",
)
_HEAD = re.compile(
    r"# (?P<code>\S+) (?P<name>\S+)\n\n\*\*(?P<title>[^*]+)\.\*\* Severity: (?P<severity>\w+)\."
)
_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the sections into the order of docs/index.md; findings are a part of the reference."""
    nav: list[dict[str, Any] | str] = ["index.md"]
    for title, folder in _SECTIONS.items():
        pages: list[Any] = sorted(_pages(folder))
        if title == "Look up":
            pages.append({"Findings": [path for path, _ in _texts()]})
        nav.append({title: pages})
    nav += [{"Verification": "verification.md"}, {"Words": "glossary.md"}]
    nav.append({"The project": [*_outside()]})
    config.nav = nav
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside of docs/."""
    for path in _outside():
        text = (ROOT / path.removeprefix(f"{_PLACE}/")).read_text(encoding="utf-8")
        files.append(File.generated(config, path, content=text))
    for path, text in _texts():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Change links that lead out of docs/, or out of `project/`, to where the page is on the site."""
    del config
    source = page.file.src_uri
    markdown = markdown.replace(_FINDINGS_LIST, "\n".join(_list_of_findings()))
    return _LINK.sub(lambda match: _relinked(match, source, files), markdown)


def _pages(folder: str) -> Iterator[str]:
    for path in (ROOT / _DOCS / folder).glob("*.md"):
        yield path.relative_to(ROOT / _DOCS).as_posix()


def _texts() -> list[tuple[str, str]]:
    """Page and text of each finding, by code."""
    found = [
        (f"{_FINDINGS}/{path.name}", path.read_text(encoding="utf-8"))
        for path in (ROOT / _TEXTS).glob("*.md")
    ]
    return sorted(found, key=lambda page: page[1])


def _list_of_findings() -> Iterator[str]:
    yield "| code | finding | severity | what it says |"
    yield "|---|---|---|---|"
    for path, text in _texts():
        head = _HEAD.match(text)
        if head is None:
            raise ValueError(f"{path}: the heading, the bold title or the severity is missing")
        name = head["name"]
        title = " ".join(head["title"].split())
        yield f"| {head['code']} | [{name}](findings/{name}.md) | {head['severity']} | {title} |"


def _outside() -> list[str]:
    found = [path for pattern in _ELSEWHERE for path in sorted(ROOT.glob(pattern))]
    return [f"{_PLACE}/{path.relative_to(ROOT).as_posix()}" for path in found]


def _relinked(match: re.Match[str], source: str, files: Files) -> str:
    """One link. A file without a page becomes its text; a broken link is left for mkdocs to report."""
    folder = posixpath.dirname(_in_repository(source))
    target = posixpath.normpath(posixpath.join(folder, match["target"]))
    if (ROOT / target / "README.md").is_file():
        target = f"{target}/README.md"
    site = _on_site(target)
    if files.get_file_from_path(site) is None:
        return match["text"] if (ROOT / target).exists() else match[0]
    relative = posixpath.relpath(site, posixpath.dirname(source) or ".")
    return f"[{match['text']}]({relative}{match['anchor'] or ''})"


def _in_repository(page: str) -> str:
    for place, folder in ((_PLACE, ""), (_FINDINGS, _TEXTS)):
        if page.startswith(f"{place}/"):
            return posixpath.join(folder, page.removeprefix(f"{place}/"))
    return f"{_DOCS}/{page}"


def _on_site(path: str) -> str:
    for folder, place in ((_TEXTS, _FINDINGS), (_DOCS, "")):
        if path.startswith(f"{folder}/"):
            return posixpath.join(place, path.removeprefix(f"{folder}/"))
    return f"{_PLACE}/{path}"
