"""auditwheel's repair inside the build's sandbox, and clear words where it cannot be done."""

from __future__ import annotations

import json
import re
import stat
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_manylinux.building.api import (
    BUILT,
    INSIDE,
    REPAIRED,
    Toolchain,
)
from pytest_manylinux.building.glibc_symbols import TooNew, is_of_glibc
from pytest_manylinux.building.grafted_libraries import GraftedLibrary, too_recent
from pytest_manylinux.building.steps import BuildSteps
from pytest_manylinux.engines.api import SCRATCH, Completed
from pytest_manylinux.errors import BuildError
from pytest_manylinux.model.policy import LibcKind, Policy
from pytest_manylinux.model.wheel import WheelFacts

_AGENT = str(INSIDE / "build_agent.py")
_LISTING = SCRATCH / "libraries.json"
_NOT_FOUND = re.compile(r"required library \"([^\"]+)\" could not be located")
_TOO_RECENT = "too-recent versioned symbols"
_PURELIB = "in purelib folder"
# Folders of the build that hold shared libraries: one that the project made for itself need not lie
# where a run path leads. A repair that failed may have left a wheel half done.
_FIND_LIBRARIES = (
    "rm -rf /scratch/repaired; "
    "find /scratch/source /scratch/somewhere /scratch/env /tmp -name '*.so*' -type f -exec dirname {} +"
    " 2> /dev/null | sort -u | paste -s -d : -"
)
_SHOWN = 5


_ENTRY = struct.Struct("<4s24x3H4xI4x")  # of the directory: up to the place of the file's header
_ENTRY_MAGIC = b"PK\1\2"
_ATTRIBUTES = 38  # where the external attributes of an entry are


def set_plain_modes(wheel: Path) -> None:
    """Set the modes in a wheel's directory to 0644, or 0755 for what anyone may execute.

    Back ends write the modes that files have, and with them the umask of the build. Installers look at
    the right to execute alone (pip, `zip_item_is_executable`), so that nothing else changes by it.
    """
    with zipfile.ZipFile(wheel) as archive:
        position, count = archive.start_dir, len(archive.infolist())
    with wheel.open("r+b") as file:
        for _ in range(count):
            file.seek(position)
            magic, name, extra, comment, attributes = _ENTRY.unpack(file.read(_ENTRY.size))
            if magic != _ENTRY_MAGIC:  # what reads the wheel next says so
                return
            mode = attributes >> 16
            if mode:
                plain = stat.S_IFMT(mode) | (0o755 if mode & 0o111 else 0o644)
                file.seek(position + _ATTRIBUTES)
                file.write(struct.pack("<I", (plain << 16) | (attributes & 0xFFFF)))
            position += _ENTRY.size + name + extra + comment


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """Repairs the wheel in BUILT for the toolchain's policy, one that its auditwheel knows.

    `environment` is what the project's own code sees.
    """

    steps: BuildSteps
    toolchain: Toolchain
    environment: Mapping[str, str]
    arch: str

    def run(self, facts: WheelFacts) -> None:
        """Put the repaired wheel into REPAIRED; raises BuildError saying what stands against it.

        With --only-plat: the name promises the policy that was asked for, and no older one that the
        compiler was not aimed at. For a C library that is not the host's, auditwheel takes no name, but
        `auto`, which is the newest musllinux that it knows; all of them allow the same libraries. The
        wheel gets its name afterwards, by auditwheel's own function.
        """
        done = self._auditwheel(facts, library_path="")
        if not done.ok and _NOT_FOUND.search(_words_of(done)):
            argv = ("sh", "-c", _FIND_LIBRARIES)
            found = self.steps.run("looking for libraries", argv, environment={})
            done = self._auditwheel(facts, library_path=found.stdout.decode().strip())
        if done.ok and self.toolchain.on_other_libc:
            done = self._named(facts)
        if not done.ok:
            raise self._failure(facts, _words_of(done))

    def _named(self, facts: WheelFacts) -> Completed:
        """The repaired wheel under the policy's name.

        By files that need no library auditwheel does not know a C library, and takes the host's.
        """
        chain, policy = self.toolchain, self.toolchain.policy
        needs = any(file.needed for file in facts.elf)
        taken = [kind.policies for kind in LibcKind if kind is policy.kind or not needs]
        return self.steps.run(
            f"naming the wheel for {policy}",
            (chain.tools_python, _AGENT, "retag", str(REPAIRED), self._platform, *taken),
            environment={**chain.auditwheel_environment, **chain.own_bytecode},
        )

    @property
    def _platform(self) -> str:
        return f"{self.toolchain.policy.name}_{self.arch}"

    def _auditwheel(self, facts: WheelFacts, *, library_path: str) -> Completed:
        """In addition to folders of the build, the toolchain's own LD_LIBRARY_PATH stays."""
        chain = self.toolchain
        plat = "auto" if chain.on_other_libc else self._platform
        own = chain.auditwheel_environment.get("LD_LIBRARY_PATH", "")
        path = ":".join(filter(None, (library_path, own)))
        return self.steps.run(
            f"repairing for {chain.policy}",
            (
                *(*chain.auditwheel, "repair", "--only-plat", "--plat", plat),
                *("-w", str(REPAIRED), str(BUILT / facts.wheel.filename)),
            ),
            environment={
                **self.environment,
                **chain.auditwheel_environment,
                **chain.own_bytecode,
                **({"LD_LIBRARY_PATH": path} if path else {}),
            },
        )

    def _failure(self, facts: WheelFacts, words: str) -> BuildError:
        what, chain = self.steps.what, self.toolchain
        log = f"the whole log is {self.steps.log.path}"
        if missing := _NOT_FOUND.search(words):
            users = [file.path for file in facts.elf if missing[1] in file.needed]
            users += [one.needed_by for one in self._libraries(facts) if one.name == missing[1]]
            if chain.policy.kind is LibcKind.MUSL and is_of_glibc(missing[1]):
                return _linked_with_glibc(what, [f"{user} needs {missing[1]}" for user in users])
            return BuildError(
                f"{what}: {missing[1]} is needed and nowhere to be found, so it cannot be put in",
                why=f"{users[0] if users else 'a library that is to be put in'} needs it",
                remedy=f"{chain.library_remedy}; {log}",
                finding="missing-library",
            )
        recent = _TOO_RECENT in words
        if recent and (guilty := too_recent(self._libraries(facts), chain, self.arch)):
            evidence = [str(one) for one, _ in guilty]
            worst, enough = guilty[0]
            return symbols_error(what, chain, evidence, enough, worst.because)
        return BuildError(
            f"{what}: {chain.auditwheel_name} cannot repair the wheel for {chain.policy}",
            why=_last_sentence(words),
            remedy=log,
            finding="elf-in-purelib" if _PURELIB in words else "build-failed",
            policy=str(chain.next_usual() or "") if recent else "",
            because=f"auditwheel found {_TOO_RECENT}" if recent else "",
        )

    def _libraries(self, facts: WheelFacts) -> list[GraftedLibrary]:
        """The libraries that the wheel needs, where the toolchain's own Python can say so."""
        if not self.toolchain.elf_tools:
            return []
        wheel = str(BUILT / facts.wheel.filename)
        listed = self.steps.run(
            "listing the libraries that the wheel needs",
            (self.toolchain.tools_python, _AGENT, "libraries", wheel, str(_LISTING)),
            environment=self.environment,
        )
        read = self.steps.run("reading that list", ("cat", str(_LISTING)), environment={})
        if not (listed.ok and read.ok):
            return []
        return [
            GraftedLibrary(
                name=row["name"],
                needed_by=row["needed_by"],
                path=row["path"] or "",
                wants=row["wants"],
            )
            for row in json.loads(read.stdout)
        ]


def check_symbols(what: str, toolchain: Toolchain, found: Sequence[TooNew]) -> None:
    """Raise BuildError if files want symbols (worst first) that the policy's glibc does not offer."""
    if found:
        worst, evidence = found[0], [str(problem) for problem in found]
        raise symbols_error(what, toolchain, evidence, toolchain.enough_for(worst.since), worst.because)


def check_libc(what: str, policy: Policy, facts: WheelFacts) -> None:
    """Raise BuildError (`built-for-glibc`) where files of a wheel for musl were linked with glibc.

    musl ignores the versions of glibc's symbols: such a file may load, and calls what musl lacks.
    """
    if policy.kind is LibcKind.GLIBC:
        return
    marks = [
        f"{file.path} wants {version} of {library}"
        for file in facts.elf
        for library, versions in file.version_needs
        for version in versions
        if version.startswith("GLIBC_")
    ]
    if marks:
        raise _linked_with_glibc(what, marks)


def _linked_with_glibc(what: str, marks: Sequence[str]) -> BuildError:
    return BuildError(
        f"{what}: files of the wheel are linked with glibc",
        why="\n".join(marks[:_SHOWN]),
        remedy="let the project's build use the compiler in $CC, and let before-build make the "
        "libraries that it needs: Debian's are linked with glibc",
        finding="built-for-glibc",
    )


def symbols_error(
    what: str, toolchain: Toolchain, evidence: Sequence[str], enough: Policy | None, because: str
) -> BuildError:
    """The error that says which symbol forces which policy, the oldest that is `enough`."""
    more = [f"… and {len(evidence) - _SHOWN} more"] if len(evidence) > _SHOWN else []
    return BuildError(
        f"{what}: the code needs a newer {toolchain.policy.kind.value} "
        f"than {toolchain.policy} promises",
        why="\n".join([*evidence[:_SHOWN], *more]),
        remedy=f"set policy = {str(enough)!r}, the lowest that will do, or do without that symbol"
        if enough
        else "no policy that auditwheel knows is new enough; do without that symbol",
        finding="symbol-too-new",
        policy=str(enough or ""),
        because=because,
    )


def _words_of(done: Completed) -> str:
    """All that a command printed."""
    return (done.stdout + done.stderr).decode("utf-8", errors="replace")


def _last_sentence(words: str) -> str:
    """The reason in auditwheel's words, without its usage text and traceback."""
    lines = [
        line for line in words.strip().splitlines() if line and not line.startswith((" ", "usage:"))
    ]
    return re.sub(r"^(?:\S+: error: |\w+Error: |ERROR:\S*?:? ?)", "", lines[-1]) if lines else ""
