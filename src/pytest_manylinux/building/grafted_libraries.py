"""Libraries that repair would graft into a wheel: what they want, and which policy has it.

A library of a Debian package was linked with that Debian's glibc and GCC. Once it is in the wheel, the
wheel's policy has to allow the versions that it wants, of glibc, libstdc++ and zlib.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_manylinux.building.api import Toolchain
from pytest_manylinux.model.policy import Policy

if TYPE_CHECKING:
    from pytest_manylinux.inspect.audit_policies import PolicyRules


@dataclass(frozen=True, slots=True, kw_only=True)
class GraftedLibrary:
    """A library that a wheel needs and lacks; `path` is empty where nobody finds it.

    `wants` are the symbol versions that it takes from others (`GLIBC_2.34`), with a symbol each.
    """

    name: str
    needed_by: str
    path: str
    wants: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TooRecent:
    """A symbol version that a library wants and a policy does not allow to what a wheel brings."""

    library: GraftedLibrary
    version: str

    def __str__(self) -> str:
        one, symbol = self.library, self.library.wants[self.version]
        return f"{one.path}, which {one.needed_by} needs, wants {symbol}@{self.version}"

    @property
    def because(self) -> str:
        """One line: `pthread_once of libicuuc.so.72 wants glibc 2.34`."""
        wanted = self.version.replace("GLIBC_", "glibc ")
        return f"{self.library.wants[self.version]} of {self.library.name} wants {wanted}"


def too_recent(
    libraries: Sequence[GraftedLibrary], chain: Toolchain, arch: str
) -> list[tuple[TooRecent, Policy | None]]:
    """What libraries want too much for the toolchain's policy, worst first, and which policy has it.

    None: no policy that its auditwheel knows. What a newer policy allows to be outside of a wheel is
    not grafted there, and no longer counts.
    """
    from auditwheel.libc import Libc  # noqa: PLC0415 - loads slowly

    from pytest_manylinux.inspect.audit_policies import load_rules  # noqa: PLC0415 - the same

    known = {rule.name: rule for rule in load_rules(Libc.GLIBC, arch)}
    found: dict[tuple[str, str], tuple[TooRecent, Policy | None]] = {}
    for policy in chain.policies:
        rules = known.get(f"{policy.name}_{arch}")
        if policy < chain.policy or rules is None:
            continue
        refused = list(_refused(libraries, rules))
        for one in refused:
            found[one.library.name, one.version] = one, chain.newer_than(policy)
        if not refused:
            break
    rows = list(found.values())
    return sorted(rows, key=lambda row: (row[1] is None, row[1] or chain.policy), reverse=True)


def _refused(libraries: Sequence[GraftedLibrary], rules: PolicyRules) -> Iterator[TooRecent]:
    """The newest version of each kind that a policy does not allow, of each library to be grafted."""
    from pytest_manylinux.inspect.audit_policies import version_key  # noqa: PLC0415 - as above

    for library in libraries:
        if rules.allows(library.name):
            continue
        for prefix, allowed in rules.versions.items():
            of_kind = (one for one in library.wants if one.partition("_")[0] == prefix)
            if beyond := [one for one in of_kind if one not in allowed]:
                yield TooRecent(library=library, version=max(beyond, key=version_key))
