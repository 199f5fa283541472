"""Wheels' names, shortened to what tells them apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pytest_manylinux.report.words import wheel_words

_LEAST = 8
_PARTS = 5  # name-version-python-abi-platform; six with a build tag
# Platform tags end with the architecture, which may hold an underscore itself.
_ARCHITECTURES = ("x86_64", "i686", "aarch64", "armv7l", "ppc64le", "s390x", "riscv64", "loongarch64")


@dataclass(frozen=True, slots=True)
class _Name:
    project: str
    version: str
    python: str
    policy: str
    arch: str


def wheel_labels(wheels: Sequence[str], width: int) -> tuple[str, ...]:
    """A label a wheel, all different, at most `width` characters each (8 at least).

    Shortens in steps and takes the first that fits: the file name in words, without the ABI that
    the Python tag implies, then without architecture, policy and version where all wheels share
    them, and at last with the middle left out.
    """
    width = max(width, _LEAST)
    names = [_parse(wheel_words(wheel)) for wheel in wheels]
    for form in _forms([name for name in names if isinstance(name, _Name)]):
        labels = [form(name) if isinstance(name, _Name) else name for name in names]
        if max(map(len, labels), default=0) <= width and len(set(labels)) == len(set(wheels)):
            return tuple(labels)
    return _cut(labels, width)


def _parse(wheel: str) -> _Name | str:
    parts = wheel.removesuffix(".whl").split("-")
    if not wheel.endswith(".whl") or len(parts) not in {_PARTS, _PARTS + 1}:
        return wheel
    project, version, *build, python, abi, platform = parts
    policy, arch = _platform(platform)
    tag = python if abi in {python, "none"} else f"{python}-{abi}"
    return _Name(project, "-".join([version, *build]), tag, policy, arch)


def _platform(tags: str) -> tuple[str, str]:
    """Policy and architecture of a compressed platform tag; of synonyms the shortest."""
    tag = min(tags.split("."), key=len)
    for arch in _ARCHITECTURES:
        if tag.endswith(f"_{arch}"):
            return tag.removesuffix(f"_{arch}"), arch
    return tag, ""


def _forms(names: Sequence[_Name]) -> list[Callable[[_Name], str]]:
    def shared(part: Callable[[_Name], str]) -> bool:
        return len({part(name) for name in names}) <= 1

    def label(name: _Name, *, arch: bool, policy: bool, version: bool) -> str:
        platform = "_".join(filter(None, (name.policy * policy, name.arch * arch)))
        parts = (name.project, name.version * version, name.python, platform)
        return " ".join(filter(None, parts))

    arch = not shared(lambda name: name.arch)
    policy = not shared(lambda name: name.policy)
    return [
        lambda name: label(name, arch=True, policy=True, version=True),
        lambda name: label(name, arch=arch, policy=True, version=True),
        lambda name: label(name, arch=arch, policy=policy, version=True),
        lambda name: label(name, arch=arch, policy=policy, version=False),
    ]


def _cut(labels: Sequence[str], width: int) -> tuple[str, ...]:
    """Leave out the middle; labels that then look alike are numbered."""
    short = [label if len(label) <= width else _middle_out(label, width) for label in labels]
    seen: Counter[str] = Counter()
    unlike = []
    for label in short:
        seen[label] += 1
        mark = f"~{seen[label]}" if seen[label] > 1 else ""
        unlike.append(label if not mark else _middle_out(label, width - len(mark)) + mark)
    return tuple(unlike)


def _middle_out(label: str, width: int) -> str:
    if len(label) <= width:
        return label
    tail = (width - 1) // 2
    return f"{label[: width - 1 - tail]}…{label[len(label) - tail :] if tail else ''}"
