"""What a wheel's bills of materials say of its grafted libraries, held against the files themselves.

A component belongs to a file by the first of these that holds: it says that it was found there; it has
the digest of the file; auditwheel's reference has the digest of the path that the file came from; its
name or package URL is of the library, or of the package, that the file is called for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from packageurl import PackageURL
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from pytest_manylinux.inspect.known_libraries import known_by_file, known_by_package
from pytest_manylinux.inspect.sbom import original_name
from pytest_manylinux.model.elf_facts import ElfFacts
from pytest_manylinux.model.wheel import SbomComponent, SbomDocument, WheelFacts

_REPAIR = "auditwheel"
_FOLDERS = (
    *("/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib", "/usr/local/lib64"),
    *(
        f"{root}/lib/{arch}-linux-gnu"
        for root in ("", "/usr")
        for arch in ("x86_64", "aarch64", "i386")
    ),
)
"""Where libraries lie that a distro's package brought; auditwheel's references digest the path."""

_TELLING = (
    4  # letters of a package's name that those of its libraries may begin with: brotli, brotlidec
)
_SHA256 = "SHA-256"
_NAME = re.compile(r"(?:lib)?(?P<stem>.*?)[\d._-]*(?:-?libs?)?")
_NUMBER = re.compile(r"\d+(?:\.\d+)*[a-z]{0,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Graft:
    """A grafted library and the component that names it; None where none does."""

    elf: ElfFacts
    component: SbomComponent | None = None

    @property
    def lacks(self) -> tuple[str, ...]:
        """What is not said of it: `a component`, or of the component `a version`, `a purl`."""
        if self.component is None:
            return ("a component",)
        stated = (("a version", self.component.version), ("a purl", self.component.purl))
        return tuple(word for word, value in stated if not value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """A sentence on a document that says something else than the wheel, and the files it is about."""

    words: str
    files: tuple[str, ...]


def grafts(facts: WheelFacts) -> tuple[Graft, ...]:
    """Each grafted library with the component that names it, in the wheel's order."""
    components = [one for document in facts.sboms for one in document.components]
    digests = {file.path: file.sha256 for file in facts.contents}
    return tuple(
        Graft(elf=elf, component=_component_of(elf, components, digests.get(elf.path, "")))
        for elf in facts.grafted
    )


def _component_of(
    elf: ElfFacts, components: Sequence[SbomComponent], digest: str
) -> SbomComponent | None:
    """The best of the components: one that is sure, else one by its name, complete ones first."""
    sure = [one for one in components if _is_sure(one, elf.path, digest)]
    named = [one for one in components if not one.files and _is_named(one, original_name(elf.path))]
    complete = sorted(sure or named, key=lambda one: not (one.version and one.purl))
    return complete[0] if complete else None


def _is_sure(component: SbomComponent, path: str, digest: str) -> bool:
    if path in _places(component) or (digest and (_SHA256, digest) in component.hashes):
        return True
    fragment = component.ref.rpartition("#")[2]
    return fragment in _path_digests(original_name(path))


def _places(component: SbomComponent) -> tuple[str, ...]:
    return tuple(place.removeprefix("./").removeprefix("/") for place in component.files)


@lru_cache(maxsize=4096)
def _path_digests(name: str) -> frozenset[str]:
    return frozenset(hashlib.sha256(f"{folder}/{name}".encode()).hexdigest() for folder in _FOLDERS)


def _is_named(component: SbomComponent, filename: str) -> bool:
    """Whether the component's name is that of the library, or of its package."""
    names = {component.name, _purl_name(component.purl)} - {""}
    own = known_by_file(filename)
    if own is not None and any(known_by_package(name) is own for name in names):
        return True
    stem = _stem(PurePosixPath(filename).name.partition(".so")[0])
    stems = {_stem(name) for name in names} - {""}
    return stem in stems or any(stem.startswith(one) for one in stems if len(one) >= _TELLING)


def _purl_name(purl: str) -> str:
    try:
        return PackageURL.from_string(purl).name if purl else ""
    except ValueError:
        return ""


def _stem(name: str) -> str:
    """`libgfortran5`, `libgfortran` and `gfortran-libs` are `gfortran`."""
    match = _NAME.fullmatch(name.lower())
    return match["stem"].strip("-_.") if match else name.lower()


def contradictions(facts: WheelFacts) -> Iterator[Contradiction]:
    """Where the documents say something else than the wheel; each document that cannot be read too."""
    for document in facts.sboms:
        if document.problem:
            yield Contradiction(words=f"{document.path}: {document.problem}", files=(document.path,))
            continue
        yield from _other_wheel(facts, document)
        yield from _stale(facts, document)
        yield from _other_bytes(facts, document)
    for graft in grafts(facts):
        yield from _other_version(facts, graft)


def _other_wheel(facts: WheelFacts, document: SbomDocument) -> Iterator[Contradiction]:
    """The document of another wheel, which was copied or left behind."""
    subject = document.subject
    if subject is None or not _is_this_project(subject, facts):
        return
    wheel = facts.wheel
    if subject.version and not _same_version(subject.version, wheel.version):
        words = f"{document.path} is about {subject.name} {subject.version}, not {wheel.version}"
        yield Contradiction(words=words, files=(document.path,))
    file = _qualifier(subject.purl, "file_name")
    if file and file != wheel.filename:
        words = f"{document.path} is about {file}, not this file"
        yield Contradiction(words=words, files=(document.path,))


def _is_this_project(subject: SbomComponent, facts: WheelFacts) -> bool:
    """Documents of parts (a Rust crate) are about something else, and rightly so."""
    python = subject.purl.startswith("pkg:pypi/")
    return python and canonicalize_name(subject.name) == facts.wheel.name


def _qualifier(purl: str, key: str) -> str:
    try:
        qualifiers = PackageURL.from_string(purl).qualifiers if purl else {}
    except ValueError:
        return ""
    return str(qualifiers.get(key, "")) if isinstance(qualifiers, dict) else ""


def _same_version(one: str, other: str) -> bool:
    try:
        return Version(one) == Version(other)
    except InvalidVersion:
        return one == other


def _stale(facts: WheelFacts, document: SbomDocument) -> Iterator[Contradiction]:
    """Components of files that are not in the wheel: those that name one, and all of auditwheel's."""
    subject = document.subject.ref if document.subject is not None else ""
    for component in document.components:
        gone = [place for place in _places(component) if place not in facts.files]
        if gone and len(gone) == len(component.files):
            words = f"{document.path} names {component.name} in {gone[0]}, which the wheel has not"
            yield Contradiction(words=words, files=(document.path,))
        elif _REPAIR in document.tool and component.ref != subject and not component.files:
            files = [original_name(elf.path) for elf in facts.grafted]
            if not any(_is_sure(component, file, "") or _is_named(component, file) for file in files):
                stated = f"{component.name} {component.version}".strip()
                words = f"{document.path} names {stated}, of which no library is in the wheel"
                yield Contradiction(words=words, files=(document.path,))


def _other_bytes(facts: WheelFacts, document: SbomDocument) -> Iterator[Contradiction]:
    """Digests of files that the component itself names; others are of archives that sources came in."""
    digests = {file.path: file.sha256 for file in facts.contents if file.sha256}
    for component in document.components:
        stated = dict(component.hashes).get(_SHA256)
        places = [place for place in _places(component) if place in digests]
        if stated and len(places) == 1 and stated != digests[places[0]]:
            words = f"{document.path} has another SHA-256 for {places[0]} than the file"
            yield Contradiction(words=words, files=(document.path, places[0]))


def _other_version(facts: WheelFacts, graft: Graft) -> Iterator[Contradiction]:
    """The version that the component states, and the one that the library's own bytes tell."""
    component = graft.component
    if component is None or not component.version:
        return
    known = known_by_file(original_name(graft.elf.path))
    told = [version for name, version in graft.elf.library_versions if known and name == known.name]
    if told and not any(agree(component.version, version) for version in told):
        where = ", ".join(d.path for d in facts.sboms if component in d.components)
        words = f"{where}: {component.name} {component.version}; {graft.elf.path} says {told[0]}"
        yield Contradiction(words=words, files=(graft.elf.path,))


def agree(stated: str, told: str) -> bool:
    """Whether a package's version (`1:1.1.1k-12.el8`, `1.2.13.dfsg-1`) is of an upstream version."""
    number = _NUMBER.match(stated.partition(":")[2] or stated)
    if number is None:
        return True  # a name, a commit: not comparable
    ours, theirs = _parts(told), _parts(number.group())
    shared = min(len(ours), len(theirs))
    return ours[:shared] == theirs[:shared]


_EARLY = frozenset({"alpha", "beta", "dev", "pre", "rc"})
_END = (-1, 0, "")
VersionKey = tuple[tuple[int, int, str], ...]


def version_key(version: str) -> VersionKey:
    """What versions are ordered by: `1.1.1rc1` < `1.1.1` < `1.1.1k` < `1.1.1za` < `1.1.1.1`."""
    return (*_parts(version), _END)


def _parts(version: str) -> VersionKey:
    words = re.findall(r"\d+|[a-z]+", version.lower())
    return tuple(_part(word) for word in words)


def _part(word: str) -> tuple[int, int, str]:
    if word.isdigit():
        return int(word), 0, ""
    return (-2, 0, word) if word in _EARLY else (-1, len(word), word)


@dataclass(frozen=True, slots=True, kw_only=True)
class OldLibrary:
    """A known library below a bound: where it is, and which version."""

    name: str
    version: str
    bound: str
    files: tuple[str, ...]


def old_libraries(facts: WheelFacts, bounds: Mapping[str, str]) -> tuple[OldLibrary, ...]:
    """The libraries below the bounds, version by name, sorted by name.

    What a file's own bytes tell counts; for a graft that tells nothing, what its component states.
    """
    seen: dict[tuple[str, str], list[str]] = {}
    for elf in facts.elf:
        for pair in elf.library_versions:
            seen.setdefault(pair, []).append(elf.path)
    for graft in grafts(facts):
        if graft.component is not None and not graft.elf.library_versions:
            known = known_by_file(original_name(graft.elf.path))
            number = _NUMBER.match(graft.component.version.partition(":")[2] or graft.component.version)
            if known is not None and number is not None:
                seen.setdefault((known.name, number.group()), []).append(graft.elf.path)
    return tuple(
        OldLibrary(name=name, version=version, bound=bounds[name], files=tuple(files))
        for (name, version), files in sorted(seen.items())
        if name in bounds and version_key(version) < version_key(bounds[name])
    )
