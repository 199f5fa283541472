"""Unpack the layers of an image into one root, as user 0 of a namespace.

    python unpack_inside.py REQUEST

REQUEST is JSON: `root` (a folder), `layers` (files in order, the lowest first), `tar` (the program
bsdtar), `owners` (whether files keep theirs), `bytes` and `files` (what may be written at most). With
`upper`, the upper folder of an overlay is laid over the root instead, for good. JSON comes out:
{"size": BYTES}, of `upper` if it is there, or {"refused": WHY}. This file is run by its path, with
nothing but the standard library.

bsdtar writes from inside the root (chroot), so no name and no link leads out of it. Of a layer that is
not the lowest, names are read first: whiteouts (OCI image specification, layer.md) take away what lies
below, a folder takes the place of a link, and `..` is refused, which bsdtar itself does in the lowest.
Nothing is left of an image's rights: no bits of set-user-id, no capabilities, no devices.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_EVERY = 0.1  # seconds between two looks at how much was written
_KEPT = 2000  # characters of what bsdtar said
_DEVICE = re.compile(r"Can't create '.*': Operation not permitted$|Error exit delayed")
_ESCAPE = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_LETTERS = {b"a": 7, b"b": 8, b"f": 12, b"n": 10, b"r": 13, b"t": 9, b"v": 11}


class RefusedError(Exception):
    """Something that an image may not have."""


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Do it; gives what is printed."""
    root, own = str(request["root"]), not request["owners"]
    bound = int(request["bytes"])
    resource.setrlimit(resource.RLIMIT_FSIZE, (bound, bound))
    try:
        for number, layer in enumerate(request["layers"]):
            if number:
                _make_room(root, _names(request["tar"], layer))
            _extract(request, layer, upper=number > 0)
        if "upper" not in request:
            return {"size": _within(request, _tidy(root, own=own))}
        size = _within(request, _tidy(request["upper"], own=own, whiteouts=True))
        _lay_over(os.fsencode(root), os.fsencode(request["upper"]))
        shutil.rmtree(request["work"])  # a folder that its owner may not look into
        return {"size": size}  # noqa: TRY300 - what may be refused is above it
    except RefusedError as error:
        return {"refused": str(error)}


def _within(request: dict[str, Any], size: int) -> int:
    """The bytes of what was unpacked; a small one is done before anybody looks how much it writes."""
    if request["layers"] and size > request["bytes"]:
        raise RefusedError(f"it unpacks to more than {request['bytes']} bytes")
    return size


def _extract(request: dict[str, Any], layer: str, *, upper: bool) -> None:
    words = [request["tar"], "-x", "-p", "-S", "--chroot", "--exclude", f"{_WHITEOUT}*"]
    words += ["--numeric-owner" if request["owners"] else "--no-same-owner"]
    words += ["--no-xattrs", "--no-acls", "--no-fflags", *(["-P"] if upper else [])]
    with subprocess.Popen(
        [*words, "-C", request["root"], "-f", layer],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={"LC_ALL": "C.UTF-8"},
    ) as process:
        over = _Guard(process, request)
        said = process.communicate()[1].decode("utf-8", "replace")
        over.end()
    if over.why:
        raise RefusedError(over.why)
    lines = [line for line in said.splitlines() if not _DEVICE.search(line)]
    if process.returncode == -signal.SIGXFSZ:
        raise RefusedError(f"a file in it is larger than {request['bytes']} bytes")
    if process.returncode != 0 and (lines or process.returncode != 1):
        raise RefusedError("; ".join(lines)[-_KEPT:] or f"bsdtar ended with {process.returncode}")


class _Guard:
    """Kills a process that writes more bytes or makes more files than it may; `why` says which."""

    def __init__(self, process: subprocess.Popen[bytes], request: dict[str, Any]) -> None:
        self.why = ""
        self._process = process
        self._bytes, self._files, self._root = request["bytes"], request["files"], request["root"]
        self._free = os.statvfs(self._root).f_ffree
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def end(self) -> None:
        """The process has ended."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_EVERY):
            if self._written() > self._bytes:
                self.why = f"it unpacks to more than {self._bytes} bytes"
            elif self._free - os.statvfs(self._root).f_ffree > self._files:
                self.why = f"it unpacks to more than {self._files} files"
            if self.why:
                self._process.kill()
                return

    def _written(self) -> int:
        """Bytes handed to write(2) (proc(5): wchar); 0 once the process is gone."""
        try:
            with open(f"/proc/{self._process.pid}/io", "rb") as file:  # noqa: PTH123
                found = re.search(rb"^wchar: (\d+)", file.read(), re.MULTILINE)
        except OSError:
            return 0
        return int(found[1]) if found else 0


def _names(tar: str, layer: str) -> list[bytes]:
    """The names in a layer, as they are there; folders end with a slash."""
    done = subprocess.run(
        [tar, "-t", "-f", layer],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={"LC_ALL": "C"},
        check=False,
    )
    if done.returncode != 0:
        raise RefusedError(done.stderr.decode("utf-8", "replace")[-_KEPT:].strip())
    names = [_ESCAPE.sub(_plain, line) for line in done.stdout.splitlines()]
    for name in names:
        if b".." in name.split(b"/"):
            raise RefusedError(f"a name in it leads upwards: {name.decode('utf-8', 'replace')}")
    return names


def _plain(match: re.Match[bytes]) -> bytes:
    """What bsdtar writes for a character that is not printable (libarchive: safe_fprintf)."""
    word = match[1]
    if len(word) == 3:  # noqa: PLR2004
        return bytes([int(word, 8)])
    return bytes([_LETTERS[word]]) if word in _LETTERS else word


def _make_room(root: str, names: Sequence[bytes]) -> None:
    """Take away what a layer hides, in a process that sees nothing but the root."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.chroot(root)
            os.chdir("/")
            for name in names:
                _hide(b"/" + name.lstrip(b"/"))
            code = 0
        finally:
            os._exit(code)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
        raise RefusedError("what a layer takes away could not be removed")


def _hide(path: bytes) -> None:
    folder, name = os.path.split(path.rstrip(b"/"))
    if path.endswith(b"/"):
        if os.path.islink(path.rstrip(b"/")):  # noqa: PTH114
            os.unlink(path.rstrip(b"/"))  # noqa: PTH108
    elif name == _OPAQUE.encode():
        for entry in _entries(folder):
            _remove(os.path.join(folder, entry))  # noqa: PTH118
    elif name.startswith(_WHITEOUT.encode()):
        _remove(os.path.join(folder, name[len(_WHITEOUT) :]))  # noqa: PTH118


def _entries(folder: bytes) -> list[bytes]:
    try:
        return os.listdir(folder)  # noqa: PTH208
    except OSError:
        return []


def _remove(path: bytes) -> None:
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path)
        else:
            os.unlink(path)  # noqa: PTH108
    except FileNotFoundError:
        return


def _lay_over(root: bytes, upper: bytes) -> None:
    """Do for good what an overlay shows (overlayfs.rst); files of `root` are never written into.

    Both are folders in fact, and nobody else writes in either.
    """
    with os.scandir(upper) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            target, status = os.path.join(root, entry.name), entry.stat(follow_symlinks=False)  # noqa: PTH118
            if not stat.S_ISDIR(status.st_mode):
                _remove(target)
                if not _is_whiteout(status):
                    _forget_attributes(entry.path)
                    os.rename(entry.path, target)  # noqa: PTH104
                continue
            if _is_opaque(entry.path) or os.path.islink(target) or not os.path.isdir(target):  # noqa: PTH112, PTH114
                _remove(target)
                os.mkdir(target)  # noqa: PTH102
            _lay_over(target, entry.path)
            os.chown(target, status.st_uid, status.st_gid)
            os.chmod(target, stat.S_IMODE(status.st_mode))  # noqa: PTH101
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _forget_attributes(path: bytes) -> None:
    """Of the overlay's own and of rights (capabilities(7)), which no image keeps here."""
    for name in os.listxattr(path, follow_symlinks=False):
        with contextlib.suppress(OSError):
            os.removexattr(path, name, follow_symlinks=False)


def _is_whiteout(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def _is_opaque(folder: bytes) -> bool:
    try:
        return os.getxattr(folder, b"user.overlay.opaque") == b"y"
    except OSError:
        return False


def _tidy(root: str, *, own: bool, whiteouts: bool = False) -> int:
    """Take rights away; with `own` let the owner read all of it. Gives the bytes on the disk.

    `whiteouts` of an overlay stay, which are devices to everyone else.
    """
    seen: dict[int, int] = {}
    if own:
        os.lchown(root, 0, 0)
        os.chmod(root, stat.S_IMODE(os.stat(root).st_mode) | 0o700)  # noqa: PTH101, PTH116
    for path, status in _below(os.fsencode(root)):
        mode = stat.S_IMODE(status.st_mode)
        wanted = mode
        if own and not _is_whiteout(status):  # a package manager may have made files of subordinate ids
            os.lchown(path, 0, 0)
        if stat.S_ISDIR(status.st_mode):
            wanted |= 0o700 if own else 0
        elif stat.S_ISREG(status.st_mode):
            wanted = mode & ~(stat.S_ISUID | stat.S_ISGID) | (0o400 if own else 0)
        elif whiteouts and _is_whiteout(status):
            continue
        elif stat.S_ISBLK(status.st_mode) or stat.S_ISCHR(status.st_mode):
            os.unlink(path)  # noqa: PTH108
            continue
        if wanted != mode and not stat.S_ISLNK(status.st_mode):
            os.chmod(path, wanted)  # noqa: PTH101
        seen[status.st_ino] = status.st_blocks * 512
    return sum(seen.values())


def _below(folder: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    """Everything in a folder, a folder before what is in it."""
    todo = [folder]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                yield entry.path, status
                if stat.S_ISDIR(status.st_mode):
                    todo.append(entry.path)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(sys.argv[1]))))
