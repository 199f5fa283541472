"""The C library that this interpreter runs on, and the allocator of memory that suits it.

Runs inside the distro as part of the agent: Python 3.6 or later, standard library only.
"""

import os
import sys

MIMALLOC = (3, 13)  # the first Python that has it
_OPTIONS = {"MIMALLOC_PURGE_DELAY": "-1"}
LIBRARY = "/usr/libexec/pytest-manylinux-malloc.so"  # in embedded roots: images/hooks/musl_build.mk


def own_loader() -> str:
    """Find the dynamic loader that started this interpreter (proc(5), maps)."""
    with open("/proc/self/maps", errors="replace") as maps:
        paths = {line.split()[-1] for line in maps}
    return min(path for path in paths if os.path.basename(path).startswith(("ld-", "ld.", "ld64.")))


def is_musl(loader: str) -> bool:
    """Whether a dynamic loader is musl's, by its name."""
    return os.path.basename(loader).startswith("ld-musl-")


_CS_GNU_LIBC_VERSION = 2  # glibc's unistd.h; PyPy 7.3.5 does not know the name


def c_library() -> "str | None":
    """Name the C library and its version: `glibc 2.36`, `musl 1.2.5`."""
    loader = own_loader()
    if not is_musl(loader):
        return os.confstr(_CS_GNU_LIBC_VERSION)
    # Started alone it says so, and how it is used: "musl libc (x86_64)\nVersion 1.2.5\n…".
    read_end, write_end = os.pipe()
    child = os.posix_spawn(loader, [loader], {}, file_actions=[(os.POSIX_SPAWN_DUP2, write_end, 2)])
    os.close(write_end)
    with open(read_end, encoding="utf-8", errors="replace") as words:
        text = words.read()
    os.waitpid(child, 0)
    found = [line[8:] for line in text.splitlines() if line.startswith("Version ")]
    return "musl " + found[0] if found else None


def allocator() -> "dict[str, str]":
    """The environment in which a Python allocates about as fast on musl as on glibc; else empty.

    It is for our own process and its forks; a wheel is imported with the distro's allocator.

    musl's allocator gives memory back to the kernel as soon as it is free, which then has to clear it
    again: 200,000 pages while the sources of NumPy are compiled, 13,000 on glibc. mimalloc keeps what
    it has got, if it is told so (mimalloc's option purge_delay): after 10 ms it would give it back too,
    which made the same compilation take 44,000 to 82,000 pages. The embedded root has it as a library
    that stands in for musl's (images/hooks/musl_allocator.c): so Python keeps its own allocator for
    small objects. With large pages (madvise(2), MADV_HUGEPAGE) a trial of NumPy took 1.09 times what it
    takes on glibc, without 1.11 times. In other roots Python's copy of mimalloc serves small objects
    too; it hands out what has left the processor's cache.
    """
    if not is_musl(own_loader()):
        return {}
    if os.path.exists(LIBRARY):
        return {"LD_PRELOAD": LIBRARY, **_OPTIONS, "MIMALLOC_ALLOW_LARGE_OS_PAGES": "1"}
    if sys.version_info < MIMALLOC:
        return {}
    import sysconfig

    if not sysconfig.get_config_var("WITH_MIMALLOC"):
        return {}
    return {"PYTHONMALLOC": "mimalloc", **_OPTIONS}


def use_allocator() -> None:
    """Start this interpreter again where another allocator suits it; return in that one."""
    wanted = allocator()
    if all(os.environ.get(name) == value for name, value in wanted.items()):
        return
    with open("/proc/self/cmdline", "rb") as words:
        argv = words.read().split(b"\0")[:-1]
    os.execve(sys.executable, argv, dict(os.environ, **wanted))  # noqa: S606 -- no shell is the point
