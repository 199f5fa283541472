"""Wheels for both C libraries, one row each: what each of the two does with the same bytes.

Each is tagged for manylinux and musllinux at once, as uv's own wheels are, so that one file is tried on
both. All are compiled with this machine's C compiler and glibc; a sound module needs no libc by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kinds_of_wheels import WORKS, compiled, module, packed
from library_kinds import search
from program_kinds import tool_alone

GLIBC_ROOT, MUSL_ROOT = "debian-12", "musl-1.2.5"
BOTH = "cp36-abi3-manylinux_2_17_x86_64.musllinux_1_2_x86_64"
MUSL_ALONE = "cp36-abi3-musllinux_1_2_x86_64"
UNIVERSAL = "cp36-abi3-linux_x86_64"  # promises no C library; any pip on that processor takes it

_AS_WRITTEN = "-fno-builtin"  # GCC turns a checked call that it can see through into a plain one
Maker = Callable[[Path, str], Path]
"""Writes a wheel with a compressed tag set into an empty folder."""


@dataclass(frozen=True, kw_only=True)
class MuslKind:
    """One kind of wheel. `make` writes it into an empty folder under a tag, and gives its path.

    `audit` are the findings of the audit where the wheel is for musl alone. `on_musl` and `on_glibc`
    are what is predicted and what is seen: the name of the finding that decides, or WORKS.
    """

    name: str
    make: Maker
    audit: Mapping[str, str] = field(default_factory=dict)
    on_musl: tuple[str, str] = (WORKS, WORKS)
    on_glibc: tuple[str, str] = (WORKS, WORKS)

    def on(self, root: str) -> tuple[str, str]:
        """What is predicted and what is seen in a root."""
        return self.on_musl if root == MUSL_ROOT else self.on_glibc


def calling(before: str, body: str, *flags: str) -> Maker:
    """A module that does something with the C library when it is imported."""

    def make(folder: Path, tag: str) -> Path:
        native = module(folder, "_x", _AS_WRITTEN, *flags, before=before, body=body)
        return packed(folder, "both", {"both/_x.abi3.so": native}, tag=tag)

    return make


def grafted(source: str, *flags: str) -> Maker:
    """A module with a library of glibc's grafted beside it, as a repair on the wrong host leaves it."""

    def make(folder: Path, tag: str) -> Path:
        name = "libgraft-0a1b2c3d.so.1"
        library = compiled(folder, name, source, f"-Wl,-soname,{name}", _AS_WRITTEN, *flags)
        (folder / "libgraft.so").write_bytes(library)
        native = module(
            folder,
            "_x",
            *("-nostdlib", "-lgraft", "-Wl,-rpath,$ORIGIN/../both.libs"),
            before="int answer(void);",
            body="answer()",
        )
        return packed(
            folder, "both", {"both/_x.abi3.so": native, f"both.libs/{name}": library}, tag=tag
        )

    return make


def program(*flags: str) -> Maker:
    """A wheel of one program and no module, for any Python 3."""

    def make(folder: Path, tag: str) -> Path:
        return tool_alone(*flags, tag=tag.replace("cp36-abi3", "py3-none"))(folder)

    return make


def by_runpath_of_the_outer(folder: Path, tag: str) -> Path:
    """A module that finds a library by its RUNPATH, and that one another, with no path of its own."""
    return search("$ORIGIN", new=True, tag=tag, link=("-nostdlib",))(folder)


_CONTEXT = "int getcontext(void *); static char kept[4096];"
# A thread with 512 KiB on its stack: musl gives 128 KiB unless asked (pthread_attr_init), glibc 8 MiB.
_THREAD = """int pthread_create(void *, void *, void *(*)(void *), void *);
int pthread_join(unsigned long, void *);
static void *deep(void *p) {
    volatile char room[1 << 19];
    for (int i = 0; i < 1 << 19; i += 4096) room[i] = 1;
    return p;
}"""
_STORAGE = "__thread int seen; int answer(void) { return seen++; }"
_FORMATTED = "int __snprintf_chk(char *, unsigned long, int, unsigned long, const char *, ...);"
_BUILT = {"built-for-glibc": "warning"}
_LINKED = {"policy-mismatch": "error", **_BUILT}  # libc.so.6 is no library of musllinux
_LACKS = {"symbol-not-in-musl": "warning", **_LINKED}
_GRAFT = {"graft-license": "information", "graft-unaccounted": "information"}
_NO_START = ("program-not-started", "program-not-started")
_REFUSED = ("symbol-not-in-musl", "symbol-not-in-musl")

MUSL_KINDS: tuple[MuslKind, ...] = (
    MuslKind(name="sound", make=calling("", "", "-nostdlib")),
    MuslKind(
        name="fortified-copy",
        make=calling(
            "void *__memcpy_chk(void *, const void *, unsigned long, unsigned long);",
            'char b[8]; __memcpy_chk(b, "seven..", 8, 8)',
        ),
        audit=_LACKS,
        on_musl=_REFUSED,
    ),
    MuslKind(
        name="fortified-format",
        make=calling(_FORMATTED, 'char b[8]; __snprintf_chk(b, 8, 1, 8, "%d", 42)'),
        audit=_LACKS,
        on_musl=_REFUSED,
    ),
    MuslKind(
        name="context-switch",
        make=calling(_CONTEXT, "getcontext(kept)"),
        audit=_LACKS,
        on_musl=_REFUSED,
    ),
    MuslKind(
        name="plain-library-of-glibc-grafted",
        make=grafted("int abs(int); int answer(void) { return abs(-42); }"),
        audit={**_LINKED, **_GRAFT},
    ),
    # It needs the loader of glibc alone, which auditwheel passes over.
    MuslKind(
        name="library-with-thread-storage-of-glibc-grafted",
        make=grafted(_STORAGE),
        audit={**_BUILT, **_GRAFT},
        on_musl=("missing-library", "missing-library"),
    ),
    MuslKind(
        name="fortified-library-of-glibc-grafted",
        make=grafted(
            f'{_FORMATTED} int answer(void) {{ char b[8]; return __snprintf_chk(b, 8, 1, 8, "7"); }}'
        ),
        audit={**_LACKS, **_GRAFT},
        on_musl=_REFUSED,
    ),
    MuslKind(
        name="library-by-runpath-of-the-outer",
        make=by_runpath_of_the_outer,
        on_glibc=("rpath-lost", "rpath-lost"),
    ),
    MuslKind(
        name="initial-exec-thread-storage",
        make=calling("static __thread int seen;", "seen++", "-nostdlib", "-ftls-model=initial-exec"),
        on_musl=("static-tls", "static-tls"),
    ),
    MuslKind(
        name="thread-with-a-deep-stack",
        make=calling(
            _THREAD, "unsigned long t; pthread_create(&t, 0, deep, 0); pthread_join(t, 0)", "-nostdlib"
        ),
        audit={"differs-on-musl": "information"},
        on_musl=(WORKS, "crash"),
    ),
    MuslKind(name="program-static", make=program("-static-pie")),
    MuslKind(
        name="program-of-musl",
        make=program("-pie", "-Wl,--dynamic-linker,/lib/ld-musl-x86_64.so.1"),
        on_glibc=_NO_START,
    ),
    MuslKind(
        name="program-of-glibc",
        make=program("-pie"),
        audit={"program-not-started": "error", "policy-mismatch": "error"},
        on_musl=_NO_START,
    ),
)
