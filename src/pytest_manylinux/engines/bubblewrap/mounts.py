"""What a bubblewrap sandbox sees: the image's root, our mounts, and nothing of the host besides.

The root is put together on an empty tmpfs from the image's top-level entries, so that mount points
can be made that the image does not have (`/inputs`); the tmpfs is made read-only at the end. A
folder deeper down that lacks a mount point is "opened" the same way: a tmpfs over it, its entries
bound into that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from pytest_manylinux.engines.api import SCRATCH, Cache, Mount, SandboxSpec
from pytest_manylinux.engines.environment import READ_ONLY_PROC, SHARED_MEMORY, check_mounts
from pytest_manylinux.errors import SandboxError

_TMP = PurePosixPath("/tmp")  # noqa: S108 - the sandbox's own
_OURS = frozenset({"proc", "dev", "sys", "tmp", "scratch"})
# Programs ask for the number of processors here (cpuinfo, OpenBLAS); nothing else of /sys is shown.
_SYS = "/sys/devices/system"


def isolation_arguments(spec: SandboxSpec, *, nested: bool = False) -> list[str]:
    """The arguments of bubblewrap for namespaces, user and capabilities.

    With `nested` a command that is handed the rights, a preloaded process, may make more namespaces.
    """
    closed = [] if nested else ["--disable-userns"]
    network = ["--share-net"] if spec.network else []
    return [
        *("--unshare-all", *network, "--unshare-user", *closed),
        *("--die-with-parent", "--new-session"),
        *("--uid", "1000", "--gid", "1000", "--cap-drop", "ALL"),
        *("--hostname", spec.hostname, "--clearenv"),
    ]


def mount_arguments(
    root: Path, spec: SandboxSpec, generated: Iterable[str] = ()
) -> tuple[list[str], list[str]]:
    """The arguments of bubblewrap for the file system, before and after the `generated` files.

    `generated` are absolute paths of files that are mounted between the two. Raises SandboxError
    for a root, a source or a target that cannot be.
    """
    wanted: tuple[Mount | Cache, ...] = (*spec.mounts, *spec.caches)
    if not root.is_dir():
        raise SandboxError(
            f"the root of image {spec.image.name} is not there: {root}",
            why="the folder was removed or never made",
            remedy="run again; the image is then made anew",
        )
    check_mounts(wanted)
    targets = [*(PurePosixPath(path) for path in generated), *(mount.target for mount in wanted)]
    opened = _folders_to_open(root, targets)
    before = [
        *_entries(root, PurePosixPath("/"), targets),
        *(word for folder in opened for word in _open(root, folder, targets)),
        *_kernel_folders(),
        *_writable_folders(spec.limits.scratch),
        *_binds(spec),
    ]
    after = [word for folder in (*opened, PurePosixPath("/")) for word in ("--remount-ro", str(folder))]
    return before, after


def _folders_to_open(root: Path, targets: Iterable[PurePosixPath]) -> list[PurePosixPath]:
    """The folders of the image in which mount points are missing, outermost first."""
    found = {folder for target in targets if (folder := _folder_to_open(root, target)) is not None}
    return sorted(found, key=lambda folder: len(folder.parts))


def _folder_to_open(root: Path, target: PurePosixPath) -> PurePosixPath | None:
    parts = target.parts[1:]
    if parts[0] in _OURS:
        return None
    folder = PurePosixPath("/")
    for part in parts:
        entry = root / folder.relative_to("/") / part
        last = folder / part == target
        if entry.is_symlink() and not last:
            raise SandboxError(f"{target} is no place for a mount: {folder / part} is a link")
        if entry.is_symlink() or not entry.exists():
            return folder if folder.parts[1:] else None
        folder = folder / part
    return None


def _open(root: Path, folder: PurePosixPath, targets: list[PurePosixPath]) -> Iterator[str]:
    yield from ("--perms", "0755", "--tmpfs", str(folder))
    yield from _entries(root, folder, targets)


def _entries(root: Path, folder: PurePosixPath, targets: list[PurePosixPath]) -> Iterator[str]:
    """Bind or re-make each entry of one of the image's folders."""
    for entry in sorted((root / folder.relative_to("/")).iterdir()):
        target = folder / entry.name
        if str(target).strip("/") in _OURS:
            continue
        if entry.is_symlink():
            if target not in targets:
                yield from ("--symlink", str(entry.readlink()), str(target))
        elif entry.is_dir() or entry.is_file():
            yield from ("--ro-bind", str(entry), str(target))


def _kernel_folders() -> Iterator[str]:
    yield from ("--proc", "/proc")
    for name in READ_ONLY_PROC:
        yield from ("--ro-bind-try", f"/proc/{name}", f"/proc/{name}")
    yield from ("--dev", "/dev", "--perms", "1777", "--size", str(SHARED_MEMORY))
    yield from ("--tmpfs", "/dev/shm", "--remount-ro", "/dev")  # noqa: S108 - the sandbox's own
    yield from ("--dir", "/sys", "--dir", "/sys/devices", "--ro-bind-try", _SYS, _SYS)


def _writable_folders(size: int) -> Iterator[str]:
    """Half of the size each: no two folders of one tmpfs can be had, and no engine has that."""
    for perms, folder in (("1777", _TMP), ("0755", SCRATCH)):
        yield from ("--perms", perms, "--size", str(size // 2), "--tmpfs", str(folder))
    yield from ("--dir", str(SCRATCH / "home"))


def _binds(spec: SandboxSpec) -> Iterator[str]:
    wanted = [("--ro-bind", mount.source, mount.target) for mount in spec.mounts]
    wanted += [("--bind", cache.source, cache.target) for cache in spec.caches]
    for flag, source, target in sorted(wanted, key=lambda bind: len(bind[2].parts)):
        yield from _parents(target)
        yield from (flag, str(source.resolve()), str(target))


def _parents(target: PurePosixPath) -> Iterator[str]:
    """Make the folders above a mount point; left alone, bubblewrap makes them for the owner only."""
    for folder in reversed(target.parents[:-1]):
        yield from ("--dir", str(folder))
