"""Which wheel of one run is the successor of which wheel of another."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping

from pytest_manylinux.model.run import RunRecord

Key = tuple[str, str]
"""A wheel in one run: file name and SHA-256; the digest is empty for what was never built."""


Likeness = Callable[[Key], Hashable]


def wheel_keys(record: RunRecord) -> tuple[Key, ...]:
    """Every wheel that the run has verdicts on, once."""
    return tuple(dict.fromkeys((v.wheel, v.wheel_sha256) for v in record.verdicts))


def pair_wheels(old: RunRecord, new: RunRecord) -> Mapping[Key, Key]:
    """Wheels of `new` and the wheel of `old` that each one follows; absent where there is none.

    The same file name first; then, among what is left, the same project and tags with another
    version, if that is unambiguous on both sides.
    """
    before, after = wheel_keys(old), wheel_keys(new)
    pairs = _pair(before, after, _same_bytes)
    for likeness in (_same_name, _same_tags):
        left = [key for key in before if key not in pairs.values()]
        right = [key for key in after if key not in pairs]
        pairs |= _pair(left, right, likeness)
    return pairs


def _same_bytes(key: Key) -> Hashable:
    return key


def _same_name(key: Key) -> Hashable:
    return key[0]


def _same_tags(key: Key) -> Hashable:
    """Project and tags, without version and build tag."""
    parts = key[0].removesuffix(".whl").split("-")
    if len(parts) < len(("name", "version", "python", "abi", "platform")):
        return key[0]
    return (parts[0].lower(), *parts[-3:])


def _pair(old: Iterable[Key], new: Iterable[Key], likeness: Likeness) -> dict[Key, Key]:
    """Pairs of keys that are alike and alone in their likeness, on either side."""
    before, after = _alone(old, likeness), _alone(new, likeness)
    return {after[like]: before[like] for like in after if like in before}


def _alone(keys: Iterable[Key], likeness: Likeness) -> dict[Hashable, Key]:
    groups: dict[Hashable, list[Key]] = {}
    for key in keys:
        groups.setdefault(likeness(key), []).append(key)
    return {like: group[0] for like, group in groups.items() if len(group) == 1}
