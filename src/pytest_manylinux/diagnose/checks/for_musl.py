"""Files of wheels for musl that were made for glibc, or count on it."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_manylinux.diagnose.api import Check, Findings
from pytest_manylinux.diagnose.loader_model import loaded_files
from pytest_manylinux.diagnose.unresolved_symbols import marks_of_glibc
from pytest_manylinux.model.elf_facts import ElfFacts
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts

# ML135: a file of a musllinux wheel was linked with glibc.

_SHOWN = 10


def _built_for_glibc(facts: WheelFacts) -> Findings:
    # What musl's loader then refuses (a symbol, the loader of glibc) has findings of its own.
    if not facts.wheel.platforms or not all(t.startswith("musllinux") for t in facts.wheel.platforms):
        return
    marked = marks_of_glibc(facts)
    if marked:
        lines = [f"{path} {mark}" for path, marks in marked.items() for mark in marks]
        more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        yield BUILT_FOR_GLIBC.finding(
            f"{next(iter(marked))} was built for glibc, and the wheel's name says musl",
            evidence=[*lines[:_SHOWN], *more],
            files=list(marked),
        )


BUILT_FOR_GLIBC = Check(
    code="ML135", name="built-for-glibc", severity=Severity.WARNING, wheel=_built_for_glibc
)


# ML136: a file for musl calls what musl has and does otherwise than glibc.

# Who calls one of these has seen to the stack (pthread_attr_init(3), NOTES).
_SIZED = frozenset({"pthread_attr_setstacksize", "pthread_attr_setstack", "pthread_setattr_default_np"})
# musl's manual, "Functional differences from glibc": what an import does not show.
_CONVERTS = frozenset({"iconv_open"})
_SPEAKS = frozenset({"setlocale", "newlocale", "localeconv", "nl_langinfo", "nl_langinfo_l", "strfmon"})


def _differences(elf: ElfFacts) -> Iterator[str]:
    wants = {want.name for want in elf.wants}
    if "pthread_create" in wants and not wants & _SIZED:
        yield "starts threads (pthread_create) and sets no size of their stacks: 128 KiB on musl"
    for name in sorted(wants & _CONVERTS):
        yield f"converts character sets ({name}): musl knows fewer, and no //TRANSLIT"
    if spoken := sorted(wants & _SPEAKS):
        yield f"asks for the locale ({', '.join(spoken)}): musl has the rules of C.UTF-8 alone"


def _differs_on_musl(facts: WheelFacts) -> Findings:
    if not any(tag.startswith("musllinux") for tag in facts.wheel.platforms):
        return
    found = {elf.path: list(_differences(elf)) for elf in loaded_files(facts)}
    lines = [f"{path} {words}" for path, differences in found.items() for words in differences]
    if lines:
        paths = [path for path, differences in found.items() if differences]
        more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        yield DIFFERS_ON_MUSL.finding(
            f"{paths[0]} calls what differs on musl, and an import does not show it",
            evidence=[*lines[:_SHOWN], *more],
            files=paths,
        )


DIFFERS_ON_MUSL = Check(
    code="ML136", name="differs-on-musl", severity=Severity.INFORMATION, wheel=_differs_on_musl
)
