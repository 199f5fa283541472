"""Kinds of wheels, one row each: how to make one, and what is to be told of it on four Debian releases.

Code that must load is compiled with the machine's C compiler and wants no headers. A new kind is a
function that writes a wheel into an empty folder, and a row in KINDS.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wheels import build_wheel

ROOTS = ("debian-11", "debian-12", "debian-13", "debian-testing")
WORKS = ""
"""The outcome of a wheel that works: no finding is an error."""

NOT_PROVEN = "not proven"
TAG = "cp36-abi3-manylinux_2_17_x86_64"
Outcomes = str | tuple[str, str, str, str]

# An extension module in C that wants no headers: the first fields of PyModuleDef on 64-bit machines
# (Include/moduleobject.h; the same from Python 3.5 on).
_MODULE = """
{before}
extern void *PyModule_Create2(void *, int);
static struct {{ long count; void *type, *init; long index; void *copy; const char *name, *doc;
                 long size; void *rest[5]; }} definition = {{1, 0, 0, 0, 0, "{name}", 0, -1, {{0}}}};
void *PyInit_{name}(void) {{ {body}; return PyModule_Create2(&definition, 1013); }}
"""
START = 'void _start(void) { __asm__ volatile("mov $60, %eax; xor %edi, %edi; syscall"); }'


@dataclass(frozen=True, kw_only=True)
class WheelKind:
    """One kind of wheel. `make` writes it into an empty folder and gives its path.

    `audit` are the findings of the audit with their severities, all of them. `predicted` and `seen` are
    the name of the finding that decides, WORKS or NOT_PROVEN: one for all ROOTS, or one for each.
    `seen` is None where the trial sees what was predicted.
    """

    name: str
    make: Callable[[Path], Path]
    audit: Mapping[str, str] = field(default_factory=dict)
    predicted: Outcomes = WORKS
    seen: Outcomes | None = None

    def on(self, root: str) -> tuple[str, str]:
        """What is predicted and what is seen on one of the ROOTS."""
        place = ROOTS.index(root)
        told = self.predicted if isinstance(self.predicted, str) else self.predicted[place]
        seen = self.predicted if self.seen is None else self.seen
        return told, seen if isinstance(seen, str) else seen[place]


def compiled(folder: Path, name: str, source: str, *flags: str, shared: bool = True) -> bytes:
    """Compile C text in `folder`, which also holds what it links to; the file is called `name`."""
    text = folder / f"{name.replace('/', '_')}.c"
    text.write_text(source)
    made = folder / name
    made.parent.mkdir(parents=True, exist_ok=True)
    command = ["cc", "-O1", "-w", "-fPIC", "-fno-stack-protector", "-U_FORTIFY_SOURCE"]
    command += [*(["-shared"] if shared else []), str(text), "-o", str(made), f"-L{folder}", *flags]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return made.read_bytes()


def module(folder: Path, name: str, *flags: str, before: str = "", body: str = "") -> bytes:
    """Compile an extension module that does `body` when it is imported."""
    source = _MODULE.format(name=name, before=before, body=body)
    return compiled(folder, f"{name}.so", source, *flags)


def packed(
    folder: Path,
    name: str,
    files: Mapping[str, bytes | str],
    *,
    init: str = "from . import _x\n",
    tag: str = TAG,
    **more: Any,  # noqa: ANN401
) -> Path:
    """A wheel with a package of its own name, which imports its module `_x`."""
    return build_wheel(folder, {f"{name}/__init__.py": init, **files}, name=name, tag=tag, **more)


def _calling(folder: Path, library: str, *flags: str) -> bytes:
    return module(folder, "_x", library, *flags, before="int answer(void);", body="answer()")


def need(path: str) -> Callable[[Path], Path]:
    """A module that needs a library by a path: the library's soname at link time is that path."""

    def make(folder: Path) -> Path:
        source = "int answer(void) { return 42; }"
        plain = compiled(folder, "libplain.so", source)
        compiled(folder, "libpath.so", source, f"-Wl,-soname,{path}")
        native = _calling(folder, "-lpath")
        return packed(folder, "need", {"need/_x.abi3.so": native, "need/libplain.so": plain})

    return make


def search(
    *folders: str,
    where: str = "search",
    low: str = "",
    new: bool = False,
    tag: str = TAG,
    link: tuple[str, ...] = (),
) -> Callable[[Path], Path]:
    """A module that finds a library by its search path, and that one another; `low` is its place."""

    def make(folder: Path) -> Path:
        soname = "-Wl,-soname,liblow.so.1"
        far = compiled(folder, "liblow.so.1", "int low(void) { return 1; }", soname, *link)
        (folder / "liblow.so").write_bytes(far)
        source = "int low(void); int answer(void) { return low(); }"
        near = compiled(folder, "liba.so.1", source, "-llow", "-Wl,-soname,liba.so.1", *link)
        (folder / "liba.so").write_bytes(near)
        kind = "--enable-new-dtags" if new else "--disable-new-dtags"
        flags = (f"-Wl,-rpath-link,{folder}", f"-Wl,-rpath,{':'.join(folders)}", f"-Wl,{kind}")
        native = _calling(folder, "-la", *flags, *link)
        files = {f"{where}/liba.so.1": near, f"{low or where}/liblow.so.1": far}
        return packed(folder, "search", {"search/_x.abi3.so": native, **files}, tag=tag)

    return make


def preloaded(init: str) -> Callable[[Path], Path]:
    """A module whose library is opened by its path before."""

    def make(folder: Path) -> Path:
        source = "int answer(void) { return 42; }"
        library = compiled(folder, "libpre.so.1", source, "-Wl,-soname,libpre.so.1")
        (folder / "libpre.so").write_bytes(library)
        files = {"pre/_x.abi3.so": _calling(folder, "-lpre"), "pre/lib/libpre.so.1": library}
        return packed(folder, "pre", files, init=f"import ctypes, os\n{init}\nfrom . import _x\n")

    return make


def for_others(**kinds: int) -> Callable[[Path], Path]:
    """A sound module beside data files for other machines: name to e_machine, a program where odd."""

    def make(folder: Path) -> Path:
        shared = compiled(folder, "f.so", "int f(void) { return 1; }", "-nostdlib")
        files: dict[str, bytes | str] = {"others/_x.abi3.so": module(folder, "_x")}
        for name, machine in kinds.items():
            e_type = 2 if machine == CUDA else 3
            head = e_type.to_bytes(2, "little") + machine.to_bytes(2, "little")
            files[f"others/data/{name}"] = shared[:16] + head + shared[20:]
        return packed(folder, "others", files)

    return make


def one_soname(init: str) -> Callable[[Path], Path]:
    """Two modules, each with its own library of one name; only the second's has all symbols."""

    def make(folder: Path) -> Path:
        one, both = "int one(void) { return 1; }", "int two(void) { return 2; }"
        files: dict[str, bytes | str] = {}
        for place, name, code in (("a", "one", one), ("b", "two", one + both)):
            library = compiled(folder, f"{place}/libs.so", code, "-Wl,-soname,libs.so.1")
            flags = (f"-L{folder}/{place}", "-ls", f"-Wl,-rpath,$ORIGIN/{place}")
            native = module(folder, f"_{name}", *flags, before=f"int {name}(void);", body=f"{name}()")
            files |= {f"twice/_{name}.abi3.so": native, f"twice/{place}/libs.so.1": library}
        return packed(folder, "twice", files, init=init)

    return make


def repacked(method: int) -> Callable[[Path], Path]:
    """A sound wheel whose files are packed by another method."""

    def make(folder: Path) -> Path:
        path = packed(folder, "repacked", {"repacked/_x.abi3.so": module(folder, "_x")})
        with zipfile.ZipFile(path) as archive:
            content = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, data in content:
                archive.writestr(name, data)
        return path

    return make


def recorded(record: Callable[[str, bytes], str]) -> Callable[[Path], Path]:
    """A sound wheel whose RECORD has for each file what `record` says."""

    def make(folder: Path) -> Path:
        path = packed(folder, "recorded", {"recorded/_x.abi3.so": module(folder, "_x")})
        with zipfile.ZipFile(path) as archive:
            content = {e.filename: archive.read(e) for e in archive.infolist()}
        own = "recorded-1.0.dist-info/RECORD"
        rows = [f"{name},{record(name, data)}" for name, data in content.items() if name != own]
        content[own] = "\n".join([*rows, f"{own},,", ""]).encode()
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in content.items():
                archive.writestr(name, data)
        return path

    return make


def by_algorithm(name: str) -> Callable[[str, bytes], str]:
    """RECORD's columns after the path, with a digest by an algorithm."""

    def row(path: str, data: bytes) -> str:
        del path
        digest = base64.urlsafe_b64encode(hashlib.new(name, data).digest()).rstrip(b"=").decode()
        return f"{name}={digest},{len(data)}"

    return row


def described(metadata: str = "", version: str = "1.0") -> Callable[[Path], Path]:
    """A sound wheel with more lines of metadata, or with another version."""

    def make(folder: Path) -> Path:
        files = {"described/_x.abi3.so": module(folder, "_x")}
        head = f"Metadata-Version: 2.1\nName: described\nVersion: {version}\n{metadata}"
        return packed(folder, "described", files, version=version, metadata=head.encode())

    return make


def file_called(name: str, data: bytes | str, *, init: str = "") -> Callable[[Path], Path]:
    """A sound module beside another file, which the package imports or not."""

    def make(folder: Path) -> Path:
        files = {"odd/_x.abi3.so": module(folder, "_x"), f"odd/{name}": data}
        return packed(folder, "odd", files, init=init or "from . import _x\n")

    return make


def suffixed(suffix: str, tag: str = TAG, *, code: str = "") -> Callable[[Path], Path]:
    """A module whose file is called by a suffix; `code` replaces its source, exports and all."""

    def make(folder: Path) -> Path:
        native = compiled(folder, "_x.so", code) if code else module(folder, "_x")
        return packed(folder, "suffixed", {f"suffixed/_x{suffix}.so": native}, tag=tag)

    return make


def no_native(tag: str) -> Callable[[Path], Path]:
    """A wheel whose name promises a platform, of Python code alone."""
    return lambda folder: packed(folder, "plain", {}, init="x = 1\n", tag=tag)


def command(data: str | tuple[str, ...], *, mode: int = 0o100755) -> Callable[[Path], Path]:
    """A sound module and a program on PATH: a text, or options for the linker of one that ends."""

    def make(folder: Path) -> Path:
        if isinstance(data, str):
            program = data.encode()
        else:
            program = compiled(folder, "program", START, "-nostdlib", *data, shared=False)
        files: dict[str, bytes | str] = {
            "tool/_x.abi3.so": module(folder, "_x"),
            "tool-1.0.data/scripts/tool": program,
        }
        return with_mode(packed(folder, "tool", files), "tool-1.0.data/scripts/tool", mode)

    return make


def with_mode(path: Path, name: str, mode: int) -> Path:
    """The wheel with another mode of one file in the archive."""
    with zipfile.ZipFile(path) as archive:
        content = [(entry, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, data in content:
            if entry.filename == name:
                entry.external_attr = mode << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return path


def source(text: str, name: str = "newer.py", tag: str = TAG, **more: Any) -> Callable[[Path], Path]:  # noqa: ANN401
    """A sound module beside a Python file that the package imports."""

    def make(folder: Path) -> Path:
        native = module(folder, "_x")
        files: dict[str, bytes | str] = {"written/_x.abi3.so": native, f"written/{name}": text}
        init = f"from . import _x\nfrom . import {name.removesuffix('.py')}\n"
        return packed(folder, "written", files, init=init, tag=tag, **more)

    return make


def offering(entry_points: str, code: str = "") -> Callable[[Path], Path]:
    """A sound module with entry points, and the code of their module `cli`."""

    def make(folder: Path) -> Path:
        files: dict[str, bytes | str] = {"offer/_x.abi3.so": module(folder, "_x")}
        if code:
            files["offer/cli.py"] = code
        files["offer-1.0.dist-info/entry_points.txt"] = f"[console_scripts]\n{entry_points}\n"
        return packed(folder, "offer", files)

    return make


def libraries(*flags: str, code: str = "", text: str = "") -> Callable[[Path], Path]:
    """A wheel of libraries alone: one that others use, one of `code`, and a text called like one."""

    def make(folder: Path) -> Path:
        source = "int low(void) { return 1; }"
        files: dict[str, bytes | str] = {}
        low = compiled(folder, "liblow.so.1", source, "-Wl,-soname,liblow.so.1")
        (folder / "liblow.so").write_bytes(low)
        files["stock/lib/liblow.so.1"] = low
        if code:
            cuda = compiled(folder, "libcuda.so.1", "int cuInit(void) { return 0; }")
            (folder / "libcuda.so").write_bytes(cuda)
            files["stock/lib/libhigh.so.1"] = compiled(folder, "libhigh.so.1", code, *flags)
        if text:
            files["stock/lib/libtext.so.1"] = text
        return build_wheel(folder, files, name="stock", tag="py3-none-manylinux_2_17_x86_64")

    return make


def modules_at_top(name: str) -> Callable[[Path], Path]:
    """A sound package beside a module at the top that is called like one of Python's own."""

    def make(folder: Path) -> Path:
        files: dict[str, bytes | str] = {f"{name}.py": "x = 1\n"}
        files["top/_x.abi3.so"] = module(folder, "_x")
        return packed(folder, "top", files)

    return make


def ends(init: str) -> Callable[[Path], Path]:
    """A package whose interpreter ends in some way of its own."""
    return lambda folder: packed(folder, "ends", {"ends/_x.abi3.so": module(folder, "_x")}, init=init)


def marked(mark: str) -> Callable[[Path], Path]:
    """A module whose need of glibc carries a mark, a version that no symbol of glibc is of."""

    def make(folder: Path) -> Path:
        (folder / "marks.map").write_text(f"GLIBC_ABI_{mark} {{ mark; }};\n")
        stub = folder / "stub"
        flags = ("-nostdlib", "-Wl,-soname,libc.so.6", f"-Wl,--version-script,{folder}/marks.map")
        compiled(folder, "stub/libmark.so", "int mark;", *flags)
        before = "extern int mark __attribute__((weak)); static void *volatile kept;"
        native = module(
            folder,
            "_x",
            "-Wl,--no-as-needed",
            f"-L{stub}",
            "-lmark",
            before=before,
            body="kept = &mark",
        )
        return packed(folder, "marked", {"marked/_x.abi3.so": native})

    return make


def packed_with_zstandard(folder: Path) -> Path:
    """A sound wheel whose files are frames of Zstandard (RFC 8878): one raw block each."""
    path = packed(folder, "frames", {"frames/_x.abi3.so": module(folder, "_x")})
    with zipfile.ZipFile(path) as archive:
        content = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in content:
            archive.writestr(name, _frame(data))
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        at = archive.start_dir
        for entry, (_, data) in zip(archive.infolist(), content, strict=True):
            crc, size = zlib.crc32(data).to_bytes(4, "little"), len(data).to_bytes(4, "little")
            for start, method in ((entry.header_offset, 8), (at, 10)):  # APPNOTE 4.3.7, 4.3.12
                raw[start + method : start + method + 2] = ZSTANDARD.to_bytes(2, "little")
                raw[start + method + 6 : start + method + 10] = crc
                raw[start + method + 14 : start + method + 18] = size
            at += 46 + len(entry.filename.encode()) + len(entry.extra) + len(entry.comment)
    path.write_bytes(raw)
    return path


def _frame(data: bytes) -> bytes:
    head = b"\x28\xb5\x2f\xfd" + bytes([0b10100000]) + len(data).to_bytes(4, "little")
    blocks = [data[place : place + _BLOCK] for place in range(0, len(data), _BLOCK)] or [b""]
    sizes = [len(block) << 3 | (number == len(blocks) - 1) for number, block in enumerate(blocks)]
    return head + b"".join(
        size.to_bytes(3, "little") + block for size, block in zip(sizes, blocks, strict=True)
    )


ZSTANDARD = 93
_BLOCK = 1 << 16


def tool_alone(
    *flags: str, text: str = "", tag: str = "py3-none-manylinux_2_17_x86_64"
) -> Callable[[Path], Path]:
    """A wheel of one program and no module."""

    def make(folder: Path) -> Path:
        program: bytes | str = text
        if not text:
            program = compiled(folder, "program", START, "-nostdlib", *flags, shared=False)
        path = "alone-1.0.data/scripts/alone"
        made = build_wheel(folder, {path: program}, name="alone", tag=tag)
        return with_mode(made, path, 0o100755)

    return make


def program_with(library: bytes | None, *, place: str = "scripts") -> Callable[[Path], Path]:
    """A sound module, and a program with a library beside it: another file in its place, or none."""

    def make(folder: Path) -> Path:
        sound = compiled(folder, "libpg.so.1", "int pg(void) { return 1; }", "-Wl,-soname,libpg.so.1")
        (folder / "libpg.so").write_bytes(sound)
        source = START.replace("{", "{ pg();", 1)
        flags = ("-nostdlib", "-pie", "-lpg", "-Wl,-rpath,$ORIGIN/../beside-libs")
        program = compiled(folder, "program", f"int pg(void); {source}", *flags, shared=False)
        files: dict[str, bytes | str] = {"beside/_x.abi3.so": module(folder, "_x")}
        inside = place != "scripts"
        at = "beside/tools/program" if inside else "beside-1.0.data/scripts/program"
        files[at] = program
        where = "beside/far/libpg.so.1" if inside else "beside-1.0.data/data/beside-libs/libpg.so.1"
        files[where] = sound if library is None else library
        return with_mode(packed(folder, "beside", files), at, 0o100755)

    return make


def waiting_for_a_driver(folder: Path) -> Path:
    """A module that is linked with the library of a driver."""
    driver = compiled(
        folder, "libcuda.so", "int cuInit(int f) { return f; }", "-Wl,-soname,libcuda.so.1"
    )
    del driver
    native = module(folder, "_x", "-lcuda", before="int cuInit(int);", body="cuInit(0)")
    return packed(folder, "driven", {"driven/_x.abi3.so": native})


def opened_by_code(code: str) -> Callable[[Path], Path]:
    """A library that the package opens by ctypes, and that needs one of the desktop's."""

    def make(folder: Path) -> Path:
        soname = "-Wl,-soname,libX11.so.6"
        compiled(folder, "libX11.so", "int XFree(void *p) { return 0; }", soname)
        native = "int XFree(void *); int answer(void) { return XFree(0); }"
        files: dict[str, bytes | str] = {
            "opens/_x.abi3.so": module(folder, "_x"),
            "opens/libopened.so": compiled(folder, "libopened.so", native, "-lX11"),
        }
        init = "import ctypes\nimport os\nfrom . import _x\n"
        init += "NAME = os.path.join(os.path.dirname(__file__), 'libopened.so')\n"
        return packed(folder, "opens", files, init=f"{init}{code}\n")

    return make


def arriving_by(scheme: str, extra: Mapping[str, str] | None = None) -> Callable[[Path], Path]:
    """A sound package, and a module that arrives by a folder of `.data`, or with a `.pth` beside it."""

    def make(folder: Path) -> Path:
        files: dict[str, bytes | str] = {"arrive/_x.abi3.so": module(folder, "_x")}
        files[f"arrive-1.0.data/{scheme}/late.py"] = "x = 1\n"
        return packed(
            folder, "arrive", {**files, **(extra or {})}, init="from . import _x\nimport late\n"
        )

    return make


def missing_symbol(folder: Path) -> Path:
    """A wheel of libraries alone, one of which needs a symbol that nobody has."""
    broken = compiled(folder, "libbroken.so.1", "int gone(void); int f(void) { return gone(); }")
    files: dict[str, bytes | str] = {"stock/lib/libbroken.so.1": broken}
    return build_wheel(folder, files, name="stock", tag="py3-none-manylinux_2_17_x86_64")


_LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
# A host's Python below 3.14 can not tell whether 3.13 has syntax that it does not know itself.
_KNOWN_ON_3_13 = "syntax-error" if sys.version_info >= (3, 14) else WORKS
_NOTHING = {"module-not-native": "error"}
_SLOTS = "int PyModExport__x(void) { return 0; }"
_NO_START = {"program-not-started": "error"}
_MATCH = "def f(x):\n    match x:\n        case 1:\n            return 2\n"
CUDA, AMDGPU, BPF, AARCH64 = 190, 224, 247, 183
_NEEDED_PATH = _MISMATCH = {"policy-mismatch": "error"}
_LOST = {"policy-mismatch": "error", "rpath-lost": "warning"}
_BY_PATH = "ctypes.CDLL(os.path.join(os.path.dirname(__file__), 'lib', 'libpre.so.1'))"

KINDS: tuple[WheelKind, ...] = (
    WheelKind(
        name="need-absolute",
        make=need("/home/builder/build/libplain.so"),
        audit=_NEEDED_PATH,
        predicted="missing-library",
    ),
    WheelKind(
        name="need-relative",
        make=need("build/libplain.so"),
        audit=_NEEDED_PATH,
        predicted="missing-library",
    ),
    WheelKind(name="need-by-origin", make=need("$ORIGIN/libplain.so"), audit=_NEEDED_PATH),
    WheelKind(
        name="need-by-origin-and-lib",
        make=need("$ORIGIN/../$LIB/libplain.so"),
        audit=_NEEDED_PATH,
        predicted="missing-library",
    ),
    WheelKind(name="search-origin", make=search("$ORIGIN")),
    WheelKind(name="search-braces", make=search("${ORIGIN}")),
    WheelKind(name="search-slashes", make=search("$ORIGIN//./")),
    WheelKind(
        name="search-two-folders",
        make=search("$ORIGIN/a", "$ORIGIN/b", where="search/a", low="search/b"),
    ),
    WheelKind(
        name="search-lib-token",
        make=search("$ORIGIN/$LIB", where="search/lib/x86_64-linux-gnu"),
        audit=_NEEDED_PATH,
    ),
    WheelKind(
        name="search-lib64-is-not-debians",
        make=search("$ORIGIN/$LIB", where="search/lib64"),
        audit=_LOST,
        predicted="rpath-lost",
    ),
    WheelKind(name="search-empty", make=search("/nowhere", ""), audit=_LOST, predicted="rpath-lost"),
    WheelKind(name="search-working-folder", make=search("."), audit=_LOST, predicted="rpath-lost"),
    WheelKind(
        name="search-origin-inside", make=search("/opt/$ORIGIN"), audit=_LOST, predicted="rpath-lost"
    ),
    WheelKind(
        name="search-runpath-is-not-handed-on",
        make=search("$ORIGIN", new=True),
        audit={"rpath-lost": "warning"},
        predicted="rpath-lost",
    ),
    WheelKind(
        name="search-data-scheme",
        make=search("$ORIGIN/../../../../lib", where="search-1.0.data/data/lib"),
        audit=_NEEDED_PATH,
    ),
    WheelKind(name="preloaded-by-path", make=preloaded(_BY_PATH), audit=_LOST),
    WheelKind(
        name="not-preloaded",
        make=preloaded("ctypes.CDLL('libm.so.6')"),
        audit=_LOST,
        predicted="rpath-lost",
    ),
    WheelKind(name="cuda-program-as-data", make=for_others(kernel=CUDA)),
    WheelKind(name="amd-code-as-data", make=for_others(kernel=AMDGPU)),
    WheelKind(name="bpf-code-as-data", make=for_others(kernel=BPF)),
    WheelKind(
        name="agent-for-another-processor",
        make=for_others(agent=AARCH64, kernel=CUDA),
        audit={"wrong-architecture": "information"},
    ),
    WheelKind(
        name="soname-twice-poorer-first",
        make=one_soname("from . import _one, _two\n"),
        audit={"soname-twice": "error"},
        predicted="soname-twice",
    ),
    WheelKind(
        name="soname-twice-richer-first",
        make=one_soname("from . import (\n    _two,  # has all\n    _one,\n)\n"),
    ),
    WheelKind(
        name="packed-with-bzip2",
        make=repacked(zipfile.ZIP_BZIP2),
        audit={"packed-unusually": "warning"},
    ),
    WheelKind(
        name="packed-with-lzma",
        make=repacked(zipfile.ZIP_LZMA),
        audit={"packed-unusually": "warning"},
    ),
    WheelKind(name="record-by-blake2b", make=recorded(by_algorithm("blake2b"))),
    WheelKind(name="record-by-sha3", make=recorded(by_algorithm("sha3_256"))),
    WheelKind(
        name="record-by-nothing-known",
        make=recorded(lambda _, data: f"crc32=abc,{len(data)}"),
        audit={"wheel-malformed": "warning"},
    ),
    WheelKind(
        name="record-of-other-bytes",
        make=recorded(lambda name, data: by_algorithm("sha256")(name, data + b"x")),
        audit={"wheel-malformed": "error"},
    ),
    WheelKind(
        name="requirement-with-a-star",
        make=described('Provides-Extra: all\nRequires-Dist: idna (>=2.*) ; extra == "all"\n'),
        audit={"wheel-malformed": "warning"},
        predicted=(WORKS, WORKS, "install-failed", "install-failed"),
    ),
    WheelKind(
        name="requires-python-with-a-star",
        make=described("Requires-Python: >=3.6.*\n"),
        audit={"wheel-malformed": "warning"},
    ),
    WheelKind(
        name="version-outside-pep-440",
        make=described(version="1.0_beta_x"),
        audit={"wheel-malformed": "warning"},
        predicted=(WORKS, WORKS, "install-failed", "install-failed"),
    ),
    WheelKind(
        name="module-is-lfs-pointer",
        make=file_called("_m.abi3.so", _LFS),
        audit=_NOTHING,
        predicted="module-not-native",
    ),
    WheelKind(
        name="imported-module-is-lfs-pointer",
        make=file_called("_m.abi3.so", _LFS, init="from . import _x, _m\n"),
        audit=_NOTHING,
        predicted="module-not-native",
    ),
    WheelKind(
        name="module-is-empty",
        make=file_called("_m.abi3.so", b""),
        audit=_NOTHING,
        predicted="module-not-native",
    ),
    WheelKind(
        name="plain-module-is-text",
        make=file_called("m.so", "INPUT(libm.so.6)\n"),
        audit=_NOTHING,
        predicted="module-not-native",
    ),
    WheelKind(name="linker-script-as-data", make=file_called("lib/libc.so", "INPUT(libc.so.6)\n")),
    WheelKind(
        name="module-without-init",
        make=suffixed(".abi3", code="int answer(void) { return 42; }"),
        audit={"init-missing": "error"},
        predicted="init-missing",
    ),
    WheelKind(
        name="slots-under-an-old-tag",
        make=suffixed(".abi3", code=_SLOTS),
        audit={"init-missing": "error"},
        predicted="init-missing",
    ),
    WheelKind(
        name="suffix-of-another-python",
        make=suffixed(".cpython-38-x86_64-linux-gnu"),
        audit={"python-mismatch": "error"},
        predicted="python-mismatch",
    ),
    WheelKind(
        name="suffix-of-threads-without-gil",
        make=suffixed(".cpython-314t-x86_64-linux-gnu", "cp314-cp314-manylinux_2_17_x86_64"),
        audit={"python-mismatch": "error"},
        predicted="python-mismatch",
    ),
    WheelKind(
        name="suffix-abi3t-before-its-time",
        make=suffixed(".abi3t"),
        audit={"python-mismatch": "error"},
        predicted="python-mismatch",
    ),
    WheelKind(
        name="suffix-abi3-with-triplet",
        make=suffixed(".abi3-x86_64-linux-gnu"),
        audit={"python-mismatch": "error"},
        predicted=("python-mismatch", "python-mismatch", WORKS, WORKS),
    ),
    WheelKind(
        name="abi-without-native-code",
        make=no_native("cp39-abi3-manylinux_2_17_x86_64"),
        audit={"platform-tag-needless": "error"},
    ),
    WheelKind(
        name="platform-without-native-code",
        make=no_native("py3-none-manylinux_2_17_x86_64"),
        audit={"platform-tag-needless": "warning"},
    ),
    WheelKind(name="program-dynamic", make=command(("-pie",))),
    WheelKind(name="program-static-pie", make=command(("-static-pie",))),
    WheelKind(
        name="program-of-nix",
        make=command(("-pie", "-Wl,--dynamic-linker,/nix/store/a-glibc/lib/ld-linux-x86-64.so.2")),
        audit=_NO_START,
        predicted="program-not-started",
    ),
    WheelKind(
        name="program-of-musl",
        make=command(("-pie", "-Wl,--dynamic-linker,/lib/ld-musl-x86_64.so.1")),
        audit=_NO_START,
        predicted="program-not-started",
    ),
    WheelKind(name="script-of-the-installer", make=command("#!python\nprint(1)\n")),
    WheelKind(name="script-of-env", make=command("#!/usr/bin/env python3\nprint(1)\n")),
    WheelKind(
        name="script-of-the-build-machine",
        make=command("#!/opt/python/cp311-cp311/bin/python\nprint(1)\n"),
        audit=_NO_START,
        predicted="program-not-started",
    ),
    WheelKind(
        name="script-without-mode",
        make=command("#!/bin/sh\nexit 0\n", mode=0o100644),
        audit=_NO_START,
        predicted="program-not-started",
    ),
    WheelKind(
        name="script-with-byte-order-mark",
        make=command("\ufeff#!/bin/sh\nexit 0\n"),
        audit=_NO_START,
        predicted="program-not-started",
    ),
    WheelKind(
        name="script-with-carriage-return",
        make=command("#!/usr/bin/env python3\r\nprint(1)\r\n"),
        audit=_NO_START,
        predicted="program-not-started",
    ),
    WheelKind(
        name="script-without-first-line",
        make=command("exit 0\n"),
        audit=_NO_START,
        predicted="program-not-started",
    ),
    WheelKind(
        name="syntax-too-new-for-the-oldest",
        make=source(_MATCH),
        predicted=("syntax-error", WORKS, WORKS, WORKS),
    ),
    WheelKind(
        name="syntax-of-python-2",
        make=source("print 'x'\n", "old.py"),
        predicted="syntax-error",
    ),
    WheelKind(
        name="syntax-of-a-merge",
        make=source("x = 1\n<<<<<<< HEAD\ny = 2\n=======\n", "merged.py"),
        predicted="syntax-error",
    ),
    WheelKind(
        name="syntax-that-only-the-compiler-refuses",
        make=source("return 1\n", "cut.py"),
        predicted="syntax-error",
    ),
    WheelKind(
        name="syntax-of-python-2-that-came-back",
        make=source("try:\n    pass\nexcept OSError, ValueError:\n    pass\n"),
        predicted=("syntax-error", "syntax-error", "syntax-error", WORKS),
    ),
    WheelKind(
        name="syntax-newer-than-the-hosts-own",
        make=source("d = {}\n\n\ndef f():\n    return f'{d['a']}'\n"),
        predicted=("syntax-error", "syntax-error", WORKS, WORKS),
    ),
    WheelKind(
        name="syntax-of-the-newest",
        make=source("x = t'{1}'\n"),
        predicted=("syntax-error", "syntax-error", _KNOWN_ON_3_13, WORKS),
        seen=("syntax-error", "syntax-error", "syntax-error", WORKS),
    ),
    WheelKind(
        name="syntax-bounded",
        make=source(_MATCH, requires_python=">=3.10"),
        predicted=("requires-python", WORKS, WORKS, WORKS),
    ),
    WheelKind(name="syntax-that-looks-newer", make=source('a = """\nmatch x:\n"""\n')),
    WheelKind(
        name="entry-point", make=offering("offer = offer.cli:main", "def main():\n    return 0\n")
    ),
    WheelKind(
        name="entry-point-without-module",
        make=offering("offer = offer.cli:main"),
        seen="entry-point-broken",
    ),
    WheelKind(
        name="entry-point-without-attribute",
        make=offering("offer = offer.cli:main", "x = 1\n"),
        seen="entry-point-broken",
    ),
    WheelKind(
        name="entry-point-not-callable",
        make=offering("offer = offer.cli:main", "main = 1\n"),
        seen="entry-point-broken",
    ),
    WheelKind(
        name="entry-point-of-an-extra", make=offering("offer = offer.cli:main [all]", "import absent\n")
    ),
    WheelKind(
        name="module-of-pythons-own-name",
        make=modules_at_top("statistics"),
        seen="module-shadowed",
    ),
    WheelKind(
        name="imports-what-left-python",
        make=source("import re, imp\n", "old.py"),
        predicted=(WORKS, WORKS, "removed-module", "removed-module"),
    ),
    WheelKind(
        name="imports-what-setuptools-brought",
        make=source("from pkg_resources import resource_filename\n", "old.py"),
        predicted=(WORKS, WORKS, "removed-module", "removed-module"),
    ),
    WheelKind(
        name="imports-what-left-python-if-it-is-there",
        make=source("try:\n    import imp\nexcept ImportError:\n    imp = None\n", "old.py"),
    ),
    WheelKind(
        name="speaks-of-what-left-python",
        make=source('"""Once:\n\nimport imp\n"""\n# import imp\n', "old.py"),
    ),
    WheelKind(
        name="opens-a-library-on-import",
        make=opened_by_code("lib = ctypes.CDLL(NAME)"),
        predicted="missing-library",
    ),
    WheelKind(
        name="opens-a-library-when-asked",
        make=opened_by_code("def start():\n    return ctypes.CDLL(NAME)"),
    ),
    WheelKind(
        name="policy-with-zeros",
        make=suffixed(".abi3", "cp36-abi3-manylinux_2_017_x86_64"),
        audit=_MISMATCH,
        predicted="tag-unsupported-by-pip",
    ),
    WheelKind(
        name="policy-that-no-pip-counts-down-to",
        make=suffixed(".abi3", "cp36-abi3-manylinux_1_0_x86_64"),
        audit=_MISMATCH,
        predicted="tag-unsupported-by-pip",
    ),
    WheelKind(name="libraries-alone", make=libraries()),
    WheelKind(
        name="library-beside-its-sibling",
        make=libraries("-llow", code="int low(void); int high(void) { return low(); }"),
        audit=_NEEDED_PATH,
    ),
    WheelKind(
        name="library-that-crashes",
        make=libraries(
            code="void abort(void); __attribute__((constructor)) void start(void) { abort(); }"
        ),
        seen="crash",
    ),
    WheelKind(
        name="library-of-a-driver",
        make=libraries("-lcuda", code="int cuInit(int); int high(void) { return cuInit(0); }"),
        audit=_NEEDED_PATH,
    ),
    WheelKind(
        name="abort-at-the-interpreters-end",
        make=ends("import atexit, os\natexit.register(os.abort)\n"),
        seen="crash",
    ),
    WheelKind(
        name="marked-relr",
        make=marked("DT_RELR"),
        audit=_MISMATCH,
        predicted=("relr-relocations", WORKS, WORKS, WORKS),
    ),
    WheelKind(
        name="marked-tls-descriptors",
        make=marked("GNU2_TLS"),
        audit=_MISMATCH,
        predicted=("symbol-too-new", "symbol-too-new", WORKS, WORKS),
    ),
    WheelKind(
        name="marked-plt",
        make=marked("DT_X86_64_PLT"),
        audit=_MISMATCH,
        predicted=("symbol-too-new", "symbol-too-new", WORKS, WORKS),
    ),
    WheelKind(
        name="packed-with-zstandard",
        make=packed_with_zstandard,
        audit={"packed-unusually": "warning"},
        predicted=("packed-unusually", "packed-unusually", "packed-unusually", WORKS),
    ),
    WheelKind(name="tool-alone-static", make=tool_alone("-static-pie")),
    WheelKind(
        name="tool-alone-of-nix",
        make=tool_alone("-pie", "-Wl,--dynamic-linker,/nix/store/a-glibc/lib/ld-linux-x86-64.so.2"),
        audit=_NO_START,
        predicted="program-not-started",
    ),
    WheelKind(
        name="tool-alone-of-musl",
        make=tool_alone("-pie", "-Wl,--dynamic-linker,/lib/ld-musl-x86_64.so.1"),
        audit=_NO_START,
        predicted="program-not-started",
    ),
    WheelKind(
        name="tool-alone-script-of-the-build-machine",
        make=tool_alone(text="#!/opt/python/cp311-cp311/bin/python\nprint(1)\n"),
        audit={**_NO_START, "platform-tag-needless": "warning"},
        predicted="program-not-started",
    ),
    WheelKind(name="program-beside-its-library", make=program_with(None), audit=_MISMATCH),
    WheelKind(
        name="program-beside-a-text",
        make=program_with(b"INPUT(libpg.so.2)\n"),
        audit={**_MISMATCH, **_NOTHING},
        predicted="missing-library",
        seen="loader-refusal",
    ),
    WheelKind(
        name="program-inside-that-a-wrapper-starts",
        make=program_with(None, place="package"),
        audit=_LOST,
    ),
    WheelKind(
        name="module-of-a-driver",
        make=waiting_for_a_driver,
        audit=_MISMATCH,
        predicted="needs-driver",
    ),
    WheelKind(name="module-by-data-purelib", make=arriving_by("purelib")),
    WheelKind(
        name="looks-up-its-own-host",
        make=ends("import socket\nsocket.gethostbyname(socket.gethostname())\n"),
    ),
    WheelKind(
        name="looks-up-localhost", make=ends("import socket\nsocket.getaddrinfo('localhost', 80)\n")
    ),
    WheelKind(
        name="library-without-a-symbol",
        make=missing_symbol,
        predicted=WORKS,
    ),
    WheelKind(name="requires-python-with-a-comma", make=described("Requires-Python: >=3.6,\n")),
    WheelKind(
        name="program-dynamic-of-the-wrong-kind-in-a-package",
        make=file_called("bin/tool", "#!/nowhere/python\n"),
    ),
    WheelKind(
        name="tag-of-indexes-that-take-none",
        make=suffixed(".abi3", "cp36-abi3-linux_x86_64"),
        audit={"policy-mismatch": "warning"},
    ),
)
