"""The files that a wheel was judged by, as its installation must leave them.

Rules: the wheel specification on installing (`.data` folders, `#!python`, RECORD), the specification of
installed projects (INSTALLER, REQUESTED, direct_url.json), entry points; pip's scheme for headers, and
the programs that it makes for itself in several versions (pip, src/pip/_internal/operations/install/
wheel.py).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_manylinux.errors import SandboxError
from pytest_manylinux.model.observation import DifferenceKind, FileDifference
from pytest_manylinux.model.wheel import WheelFacts
from pytest_manylinux.trials.protocol import Files, ToldDifference
from pytest_manylinux.trials.request import VENV, VenvLayout

EXISTS = -1
"""The size of a file of which only that it is there is asked."""

_WRITTEN = ("INSTALLER", "RECORD", "REQUESTED", "direct_url.json")
_WRAPPERS = ("-script.py", ".exe", ".pya")  # by setuptools, which pip leaves out beside entry points
_VERSIONED = re.compile(r"(?P<program>pip|easy_install)[-\d.]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedFiles:
    """What the agent is to compare, and what an installer may write besides.

    `files` are (path in the venv, size, SHA-256 in hexadecimal), `metadata` is the .dist-info folder's
    name. `written` are paths that installers write themselves, `headers` the ends of such paths.
    """

    files: tuple[tuple[str, int, str], ...]
    metadata: str
    written: frozenset[str]
    headers: tuple[str, ...]
    versioned: bool

    def explains(self, path: str) -> bool:
        """Whether an installer writes this file without the wheel's having it."""
        folder, _, name = path.rpartition("/")
        match = _VERSIONED.fullmatch(name)
        return (
            path in self.written
            or (folder.startswith("include") and path.endswith(self.headers))
            or (self.versioned and match is not None and f"{folder}/{match['program']}" in self.written)
        )

    def differences(self, told: Files | None) -> tuple[FileDifference, ...]:
        """What the agent found; raises SandboxError if it did not compare all files."""
        if told is None or told.compared != len(self.files):
            raise SandboxError("the trial did not compare what was installed with the wheel's files")
        added = (path for path in told.besides if not self.explains(path))
        return (
            *(map(_difference, told.differing)),
            *(FileDifference(path=path, kind=DifferenceKind.ADDED) for path in added),
        )


def judged_files(facts: WheelFacts, layout: VenvLayout) -> JudgedFiles:
    """The wheel's files in a venv of this layout."""
    metadata = next((path.partition("/")[0] for path in facts.files if _is_metadata(path)), "")
    site = layout.purelib if facts.root_is_purelib else layout.platlib
    written = {posixpath.join(site, metadata, name) for name in _WRITTEN}
    programs = {f"{layout.scripts}/{name}" for name in facts.entry_points}
    headers = (path.partition("/headers/") for path in facts.files)
    left_out = {*written, *programs, *(f"{path}{end}" for path in programs for end in _WRAPPERS)}
    files = tuple(file for file in _files(facts, layout) if file[0] not in left_out)
    return JudgedFiles(
        files=files,
        metadata=metadata,
        written=frozenset({*written, *programs}),
        headers=tuple(f"/{rest}" for head, _, rest in headers if rest and head.endswith(".data")),
        versioned=facts.wheel.name in {"pip", "setuptools"},
    )


def _difference(one: ToldDifference) -> FileDifference:
    kind = DifferenceKind.CONTENT if one.digest else DifferenceKind.SIZE
    kind = DifferenceKind.MISSING if one.size is None else kind
    return FileDifference(path=one.path, kind=kind, shared=one.shared)


def _is_metadata(path: str) -> bool:
    return path.endswith(".dist-info/METADATA") and path.count("/") == 1


def _files(facts: WheelFacts, layout: VenvLayout) -> Iterator[tuple[str, int, str]]:
    for file in facts.contents:
        place = installed_path(file.path, facts, layout)
        if place:
            size, digest = (EXISTS, "") if file.rewritten else (file.size, file.sha256)
            yield within(place, layout), size, digest


def installed_path(path: str, facts: WheelFacts, layout: VenvLayout) -> str:
    """Where pip puts a file of the wheel (the wheel specification on `.data` folders).

    Empty for what has no place of its own: headers, and schemes that the specification does not know.
    """
    head, _, rest = path.partition("/")
    scheme = "purelib" if facts.root_is_purelib else "platlib"
    if head.endswith(".data"):
        scheme, _, path = rest.partition("/")
    places = {
        "purelib": layout.purelib,
        "platlib": layout.platlib,
        "scripts": layout.scripts,
        "data": layout.data,
    }
    return posixpath.normpath(f"{VENV}/{places[scheme]}/{path}") if scheme in places else ""


def within(place: str, layout: VenvLayout) -> str:
    """A place in the venv as a path below it, through no link of the venv's own (`lib64`)."""
    path = place.removeprefix(f"{VENV}/")
    head, slash, rest = path.partition("/")
    links = {entry.path: entry.content for entry in layout.entries if entry.kind == "link"}
    return f"{links.get(head, head)}/{rest}" if slash else path
