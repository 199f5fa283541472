"""Features of ELF files that not every kernel and loader takes."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings, once_per_wheel
from pytest_manylinux.diagnose.attribution import blamed
from pytest_manylinux.diagnose.loader_model import Loading, linked_files, loaded_files, loadings
from pytest_manylinux.model.distro import Distro, Target
from pytest_manylinux.model.elf_facts import ElfFacts, ElfKind
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.policy import Libc
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import WheelFacts

# ML108: a file asks for an executable stack.

# glibc 2.41, NEWS: "dlopen and dlmopen no longer make the stack executable if the shared library
# requires it, either implicitly because of a missing GNU_STACK ELF header (and default ABI permission
# having the executable bit set) or explicitly because of the executable bit in GNU_STACK".
FIRST_REFUSAL = (2, 41)


def stack_files(facts: WheelFacts) -> tuple[ElfFacts, ...]:
    """The wheel's shared objects that ask for an executable stack."""
    return tuple(elf for elf in facts.elf if elf.executable_stack and elf.kind is ElfKind.SHARED)


def _why_executable(elf: ElfFacts) -> str:
    if elf.has_stack_header:
        return f"{elf.path}: PT_GNU_STACK has the flag X"
    return f"{elf.path}: no PT_GNU_STACK, which means executable on {elf.arch}"


def _executable_stack_wheel(facts: WheelFacts) -> Findings:
    files = stack_files(facts)
    if files:
        yield EXECUTABLE_STACK.finding(
            f"{files[0].path} asks for an executable stack, which glibc 2.41 and later refuse",
            evidence=[_why_executable(elf) for elf in files],
            severity=Severity.WARNING,
            files=[elf.path for elf in files],
        )


def _executable_stack_static(facts: WheelFacts, target: Target) -> Findings:
    files = stack_files(facts)
    if files and target.distro.libc.is_glibc(FIRST_REFUSAL):
        yield EXECUTABLE_STACK.finding(
            f"{files[0].path} asks for an executable stack; {target.distro.libc} refuses to load it",
            evidence=[_why_executable(elf) for elf in files],
            files=[elf.path for elf in files],
        )


def _executable_stack_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = list(blamed("executable-stack", facts, observation, target))
    if not found:
        return
    files = stack_files(facts)
    subject = files[0].path if files else "a library that is not in the wheel"
    yield EXECUTABLE_STACK.finding(
        f"{subject} asks for an executable stack; the loader refused it ({observation.libc})",
        evidence=[*(failure.line for failure in found), *(_why_executable(elf) for elf in files)],
        severity=min((f.severity for f in found), key=list(Severity).index),
        files=[elf.path for elf in files],
    )


EXECUTABLE_STACK = Check(
    code="ML108",
    name="executable-stack",
    severity=Severity.ERROR,
    wheel=_executable_stack_wheel,
    static=_executable_stack_static,
    dynamic=_executable_stack_dynamic,
)


# ML111: a load segment is aligned to less than a page of the kernel.

_SMALLEST_PAGE = 4096
# The largest page that kernels of mainstream distros use: 64K on RHEL 7 and 8 for aarch64 and on
# ppc64le; 16K on Asahi Linux and loongarch64. All others have 4K pages only.
_LARGEST_PAGE = {"aarch64": 65536, "ppc64le": 65536, "ppc64": 65536, "loongarch64": 16384}
# Older loaders demand that p_align is a multiple of the page and that address and offset agree by it;
# since glibc 2.35 they only have to agree within a page (elf/dl-load.c; seen on 2.31 and on 2.36, 2.41,
# 2.43).
_LENIENT_SINCE = (2, 35)


def _unfit(elf: ElfFacts, page: int, *, lenient: bool) -> bool:
    for load in elf.loads:
        apart = load.address - load.offset
        strict = load.align % page or (apart % load.align if load.align else apart)
        if apart % page if lenient else strict:
            return True
    return False


@once_per_wheel
def _unfit_for(facts: WheelFacts) -> dict[bool, list[ElfFacts]]:
    """The files that a distro refuses, by whether its loader is lenient."""
    return {
        lenient: [
            elf
            for elf in loaded_files(facts)
            # The kernel maps a static program, and does not look at p_align.
            if _unfit(elf, _SMALLEST_PAGE, lenient=lenient or elf.is_static_program)
        ]
        for lenient in (False, True)
    }


def _misaligned(elf: ElfFacts, page: int) -> str:
    """What is wrong with a file's load segments, to end a sentence about it."""
    least = min(load.align for load in elf.loads)
    if least < page:
        return f"a load segment is aligned to {least} bytes, less than a page ({page})"
    if any(load.align % page for load in elf.loads):
        return "the alignment of a load segment is no multiple of a page"
    return "a load segment's address and offset in the file do not fit together (damaged headers)"


def _page_alignment_wheel(facts: WheelFacts) -> Findings:
    files = [
        elf
        for elf in loaded_files(facts)
        if _unfit(elf, _LARGEST_PAGE.get(elf.arch, _SMALLEST_PAGE), lenient=False)
    ]
    if files:
        page = _LARGEST_PAGE.get(files[0].arch, _SMALLEST_PAGE)
        yield PAGE_ALIGNMENT.finding(
            f"{files[0].path} cannot be loaded by kernels with pages of {page // 1024}K: "
            f"{_misaligned(files[0], page)}",
            evidence=[f"{elf.path}: {_misaligned(elf, page)}" for elf in files],
            severity=Severity.WARNING,
            files=[elf.path for elf in files],
        )


def _is_lenient(target: Target) -> bool:
    """Whether the loader does not look at p_align; that of musl never does (ldso/dynlink.c)."""
    return target.distro.libc.is_musl() or target.distro.libc.is_glibc(_LENIENT_SINCE)


def _page_alignment_static(facts: WheelFacts, target: Target) -> Findings:
    files = _unfit_for(facts)[_is_lenient(target)]
    if files:
        lines = [f"{elf.path}: {_misaligned(elf, _SMALLEST_PAGE)}" for elf in files]
        yield PAGE_ALIGNMENT.finding(
            f"{target.distro.id} refuses to load {lines[0]}",
            evidence=lines,
            files=[elf.path for elf in files],
        )


def _page_alignment_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = list(blamed("page-alignment", facts, observation, target))
    if found:
        page = _LARGEST_PAGE.get(target.arch, _SMALLEST_PAGE)
        files = [e for e in facts.elf if e.loads and _unfit(e, page, lenient=False)]
        why = _misaligned(files[0], page) if files else "the loader refuses its load segments"
        yield PAGE_ALIGNMENT.finding(
            f"{found[0].subject}: {why}",
            evidence=[
                *(failure.line for failure in found),
                *(f"{elf.path}: {_misaligned(elf, page)}" for elf in files),
            ],
            severity=min((f.severity for f in found), key=list(Severity).index),
            files=[elf.path for elf in files],
        )


PAGE_ALIGNMENT = Check(
    code="ML111",
    name="page-alignment",
    severity=Severity.ERROR,
    wheel=_page_alignment_wheel,
    static=_page_alignment_static,
    dynamic=_page_alignment_dynamic,
)


# ML113: a file has packed relocations that older loaders do not know.

# glibc 2.36, NEWS: support for DT_RELR; files that have it must depend on GLIBC_ABI_DT_RELR. Some
# distros carried it back to older versions: their row says GLIBC_ABI = "DT_RELR". A glibc without it
# refuses marked files and crashes on others (seen on 2.31).
_RELR_SINCE = (2, 36)
# musl 1.2.4, WHATSNEW: "dynamic linker: RELR relocations"; it asks for no mark.
_RELR_MUSL_SINCE = (1, 2, 4)
_RELR_MARK = "GLIBC_ABI_DT_RELR"


def _relr_files(facts: WheelFacts) -> list[ElfFacts]:
    return [elf for elf in linked_files(facts) if elf.relr]


def _has_relr_mark(elf: ElfFacts) -> bool:
    return any(_RELR_MARK in versions for _, versions in elf.version_needs)


def _knows_relr(distro: Distro) -> bool:
    marks = dict(distro.symbol_maxima).get("GLIBC_ABI", "").split()
    return (
        distro.libc.is_musl(_RELR_MUSL_SINCE) or distro.libc.is_glibc(_RELR_SINCE) or "DT_RELR" in marks
    )


def _relr_is_refused(elf: ElfFacts, *, known: bool) -> bool:
    """The mark is asked only of files with versioned needs of libc (seen on 2.36, 2.41, 2.43)."""
    if not known:
        return True
    uses_libc = any(library.startswith("libc.so") for library, _ in elf.version_needs)
    return uses_libc and not _has_relr_mark(elf)


def _relr_line(elf: ElfFacts) -> str:
    mark = "asks for" if _has_relr_mark(elf) else "does not ask for"
    return f"{elf.path} has DT_RELR and {mark} {_RELR_MARK}"


def _relr_relocations_static(facts: WheelFacts, target: Target) -> Findings:
    known, libc = _knows_relr(target.distro), target.distro.libc
    found = [] if known and libc.is_musl() else _relr_files(facts)
    files = [elf for elf in found if _relr_is_refused(elf, known=known)]
    if not files and not known and libc.is_glibc():  # the mark alone is refused too
        yield from (_relr_wanted(elf, target) for elf in linked_files(facts) if _has_relr_mark(elf))
    if files:
        why = f"wants the mark {_RELR_MARK} beside it" if known else "does not know it"
        yield RELR_RELOCATIONS.finding(
            f"{files[0].path} has packed relocations (DT_RELR); {libc} {why}",
            evidence=[_relr_line(elf) for elf in files],
            files=[elf.path for elf in files],
        )


def _relr_wanted(elf: ElfFacts, target: Target) -> Finding:
    return RELR_RELOCATIONS.finding(
        f"{elf.path} asks for {_RELR_MARK}, which {target.distro.libc} does not have", files=[elf.path]
    )


def _relr_relocations_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = list(blamed("relr-relocations", facts, observation, target))
    if found:
        files = _relr_files(facts)
        yield RELR_RELOCATIONS.finding(
            f"{found[0].subject}: the loader does not take packed relocations (DT_RELR)",
            evidence=[*(failure.line for failure in found), *(_relr_line(elf) for elf in files)],
            severity=min((f.severity for f in found), key=list(Severity).index),
            files=[elf.path for elf in files],
        )


RELR_RELOCATIONS = Check(
    code="ML113",
    name="relr-relocations",
    severity=Severity.ERROR,
    static=_relr_relocations_static,
    dynamic=_relr_relocations_dynamic,
)


# ML112: a library wants more static thread storage than the loader keeps for late comers.

# Seen on Debian 11 (2.31), 12 (2.36), 13 (2.41) and testing (2.43), a library loaded late into
# python3: 1600 bytes are given everywhere, 1700 up to glibc 2.36 only, 2000 nowhere.
_TLS_REFUSED_FROM = 2000
_TLS_REFUSED_FROM_ON_NEW = 1700
_TLS_NEW = (2, 41)
# What glibc keeps for optional use by libraries (the tunable glibc.rtld.optional_static_tls). More
# than that works only as long as no other library of the process asks for any.
_TLS_OPTIONAL = 512


def _tls_users(loading: Loading) -> list[ElfFacts]:
    return [elf for elf in loading.files if elf.static_tls and elf.tls_size]


@once_per_wheel
def _worst_tls(facts: WheelFacts) -> tuple[int, list[ElfFacts]]:
    """The most that one import asks for, and the files that do. Programs get theirs at the start."""
    late = [_tls_users(loading) for loading in loadings(facts) if not loading.program]
    users = max(late, key=lambda files: sum(f.tls_size for f in files), default=[])
    return sum(elf.tls_size for elf in users), users


def _tls_lines(users: list[ElfFacts]) -> list[str]:
    return [f"{e.path}: {e.tls_size} bytes of thread storage, initial-exec (STATIC_TLS)" for e in users]


def _static_tls_wheel(facts: WheelFacts) -> Findings:
    size, users = _worst_tls(facts)
    if size > _TLS_OPTIONAL:
        yield STATIC_TLS.finding(
            f"{users[0].path} wants static thread storage; one import asks for {size} bytes",
            evidence=_tls_lines(users),
            severity=Severity.WARNING,
            files=[elf.path for elf in users],
        )


def _tls_limit(libc: Libc) -> int:
    """The first size that an import is refused for.

    musl keeps nothing for late comers: "initial-exec TLS resolves to dynamic definition"
    (ldso/dynlink.c, do_relocs).
    """
    if libc.is_musl():
        return 1
    return _TLS_REFUSED_FROM_ON_NEW if libc.is_glibc(_TLS_NEW) else _TLS_REFUSED_FROM


def _static_tls_static(facts: WheelFacts, target: Target) -> Findings:
    size, users = _worst_tls(facts)
    if size >= _tls_limit(target.distro.libc):
        yield STATIC_TLS.finding(
            f"{users[0].path} wants {size} bytes of static thread storage; the loader has less left",
            evidence=_tls_lines(users),
            files=[elf.path for elf in users],
        )


def _static_tls_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = list(blamed("static-tls", facts, observation, target))
    if found:
        users = [elf for elf in facts.elf if elf.static_tls and elf.tls_size]
        yield STATIC_TLS.finding(
            f"{found[0].subject}: no static thread storage left",
            evidence=[*(failure.line for failure in found), *_tls_lines(users)],
            severity=min((f.severity for f in found), key=list(Severity).index),
            files=[elf.path for elf in users],
        )


STATIC_TLS = Check(
    code="ML112",
    name="static-tls",
    severity=Severity.ERROR,
    wheel=_static_tls_wheel,
    static=_static_tls_static,
    dynamic=_static_tls_dynamic,
)


# ML114: a file changes its own code when it is loaded.


def _textrel_paths(facts: WheelFacts) -> list[str]:
    return [elf.path for elf in loaded_files(facts) if elf.text_relocations]


def _text_relocations_wheel(facts: WheelFacts) -> Findings:
    paths = _textrel_paths(facts)
    if paths:
        yield TEXT_RELOCATIONS.finding(
            f"{paths[0]} has relocations in its code (DT_TEXTREL)",
            evidence=[f"{path}: DT_TEXTREL" for path in paths],
            files=paths,
        )


def _text_relocations_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = list(blamed("text-relocations", facts, observation, target))
    if found:
        paths = _textrel_paths(facts)
        yield TEXT_RELOCATIONS.finding(
            f"{found[0].subject}: the system does not let it change its own code",
            evidence=[*(failure.line for failure in found), *(f"{p}: DT_TEXTREL" for p in paths)],
            severity=min((f.severity for f in found), key=list(Severity).index),
            files=paths,
        )


TEXT_RELOCATIONS = Check(
    code="ML114",
    name="text-relocations",
    severity=Severity.WARNING,
    wheel=_text_relocations_wheel,
    dynamic=_text_relocations_dynamic,
)
