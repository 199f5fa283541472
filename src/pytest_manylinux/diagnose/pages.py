"""The reference pages of the findings, made from the checks themselves.

`python -m pytest_manylinux.diagnose.pages [FOLDER]` writes them into docs/reference/findings.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from pytest_manylinux.diagnose.api import Check
from pytest_manylinux.diagnose.check_registry import checks

FOLDER = Path("docs/reference/findings")
_KINDS = {
    "ML1": "In the wheel",
    "ML2": "On installation",
    "ML3": "On import and at run time",
    "ML4": "On building",
    "ML9": "On declarations and predictions",
}


def pages() -> dict[str, str]:
    """Every page by its file name: one for each finding, and the index."""
    made = {f"{check.name}.md": "\n".join(_page(check)) + "\n" for check in checks()}
    return {"index.md": "\n".join(_index()) + "\n", **made}


def _index() -> Iterator[str]:
    yield "# Findings"
    yield ""
    yield "Each has a code and a name that stay what they are. `pytest-manylinux explain NAME` prints"
    yield "the same words. Errors make a wheel not portable; warnings and information do not."
    for prefix, title in _KINDS.items():
        yield ""
        yield f"## {title}"
        yield ""
        yield "| code | finding | severity | what it says |"
        yield "|---|---|---|---|"
        for check in checks():
            if check.code.startswith(prefix):
                link = f"[{check.name}]({check.name}.md)"
                yield f"| {check.code} | {link} | {check.severity.value} | {check.title} |"


def _page(check: Check) -> Iterator[str]:
    yield f"# {check.code} {check.name}"
    yield ""
    yield f"**{check.title}.** Severity: {check.severity.value}. {_where(check)}"
    yield ""
    yield check.meaning
    yield ""
    yield "## See it by hand"
    yield ""
    yield "```sh"
    yield check.by_hand
    yield "```"
    yield ""
    yield "## What to do"
    yield ""
    for remedy in check.remedies:
        label = "" if remedy.tool == "any" else f"**{remedy.tool}**: "
        yield f"- {label}{remedy.words}"
    yield from _example(check)
    yield ""
    yield "## Read more"
    yield ""
    yield from (f"- [{link.title}]({link.address})" for link in check.links)


def _where(check: Check) -> str:
    seen = [
        words
        for function, words in (
            (check.audit, "in the audit"),
            (check.wheel, "in the wheel's bytes"),
            (check.static, "by prediction for each distro"),
            (check.dynamic, "in a trial"),
        )
        if function is not None
    ]
    return f"Found {', '.join(seen)}." if seen else "Found by the run itself."


def _example(check: Check) -> Iterator[str]:
    if check.sample:
        yield ""
        yield "## Example"
        yield ""
        name = check.sample.rpartition("/")[2]
        yield f"[{name}](../../../{check.sample}) among the sample projects brings it about."


def main(arguments: list[str]) -> int:
    """Write the pages; pages of findings that are no more are removed."""
    folder = Path(arguments[0]) if arguments else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    made = pages()
    for old in folder.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (folder / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
