"""Whether the tags in a wheel's name are true for every ELF file in it.

`audit_wheel` answers from facts, with auditwheel's policies and rules but without its minutes of
waiting. `reference_audit` asks auditwheel itself; it is what the answers are tested against.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import version
from itertools import islice
from pathlib import PurePosixPath

from auditwheel.architecture import Architecture
from auditwheel.libc import Libc

from pytest_manylinux.host.subprocesses import module_command
from pytest_manylinux.inspect.audit_policies import Assessment, PolicyRules, assess
from pytest_manylinux.model.elf_facts import ElfFacts
from pytest_manylinux.model.policy import LibcKind, policy_of_platform_tag
from pytest_manylinux.model.wheel import Audit, WheelFacts

MAX_REASONS = 20
"""Reasons given; one wheel may break a policy in thousands of places."""

REFERENCE_TIMEOUT = 600.0
"""Seconds for auditwheel; it takes 20 to 72 on wheels with hundreds of ELF files."""

_SOABI = re.compile(r"\.cpython-3(\d\d)[a-z]*-.*-linux-(gnu|musl)")
_GNU_MEANS_GLIBC_FROM = 11  # before CPython 3.11 builds for musl carried that suffix too
_OURS_TO_JUDGE = ("any", "linux_", "manylinux", "musllinux")
_Promise = tuple[Libc, tuple[int, int], str]  # libc, its lowest version, architecture
_KNOWN: tuple[str, ...] = tuple(architecture.value for architecture in Architecture)


def audit_wheel(facts: WheelFacts) -> Audit:
    """Judge the name's platform tags by the facts; never raises.

    The tag deserved is auditwheel's overall tag, except where auditwheel's depends on the machine
    it runs on: then it is what a machine with every library that the policies allow would give.
    """
    strange = [tag for tag in facts.wheel.platforms if not tag.startswith(_OURS_TO_JUDGE)]
    if strange:
        return _answer(
            facts, "", true=False, reasons=[f"{tag} is no Linux platform" for tag in strange]
        )
    native = tuple(f for f in facts.elf if f.runs_on_linux)
    if not native:
        why = "no ELF file in it: nothing depends on a platform"
        if facts.elf:
            why = (
                f"no ELF file in it is for a Linux machine ({facts.elf[0].path} is {facts.elf[0].arch})"
            )
        return _answer(facts, "any", true=True, reasons=[why])
    misplaced = [f.path for f in native if "purelib" in PurePosixPath(f.path).parts[:-1]]
    if misplaced:
        reasons = [f"{path}: native code in purelib; it belongs in platlib" for path in misplaced]
        return _answer(facts, "", true=False, reasons=reasons)
    assessment = assessment_of(facts)
    if assessment is None:
        arch = _arch(facts, native)
        reasons = list(_why_not_ours(native, arch, _libc(facts, arch)))
        return _answer(facts, "", true=False, reasons=reasons)
    return _judge(facts, assessment)


def assessment_of(facts: WheelFacts) -> Assessment | None:
    """A wheel's ELF files, ready to be measured against each policy; None if it has none for one."""
    native = tuple(f for f in facts.elf if f.runs_on_linux)
    arch = _arch(facts, native)
    libc = _libc(facts, arch)
    members = tuple(f for f in native if f.arch == arch and _libc_of(f) in {None, libc})
    return assess(facts, members, arch, libc) if members and arch in _KNOWN else None


def _why_not_ours(native: tuple[ElfFacts, ...], arch: str, libc: Libc) -> Iterator[str]:
    for file in native:
        if arch not in _KNOWN:
            yield f"{file.path}: made for {file.arch}, for which there is no platform tag"
        elif file.arch != arch:
            yield f"{file.path}: made for {file.arch}, the name says {arch}"
        else:
            yield f"{file.path}: linked with {_libc_of(file)}, the name promises {libc}"


def _judge(facts: WheelFacts, assessment: Assessment) -> Audit:
    deserved = assessment.deserved
    broken = [tag for tag in facts.wheel.platforms if not _kept(tag, deserved.name, assessment.arch)]
    reasons = {tag: list(_why_broken(tag, assessment, facts)) for tag in broken}
    lines = [line for tag in broken for line in reasons[tag]]
    if not lines:
        lines += _why_no_better(deserved, assessment)
    return _answer(facts, deserved.name, true=not any(reasons.values()), reasons=lines)


def _why_broken(tag: str, assessment: Assessment, facts: WheelFacts) -> Iterator[str]:
    """What in the files contradicts one tag of the name, a line each; nothing if it is kept."""
    if tag == "any":
        yield from (f"{file.path}: native code, while the name says any platform" for file in facts.elf)
        return
    promise = _promise(tag)
    if promise is None and tag.startswith("manylinux"):
        yield f"{tag}: no installer knows that tag"
        return
    if promise is None or promise[2] != assessment.arch:
        yield f"{tag}: the files are made for {assessment.arch}"
        return
    if promise[0] is not assessment.libc:
        yield from _why_not_both(tag, promise[0], assessment, facts)
        return
    rules = _nearest(promise, assessment)
    if rules is not None:
        for obstacle in assessment.obstacles(rules):
            yield f"{obstacle.path}: {obstacle.clause} ({rules.name})"
        return
    lowest = assessment.rules[-1]
    unknown = (
        f"{tag}: no policy that old is known for {assessment.arch}; {lowest.name} reaches furthest"
    )
    if assessment.libc is Libc.MUSL:
        yield unknown
        return
    older = lowest.of_older(tag, "{}.{}".format(*promise[1]))
    lines = [f"{one.path}: {one.clause} ({tag})" for one in assessment.obstacles(older)]
    yield from [*lines, unknown] if lines else []


def _why_not_both(tag: str, libc: Libc, assessment: Assessment, facts: WheelFacts) -> Iterator[str]:
    """A name may promise glibc and musl at once; only files that need neither keep that."""
    members = tuple(subject.file for subject in assessment.subjects)
    bound = [f.path for f in members if _libc_of(f) not in {None, libc}]
    if bound:
        yield from (f"{path}: linked with {assessment.libc}, {tag} promises {libc}" for path in bound)
        return
    other = assess(facts, members, assessment.arch, libc)
    if not _kept(tag, other.deserved.name, assessment.arch):
        yield from _why_broken(tag, other, facts)


def _why_no_better(deserved: PolicyRules, assessment: Assessment) -> Iterator[str]:
    """What keeps the wheel from the policy with the next wider reach."""
    better = assessment.rules[assessment.rules.index(deserved) + 1 :]
    if not better:
        yield f"every file keeps {deserved.name}; no policy reaches further"
        return
    for obstacle in assessment.obstacles(better[0]):
        yield f"{obstacle.path}: {obstacle.clause} ({better[0].name})"


def _nearest(promise: _Promise, assessment: Assessment) -> PolicyRules | None:
    """The newest known policy that promises no more systems than the name does."""
    fitting: dict[tuple[int, int], PolicyRules] = {}
    for rules in assessment.rules:
        known = _promise(rules.name)
        if known is not None and known[0] is promise[0] and known[1] <= promise[1]:
            fitting[known[1]] = rules
    return fitting[max(fitting)] if fitting else None


def _kept(tag: str, deserved: str, arch: str) -> bool:
    """Whether a wheel that deserves one tag may carry another in its name."""
    if tag == f"linux_{arch}":
        return True
    asked, had = _promise(tag), _promise(deserved)
    if asked is None or had is None:
        return False
    return asked[0] == had[0] and asked[2] == had[2] == arch and had[1] <= asked[1]


def _promise(tag: str) -> _Promise | None:
    """What a tag promises; None for tags that promise no libc (PEP 600, PEP 656)."""
    if split := policy_of_platform_tag(tag):
        policy, arch = split
        return (Libc.GLIBC if policy.kind is LibcKind.GLIBC else Libc.MUSL), policy.version, arch
    return None


def _arch(facts: WheelFacts, native: tuple[ElfFacts, ...]) -> str:
    """The architecture that the name says, or else that of the first ELF file."""
    named = {arch for tag in facts.wheel.platforms for arch in _KNOWN if tag.endswith(f"_{arch}")}
    if len(named) == 1:
        return named.pop()
    return next((f.arch for f in native if f.arch in _KNOWN), native[0].arch if native else "")


def _libc(facts: WheelFacts, arch: str) -> Libc:
    """The libc that the name says, or else the first one that an ELF file betrays, or else glibc."""
    platforms = facts.wheel.platforms
    if all(tag.startswith("manylinux") for tag in platforms):
        return Libc.GLIBC
    if all(tag.startswith("musllinux") for tag in platforms):
        return Libc.MUSL
    betrayed = (_libc_of(file) for file in facts.elf if file.arch == arch)
    return next((libc for libc in betrayed if libc is not None), Libc.GLIBC)


def _libc_of(file: ElfFacts) -> Libc | None:
    """The libc that a file is linked with; None if it does not say."""
    if file.interpreter:
        musl = PurePosixPath(file.interpreter).name.startswith("ld-musl-")
        return Libc.MUSL if musl else Libc.GLIBC
    for library in file.needed:
        if library.startswith(("libc.musl-", "ld-musl-")):
            return Libc.MUSL
        if library == "libc.so.6" or library.startswith(("ld-linux-", "ld64.so.")):
            return Libc.GLIBC
    if match := _SOABI.search(file.path):
        if match[2] == "musl":
            return Libc.MUSL
        return Libc.GLIBC if int(match[1]) >= _GNU_MEANS_GLIBC_FROM else None
    return None


@cache  # both are looked up in files each time
def _ours() -> str:
    policies = f"policies of auditwheel {version('auditwheel')}"
    return f"pytest-manylinux {version('pytest-manylinux')}, {policies}"


def _answer(facts: WheelFacts, deserved: str, *, true: bool, reasons: Iterable[str]) -> Audit:
    lines = list(islice(reasons, MAX_REASONS + 1))
    if len(lines) > MAX_REASONS:
        lines[-1] = "and more of the kind"
    return Audit(
        promised=facts.wheel.platforms,
        deserved=deserved,
        true=true,
        reasons=tuple(lines),
        tool=_ours(),
    )


def reference_audit(facts: WheelFacts, *, timeout: float = REFERENCE_TIMEOUT) -> Audit:
    """Ask auditwheel itself; `timeout` in seconds.

    It runs in a process of its own: it unpacks into a temporary folder, makes that its working
    folder and keeps what it read, none of which a process with threads could bear. Where it ends
    with an error, `deserved` is empty and the reasons hold its words.
    """
    command = module_command("auditwheel", "show", "--json", str(facts.wheel.path))
    tool = f"auditwheel {version('auditwheel')}"
    platforms = facts.wheel.platforms
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        words = [f"auditwheel gave no answer within {timeout:g} s"]
        return Audit(promised=platforms, deserved="", true=False, reasons=tuple(words), tool=tool)
    except json.JSONDecodeError:
        words = done.stderr.strip().splitlines()[-1:] or [f"auditwheel ended with {done.returncode}"]
        return Audit(promised=platforms, deserved="", true=False, reasons=tuple(words), tool=tool)
    return _reference_answer(facts, answer, tool)


def _reference_answer(facts: WheelFacts, answer: dict[str, object], tool: str) -> Audit:
    """Put auditwheel's JSON (its `show --json`, version 1) into our words."""
    platforms = facts.wheel.platforms
    if "overall_tag" not in answer:
        pure = not facts.elf
        words = str(answer.get("error", "auditwheel gave no tag")).splitlines()
        deserved = "any" if pure else ""
        return Audit(promised=platforms, deserved=deserved, true=pure, reasons=tuple(words), tool=tool)
    deserved = str(answer["overall_tag"])
    arch = _arch(facts, facts.elf)
    true = all(_kept(tag, deserved, arch) for tag in platforms)
    upgrades = answer.get("policy_upgrades")
    reasons = (
        [f"{name}: {what}" for name, what in upgrades.items()] if isinstance(upgrades, dict) else []
    )
    return Audit(
        promised=platforms,
        deserved=deserved,
        true=true,
        reasons=tuple(reasons[:MAX_REASONS]),
        tool=tool,
    )
