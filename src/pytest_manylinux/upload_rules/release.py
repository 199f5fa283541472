"""The files of one release judged together: what each alone cannot show.

Pure: names and metadata were read before (review.py). A fault that refuses makes the gate say no; the
others are only told, because a project may mean them. Rules on names: the wheel format, PEP 425 and
PEP 440. An installer takes the first of its own tags that a wheel has, so that a version-specific wheel
wins over an abi3 one, and the higher build number over the lower.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from pytest_manylinux.model.wheel import is_grafted

Found = Iterator[tuple[str, str]]

FAULTS = {
    "projects-mixed": ("IX601", "upload one project at a time"),
    "versions-mixed": ("IX602", "take the files of other versions out of the folder"),
    "sdist-missing": ("IX603", "build it: `python -m build --sdist`"),
    "sdist-twice": ("IX604", "keep one: an index takes one source distribution for a release"),
    "python-missing": ("IX605", "build the wheels, or correct requires-python and the classifiers"),
    "platform-hole": ("IX606", "build the wheels that other platforms have"),
    "same-tags": ("IX607", "keep one; installers take the higher build number"),
    "abi3-shadowed": ("IX608", "leave one of them out, unless the specific wheel is faster on purpose"),
    "never-chosen": ("IX609", "correct the tags or requires-python, or leave the file out"),
    "metadata-differs": ("IX610", "build all files from one state of the project"),
    "missing-since-last": ("IX611", "build the wheels that the last release had"),
    "sdist-differs": ("IX612", "have the sdist hold all of it, and build the wheels from the sdist"),
}
"""The code of each fault, and what to do."""

TOLD = frozenset({"abi3-shadowed"})
"""Faults that do not refuse: projects mean them, an abi3 wheel for the Pythons that are yet to come."""

_MINOR = re.compile(r"Programming Language :: Python :: 3\.(\d+)")
_CPYTHON = re.compile(r"cp3(\d+)")
_PYTHON = re.compile(r"(cp|py|pp)(\d)(\d*)")
_ABI = re.compile(r"cp3(\d+)(t?)[dmu]*")
_FAMILIES = (
    (re.compile(r"(many|musl)linux(?:\d+|_\d+_\d+)_(\w+)"), r"\1linux \2"),
    (re.compile(r"linux_(\w+)"), r"linux \1"),
    (re.compile(r"macosx_\d+_\d+_(\w+)"), r"macOS \1"),
    (re.compile(r"ios_\d+_\d+_(\w+)"), r"iOS \1"),
    (re.compile(r"android_\d+_(\w+)"), r"Android \1"),
)
_UNIVERSAL = {"macOS universal2": ("macOS x86_64", "macOS arm64")}
_FUTURE = 99  # a minor version that no wheel is made for alone
_SHOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFault:
    """What is wrong with the files together: a stable code and name, the sentence, what to do."""

    code: str
    name: str
    text: str
    remedy: str

    @property
    def refuses(self) -> bool:
        """Whether a gate that judges releases says no."""
        return self.name not in TOLD


@dataclass(frozen=True, slots=True, kw_only=True)
class SdistBuild:
    """A wheel that was built from the source distribution, and the given wheel for the same Python.

    `built` and `given` are the names of the files in them. `failure` says why nothing was built, by
    whichever Python.
    """

    sdist: str
    wheel: str = ""
    built: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFile:
    """One file as the release sees it. Source distributions have no tags.

    `requires_python` and what follows are of its metadata.
    """

    filename: str
    project: str
    version: Version
    tags: frozenset[Tag] = frozenset()
    requires_python: str = ""
    classifiers: tuple[str, ...] = ()
    requires_dist: tuple[str, ...] = ()

    @property
    def places(self) -> frozenset[str]:
        """The platforms that it is for: `manylinux x86_64`, `macOS arm64`, `any`."""
        return frozenset(place for tag in self.tags for place in platform_families(tag.platform))

    def serves(self, minor: int) -> bool:
        """Whether CPython 3.`minor` (with its lock) takes it, by the tags for Python and ABI."""
        return any(_serves(tag, minor) for tag in self.tags)


def release_file(
    filename: str,
    *,
    requires_python: str = "",
    classifiers: Sequence[str] = (),
    requires_dist: Sequence[str] = (),
) -> ReleaseFile | None:
    """Read a file's name; None for what is neither a wheel nor a source distribution."""
    tags: frozenset[Tag] = frozenset()
    try:
        if filename.endswith(".whl"):
            project, version, _, tags = parse_wheel_filename(filename)
        else:
            project, version = parse_sdist_filename(filename)
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None
    return ReleaseFile(
        filename=filename,
        project=project,
        version=version,
        tags=tags,
        requires_python=requires_python,
        classifiers=tuple(classifiers),
        requires_dist=tuple(sorted(requires_dist)),
    )


def platform_families(platform: str) -> tuple[str, ...]:
    """A platform tag without its version, `manylinux x86_64`; two for macOS's universal2."""
    for pattern, words in _FAMILIES:
        if match := pattern.fullmatch(platform):
            family = match.expand(words)
            return _UNIVERSAL.get(family, (family,))
    return (platform,)


def _serves(tag: Tag, minor: int) -> bool:
    python = _PYTHON.fullmatch(tag.interpreter)
    if python is None or python[1] == "pp" or python[2] != "3":
        return False
    own = int(python[3] or 0)
    if tag.abi == "abi3" or (tag.abi == "none" and python[1] == "py"):
        return own <= minor
    abi = _ABI.fullmatch(tag.abi)
    return own == minor and (tag.abi == "none" or (abi is not None and not abi[2]))


def release_faults(
    files: Sequence[ReleaseFile], *, last: Sequence[str] = (), build: SdistBuild | None = None
) -> tuple[ReleaseFault, ...]:
    """What is wrong with the files together, each once, in the order of codes.

    `last` are the names of the last release's files, `build` what the source distribution builds to,
    where they were asked for.
    """
    found = [*_one_release(files), *_sdists(files), *_promised(files), *_twice(files)]
    found += [*_shadowed(files), *_unchosen(files), *_metadata(files), *_since(files, last)]
    found += [*_from_sdist(build)]
    faults = [
        ReleaseFault(code=FAULTS[name][0], name=name, text=text, remedy=FAULTS[name][1])
        for name, text in dict.fromkeys(found)
    ]
    return tuple(sorted(faults, key=lambda fault: fault.code))


def _from_sdist(build: SdistBuild | None) -> Found:
    """Files that only one of the two wheels has; what repair puts in depends on the build image."""
    if build is None:
        return
    if build.failure:
        yield "sdist-differs", f"{build.sdist} does not build: {build.failure}"
        return
    built, given = ({*filter(_is_projects_own, names)} for names in (build.built, build.given))
    if lacking := given - built:
        words = f"a wheel built from {build.sdist} lacks {_some(lacking)}, which {build.wheel} has"
        yield "sdist-differs", words
    if more := built - given:
        words = f"a wheel built from {build.sdist} has {_some(more)}, which {build.wheel} lacks"
        yield "sdist-differs", words


def _is_projects_own(name: str) -> bool:
    return not is_grafted(name) and ".dist-info/sboms/" not in name


def _some(words: Iterable[str]) -> str:
    shown = sorted(words)
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return f"{', '.join(shown[:_SHOWN])}{more}"


def _one_release(files: Sequence[ReleaseFile]) -> Found:
    projects = Counter(file.project for file in files)
    versions = Counter(file.version for file in files)  # 1.0 and 1.0.0 are one
    counted: tuple[tuple[str, Counter[str] | Counter[Version]], ...] = (
        ("projects-mixed", projects),
        ("versions-mixed", versions),
    )
    for name, counts in counted:
        if len(counts) > 1:
            parts = ", ".join(f"{word} ({count})" for word, count in counts.most_common(_SHOWN))
            yield name, f"{len(counts)} {name.partition('-')[0]} in one release: {parts}"


def _sdists(files: Sequence[ReleaseFile]) -> Found:
    sdists = [file.filename for file in files if not file.tags]
    if files and not sdists:
        yield "sdist-missing", "there is no source distribution with the wheels"
    if len(sdists) > 1:
        yield "sdist-twice", f"{len(sdists)} source distributions: {_some(sdists)}"


def _admits(requires_python: str, version: str) -> bool:
    """Whether some patch release of `version` is admitted; what cannot be read admits all."""
    try:
        specifiers = SpecifierSet(requires_python)
    except InvalidSpecifier:
        return True
    return any(specifiers.contains(f"{version}.{patch}") for patch in (*range(30), _FUTURE))


def promised_pythons(files: Sequence[ReleaseFile]) -> tuple[int, ...]:
    """The minor versions of Python 3 that classifiers name and requires-python admits.

    Without such classifiers: those from the oldest to the newest that a wheel is for alone.
    """
    words = {word for file in files for word in file.classifiers}
    named = {int(match[1]) for word in words if (match := _MINOR.fullmatch(word))}
    if not named and (own := {minor for file in files for minor in _own_minors(file)}):
        named = set(range(min(own), max(own) + 1))
    return tuple(
        minor
        for minor in sorted(named)
        if all(_admits(file.requires_python, f"3.{minor}") for file in files)
    )


def _promised(files: Sequence[ReleaseFile]) -> Found:
    """Pythons without a wheel anywhere, and Pythons without one on a platform that others have."""
    wheels = [file for file in files if file.tags]
    if not wheels or any("any" in wheel.places and wheel.serves(_FUTURE) for wheel in wheels):
        return
    promised = promised_pythons(files)
    served = {
        place: {n for n in promised if any(w.serves(n) and place in w.places for w in wheels)}
        for place in sorted({place for wheel in wheels for place in wheel.places})
    }
    somewhere = {minor for minors in served.values() for minor in minors}
    if nowhere := sorted({*promised} - somewhere):
        yield "python-missing", f"no wheel is for {_pythons(nowhere)}, which the metadata promises"
    for place, minors in served.items():
        if minors and (holes := sorted(somewhere - minors)):
            words = f"{place} has no wheel for {_pythons(holes)}, which other platforms have"
            yield "platform-hole", words


def _pythons(minors: Iterable[int]) -> str:
    return f"Python {', '.join(f'3.{minor}' for minor in minors)}"


def _twice(files: Sequence[ReleaseFile]) -> Found:
    """Files for the same tags of one version: but for the build number they are the same wheel."""
    by_tag: defaultdict[tuple[str, Version, Tag], list[str]] = defaultdict(list)
    for file in files:
        for tag in file.tags:
            by_tag[file.project, file.version, tag].append(file.filename)
    for names in by_tag.values():
        if len(names) > 1 and len(set(names)) == 1:
            yield "same-tags", f"{len(names)} files are called {names[0]}: an index takes one of a name"
        elif len(names) > 1:
            yield "same-tags", f"for the same tags: {_some(names)}"


def _own_minors(file: ReleaseFile) -> set[int]:
    """The minor versions that a wheel is for alone: cp311-cp311."""
    abis = (_ABI.fullmatch(tag.abi) for tag in file.tags)
    return {int(abi[1]) for abi in abis if abi and not abi[2]}


def _shadowed(files: Sequence[ReleaseFile]) -> Found:
    """An abi3 wheel beside one for a version that it is for too."""
    stable = [file for file in files if any(tag.abi == "abi3" for tag in file.tags)]
    for file in files:
        for minor in _own_minors(file):
            for hidden in stable:
                if hidden is not file and hidden.serves(minor) and hidden.places & file.places:
                    words = f"installers take {file.filename}, not {hidden.filename}"
                    yield "abi3-shadowed", f"on Python 3.{minor} {words}"


def _unchosen(files: Sequence[ReleaseFile]) -> Found:
    """Wheels whose every tag is for a Python that requires-python shuts out, or that there is not."""
    for file in files:
        if file.tags and not any(_possible(tag, file.requires_python) for tag in file.tags):
            why = f" (Requires-Python: {file.requires_python})" if file.requires_python else ""
            yield "never-chosen", f"no installer takes {file.filename}{why}"


def _possible(tag: Tag, requires_python: str) -> bool:
    python = _PYTHON.fullmatch(tag.interpreter)
    if python is None:
        return True  # of an implementation whose tags are not modelled
    abi = _ABI.fullmatch(tag.abi)
    if abi is not None and python[1] == "cp" and python[2] + python[3] != f"3{abi[1]}":
        return False  # no CPython has another version's ABI
    if python[2] != "3":
        return _admits(requires_python, f"{python[2]}.{python[3] or 7}")
    own = int(python[3] or 0)
    later = tag.abi == "abi3" or python[1] == "py"
    minors = range(own, _FUTURE) if later else (own,)
    return any(_admits(requires_python, f"3.{minor}") for minor in minors)


def _metadata(files: Sequence[ReleaseFile]) -> Found:
    """An index shows one metadata for a release: that of the file that came first.

    Source distributions may leave to the build what wheels state (PEP 643), and are not compared.
    """
    wheels = [file for file in files if file.tags]
    for field, stated in (
        ("Requires-Python", [file.requires_python for file in wheels]),
        ("Requires-Dist", ["; ".join(file.requires_dist) for file in wheels]),
    ):
        if len(set(stated)) > 1:
            usual = Counter(stated).most_common(1)[0][0]
            odd = [file.filename for file, value in zip(wheels, stated, strict=True) if value != usual]
            yield "metadata-differs", f"{field} of {_some(odd)} is not that of the other wheels"


def _offers(file: ReleaseFile) -> Iterator[tuple[str, str]]:
    """The (Python, platform) pairs of a wheel: `cp313`, `manylinux x86_64`."""
    for tag in file.tags:
        whole = tag.abi in {"none", tag.interpreter}
        python = tag.interpreter if whole else f"{tag.interpreter}-{tag.abi}"
        yield from ((python, place) for place in platform_families(tag.platform))


def _since(files: Sequence[ReleaseFile], last: Sequence[str]) -> Found:
    """What the last release had a wheel for and this one has not, unless it gave that Python up."""
    before = [file for name in last if (file := release_file(name)) is not None and file.tags]
    now = {offer for file in files for offer in _offers(file)}
    for file in before:
        for python, place in sorted({*_offers(file)} - now):
            if not _given_up(files, python, place):
                yield (
                    "missing-since-last",
                    f"{python} {place.replace(' ', '_')} was there in {file.version} and is missing",
                )


def _given_up(files: Sequence[ReleaseFile], python: str, place: str) -> bool:
    """Whether requires-python no longer admits the Python, or another wheel serves it there."""
    found = _CPYTHON.match(python)
    if found is None:
        return False
    minor = int(found[1])
    if any(not _admits(file.requires_python, f"3.{minor}") for file in files):
        return True
    free_threaded = python.endswith("t")
    served = (file for file in files if file.serves(minor) and file.places & {place, "any"})
    return not free_threaded and any(served)


def last_release(project: str, version: Version, names: Iterable[str]) -> tuple[str, ...]:
    """Of an index's file names those of the newest final release before `version`; empty for none."""
    found: defaultdict[Version, list[str]] = defaultdict(list)
    for name in names:
        file = release_file(name)
        if file is None or file.project != canonicalize_name(project):
            continue
        if file.version < version and not file.version.is_prerelease:
            found[file.version].append(name)
    return tuple(sorted(found[max(found)])) if found else ()


def release_fault_lines(faults: Iterable[ReleaseFault]) -> list[str]:
    """The faults for people, a line each."""
    return [f"release: {fault.text} ({fault.code} {fault.name}); {fault.remedy}" for fault in faults]
