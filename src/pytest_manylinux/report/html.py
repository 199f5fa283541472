"""One self-contained HTML page of a run (`--manylinux-html`).

Nothing is loaded from anywhere, and the page's own policy forbids it: style and script are let in
by their digests, everything else is shut out. What a wheel puts into names and tracebacks is
escaped by the template, or set as text by the script.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pytest_manylinux.cache.atomic import write_atomically
from pytest_manylinux.escape import plain
from pytest_manylinux.model.run import RunRecord
from pytest_manylinux.report.history import History
from pytest_manylinux.report.normalize import canonical
from pytest_manylinux.report.page.view import page_view

# Up to so many columns their headings stand upright; more are turned, so that all fit a screen.
ROOMY = 8
_PACKAGE = "pytest_manylinux.report.page"


def write_html(record: RunRecord, path: Path, *, history: History | None = None) -> None:
    """Write the page; `history` adds each cell's earlier nights. Raises ReportError."""
    write_atomically(path, html(record, history=history).encode())


def html(record: RunRecord, *, history: History | None = None) -> str:
    """The page as text."""
    style, script = _asset("page.css"), _asset("page.js")
    view = page_view(canonical(record), history=history)
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            view=view,
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            data=_embedded(view.data),
            policy=_content_policy(style, script),
            roomy=ROOMY,
        )
    )


def _content_policy(style: str, script: str) -> str:
    """Content Security Policy, level 3: digests of the two inline blocks, and nothing else."""
    return (
        f"default-src 'none'; script-src {_hash_source(script)}; style-src {_hash_source(style)};"
        " base-uri 'none'; form-action 'none'"
    )


def _hash_source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _embedded(data: object) -> Markup:
    """JSON inside of a script element: no character in it can end the element."""
    text = json.dumps(data, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - just made harmless


@cache
def _asset(name: str) -> str:
    return resources.files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pytest_manylinux.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_sound,
    )
    environment.filters["name"] = lambda label: label.partition(" ")[0]
    environment.filters["rest"] = lambda label: "".join(label.partition(" ")[1:])
    return environment


def _sound(value: object) -> object:
    """Make every text that a template puts out printable; markup of our own stays."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
