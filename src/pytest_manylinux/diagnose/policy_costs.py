"""What each policy would cost a wheel: distros won or lost, what stands in the way, what wins most.

A distro is served by a policy if its C library keeps it (PEP 600, PEP 656) on the wheel's architecture;
`predict` tells about one wheel on one distro, with its pip and Python. The rules of policies are
auditwheel's (`inspect/audit_policies.py`). Pure: facts, rows and figures in, values out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from pytest_manylinux.diagnose.unresolved_symbols import absent_symbols, marks_of_glibc
from pytest_manylinux.inspect.audit import assessment_of
from pytest_manylinux.inspect.audit_policies import Assessment, Obstacle, ObstacleKind
from pytest_manylinux.inspect.symbols import musl_symbols
from pytest_manylinux.model.distro import Distro
from pytest_manylinux.model.policy import LibcKind, Policy, policy_of_platform_tag
from pytest_manylinux.model.wheel import Wheel, WheelFacts

SCHEMA_VERSION = 1
MUSL_POLICIES = (Policy((1, 1), LibcKind.MUSL), Policy((1, 2), LibcKind.MUSL))
"""Those of PEP 656 that builder images exist for; musl has had no other minor version since 2014."""

_MOST_CHANGES = 3
_BY_COMPILER = frozenset({"GLIBCXX", "CXXABI", "GCC", "LIBATOMIC"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """One policy: the distros that it serves, and those that it wins and loses against today.

    `obstacles` is what keeps the wheels' files from it; none where they keep it as they are.
    """

    policy: Policy
    served: tuple[Distro, ...]
    won: tuple[Distro, ...]
    lost: tuple[Distro, ...]
    obstacles: tuple[Obstacle, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyChange:
    """A change to the wheels, the policy that they then keep, and the distros won against today.

    `size` is how many wants of files (symbol, library, level) it does away with.
    """

    words: str
    policy: Policy
    won: tuple[Distro, ...]
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyCosts:
    """Wheels of one project, version and architecture with the same policies in their names.

    `today` are the policies of the names; for names without one (`linux_x86_64`) the one that the files
    keep. `kept` are the oldest ones that the files keep, by C library. `rows` begin with the oldest
    policy of glibc; those of musl follow. `changes` begin with the one that wins most; each further one
    wins less and is smaller. `shares` are parts of all users, from 0 to 1, by distro id.
    """

    title: str
    wheels: tuple[str, ...]
    named: bool
    today: tuple[Policy, ...]
    kept: tuple[Policy, ...]
    distros: tuple[Distro, ...]
    served: tuple[Distro, ...]
    rows: tuple[PolicyRow, ...]
    changes: tuple[PolicyChange, ...]
    shares: Mapping[str, float]

    @property
    def next_better(self) -> PolicyRow | None:
        """The nearest older policy of the same C library that some file does not keep."""
        rows = [row for row in self.rows if row.policy.kind is self._kind and row.obstacles]
        older = [row for row in rows if not self.kept or row.policy < self.kept[0]]
        return max(older, key=lambda row: row.policy, default=None)

    @property
    def _kind(self) -> LibcKind:
        return self.today[0].kind if self.today else LibcKind.GLIBC

    def share(self, distros: Iterable[Distro]) -> float | None:
        """The part of all users that has these distros, from 0 to 1; None if none has a figure."""
        known = [self.shares[one.id] for one in distros if one.id in self.shares]
        return sum(known) if known else None


def policy_costs(
    all_facts: Iterable[WheelFacts], distros: Sequence[Distro], shares: Mapping[str, float]
) -> tuple[tuple[PolicyCosts, ...], tuple[str, ...]]:
    """The costs of each policy, and the names of wheels without native code for Linux.

    Facts are taken one wheel at a time; wheels with the same policies are judged together.
    """
    groups: dict[tuple[str, str, tuple[Policy, ...], bool], list[_Measured]] = {}
    portable: list[str] = []
    for facts in all_facts:
        assessment = assessment_of(facts)
        if assessment is None:
            portable.append(facts.wheel.filename)
            continue
        measured = _measure(facts, assessment)
        wheel = facts.wheel
        key = (f"{wheel.name} {wheel.version}", assessment.arch, measured.today, measured.named)
        groups.setdefault(key, []).append(measured)
    costs = (_costs(key[0], key[1], members, distros, shares) for key, members in groups.items())
    return tuple(costs), tuple(portable)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """One wheel, held against every policy."""

    wheel: Wheel
    named: bool
    today: tuple[Policy, ...]
    obstacles: Mapping[Policy, tuple[Obstacle, ...]]


def _measure(facts: WheelFacts, assessment: Assessment) -> _Measured:
    found: dict[Policy, tuple[Obstacle, ...]] = {}
    own = LibcKind(assessment.libc.value) if assessment.libc.value in _KINDS else LibcKind.GLIBC
    for rules in reversed(assessment.rules):
        if own is LibcKind.GLIBC and (split := policy_of_platform_tag(rules.name)):
            found[split[0]] = tuple(assessment.obstacles(rules))
    if own is LibcKind.MUSL:
        found |= {policy: _linked_with_musl(assessment) for policy in _glibc_policies(assessment.arch)}
    found |= {policy: _of_musl(facts, assessment, policy, own) for policy in MUSL_POLICIES}
    named = _named_policies(facts.wheel)
    kept = [policy for policy, found_ in found.items() if policy.kind is own and not found_]
    return _Measured(
        wheel=facts.wheel,
        named=bool(named),
        today=named or ((min(kept),) if kept else ()),
        obstacles=found,
    )


_KINDS = frozenset(kind.value for kind in LibcKind)


def _named_policies(wheel: Wheel) -> tuple[Policy, ...]:
    """The oldest policy of each C library in a wheel's name."""
    found: dict[LibcKind, Policy] = {}
    for split in filter(None, map(policy_of_platform_tag, wheel.platforms)):
        kind = split[0].kind
        found[kind] = min(found.get(kind, split[0]), split[0])
    return tuple(found[kind] for kind in LibcKind if kind in found)


def _glibc_policies(arch: str) -> Iterator[Policy]:
    from auditwheel.libc import Libc as AuditwheelLibc  # noqa: PLC0415

    from pytest_manylinux.inspect.audit_policies import load_rules  # noqa: PLC0415

    for rules in reversed(load_rules(AuditwheelLibc.GLIBC, arch)):
        if split := policy_of_platform_tag(rules.name):
            yield split[0]


def _linked_with_musl(assessment: Assessment) -> tuple[Obstacle, ...]:
    files = (subject.file for subject in assessment.subjects)
    bound = [file for file in files if any(name.startswith("libc.musl-") for name in file.needed)]
    clause = "linked with musl; a wheel for glibc is a build of its own"
    return tuple(Obstacle(file.path, clause, ObstacleKind.LIBC, "musl") for file in bound)


def _of_musl(
    facts: WheelFacts, assessment: Assessment, policy: Policy, own: LibcKind
) -> tuple[Obstacle, ...]:
    """What keeps files from a policy of musl: symbols that it lacks, and what is glibc's alone."""
    found: list[Obstacle] = []
    if own is LibcKind.GLIBC:
        for path, marks in marks_of_glibc(facts).items():
            clause = f"linked with glibc: {'; '.join(marks)}"
            found.append(Obstacle(path, clause, ObstacleKind.LIBC, "glibc"))
    for absent in absent_symbols(facts):
        clause = f"wants {absent.symbol}, which musl lacks"
        found.append(Obstacle(absent.path, clause, ObstacleKind.LIBC, absent.symbol, (absent.symbol,)))
    known = musl_symbols()
    for subject in assessment.subjects:
        for want in subject.file.wants:
            since = known.get(want.name, ())
            if since > policy.version and not want.weak:
                number = ".".join(map(str, since))
                clause = f"wants {want.name}, which musl has from {number} on"
                found.append(
                    Obstacle(subject.file.path, clause, ObstacleKind.LIBC, want.name, (want.name,))
                )
    return tuple(found)


def _costs(
    title: str,
    arch: str,
    members: Sequence[_Measured],
    distros: Sequence[Distro],
    shares: Mapping[str, float],
) -> PolicyCosts:
    here = tuple(distro for distro in distros if arch in distro.architectures)
    today = members[0].today
    served = tuple(one for one in here if any(one.libc.keeps(policy) for policy in today))
    policies = dict.fromkeys(chain.from_iterable(member.obstacles for member in members))
    rows = tuple(
        _row(policy, tuple(_together(policy, members)), here, served)
        for policy in sorted(policies, key=lambda one: (one.kind is LibcKind.MUSL, one.version))
    )
    kept = {row.policy.kind: row.policy for row in reversed(rows) if not row.obstacles}
    return PolicyCosts(
        title=f"{title} on {arch}",
        wheels=tuple(member.wheel.filename for member in members),
        named=members[0].named,
        today=today,
        kept=tuple(kept[policy.kind] for policy in today if policy.kind in kept),
        distros=here,
        served=served,
        rows=rows,
        changes=_changes(rows, today, shares),
        shares=shares,
    )


def _together(policy: Policy, members: Sequence[_Measured]) -> Iterator[Obstacle]:
    """What keeps some wheel of a group from a policy, each want of each file once."""
    found = (obstacle for member in members for obstacle in member.obstacles.get(policy, ()))
    yield from dict.fromkeys(found)


def _row(
    policy: Policy, obstacles: tuple[Obstacle, ...], here: Sequence[Distro], today: Sequence[Distro]
) -> PolicyRow:
    served = tuple(one for one in here if one.libc.keeps(policy))
    return PolicyRow(
        policy=policy,
        served=served,
        won=tuple(one for one in served if one not in today),
        lost=tuple(one for one in today if one.libc.kind is policy.kind and one not in served),
        obstacles=obstacles,
    )


_Atom = tuple[Obstacle, str]
"""A want of a file, and the symbol of it; empty for one that is no symbol."""


def _changes(
    rows: Sequence[PolicyRow], today: Sequence[Policy], shares: Mapping[str, float]
) -> tuple[PolicyChange, ...]:
    """The change that wins most, and smaller ones that win less.

    One symbol, one file, one kind of want, or everything that is in a policy's way: whichever is the
    least that leads to that policy.
    """
    found = [_least_change(row, today) for row in rows if row.won]

    def won(change: PolicyChange) -> tuple[float, int]:
        return sum(shares.get(one.id, 0.0) for one in change.won), len(change.won)

    best: list[PolicyChange] = []
    newest_first = sorted(found, key=lambda one: one.policy.version, reverse=True)
    smallest_first = sorted(newest_first, key=lambda one: one.size)
    for change in sorted(smallest_first, key=won, reverse=True):
        if not best or (change.size < best[-1].size and won(change) < won(best[-1])):
            best.append(change)
    return tuple(best[:_MOST_CHANGES])


def _least_change(row: PolicyRow, today: Sequence[Policy]) -> PolicyChange:
    atoms = [(obstacle, symbol) for obstacle in row.obstacles for symbol in (obstacle.symbols or ("",))]
    return PolicyChange(
        words=_change_words(row.policy, atoms, today), policy=row.policy, won=row.won, size=len(atoms)
    )


def _change_words(policy: Policy, atoms: Sequence[_Atom], today: Sequence[Policy]) -> str:
    if policy.kind not in {one.kind for one in today}:
        return f"build a wheel for {policy} too"
    if not atoms:
        return f"nothing but the name: `auditwheel repair --plat {policy.name}_ARCH` names it so"
    keyed: tuple[tuple[Callable[[_Atom], Hashable], Callable[[_Atom], str]], ...] = (
        (lambda atom: (atom[0].kind, atom[0].subject, atom[1]), _without_subject),
        (_room, lambda atom: _without_room(atom, policy)),
        (lambda atom: atom[0].path, lambda atom: f"build {atom[0].path} alone for {policy}"),
    )
    for key, words in keyed:
        if len({key(atom) for atom in atoms}) == 1:
            return words(atoms[0]) + _where(atoms)
    return f"build all for {policy}"


def _where(atoms: Sequence[_Atom]) -> str:
    files = list(dict.fromkeys(atom[0].path for atom in atoms))
    return f" ({files[0]} alone is in the way)" if len(files) == 1 else f" (in {len(files)} files)"


def _room(atom: _Atom) -> Hashable:
    """What is done away with in one go: versions by their namespace, else one library or level."""
    obstacle = atom[0]
    if obstacle.kind is not ObstacleKind.VERSION:
        return obstacle.kind, obstacle.subject
    namespace = obstacle.subject.partition("_")[0]
    return obstacle.kind, "C++" if namespace in _BY_COMPILER else namespace


def _without_subject(atom: _Atom) -> str:
    obstacle, symbol = atom
    match obstacle.kind:
        case ObstacleKind.VERSION:
            return f"do without {symbol}@{obstacle.subject}".replace(" @", " ")
        case ObstacleKind.LIBRARY:
            return f"bring {obstacle.subject} in the wheel, as `auditwheel repair` does, or do without"
        case ObstacleKind.PROCESSOR:
            return f"compile for the baseline, not for {obstacle.subject}"
        case _:
            return f"do without {obstacle.subject}"


def _without_room(atom: _Atom, policy: Policy) -> str:
    if atom[0].kind is not ObstacleKind.VERSION:
        return _without_subject(atom)
    namespace = atom[0].subject.partition("_")[0]
    if namespace == "GLIBC":
        return f"build against {policy.libc}: in the image of {policy}, or by zig for it"
    if namespace in _BY_COMPILER:
        return f"build with the compiler of {policy}'s image, or link libstdc++ and libgcc statically"
    return f"build against the {namespace} of {policy}, or bring the library in the wheel"


def costs_to_json(
    found: Iterable[PolicyCosts],
    *,
    catalogue_version: str,
    without_policy: Sequence[str],
    left_out: Sequence[str],
) -> str:
    """Everything as JSON text; the schema is in docs/reference/predictions.md."""
    document = {
        "schema": SCHEMA_VERSION,
        "catalogue": catalogue_version,
        "projects": [_project(costs) for costs in found],
        "without-native-code": list(without_policy),
        "left-out": list(left_out),
    }
    return json.dumps(document, indent=2, ensure_ascii=False)


def _project(costs: PolicyCosts) -> dict[str, object]:
    better = costs.next_better
    return {
        "project": costs.title,
        "wheels": list(costs.wheels),
        "today": [str(policy) for policy in costs.today],
        "today-from": "name" if costs.named else "files",
        "kept": [str(policy) for policy in costs.kept],
        "distros": len(costs.distros),
        "served": len(costs.served),
        "share": _rounded(costs.share(costs.served)),
        "policies": [_policy(costs, row) for row in costs.rows],
        "next-better": str(better.policy) if better else None,
        "changes": [
            {
                "change": change.words,
                "policy": str(change.policy),
                "won": [one.id for one in change.won],
                "share": _rounded(costs.share(change.won)),
            }
            for change in costs.changes
        ],
    }


def _policy(costs: PolicyCosts, row: PolicyRow) -> dict[str, object]:
    return {
        "policy": str(row.policy),
        "name": row.policy.name,
        "served": len(row.served),
        "share": _rounded(costs.share(row.served)),
        "won": [_distro(costs, one) for one in row.won],
        "lost": [_distro(costs, one) for one in row.lost],
        "in-the-way": [
            {
                "file": obstacle.path,
                "kind": obstacle.kind.value,
                "subject": obstacle.subject,
                "symbols": list(obstacle.symbols),
                "reason": obstacle.clause,
            }
            for obstacle in row.obstacles
        ],
    }


def _distro(costs: PolicyCosts, distro: Distro) -> dict[str, object]:
    end = distro.end_of_life
    return {
        "distro": distro.id,
        "end-of-life": end.isoformat() if end else None,
        "rolling": distro.rolling,
        "share": _rounded(costs.share((distro,))),
    }


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 6)
