"""A distro's own venv, made once per image and laid out afresh in every trial.

`python3 -m venv` costs seconds, nearly all of them for seeding pip (trials/inside/make_venv.py needs
fewer). Its result is recorded: small files and links are written anew by the agent, and the folders
that pip and setuptools consist of are mounted read-only in their places. It is the same venv, file by
file, at the same path.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import msgspec
from packaging.utils import canonicalize_name

from pytest_manylinux.cache.directories import make_once
from pytest_manylinux.cache.paths import store_errors
from pytest_manylinux.decoding import decode_json
from pytest_manylinux.engines.api import Command, Completed, Engine, Mount, Sandbox, SandboxSpec, Status
from pytest_manylinux.errors import ImageError
from pytest_manylinux.host.architecture import allowed_time
from pytest_manylinux.model.distro import Image, Interpreter
from pytest_manylinux.trials.request import (
    INPUTS,
    LAYOUT_FILE,
    SMALL_FOLDER,
    VENV,
    PreparedVenv,
    VenvEntry,
    VenvLayout,
)

_FORMAT = 2  # of the record; part of the key
_ARCHIVE = PurePosixPath("/scratch/venv.tar")
_PROGRAM = Mount(
    source=Path(__file__).parent / "inside" / "make_venv.py", target=INPUTS / "make_venv.py"
)
# Python's own is for images without the program, which is done in a tenth of the time.
_PACK = 'tar -cf "$1" -C / "${2#/}" 2>/dev/null || exec "$0" -m tarfile -c "$1" "$2"'
_TIMEOUT = 300.0  # seconds; two to three pass on an idle machine
_SLOW = "run again when the machine has less to do"
_LACKING = "the image needs Python with its venv module and pip (python3-venv on Debian)"
# In a venv of Debian 11's PyPy sysconfig names folders outside of it; pip goes by distutils there.
_PATHS = """
import json, sys, sysconfig
paths = sysconfig.get_paths()
if not paths["purelib"].startswith(sys.prefix + "/"):
    from distutils.dist import Distribution
    command = Distribution().get_command_obj("install")
    command.finalize_options()
    own = ("purelib", "platlib", "scripts", "data")
    paths.update({key: getattr(command, "install_" + key) for key in own})
print(json.dumps(paths))
"""


def prepared_venv(image: Image, interpreter: Interpreter, engine: Engine, cache: Path) -> PreparedVenv:
    """Give the venv of an image's interpreter, made now if `cache` does not hold it yet.

    Safe against runs that do the same at once; one that was damaged is made anew. Raises ImageError
    if the image cannot make a venv, StoreError if the cache cannot be written, and the engine's errors.
    """
    words = (str(_FORMAT), str(VENV), image.content, interpreter.executable)
    folder = cache / hashlib.sha256("\0".join(words).encode()).hexdigest()[:32]
    make_once(folder, lambda unfinished: _make(image, interpreter, engine, unfinished))
    with store_errors(cache):
        layout = decode_json((folder / LAYOUT_FILE).read_bytes(), VenvLayout)
    return PreparedVenv(layout=layout, folder=folder / "tree")


def _make(image: Image, interpreter: Interpreter, engine: Engine, folder: Path) -> None:
    archive = folder / "venv.tar"
    label = f"venv of {image.name}"
    with engine.open(SandboxSpec(image=image, mounts=(_PROGRAM,), label=label)) as sandbox:
        _venv(sandbox, image, interpreter.executable)
        words = _run(sandbox, image, str(VENV / "bin/python"), "-I", "-c", _PATHS)
        _run(sandbox, image, "/bin/sh", "-c", _PACK, interpreter.executable, str(_ARCHIVE), str(VENV))
        sandbox.copy_out(_ARCHIVE, archive)
    layout = _unpack(archive, json.loads(words), folder / "tree", folder / SMALL_FOLDER)
    archive.unlink()
    (folder / LAYOUT_FILE).write_bytes(msgspec.json.encode(layout))


def _venv(sandbox: Sandbox, image: Image, python: str) -> None:
    """Make it by our program; by `-m venv` alone for a Python in which that does not work."""
    done = _exec(sandbox, image, python, str(_PROGRAM.target), str(VENV))
    if not done.ok and done.status is not Status.TIMED_OUT:
        done = _exec(sandbox, image, python, "-m", "venv", "--clear", str(VENV))
    _check(done, image)


def _run(sandbox: Sandbox, image: Image, *argv: str) -> str:
    done = _exec(sandbox, image, *argv)
    _check(done, image)
    return done.stdout.decode(errors="replace")


def _exec(sandbox: Sandbox, image: Image, *argv: str) -> Completed:
    return sandbox.exec(Command(argv=argv, timeout=allowed_time(_TIMEOUT, image.arch)))


def _check(done: Completed, image: Image) -> None:
    if not done.ok:
        raise ImageError(
            f"no virtual environment can be made in image {image.name}",
            why=done.reason(done.stderr, done.stdout),
            remedy=_SLOW if done.status is Status.TIMED_OUT else _LACKING,
        )


def _unpack(archive: Path, paths: dict[str, str], tree: Path, small: Path) -> VenvLayout:
    """Take the venv apart: heavy folders below `tree`, all else into the layout and below `small`."""
    below = {key: _below(paths[key]) for key in ("purelib", "platlib", "scripts", "data")}
    parents = {below["purelib"], below["platlib"], "share"}
    entries: list[VenvEntry] = []
    heavy: set[str] = set()
    tree.mkdir()
    small.mkdir()
    made = {tree}
    with tarfile.open(archive) as tar:
        for member, path in _members(tar):
            root = _heavy_root(path, parents, is_folder=member.isdir())
            if root is None:
                entries.append(_entry(tar, member, path))
                _lay_out(entries[-1], small / path)
                continue
            heavy.add(root)
            _extract(tar, member, tree / path, made)
    seeded = {name for entry in heavy if (name := _distribution(entry))}
    return VenvLayout(
        entries=tuple(entries), heavy=tuple(sorted(heavy)), seeded=frozenset(seeded), **below
    )


def _below(path: str) -> str:
    """A path of sysconfig, relative to the venv; `.` for the venv itself."""
    return str(PurePosixPath(path).relative_to(VENV))


def _members(tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, str]]:
    """The archive's members with their paths below the venv, folders before what they hold."""
    root = str(VENV).strip("/")
    for member in tar:
        if member.name.strip("/").startswith(f"{root}/") and ".." not in member.name.split("/"):
            yield member, member.name.strip("/").removeprefix(f"{root}/")


def _heavy_root(path: str, parents: set[str], *, is_folder: bool) -> str | None:
    """The folder directly in one of `parents` that `path` is or is in.

    `__pycache__` is none: later installations write into it.
    """
    place = PurePosixPath(path)
    for folder in (place, *place.parents) if is_folder else place.parents:
        if str(folder.parent) in parents and folder.name != "__pycache__":
            return str(folder)
    return None


def _entry(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> VenvEntry:
    if member.isdir():
        return VenvEntry("folder", path, member.mode, "")
    if member.issym():
        return VenvEntry("link", path, 0, member.linkname)
    stream = tar.extractfile(member)
    content = stream.read() if stream else b""
    return VenvEntry("file", path, member.mode, base64.b64encode(content).decode())


def _lay_out(entry: VenvEntry, place: Path) -> None:
    if entry.kind == "link":
        place.symlink_to(entry.content)
    elif entry.kind == "folder":
        place.mkdir()
    else:
        place.write_bytes(base64.b64decode(entry.content))
        place.chmod(entry.mode)


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path, made: set[Path]) -> None:
    """Write one folder or file; its date stays, since compiled files name their source's.

    `made` are the folders that are there already: to ask for each of a thousand files costs as much
    as to write it.
    """
    folder = place if member.isdir() else place.parent
    if folder not in made:
        folder.mkdir(parents=True, exist_ok=True)
        made.add(folder)
    if not member.isdir() and (stream := tar.extractfile(member)):
        place.write_bytes(stream.read())
        os.utime(place, (member.mtime, member.mtime))


def _distribution(path: str) -> str | None:
    """The normalized name of the distribution whose .dist-info folder this is."""
    name = PurePosixPath(path).name
    if not name.endswith(".dist-info"):
        return None
    return canonicalize_name(name.removesuffix(".dist-info").rpartition("-")[0])
