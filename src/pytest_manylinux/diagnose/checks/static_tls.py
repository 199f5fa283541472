"""ML112: a library wants more static thread storage than the loader keeps for late comers."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.attribution import blamed
from pytest_manylinux.diagnose.loader_model import Loading, loadings
from pytest_manylinux.diagnose.memo import once_per_wheel
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.policy import Libc
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import ElfFacts, WheelFacts

# Seen on Debian 11 (2.31), 12 (2.36), 13 (2.41) and testing (2.43), a library loaded late into
# python3: 1600 bytes are given everywhere, 1700 up to glibc 2.36 only, 2000 nowhere.
_REFUSED_FROM = 2000
_REFUSED_FROM_ON_NEW = 1700
_NEW = (2, 41)
# What glibc keeps for optional use by libraries (the tunable glibc.rtld.optional_static_tls). More
# than that works only as long as no other library of the process asks for any.
_OPTIONAL = 512


def _users(loading: Loading) -> list[ElfFacts]:
    return [elf for elf in loading.files if elf.static_tls and elf.tls_size]


@once_per_wheel
def _worst(facts: WheelFacts) -> tuple[int, list[ElfFacts]]:
    """The most that one import asks for, and the files that do. Programs get theirs at the start."""
    late = [_users(loading) for loading in loadings(facts) if not loading.program]
    users = max(late, key=lambda files: sum(f.tls_size for f in files), default=[])
    return sum(elf.tls_size for elf in users), users


def _lines(users: list[ElfFacts]) -> list[str]:
    return [f"{e.path}: {e.tls_size} bytes of thread storage, initial-exec (STATIC_TLS)" for e in users]


def _wheel(facts: WheelFacts) -> Findings:
    size, users = _worst(facts)
    if size > _OPTIONAL:
        yield CHECK.finding(
            f"{users[0].path} wants static thread storage; one import asks for {size} bytes",
            evidence=_lines(users),
            severity=Severity.WARNING,
            files=[elf.path for elf in users],
        )


def _limit(libc: Libc) -> int:
    """The first size that an import is refused for.

    musl keeps nothing for late comers: "initial-exec TLS resolves to dynamic definition"
    (ldso/dynlink.c, do_relocs).
    """
    if libc.is_musl():
        return 1
    return _REFUSED_FROM_ON_NEW if libc.is_glibc(_NEW) else _REFUSED_FROM


def _static(facts: WheelFacts, target: Target) -> Findings:
    size, users = _worst(facts)
    if size >= _limit(target.distro.libc):
        yield CHECK.finding(
            f"{users[0].path} wants {size} bytes of static thread storage; the loader has less left",
            evidence=_lines(users),
            files=[elf.path for elf in users],
        )


def _dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = list(blamed("static-tls", facts, observation, target))
    if found:
        users = [elf for elf in facts.elf if elf.static_tls and elf.tls_size]
        yield CHECK.finding(
            f"{found[0].subject}: no static thread storage left",
            evidence=[*(failure.line for failure in found), *_lines(users)],
            severity=min((f.severity for f in found), key=list(Severity).index),
            files=[elf.path for elf in users],
        )


CHECK = Check(
    code="ML112",
    name="static-tls",
    severity=Severity.ERROR,
    wheel=_wheel,
    static=_static,
    dynamic=_dynamic,
)
