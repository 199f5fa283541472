"""Roots in folders: unpacked from an image's layers, copied, made to share what they have in common.

bsdtar (libarchive) does the unpacking in a namespace of its own (`unpack_inside.py`), which sees this
machine read-only and writes nowhere but in the folder it is given.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pytest_manylinux.cache.paths import full
from pytest_manylinux.errors import ImageError
from pytest_manylinux.host.shutdown import lifetime
from pytest_manylinux.host.subprocesses import install_command, reason_of
from pytest_manylinux.images.user_namespace import (
    SHARED_MEMORY,
    TRIES,
    InsideRequest,
    lost_a_mount,
    running_inside,
)

UNPACKER = "bsdtar"
_INSIDE = Path(__file__).with_name("unpack_inside.py")
_LEAST, _RATIO = 1 << 30, 24
"""An image may unpack to 1 GiB, or to 24 times of what its layers take if that is more.

Distros' images come to 2 to 4 times; gzip could do 1032 (zlib's manual).
"""
_FILES = 2_000_000
"""Files that an image may have; large builder images have some 100,000."""
_NO_ROOM = "No space left on device"
_LOOK_UP = 0.5
_BLOCK = 512  # bytes: the unit of st_blocks (inode(7))


def unpack(layers: Sequence[Path], root: Path, *, store: Path, title: str) -> int:
    """Unpack layers, the lowest first, into the new folder `root`; gives the bytes on the disk.

    Raises ImageError for layers that an image may not have, StoreError where there is no room.
    """
    root.mkdir()
    packed = sum(path.stat().st_size for path in layers)
    return _ask(root, layers, max(_LEAST, _RATIO * packed), store=store, title=title)


def take_rights(root: Path, *, store: Path, title: str) -> int:
    """Take from a root what no sandbox must have: set-user-id bits; an ordinary user owns all of it."""
    return _ask(root, (), _LEAST, store=store, title=title)


def lay_over(overlay: Path, root: Path, *, store: Path, title: str) -> int:
    """Make `root` of what an overlay shows (`laid_out`); it shares the files of the lower folder.

    Gives the bytes on the disk that are only this root's. What no sandbox must have is taken away, as
    `take_rights` does.
    """
    try:
        _copy(overlay / "lower", root, store=store)
    except ImageError:  # a file system that gives no file a second name, or a file no further one
        shutil.rmtree(root, ignore_errors=True)
        _copy(overlay / "lower", root, "--reflink=auto", store=store)
    more = {"upper": str(overlay / "upper"), "work": str(overlay / "work")}
    return _ask(root, (), _LEAST, store=store, title=title, more=more)


def unpacker() -> str:
    """The program; raises ImageError with the command that installs it."""
    found = shutil.which(UNPACKER)
    if found is None:
        raise ImageError(
            f"{UNPACKER} is missing, which unpacks images for bubblewrap",
            remedy=install_command(UNPACKER),
        )
    return found


def _ask(
    root: Path,
    layers: Sequence[Path],
    bound: int,
    *,
    store: Path,
    title: str,
    more: Mapping[str, str] | None = None,
) -> int:
    question = {
        **(more or {}),
        "root": str(root),
        "layers": [str(path) for path in layers],
        "tar": unpacker(),
        "owners": os.geteuid() == 0,
        "bytes": bound,
        "files": _FILES,
    }
    folder = str(root.parent)
    request = InsideRequest(
        argv=(sys.executable, "-I", "-S", str(_INSIDE), json.dumps(question)),
        view=(
            *("--ro-bind", "/", "/", "--dev", "/dev", "--ro-bind-try", *SHARED_MEMORY[1:]),
            *("--proc", "/proc", "--bind", folder, folder),
        ),
        environment={"PATH": os.environ.get("PATH", os.defpath)},
    )
    code, out, words = 0, b"", ""
    for _ in range(TRIES):
        code, out, words = _answer(request)
        if not lost_a_mount(code, words):
            break
    answer = json.loads(out) if code == 0 else {"refused": words}
    if "size" in answer:
        return int(answer["size"])
    if _NO_ROOM in answer["refused"]:
        raise full(store, answer["refused"])
    raise ImageError(
        f"{title}: the image is refused: its layers cannot be unpacked into a root",
        why=reason_of(code, answer["refused"]),
        remedy="see where the image comes from; a registry that keeps it unharmed gives it whole",
    )


def _answer(request: InsideRequest) -> tuple[int, bytes, str]:
    """Exit code, output and words of a program inside."""
    with running_inside(request, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        out, err = _communicate(process)
        return process.returncode, out, err.decode("utf-8", "replace")


def _communicate(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    while True:
        lifetime().check()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=_LOOK_UP)


def copy_root(source: Path, target: Path, *, store: Path) -> int:
    """Copy a root, by reference where the file system can; gives the time (ns) when that was done."""
    _copy(source, target, "--reflink=auto", store=store)
    mark = target.with_name("mark")
    mark.touch()
    time = mark.stat().st_ctime_ns
    mark.unlink()
    return time


def _copy(source: Path, target: Path, how: str = "--link", *, store: Path) -> None:
    program = ["cp", "--archive", how, "--no-target-directory", "--", f"{source}/.", str(target)]
    done = subprocess.run(
        program, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        if _NO_ROOM in done.stderr:
            raise full(store, done.stderr.strip())
        raise ImageError("a root could not be copied", why=reason_of(done.returncode, done.stderr))


def share_files(root: Path, below: Path, *, unchanged_since: int) -> int:
    """Have files of `root` that did not change since it was copied from `below` be the same files.

    No program can set a file's ctime, so what is older was not touched. Gives the bytes on the disk
    that are only this root's.
    """
    size, spare = 0, root.with_name("spare")
    for path, status in _below(root):
        if stat.S_ISREG(status.st_mode) and status.st_ctime_ns < unchanged_since:
            with contextlib.suppress(OSError):
                os.link(below / path.relative_to(root), spare, follow_symlinks=False)
                spare.replace(path)
                continue
        size += status.st_blocks * _BLOCK
    return size


def _below(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for here, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(here, name)
            yield path, path.lstat()
