from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import site_pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import PluginCollection
from mkdocs.structure.files import File, Files

from pytest_manylinux.diagnose.check_registry import checks


@pytest.fixture
def files() -> Files:
    config = MkDocsConfig()
    config.plugins = PluginCollection()
    config.plugins._current_plugin = "tests"  # as mkdocs has it while a hook runs
    names = ("index.md", "how-to/predict.md")
    known = Files([File.generated(config, name, content="") for name in names])
    return site_pages.on_files(known, config)


@pytest.mark.parametrize(
    ("source", "link", "expected"),
    [
        ("index.md", "[a](how-to/predict.md)", "[a](how-to/predict.md)"),
        ("how-to/predict.md", "[a](../../SECURITY.md#x)", "[a](../project/SECURITY.md#x)"),
        (
            "reference/findings/hang.md",
            "[a](../../../../sample_projects/faulty/hang_on_import)",
            "[a](../../project/sample_projects/faulty/hang_on_import/README.md)",
        ),
        ("project/README.md", "[a](docs/how-to/predict.md)", "[a](../how-to/predict.md)"),
        ("project/README.md", "[MIT license](LICENSE)", "MIT license"),
        (
            "how-to/predict.md",
            "[a](../../src/pytest_manylinux/diagnose/texts/hang.md)",
            "[a](../reference/findings/hang.md)",
        ),
        ("index.md", "[a](gone.md)", "[a](gone.md)"),
        ("index.md", "[a](https://example.org/b.md)", "[a](https://example.org/b.md)"),
    ],
)
def test_links_lead_to_where_the_page_is_on_the_site(
    source: str, link: str, expected: str, files: Files
) -> None:
    page = cast("Any", SimpleNamespace(file=SimpleNamespace(src_uri=source)))
    assert site_pages.on_page_markdown(link, page, MkDocsConfig(), files) == expected


def test_every_finding_is_on_the_list_and_in_the_navigation(files: Files) -> None:
    page = cast("Any", SimpleNamespace(file=SimpleNamespace(src_uri="reference/findings.md")))
    shown = site_pages.on_page_markdown("<!-- findings -->", page, MkDocsConfig(), files)
    nav = str(site_pages.on_config(MkDocsConfig()).nav)
    for check in checks():
        row = f"| {check.code} | [{check.name}](findings/{check.name}.md) | {check.severity.value} | "
        assert f"{row}{check.text.title} |" in shown
        assert f"reference/findings/{check.name}.md" in nav


def test_every_page_of_the_documentation_has_a_place_in_the_navigation() -> None:
    nav = str(site_pages.on_config(MkDocsConfig()).nav)
    pages = {
        path.relative_to(site_pages.ROOT / "docs") for path in site_pages.ROOT.glob("docs/**/*.md")
    }
    assert [page for page in pages if repr(page.as_posix()) not in nav] == []
