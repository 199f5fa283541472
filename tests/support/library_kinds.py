"""Kinds of wheels with libraries: where they are searched, what they need, who opens them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from kinds_of_wheels import TAG, WORKS, WheelKind, compiled, module, packed
from wheels import build_wheel

_MISMATCH = {"policy-mismatch": "error"}
_GRAFTED = {"graft-license": "information", "graft-unaccounted": "information"}
_LOST = {"policy-mismatch": "error", "rpath-lost": "warning"}
_LOW_GONE = "int gone(void); int high(void) { return gone(); }"
_BY_PATH = "ctypes.CDLL(os.path.join(os.path.dirname(__file__), 'lib', 'libpre.so.1'))"


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


def symbols_by_code(mode: str) -> Callable[[Path], Path]:
    """A module that needs symbols of a library which it does not name and which code opens before."""

    def make(folder: Path) -> Path:
        library = compiled(folder, "libpre.so.1", "int answer(void) { return 42; }")
        native = module(folder, "_x", before="int answer(void);", body="answer()")
        files = {"pre/_x.abi3.so": native, "pre/lib/libpre.so.1": library}
        opening = f"{_BY_PATH[:-1]}{mode})"
        init = f"import ctypes, os\n{opening}\nfrom . import _x\n"
        return packed(folder, "pre", files, init=init)

    return make


def libraries(
    *flags: str,
    code: str = "",
    text: str = "",
    symbols: bool = False,
) -> Callable[[Path], Path]:
    """A wheel of libraries alone: one that others use, one of `code`, and a text called like one.

    With `symbols` the first one's debug information lies beside it, in a file of its own.
    """

    def make(folder: Path) -> Path:
        source = "int low(void) { return 1; }"
        files: dict[str, bytes | str] = {}
        low = compiled(folder, "liblow.so.1", source, "-Wl,-soname,liblow.so.1")
        (folder / "liblow.so").write_bytes(low)
        files["stock/lib/liblow.so.1"] = low
        if code:
            cuda = compiled(folder, "libcuda.so.1", "int cuInit(void) { return 0; }")
            (folder / "libcuda.so").write_bytes(cuda)
            compiled(folder, "libgone.so", "int gone(void) { return 0; }", "-Wl,-soname,libgone.so.1")
            files["stock/lib/libhigh.so.1"] = compiled(folder, "libhigh.so.1", code, *flags)
        if symbols:
            command = ["objcopy", "--only-keep-debug", "liblow.so.1", "liblow.dbg"]
            subprocess.run(command, check=True, cwd=folder)
            files["stock/lib/liblow.dbg"] = (folder / "liblow.dbg").read_bytes()
        if text:
            files["stock/lib/libtext.so.1"] = text
        return build_wheel(folder, files, name="stock", tag="py3-none-manylinux_2_17_x86_64")

    return make


def missing_symbol(folder: Path) -> Path:
    """A wheel of libraries alone, one of which needs a symbol that nobody has."""
    broken = compiled(folder, "libbroken.so.1", "int gone(void); int f(void) { return gone(); }")
    files: dict[str, bytes | str] = {"stock/lib/libbroken.so.1": broken}
    return build_wheel(folder, files, name="stock", tag="py3-none-manylinux_2_17_x86_64")


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


def looked_for_by_code(code: str) -> Callable[[Path], Path]:
    """A package without modules in C, whose code looks for its library, which needs the desktop's."""

    def make(folder: Path) -> Path:
        compiled(folder, "libX11.so", "int XFree(void *p) { return 0; }", "-Wl,-soname,libX11.so.6")
        native = "int XFree(void *); int answer(void) { return XFree(0); }"
        library = compiled(folder, "libopened.so", native, "-lX11")
        files: dict[str, bytes | str] = {"opens/lib/libopened.so": library, "opens/find.py": _FINDING}
        tag = "py3-none-manylinux_2_17_x86_64"
        return packed(folder, "opens", files, init=f"from .find import first\n{code}\n", tag=tag)

    return make


_FINDING = """import ctypes, glob, os


def first():
    for path in glob.glob(os.path.join(os.path.dirname(__file__), 'lib', '*')):
        try:
            return load(path)
        except OSError:
            pass
    return None


def load(path):
    return ctypes.CDLL(path)


found = first()
"""


def variants(*places: str, sound: str = "") -> Callable[[Path], Path]:
    """A module for each of several libraries that nobody has, of which the wheel's code takes one.

    `places` are their files below the package; `sound` is that of a variant without such a need.
    """

    def make(folder: Path) -> Path:
        files: dict[str, bytes | str] = {}
        for number, place in enumerate(places):
            name = place.rpartition("/")[2].partition(".")[0]
            source = f"int one{number}(void) {{ return 1; }}"
            compiled(folder, f"libof{number}.so", source, f"-Wl,-soname,libof{number}.so.1")
            before, body = f"int one{number}(void);", f"one{number}()"
            native = module(folder, name, f"-lof{number}", before=before, body=body)
            files[f"picks/{place}"] = native
        if sound:
            files[f"picks/{sound}"] = module(folder, sound.rpartition("/")[2].partition(".")[0])
        init = "import ctypes\n\n\ndef pick(path):\n    return ctypes.CDLL(path)\n"
        return packed(folder, "picks", files, init=init)

    return make


def libraries_to_pick(*names: str, sound: str = "") -> Callable[[Path], Path]:
    """Libraries of which code takes one: those of `names` need one that nobody has."""

    def make(folder: Path) -> Path:
        compiled(folder, "libX11.so", "int XFree(void *p) { return 0; }", "-Wl,-soname,libX11.so.6")
        needy = "int XFree(void *); int answer(void) { return XFree(0); }"
        files: dict[str, bytes | str] = {
            f"picks/{name}": compiled(folder, name, needy, "-lX11") for name in names
        }
        if sound:
            files[f"picks/{sound}"] = compiled(folder, sound, "int answer(void) { return 1; }")
        init = "import ctypes\n\n\ndef pick(path):\n    return ctypes.CDLL(path)\n"
        return packed(folder, "picks", files, init=init)

    return make


def waiting_for_a_driver(folder: Path) -> Path:
    """A module that is linked with the library of a driver."""
    driver = compiled(
        folder, "libcuda.so", "int cuInit(int f) { return f; }", "-Wl,-soname,libcuda.so.1"
    )
    del driver
    native = module(folder, "_x", "-lcuda", before="int cuInit(int);", body="cuInit(0)")
    return packed(folder, "driven", {"driven/_x.abi3.so": native})


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


def filtered(init: str = "from . import _x\n") -> Callable[[Path], Path]:
    """A module whose linker was given a flag of the compiler, which it takes for `-f wrapv`."""

    def make(folder: Path) -> Path:
        native = module(folder, "_x", "-Wl,-fwrapv")
        return packed(folder, "filtered", {"filtered/_x.abi3.so": native}, init=init)

    return make


_AS_PYOPENGL = (
    "raise ImportError('Unable to load', \"GL: cannot open shared object file: No such file or "
    'directory")\n'
)
KINDS: tuple[WheelKind, ...] = (
    WheelKind(name="auxiliary-filter-that-is-nowhere", make=filtered()),
    WheelKind(
        name="auxiliary-filter-is-not-the-reason",
        make=filtered("raise ImportError('of its own')\n"),
        seen="import-error",
    ),
    WheelKind(name="library-by-its-short-name", make=filtered(_AS_PYOPENGL), seen="runtime-dlopen"),
    WheelKind(
        name="need-absolute",
        make=need("/home/builder/build/libplain.so"),
        audit=_MISMATCH,
        predicted="missing-library",
    ),
    WheelKind(
        name="need-relative",
        make=need("build/libplain.so"),
        audit=_MISMATCH,
        predicted="missing-library",
    ),
    WheelKind(name="need-by-origin", make=need("$ORIGIN/libplain.so"), audit=_MISMATCH),
    WheelKind(
        name="need-by-origin-and-lib",
        make=need("$ORIGIN/../$LIB/libplain.so"),
        audit=_MISMATCH,
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
        audit=_MISMATCH,
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
        audit=_MISMATCH,
    ),
    WheelKind(
        name="search-siblings-first",
        make=search("$ORIGIN/../x.libs", "$ORIGIN", where="search", low="x.libs"),
        audit=_GRAFTED,
    ),
    WheelKind(
        name="search-siblings-last",
        make=search("$ORIGIN/../x.libs", "$ORIGIN", where="x.libs"),
        audit=_GRAFTED,
    ),
    WheelKind(
        name="search-word-that-only-begins-like-origin",
        make=search("$ORIGINAL"),
        audit=_LOST,
        predicted="rpath-lost",
    ),
    WheelKind(
        name="search-token-before-a-letter",
        make=search("$ORIGINAL/../x.libs", where="x.libs"),
        audit={**_GRAFTED, "rpath-lost": "warning"},  # auditwheel expands it all the same
        predicted="rpath-lost",
    ),
    WheelKind(
        name="search-token-of-a-shell",
        make=search("$(ORIGIN)"),
        audit=_LOST,
        predicted="rpath-lost",
    ),
    WheelKind(
        name="symbols-opened-to-all-by-code",
        make=symbols_by_code(", ctypes.RTLD_GLOBAL"),
        audit={"undefined-symbol": "warning"},
    ),
    WheelKind(
        name="symbols-kept-apart-by-code",
        make=symbols_by_code(""),
        audit={"undefined-symbol": "warning"},
        predicted="undefined-symbol",
    ),
    WheelKind(name="preloaded-by-path", make=preloaded(_BY_PATH), audit=_LOST),
    WheelKind(
        name="not-preloaded",
        make=preloaded("ctypes.CDLL('libm.so.6')"),
        audit=_LOST,
        predicted="rpath-lost",
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
    WheelKind(name="libraries-alone", make=libraries()),
    WheelKind(name="library-beside-its-symbols", make=libraries(symbols=True)),
    WheelKind(
        name="library-beside-its-sibling",
        make=libraries("-llow", code="int low(void); int high(void) { return low(); }"),
        audit=_MISMATCH,
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
        audit=_MISMATCH,
    ),
    WheelKind(
        name="library-without-a-symbol",
        make=missing_symbol,
        predicted=WORKS,
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
        name="looks-for-a-library-and-raises-without",
        make=looked_for_by_code("if first() is None:\n    raise ImportError('no library')"),
        predicted="missing-library",
        seen="import-error",
    ),
    WheelKind(
        name="looks-for-a-library-and-does-without",
        make=looked_for_by_code(
            "def start():\n    if first() is None:\n        raise ImportError('no')"
        ),
    ),
    WheelKind(
        name="module-of-a-driver",
        make=waiting_for_a_driver,
        audit=_MISMATCH,
        predicted="needs-driver",
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
        name="variants-that-code-picks",
        make=variants("_x.one.abi3.so", "_x.two.abi3.so"),
        audit=_MISMATCH,
    ),
    WheelKind(
        name="variants-in-folders-that-no-import-names",
        make=variants("lib-one/_x.abi3.so", "lib-two/_x.abi3.so"),
        audit=_MISMATCH,
    ),
    WheelKind(
        name="variants-in-folders-of-which-one-loads",
        make=variants("one/_x.abi3.so", "two/_x.abi3.so", sound="plain/_x.abi3.so"),
        audit=_MISMATCH,
    ),
    WheelKind(
        name="variants-in-folders-of-which-none-loads",
        make=variants("one/_x.abi3.so", "two/_x.abi3.so"),
        audit=_MISMATCH,
        predicted="missing-library",
    ),
    WheelKind(
        name="modules-that-are-not-variants",
        make=variants("one/_x.abi3.so", sound="plain/_y.abi3.so"),
        audit=_MISMATCH,
        predicted="missing-library",
    ),
    WheelKind(
        name="libraries-that-code-picks-of-which-one-opens",
        make=libraries_to_pick("libfast.so", sound="libplain.so"),
    ),
    WheelKind(
        name="libraries-that-code-picks-of-which-none-opens",
        make=libraries_to_pick("libfast.so", "libslow.so"),
        predicted="missing-library",
    ),
    WheelKind(
        name="library-for-programs-of-an-mpi",
        make=libraries(code="extern int ompi_mpi_op_max; int *high(void) { return &ompi_mpi_op_max; }"),
    ),
    WheelKind(
        name="library-alone-without-what-it-needs",
        make=libraries("-lgone", code=_LOW_GONE),
        audit=_MISMATCH,
        predicted="missing-library",
    ),
)
