"""auditwheel's repair inside the build's sandbox, and clear words where it cannot be done."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from auditwheel.libc import Libc

from pytest_manylinux.building import zig
from pytest_manylinux.building.build_tools import BuildTools
from pytest_manylinux.building.frontend import BUILT
from pytest_manylinux.building.glibc_symbols import TooNew, Version
from pytest_manylinux.building.steps import BuildSteps
from pytest_manylinux.engines.api import Completed
from pytest_manylinux.errors import BuildError
from pytest_manylinux.inspect.audit_policies import load_rules
from pytest_manylinux.model.policy import Policy

REPAIRED = zig.SCRATCH / "repaired"
_LISTING = zig.SCRATCH / "libraries.json"
NOT_FOUND = re.compile(r"required library \"([^\"]+)\" could not be located")
TOO_RECENT = "too-recent versioned symbols"
PURELIB = "in purelib folder"
# Folders of the build that hold shared libraries: one that the project made for itself need not lie
# where a run path leads. A repair that failed may have left a wheel half done.
FIND_LIBRARIES = (
    "rm -rf /scratch/repaired; "
    "find /scratch/source /scratch/env /tmp -name '*.so*' -type f -exec dirname {} + 2> /dev/null"
    " | sort -u | paste -s -d : -"
)
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Library:
    """A library outside of the wheel; `path` is empty where nobody finds it."""

    name: str
    needed_by: str
    path: str
    glibc: Version
    symbol: str

    def __str__(self) -> str:
        version = ".".join(map(str, self.glibc))
        return f"{self.path}, which {self.needed_by} needs, wants {self.symbol}@GLIBC_{version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """Repairs the wheel in BUILT for one policy, which must be one that the kit's auditwheel knows."""

    bench: BuildSteps
    kit: BuildTools
    environment: Mapping[str, str]
    policy: Policy
    arch: str

    def run(self, wheel: str) -> None:
        """Put the repaired wheel into REPAIRED; raises BuildError saying what stands against it.

        With --only-plat: the name promises the policy that was asked for, and no older one that the
        compiler was not aimed at.
        """
        done = self._auditwheel(wheel, library_path="")
        if not done.ok and NOT_FOUND.search(words_of(done)):
            folders = self.bench.run(
                "looking for libraries", ("sh", "-c", FIND_LIBRARIES), environment={}
            )
            done = self._auditwheel(wheel, library_path=folders.stdout.decode().strip())
        if not done.ok:
            raise self._failure(wheel, done)

    def _auditwheel(self, wheel: str, *, library_path: str) -> Completed:
        plat = f"{self.policy.name}_{self.arch}"
        repair = ("-m", "auditwheel", "repair", "--only-plat", "--plat", plat, "-w", str(REPAIRED))
        environment = {**self.environment, "PATH": f"{self.kit.path}:/usr/local/bin:/usr/bin:/bin"}
        if library_path:
            environment["LD_LIBRARY_PATH"] = library_path
        return self.bench.run(
            f"repairing for {self.policy}",
            (self.kit.python, *repair, str(BUILT / wheel)),
            environment=environment,
        )

    def _failure(self, wheel: str, done: Completed) -> BuildError:
        words = words_of(done)
        what, log = self.bench.what, f"the whole log is {self.bench.log.path}"
        if missing := NOT_FOUND.search(words):
            needed_by = next((f for f in self._libraries(wheel) if f.name == missing[1]), None)
            return BuildError(
                f"{what}: {missing[1]} is needed and nowhere to be found, so it cannot be put in",
                why=f"{needed_by.needed_by if needed_by else 'a file of the wheel'} needs it",
                remedy=f"name the Debian package that has it in build-packages, or let before-build "
                f"make it; {log}",
                finding="missing-library",
            )
        if TOO_RECENT in words and (guilty := self._too_new(self._libraries(wheel))):
            return symbols_error(
                what,
                self.policy,
                [str(library) for library in guilty],
                guilty[0].glibc,
                self.kit.policies,
            )
        return BuildError(
            f"{what}: auditwheel cannot repair the wheel for {self.policy}",
            why=last_sentence(words),
            remedy=log,
            finding="elf-in-purelib" if PURELIB in words else "build-failed",
        )

    def _too_new(self, libraries: Sequence[_Library]) -> list[_Library]:
        """The libraries that would be put in and want a newer glibc, worst first."""
        known = {rule.name: rule for rule in load_rules(Libc.GLIBC, self.arch)}
        rules = known.get(f"{self.policy.name}_{self.arch}")
        put_in = [one for one in libraries if rules is None or not rules.allows(one.name)]
        guilty = [one for one in put_in if one.glibc > self.policy.glibc]
        return sorted(guilty, key=lambda one: one.glibc, reverse=True)

    def _libraries(self, wheel: str) -> list[_Library]:
        agent = str(zig.INSIDE / "build_agent.py")
        listed = self.bench.run(
            "listing the libraries that the wheel needs",
            (self.kit.python, agent, "libraries", str(BUILT / wheel), str(_LISTING)),
            environment=self.environment,
        )
        read = self.bench.run("reading that list", ("cat", str(_LISTING)), environment={})
        if not (listed.ok and read.ok):
            return []
        return [
            _Library(
                name=row["name"],
                needed_by=row["needed_by"],
                path=row["path"] or "",
                glibc=tuple(int(part) for part in row["glibc"].split(".") if part),
                symbol=row["symbol"],
            )
            for row in json.loads(read.stdout)
        ]


def check_symbols(what: str, policy: Policy, found: Sequence[TooNew], known: Sequence[Policy]) -> None:
    """Raise BuildError if files want symbols (worst first) that the policy's glibc does not offer."""
    if found:
        raise symbols_error(what, policy, [str(problem) for problem in found], found[0].since, known)


def symbols_error(
    what: str, policy: Policy, evidence: Sequence[str], glibc: Version, known: Sequence[Policy]
) -> BuildError:
    """The error that says which symbol forces which policy."""
    enough = next((str(other) for other in known if other.glibc >= glibc), None)
    more = [f"… and {len(evidence) - _SHOWN} more"] if len(evidence) > _SHOWN else []
    return BuildError(
        f"{what}: the code needs a newer glibc than {policy} promises",
        why="\n".join([*evidence[:_SHOWN], *more]),
        remedy=f"set policy = {enough!r}, the lowest that will do, or do without that symbol"
        if enough
        else "no policy that auditwheel knows is new enough; do without that symbol",
        finding="symbol-too-new",
    )


def words_of(done: Completed) -> str:
    """All that a command printed."""
    return (done.stdout + done.stderr).decode("utf-8", errors="replace")


def last_sentence(words: str) -> str:
    """The reason in auditwheel's words, without its usage text and traceback."""
    lines = [
        line for line in words.strip().splitlines() if line and not line.startswith((" ", "usage:"))
    ]
    return re.sub(r"^(?:\S+: error: |\w+Error: |ERROR:\S*?:? ?)", "", lines[-1]) if lines else ""
