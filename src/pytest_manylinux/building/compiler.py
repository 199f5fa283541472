"""The compiler zig: its targets, PyPI's distribution `ziglang`, and what it makes of its own libraries.

zig links against the symbol versions of any glibc, and against musl, on any root, so a wheel for an old
policy can be built for a Python that the policy's own image never had. Its distribution is unpacked
without what Linux builds never touch.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytest_manylinux.building.api import Say
from pytest_manylinux.building.glibc_symbols import Version
from pytest_manylinux.cache.directories import make_once
from pytest_manylinux.errors import StoreError, ToolchainError, UsageError
from pytest_manylinux.escape import redact
from pytest_manylinux.host.architecture import host_arch
from pytest_manylinux.host.shutdown import run_program
from pytest_manylinux.host.subprocesses import module_command
from pytest_manylinux.host.tempdirs import temporary_folder
from pytest_manylinux.model.distro import DEBIAN_TRIPLETS
from pytest_manylinux.model.policy import LibcKind, Policy, glibc

VERSION = "0.17.1"
"""The zig that builds are made with: exactly one, so that the same source gives the same bytes."""

CXX17_SINCE: Version = (2, 16)
"""zig's libc++ has aligned new (std::align_val_t) from the glibc on that has aligned_alloc."""
_FORWARD_BELOW: Version = (2, 7)  # __isoc99_sscanf and its kin; see inside/forward.c

Download = Callable[[Path], None]
"""Puts ziglang's wheel into a folder."""

WHAT = "the compiler (ziglang)"
EDITED = f"{VERSION}-by-name-musl"
"""The compiler as it is kept, musl's files among it, once `compare_types_by_name` has edited it."""

REQUIREMENT = f"ziglang=={VERSION}"
DOWNLOAD = ("-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir")
_TIMEOUT = 900.0
_LAYOUT = 2  # of `warm_folder`: caches of projects hold links into it
_GLIBCS = ("2_12", "2_17", "2_31", "2_39")  # which its wheels are tagged for, by architecture
_BY_ADDRESS = re.compile(
    r"^(# +else\n# +define _LIBCPP_TYPEINFO_COMPARISON_IMPLEMENTATION )1$", re.MULTILINE
)
# Other systems' C libraries and headers, the thread sanitizer: half of the files, none of use here.
_UNUSED = re.compile(
    r"ziglang/lib/(?:libtsan|docs|init|libc/(?:mingw|wasi|darwin|freebsd|netbsd|openbsd)"
    r"|libc/include/(?!generic-(?:glibc|musl)/|any-linux-any/|\w+-linux-(?:any|gnu|musl)))/?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ZigTarget:
    """What zig compiles for: its triple, and Debian's (the name of folders of libraries and headers).

    zig's triple ends with the C library; with glibc, the version to link against is added to it. With
    musl there is one version, zig's own. `alpine` is Alpine's name of the architecture, and `musl` the
    macros for zig's list of musl's symbols (lib/libc/musl/libc.S; zig, src/libs/musl.zig). `since` is
    the oldest glibc that zig links with (lib/std/zig/target.zig). Policies below it are aimed at with
    that one: whether the symbols that a wheel really uses are old enough is looked at after the build.
    """

    triple: str
    triplet: str
    alpine: str
    musl: str
    since: tuple[int, int] = (2, 5)

    def aimed_at(self, policy: Policy) -> str:
        """What zig's option `-target` takes: such as `x86_64-linux-gnu.2.5`, `x86_64-linux-musl`."""
        if policy.kind is LibcKind.MUSL:
            return self.triple.replace("-gnu", "-musl")
        return f"{self.triple}.{max(policy.libc, glibc(*self.since)).number}"

    def set_up_environment(self, policy: Policy, zig: PurePosixPath) -> dict[str, str]:
        """What inside/toolchain.sh asks for; `zig` is the program."""
        musl = policy.kind is LibcKind.MUSL
        return {
            "ZIG": str(zig),
            "TARGET": self.aimed_at(policy),
            "TRIPLET": self.triplet,
            "FORWARD": "yes" if not musl and policy.libc < glibc(*_FORWARD_BELOW) else "no",
            "MUSL": f"libc.musl-{self.alpine}.so.1" if musl else "",
            "MUSL_MACROS": self.musl if musl else "",
        }


TARGETS: Mapping[str, ZigTarget] = {
    "x86_64": ZigTarget(
        triple="x86_64-linux-gnu",
        triplet=DEBIAN_TRIPLETS["x86_64"],
        alpine="x86_64",
        musl="PTR64 ARCH_x86_64 FAMILY_x86",
    ),
    "i686": ZigTarget(
        triple="x86-linux-gnu",
        triplet=DEBIAN_TRIPLETS["i686"],
        alpine="x86",
        musl="TIME32 ARCH_i386 FAMILY_x86",
    ),
    "aarch64": ZigTarget(
        triple="aarch64-linux-gnu",
        triplet=DEBIAN_TRIPLETS["aarch64"],
        alpine="aarch64",
        musl="PTR64 ARCH_aarch64 FAMILY_aarch64",
    ),
    "armv7l": ZigTarget(
        triple="arm-linux-gnueabihf",
        triplet=DEBIAN_TRIPLETS["armv7l"],
        alpine="armv7",
        musl="TIME32 ARCH_arm FAMILY_arm",
    ),
    "loongarch64": ZigTarget(
        triple="loongarch64-linux-gnu",
        triplet=DEBIAN_TRIPLETS["loongarch64"],
        alpine="loongarch64",
        musl="PTR64 ARCH_loongarch64 FAMILY_loongarch",
        since=(2, 36),
    ),
    "ppc64le": ZigTarget(
        triple="powerpc64le-linux-gnu",
        triplet=DEBIAN_TRIPLETS["ppc64le"],
        alpine="ppc64le",
        musl="PTR64 ARCH_powerpc64 FAMILY_powerpc",
        since=(2, 19),
    ),
    "riscv64": ZigTarget(
        triple="riscv64-linux-gnu",
        triplet=DEBIAN_TRIPLETS["riscv64"],
        alpine="riscv64",
        musl="PTR64 ARCH_riscv64 FAMILY_riscv",
        since=(2, 27),
    ),
    "s390x": ZigTarget(
        triple="s390x-linux-gnu",
        triplet=DEBIAN_TRIPLETS["s390x"],
        alpine="s390x",
        musl="PTR64 ARCH_s390x FAMILY_s390x",
    ),
}
"""By the architecture of a platform tag."""


def target_of(arch: str) -> ZigTarget:
    """The target for a platform tag's architecture; raises UsageError where there is none."""
    if arch not in TARGETS:
        raise UsageError(
            f"the builder zig makes no wheels for {arch}", remedy=f"it does for {', '.join(TARGETS)}"
        )
    return TARGETS[arch]


def prepare_compiler(cache: Path, policy: Policy, arch: str, *, say: Say) -> None:
    """Fetch the compiler, and warm it up for a policy, ahead of the first build: no image is needed.

    Raises what a build would: ToolchainError, StoreError, UsageError. Where this Python has no pip,
    the first build does it.
    """
    if importlib.util.find_spec("pip") is not None:
        warm_up(fetch_compiler(cache, host_arch(), say=say), cache, policy, arch)


def fetch_compiler(cache: Path, arch: str, *, say: Say, otherwise: Download | None = None) -> Path:
    """The folder with zig for machines of `arch`, fetched with this Python's own pip if need be.

    `otherwise` downloads where this Python has no pip. Raises ToolchainError, with pip's words,
    where the index does not give it; StoreError for a cache folder that is full or read-only.
    """
    target_of(arch)
    download: Download = lambda folder: _download(folder, arch)  # noqa: E731 - one of two
    if otherwise is not None and importlib.util.find_spec("pip") is None:
        download = otherwise

    def make(folder: Path) -> None:
        place = folder / "download"
        place.mkdir()
        download(place)
        _unpack(next(place.glob("ziglang-*.whl")), folder)
        compare_types_by_name(folder)
        shutil.rmtree(place)

    return make_once(
        cache / "zig" / f"{EDITED}-{arch}",
        make,
        announce=lambda: say(f"fetching the compiler: zig {VERSION}, once"),
        doing=f"the compiler cannot be kept in {cache / 'zig'}",
    )


def warm_up(
    compiler: Path, cache: Path, policy: Policy, arch: str, *, cxx: bool = False, say: Say | None = None
) -> None:
    """Have zig compile what every link for a policy begins with; with `cxx` its C++ library too.

    It takes seconds that a root's making leaves free (C++: a minute or two), is done once, and goes
    to where builds of all projects take it from; zig's cache knows no absolute paths. Builds find the
    whole of it or nothing: a list of zig's from one moment with files of a later one would have zig
    make these files again, through links into a folder that no build can write. Only a cure for
    waiting: what goes wrong here goes wrong in a build too, and is explained there. `say` is told that
    somebody waits for it.
    """
    target = target_of(arch).aimed_at(policy)
    with contextlib.suppress(OSError, subprocess.SubprocessError, StoreError):
        folder = warm_folder(cache) / f"{target}-{'c++' if cxx else 'c'}"
        if say is not None and not folder.exists():
            library = "C++ library" if cxx else "C library"
            say(f"compiling zig's {library} for {policy} on {arch}, once")
        make_once(
            folder, lambda place: _compile_empty(compiler, place, target, cxx=cxx), usable=Path.exists
        )


def _compile_empty(compiler: Path, cache: Path, target: str, *, cxx: bool) -> None:
    """Link an empty library, with all that this takes into zig's cache.

    Raises CalledProcessError and TimeoutExpired of subprocess.
    """
    # musl is linked statically unless told otherwise, into a shared library too.
    flags = ("-target", target, "-fno-sanitize=all", "-O2", "-fPIC", "-shared", "-g0", "-s", "-dynamic")
    with temporary_folder() as here:
        source = here / ("empty.cpp" if cxx else "empty.c")
        source.write_text("#include <iostream>\nint empty;\n" if cxx else "int empty;\n")
        argv = (str(compiler / "zig"), "c++" if cxx else "cc", *flags, str(source))
        environment = {"ZIG_GLOBAL_CACHE_DIR": str(cache), "ZIG_LOCAL_CACHE_DIR": str(cache)}
        done = run_program(
            (*argv, "-o", str(here / "empty.so")), environment=environment, timeout=_TIMEOUT
        )
    done.check_returncode()


def last_words(output: bytes) -> str:
    """The lines of pip's output that say what went wrong, without credentials."""
    lines = redact(output.decode("utf-8", errors="replace")).splitlines()
    wrong = [line for line in lines if re.match(r"ERROR|Could not|.*[Ee]rror:", line)]
    return "\n".join((wrong or lines)[-4:])


def not_had(what: str, output: bytes, otherwise: str) -> ToolchainError:
    """The error for tools that pip could not fetch."""
    return ToolchainError(
        f"{what} cannot be had",
        why=last_words(output) or otherwise,
        remedy="see that pip on this machine reaches its index, then run again",
    )


def _download(folder: Path, arch: str) -> None:
    platforms = [word for glibc in _GLIBCS for word in ("--platform", f"manylinux_{glibc}_{arch}")]
    command = module_command(*DOWNLOAD[1:], *platforms, "--dest", os.fspath(folder), REQUIREMENT)
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_PROGRESS_BAR": "off"}
    try:
        with temporary_folder() as here:
            environment = {**os.environ, **quiet, "TMPDIR": os.fspath(here)}
            done = run_program(command, environment=environment, timeout=_TIMEOUT)
    except subprocess.TimeoutExpired as error:
        raise not_had(WHAT, error.output or b"", f"pip took longer than {_TIMEOUT:g} s") from error
    if done.returncode:
        raise not_had(WHAT, done.stdout, f"pip ended with {done.returncode}")


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            path = PurePosixPath(entry.filename)
            if path.parts[0] == "ziglang" and ".." not in path.parts and not _UNUSED.match(str(path)):
                target = folder.joinpath(*path.parts[1:])
                if entry.is_dir():
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as content, target.open("wb") as file:
                    shutil.copyfileobj(content, file)
    (folder / "zig").chmod(0o755)


def compare_types_by_name(compiler: Path) -> None:
    """Let the C++ library that zig compiles tell types apart by their names, not by their addresses.

    Each module of a wheel has a library of its own, whose types are hidden, so that one module's
    `std::runtime_error`, or `int` even, had another address than the next one's: only `catch (...)`
    took what was thrown over there, and dynamic_cast gave null. g++'s library compares names. (libc++'s
    header typeinfo, _LIBCPP_TYPEINFO_COMPARISON_IMPLEMENTATION: 1 is by address, 2 by name.)
    Raises ToolchainError if the header is another one than that of VERSION.
    """
    header = compiler / "lib/libcxx/include/typeinfo"
    text = header.read_text(encoding="utf-8") if header.is_file() else ""
    edited, count = _BY_ADDRESS.subn(r"\g<1>2", text)
    if count != 1:
        raise ToolchainError(
            f"the C++ library of zig {VERSION} is not the one that is known",
            why=f"{header.relative_to(compiler)} does not say how types are compared",
            remedy="see that the index gives the original ziglang",
        )
    header.write_text(edited, encoding="utf-8")


def edition(cache: Path) -> str:
    """The compiler as it was fetched: zig takes nothing that another one made, even of its version.

    Nor could it make it again where it is linked from a folder that builds cannot write.
    """
    compilers = (cache / "zig").glob(f"{EDITED}-*/zig")
    fetched = sorted(compiler.stat().st_mtime_ns for compiler in compilers)
    return f"{EDITED}-{hashlib.sha256(repr((_LAYOUT, fetched)).encode()).hexdigest()[:8]}"


def warm_folder(cache: Path) -> Path:
    """The folder that `warm_up` fills, and nobody else: a folder for each target and language."""
    folder = cache / "zig-warm" / edition(cache)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def symbol_table(compiler: Path) -> Path:
    """The table of glibc's symbols that comes with zig; see glibc_symbols.py."""
    return compiler / "lib/libc/glibc/abilists"


def known_symbols(cache: Path) -> Path | None:
    """The same, if zig was ever fetched into this cache; it tells of all architectures."""
    table = symbol_table(cache / "zig" / f"{EDITED}-{host_arch()}")
    return table if table.is_file() else None
