"""The compiler: PyPI's distribution `ziglang`, unpacked without what Linux builds never touch."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from pytest_manylinux.building import zig
from pytest_manylinux.building.api import Say
from pytest_manylinux.building.build_caches import warm_folder
from pytest_manylinux.cache.directories import make_once
from pytest_manylinux.cache.locks import in_turn
from pytest_manylinux.errors import ToolchainError
from pytest_manylinux.host.module_command import module_command
from pytest_manylinux.host.subprocesses import run_program
from pytest_manylinux.host.tempdirs import temporary_folder
from pytest_manylinux.indexes import redact
from pytest_manylinux.model.policy import Policy

Download = Callable[[Path], None]
"""Puts ziglang's wheel into a folder."""

WHAT = "the compiler (ziglang)"
REQUIREMENT = f"ziglang=={zig.VERSION}"
DOWNLOAD = ("-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir")
_TIMEOUT = 900.0
_GLIBCS = ("2_12", "2_17", "2_31", "2_39")  # which its wheels are tagged for, by architecture
# Other systems' C libraries and headers, the thread sanitizer: half of the files, none of use here.
_UNUSED = re.compile(
    r"ziglang/lib/(?:libtsan|docs|init|libc/(?:mingw|musl|wasi|darwin|freebsd|netbsd|openbsd)"
    r"|libc/include/(?!generic-glibc/|any-linux-any/|\w+-linux-(?:any|gnu)))/?"
)


def fetch_compiler(cache: Path, arch: str, *, say: Say, otherwise: Download | None = None) -> Path:
    """The folder with zig for machines of `arch`, fetched with this Python's own pip if need be.

    `otherwise` downloads where this Python has no pip. Raises ToolchainError, with pip's words,
    where the index does not give it; StoreError for a cache folder that is full or read-only.
    """
    zig.machine(arch)
    download: Download = lambda folder: _download(folder, arch)  # noqa: E731 - one of two
    if otherwise is not None and importlib.util.find_spec("pip") is None:
        download = otherwise

    def make(folder: Path) -> None:
        place = folder / "download"
        place.mkdir()
        download(place)
        _unpack(next(place.glob("ziglang-*.whl")), folder)
        shutil.rmtree(place)

    return make_once(
        cache / "zig" / f"{zig.VERSION}-{arch}",
        make,
        announce=lambda: say(f"fetching the compiler: zig {zig.VERSION}, once"),
    )


def warm_up(compiler: Path, cache: Path, policy: Policy, arch: str, *, cxx: bool = False) -> None:
    """Have zig compile what every link for a policy begins with; with `cxx` its C++ library too.

    It takes seconds that a root's making leaves free (C++: a minute or two), is done once, and goes
    to where builds of all projects take it from; zig's cache knows no absolute paths. Only a cure for
    waiting: what goes wrong here goes wrong in a build too, and is explained there.
    """
    major, minor = policy.glibc
    target = f"{zig.machine(arch).zig}.{major}.{minor}"
    with contextlib.suppress(OSError, subprocess.SubprocessError), temporary_folder() as here:
        folder = warm_folder(cache)
        done = folder.with_name(f"{folder.name}-{target}-{'c++' if cxx else 'c'}")
        with in_turn(Path(f"{done}.lock")):
            if not done.exists() and _compile_empty(compiler, folder, target, here, cxx=cxx):
                done.touch()


def _compile_empty(compiler: Path, cache: Path, target: str, here: Path, *, cxx: bool) -> bool:
    """Link an empty library, with all that this takes into zig's cache; whether it went well."""
    source = here / ("empty.cpp" if cxx else "empty.c")
    source.write_text("#include <iostream>\nint empty;\n" if cxx else "int empty;\n")
    flags = ("-target", target, "-fno-sanitize=all", "-O2", "-fPIC", "-shared", "-g0", "-s")
    program = (str(compiler / "zig"), "c++" if cxx else "cc")
    done = run_program(
        (*program, *flags, str(source), "-o", str(here / "empty.so")),
        environment={"ZIG_GLOBAL_CACHE_DIR": str(cache), "ZIG_LOCAL_CACHE_DIR": str(cache)},
        timeout=_TIMEOUT,
    )
    return done.returncode == 0


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
