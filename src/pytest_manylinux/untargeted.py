"""Why a wheel has no trial: what of its tags no target of a run has, and what would change that.

Pure: names, catalogue rows and what this machine can run come in, sentences go out.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from packaging.tags import Tag

from pytest_manylinux.model.distro import Distro, Target
from pytest_manylinux.model.policy import LibcKind, Policy, policy_of_platform_tag
from pytest_manylinux.model.python import Implementation, PythonVersion
from pytest_manylinux.model.selection import Selection
from pytest_manylinux.model.wheel_tags import python_of_tag, python_tags, supported_tags
from pytest_manylinux.model.wheel_variants import VARIANTS_TAKEN

_LINUX = re.compile(
    r"(?:linux|manylinux1|manylinux2010|manylinux2014|(?:many|musl)linux_\d+_\d+)_(?P<arch>\w+)"
)
_SYSTEMS = {"macosx": "macOS", "win": "Windows", "ios": "iOS", "android": "Android"}
_NAMED = 3  # distros named as a next step


class Want(enum.Enum):
    """What a wheel wants that no target of the run has, the most general first."""

    INSTALLER = "installer"
    """An installer that knows its kind of name."""
    SYSTEM = "system"
    """Another operating system than Linux."""
    ARCHITECTURE = "architecture"
    """An architecture that this run was not asked for, or that does not run here."""
    LIBC_KIND = "libc-kind"
    """A Linux with a C library that no chosen distro has."""
    PYTHON = "python"
    """A Python that no chosen distro has."""
    EXCLUDED = "excluded"
    """A Python that the setting `python`, `build` or `skip` leaves out."""
    LIBC_VERSION = "libc-version"
    """A newer C library than that of every chosen distro that has its Python."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Untargeted:
    """Why a wheel has no target: a sentence, and the next step, empty if there is none here."""

    want: Want
    why: str
    remedy: str = ""

    @property
    def is_of_another_run(self) -> bool:
        """Whether the wheel is for a system or interpreter that this run was not asked for."""
        return self.want is not Want.LIBC_VERSION

    def __str__(self) -> str:
        """Both in one line."""
        return f"{self.why}: {self.remedy}" if self.remedy else self.why


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a run was asked for.

    `targets` are those of all its architectures with every Python that the distros have, `selection`
    is what settings leave of them; `missing` says of architectures that do
    not run here what is missing and what to type; `distros` are all rows of the catalogue, `chosen`
    those of the run; `otherwise` says how else a Python can be provided that no chosen distro packages.
    """

    targets: Sequence[Target]
    chosen: Sequence[Distro]
    distros: Sequence[Distro]
    selection: Selection = field(default_factory=Selection)
    missing: dict[str, str]
    otherwise: str = ""


def why_variant_untargeted(label: str) -> Untargeted:
    """Say why a wheel variant (PEP 825) is not tried in a run whose only installer is pip."""
    return Untargeted(
        want=Want.INSTALLER,
        why=f"it is a wheel variant (PEP 825) with the label {label}, and {VARIANTS_TAKEN}",
        remedy='set installer = ["pip", "uv"] to try it by uv',
    )


def why_untargeted(tags: Collection[Tag], around: Surroundings) -> Untargeted:
    """Say why none of the run's targets takes a wheel with these tags; they are never empty."""
    platforms = sorted({tag.platform for tag in tags})
    linux = [match["arch"] for name in platforms if (match := _LINUX.fullmatch(name))]
    if not linux and "any" not in platforms:
        return _not_linux(platforms)
    archs = {target.arch for target in around.targets}
    fitting = [arch for arch in linux if arch in archs]
    if linux and not fitting:
        return _other_architecture(linux[0], around)
    kinds = _kinds(tags)
    targets = [target for target in around.targets if target.distro.libc.kind in kinds]
    if around.targets and not targets:
        return _other_kind(tags, around)
    interpreters = [target for target in targets if _takes_python(tags, target)]
    if not interpreters:
        return _other_python(tags, kinds, around)
    left_out = [around.selection.excluded_by(target) for target in interpreters]
    if all(left_out):
        return _left_out(interpreters, left_out)
    return _newer_libc(tags, [t for t, by in zip(interpreters, left_out, strict=True) if not by])


def _kinds(tags: Collection[Tag]) -> frozenset[LibcKind]:
    """The C libraries that the tags are for; all of them for a tag that promises none."""
    found = [policy_of_platform_tag(tag.platform) for tag in tags]
    plain = any(
        split is None and (tag.platform == "any" or _LINUX.fullmatch(tag.platform))
        for tag, split in zip(tags, found, strict=True)
    )
    return frozenset(LibcKind) if plain else frozenset(split[0].kind for split in found if split)


def _left_out(interpreters: Sequence[Target], settings: Sequence[str]) -> Untargeted:
    names = ", ".join(sorted({target.interpreter.version.id for target in interpreters}))
    words = " and ".join(f"`{name}`" for name in sorted(set(settings)))
    several = len(set(settings)) > 1
    return Untargeted(
        want=Want.EXCLUDED,
        why=f"it is for {names}, which the setting{'s' * several} {words} "
        f"{'leave' if several else 'leaves'} out",
        remedy=f"change {'them' if several else 'it'} to try the wheel",
    )


def _not_linux(platforms: Sequence[str]) -> Untargeted:
    system = next(
        (title for name in platforms for word, title in _SYSTEMS.items() if name.startswith(word)),
        platforms[0],
    )
    return Untargeted(want=Want.SYSTEM, why=f"it is for {system}, not for Linux")


def _other_architecture(arch: str, around: Surroundings) -> Untargeted:
    missing = around.missing.get(arch)
    if not any(arch in distro.architectures for distro in around.distros):
        missing = "which no distro of the catalogue has"
    return Untargeted(
        want=Want.ARCHITECTURE,
        why=f"it is for {arch}, " + (missing or "which this run was not asked for"),
        remedy="" if missing else f"try it with --manylinux-archs={arch} and a distro that has {arch}",
    )


def _takes_python(tags: Collection[Tag], target: Target) -> bool:
    """Whether the target's Python takes one of the wheel's Pythons and ABIs, the C library apart."""
    pairs = _pairs(target.interpreter.version, target.interpreter.own_abi)
    return any((tag.interpreter, tag.abi) in pairs for tag in tags if _is_for(tag, target.arch))


@lru_cache(maxsize=256)  # asked for each wheel and target, and the Pythons are few
def _pairs(python: PythonVersion, abi: str) -> frozenset[tuple[str, str]]:
    return frozenset((tag.interpreter, tag.abi) for tag in python_tags(python, abi, ("any",)))


def _is_for(tag: Tag, arch: str) -> bool:
    match = _LINUX.fullmatch(tag.platform)
    return tag.platform == "any" or (match is not None and match["arch"] == arch)


def _other_python(
    tags: Collection[Tag], kinds: Collection[LibcKind], around: Surroundings
) -> Untargeted:
    if (unknown := _never_tried(tags)) is not None:
        return unknown
    wanted = {_python_of(tag) for tag in tags}
    archs = sorted({match["arch"] for tag in tags if (match := _LINUX.fullmatch(tag.platform))})
    having = [
        distro
        for distro in around.distros
        if distro.libc.kind in kinds
        and any(interpreter.version.id in wanted for interpreter in distro.interpreters)
    ]
    elsewhere = any(distro in around.chosen for distro in having)
    place = f" on {' or '.join(archs)}" if elsewhere and archs else ""
    others = [d.id for d in having if not archs or not set(archs).isdisjoint(d.architectures)]
    named = f"of all distros {_some(sorted(others))}{place}" if others else ""
    return Untargeted(
        want=Want.PYTHON,
        why=f"it is for {' or '.join(sorted(wanted))}, which no chosen distro has{place}",
        remedy="; ".join(filter(None, (named, around.otherwise))),
    )


def _never_tried(tags: Collection[Tag]) -> Untargeted | None:
    """Where no distro and no setting would change it: another implementation, or an ABI of none."""
    pythons = {tag: python_of_tag(tag) for tag in tags}
    if all(one is None and not tag.interpreter.startswith("py") for tag, one in pythons.items()):
        names = " or ".join(sorted({tag.interpreter for tag in tags}))
        return Untargeted(
            want=Want.PYTHON,
            why=f"it is for {names}; CPython, PyPy and GraalPy are all that wheels are tried with",
        )
    foreign = {
        f"{tag.abi}, and {one.title} has {one.abi}": one.title
        for tag, one in pythons.items()
        if one is not None and _is_older_abi(tag, one)
    }
    if len(foreign) < len({tag.abi for tag in tags}):
        return None
    why = f"it is for the ABI {'; '.join(sorted(foreign))}"
    builders = " or ".join(sorted(set(foreign.values())))
    return Untargeted(want=Want.PYTHON, why=why, remedy=f"build it with that {builders}")


def _is_older_abi(tag: Tag, version: PythonVersion) -> bool:
    """Whether no release that is tried has the ABI.

    No PyPy for Python 3.12 has had pp73, and of GraalPy the last release for each Python is tried.
    """
    if version.implementation is Implementation.GRAALPY:
        known = not version.abi.startswith("graalpy_")
        return known and tag.abi.startswith("graalpy") and tag.abi != version.abi
    return version.abi.endswith("_pp80") and tag.abi.endswith("_pp73")


def _python_of(tag: Tag) -> str:
    """The identifier of the Python that a tag is for, as far as it tells."""
    version = python_of_tag(tag)
    return tag.interpreter if version is None else version.id


def _other_kind(tags: Collection[Tag], around: Surroundings) -> Untargeted:
    kind, arch = min(_kinds(tags)), around.targets[0].arch
    others = [
        distro.id
        for distro in around.distros
        if distro.libc.kind is kind
        and any(_takes_python(tags, target) for target in _targets_on(distro, arch))
    ]
    choose = f"choose a distro with {kind.value} to try it"
    return Untargeted(
        want=Want.LIBC_KIND,
        why=f"it is for Linux with {kind.value}, which no chosen distro has",
        remedy=f"{choose}: {_some(others)}" if others else choose,
    )


def _targets_on(distro: Distro, arch: str) -> Iterator[Target]:
    for interpreter in distro.interpreters if arch in distro.architectures else ():
        yield Target(distro=distro, arch=arch, interpreter=interpreter)


def _newer_libc(tags: Collection[Tag], fitting: Iterable[Target]) -> Untargeted:
    policies = [found[0] for tag in tags if (found := policy_of_platform_tag(tag.platform))]
    targets = [target for target in fitting if supported_tags(target).isdisjoint(tags)]
    newest = max(target.distro.libc for target in targets)
    wanted = min((one for one in policies if one.kind is newest.kind), default=Policy((0, 0))).libc
    return Untargeted(
        want=Want.LIBC_VERSION,
        why=f"it wants {wanted}, and of the chosen distros that have its Python "
        f"the newest has {newest.number}",
        remedy="choose a newer distro, or build for an older policy",
    )


def _some(names: Sequence[str]) -> str:
    """Who has it: the first three, and how many more."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more} {'has' if len(names) == 1 else 'have'} it"
