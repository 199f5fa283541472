"""Wheels' names, shortened to what tells them apart, and grouped by what they share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, groupby

from pytest_manylinux.model.wheel_variants import split_variant
from pytest_manylinux.report.phrases import wheel_words

_LEAST = 8
_STEM = 4  # characters of a project's name that still mean something
_BY_WORTH = ("python", "version", "arch", "policy")  # what people look for first
_NAME = 12  # of a longer name so much is kept before its wheels' tags take more room
_FEW = 8  # so many rows are read at a glance, each with its project's name
_PARTS = 5  # name-version-python-abi-platform; six with a build tag
# Platform tags of Linux end with the architecture, which may hold an underscore itself.
_LINUX = re.compile(r"(?P<policy>(?:many|musl)linux_\d+_\d+|manylinux\d+|linux)_(?P<arch>\w+)")


@dataclass(frozen=True, slots=True)
class WheelName:
    """The parts of a wheel's file name, as people say them.

    `version` has the build tag where there is one, `python` the ABI where the Python tag does not imply
    it (`cp39-abi3`; a free-threaded Python is `cp314t`), `policy` is of synonyms the shortest.
    """

    project: str
    version: str
    python: str
    policy: str
    arch: str


def wheel_labels(wheels: Sequence[str], width: int) -> tuple[str, ...]:
    """A label a wheel, all different, at most `width` characters each (8 at least).

    Shortens in steps and takes the first that fits: the file name in words, without the ABI that
    the Python tag implies, then without architecture, policy and version where all wheels share
    them, then with only those that tell a project's own wheels apart, the Python tag among them. At
    last each project's wheels keep as many of these as fit next to its name, which is cut only if
    none would; any other name is cut in its middle.
    """
    width = max(width, _LEAST)
    names = [_parse(wheel_words(wheel)) for wheel in wheels]
    parsed = [name for name in names if isinstance(name, WheelName)]
    for form in _forms(parsed):
        labels = [form(name) if isinstance(name, WheelName) else name for name in names]
        if max(map(len, labels), default=0) <= width and len(set(labels)) == len(set(wheels)):
            return tuple(labels)
    own = {project: _own_form(project, parsed, width) for project in {name.project for name in parsed}}
    cut = [
        own[name.project](name) if isinstance(name, WheelName) else shortened(name, width)
        for name in names
    ]
    return _numbered(cut, width)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelGroup:
    """Neighbouring wheels of one project and version: both once, as `heading`, and a label a wheel.

    Without a heading each label says all by itself.
    """

    heading: str
    labels: tuple[str, ...]


def grouped_labels(
    wheels: Sequence[str], width: int, *, most: int | None = None, indent: str = ""
) -> tuple[LabelGroup, ...]:
    """Labels for wheels in the order of `matrix.wheel_order`, grouped where that saves reading.

    Up to 8 wheels are one group without a heading, and so are more if headings would be more than
    half as many as they.
    Under a heading a label has the tags: those that tell a release's wheels apart are whole, even
    if that takes more than `width` characters, up to `most` (default: `width`), and start with
    `indent`. Labels of different wheels in one group differ.
    """
    most = max(width, _LEAST, most or 0)
    names = [_parse(wheel_words(wheel)) for wheel in wheels]
    groups = [list(group) for _, group in groupby(names, key=_release)]
    if len(names) <= _FEW or 2 * len(groups) > len(names):
        labels = wheel_labels(wheels, min(max(width, _least_width(names)), most))
        return (LabelGroup(heading="", labels=labels),)
    parsed = [name for name in names if isinstance(name, WheelName)]
    for parts in _tag_forms(parsed):
        found = tuple(_group(group, parts, most, indent) for group in groups)
        if max(len(label) for group in found for label in group.labels) <= width:
            break
    return found


def wheel_name(wheel: str) -> WheelName | None:
    """The parts of a wheel's file name; None for any other text."""
    parsed = _parse(wheel_words(wheel))
    return parsed if isinstance(parsed, WheelName) else None


def _parse(wheel: str) -> WheelName | str:
    plain, variant = split_variant(wheel)
    parts = plain.removesuffix(".whl").split("-")
    if not wheel.endswith(".whl") or len(parts) not in {_PARTS, _PARTS + 1}:
        return wheel
    project, version, *build, python, abi, platform = parts
    policy, arch = _platform(platform)
    tag = {python: python, "none": python, f"{python}t": abi}.get(abi, f"{python}-{abi}")
    return WheelName(project, "-".join(filter(None, [version, *build, variant])), tag, policy, arch)


def _platform(tags: str) -> tuple[str, str]:
    """Policy and architecture of a compressed platform tag; of synonyms the shortest."""
    tag = min(tags.split("."), key=len)
    match = _LINUX.fullmatch(tag)
    return (tag, "") if match is None else (match["policy"], match["arch"])


def _release(name: WheelName | str) -> tuple[str, str]:
    """What the wheels of a group have in common; of other names the name."""
    return (name.project, name.version) if isinstance(name, WheelName) else (name, "")


def _tag_forms(
    names: Sequence[WheelName],
) -> tuple[Callable[[Sequence[WheelName]], set[str]], ...]:
    """Which tags a group's labels keep, from all to the fewest."""
    shared = _differ(names, "policy", "arch")
    return (
        lambda _: {"python", "policy", "arch"},
        lambda _: {"python", *shared},
        lambda own: {"python", *_differ(own, "policy", "arch")},
        lambda own: _fewest(own, ()) or {"python"},
    )


def _group(
    names: Sequence[WheelName | str],
    form: Callable[[Sequence[WheelName]], set[str]],
    most: int,
    indent: str,
) -> LabelGroup:
    own = [name for name in names if isinstance(name, WheelName)]
    parts = form(own)
    tails = [_tail(name, parts) if isinstance(name, WheelName) else name for name in names]
    heading = " ".join(_release(own[0])) if own else ""
    before = indent if heading else ""
    labels = _numbered([shortened(f"{before}{tail}", most) for tail in tails], most)
    return LabelGroup(heading=heading, labels=labels)


def _least_width(names: Iterable[WheelName | str]) -> int:
    """The room in which each wheel's label keeps its telling tags and enough of its name."""
    by_project: dict[str, list[WheelName]] = {}
    for name in names:
        if isinstance(name, WheelName):
            by_project.setdefault(name.project, []).append(name)
    widths = [0]
    for project, own in by_project.items():
        tails = (_tail(name, _fewest(own, ())) for name in own)
        widths.append(min(len(project), _NAME) + max(len(tail) + bool(tail) for tail in tails))
    return max(widths)


def _forms(names: Sequence[WheelName]) -> list[Callable[[WheelName], str]]:
    arch, policy = _differ(names, "arch"), _differ(names, "policy")
    own = {name.project: _telling(name.project, names) for name in names}
    return [
        lambda name: _label(name, {"version", "python", "policy", "arch"}),
        lambda name: _label(name, {"version", "python", "policy", *arch}),
        lambda name: _label(name, {"version", "python", *policy, *arch}),
        lambda name: _label(name, {"python", *policy, *arch}),
        lambda name: _label(name, {"python", *own[name.project]}),
        lambda name: _label(name, own[name.project]),
    ]


def _differ(names: Iterable[WheelName], *parts: str) -> set[str]:
    """Those of the parts that are not the same in all names."""
    known = list(names)
    return {part for part in parts if len({getattr(name, part) for name in known}) > 1}


def _telling(project: str, names: Iterable[WheelName]) -> set[str]:
    """The parts that tell a project's own wheels apart; none for a single wheel."""
    own = (name for name in names if name.project == project)
    return _differ(own, "version", "python", "policy", "arch")


def _label(name: WheelName, parts: set[str]) -> str:
    """The project and those of its wheel's other parts that are in `parts`."""
    return " ".join(filter(None, (name.project, _tail(name, parts))))


def _tail(name: WheelName, parts: set[str]) -> str:
    def joined(between: str, *some: str) -> str:
        return between.join(filter(None, (getattr(name, part) for part in some if part in parts)))

    return " ".join(filter(None, (joined(" ", "version", "python"), joined("_", "policy", "arch"))))


def _own_form(project: str, names: Iterable[WheelName], width: int) -> Callable[[WheelName], str]:
    """A form for one project's wheels: the most of their parts that leaves its name whole.

    If nothing does, the name is cut, the same for all its wheels, and the fewest parts are kept; if
    that leaves nothing of the name to speak of, the whole label is cut.
    """
    own = [name for name in names if name.project == project]
    fewest = _fewest(own, ())
    for parts in (_telling(project, own), _fewest(own, ("python", "version")), fewest):
        if max(len(_label(name, parts)) for name in own) <= width:
            return partial(_label, parts=parts)
    room = width - max(len(tail) + bool(tail) for tail in (_tail(name, fewest) for name in own))
    if room < _STEM:
        return lambda name: shortened(_label(name, fewest), width)
    stem = shortened(project, room)
    return lambda name: f"{stem} {_tail(name, fewest)}".rstrip()


def _fewest(own: Sequence[WheelName], wanted: Iterable[str]) -> set[str]:
    """The fewest parts that tell all apart, the wanted ones that differ among them."""
    differing = [part for part in _BY_WORTH if part in _differ(own, *_BY_WORTH)]
    kept = set(differing).intersection(wanted)
    for count in range(len(differing) + 1):
        for more in combinations(differing, count):
            parts = kept.union(more)
            if len({_tail(name, parts) for name in own}) == len(set(own)):
                return parts
    return set(differing)


def _numbered(labels: Sequence[str], width: int) -> tuple[str, ...]:
    """Number those that look alike all the same."""
    seen: Counter[str] = Counter()
    unlike = []
    for label in labels:
        seen[label] += 1
        mark = f"~{seen[label]}" if seen[label] > 1 else ""
        unlike.append(label if not mark else shortened(label, width - len(mark)) + mark)
    return tuple(unlike)


def shortened(label: str, width: int) -> str:
    """The label in at most `width` characters, cut in its middle."""
    if len(label) <= width:
        return label
    tail = (width - 1) // 2
    return f"{label[: width - 1 - tail]}…{label[len(label) - tail :] if tail else ''}"
