"""A root of another architecture as mmdebstrap itself makes it, its packages' scripts run under qemu.

    python tests/support/full_roots.py DISTRO ARCH STORE

Prints its folder. qemu is registered in a user namespace with all of the machine's ids, since a root's
files have several owners; so this wants root.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.host.architecture import Emulation, Support, emulation_of
from pytest_manylinux.images import ArchiveImages, ImageStore, debian_archive
from pytest_manylinux.images.mmdebstrap import Making
from pytest_manylinux.model.distro import ImagePurpose

_NEW_USER, _NEW_NS = 1 << 28, 1 << 17
_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_LIBC = ctypes.CDLL(None, use_errno=True)


def full_root(distro: str, arch: str, store: Path) -> Path:
    """Make it in a store of its own; gives its folder."""
    command = [sys.executable, __file__, distro, arch, str(store)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Path(done.stdout.splitlines()[-1])


def register(emulation: Emulation) -> None:
    """Go on in a process that sees the emulator registered."""
    ready, started = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        _check(_LIBC.unshare(_NEW_USER | _NEW_NS))
        os.write(ready[1], b".")
        os.read(started[0], 1)
        _check(_LIBC.mount(b"none", b"/", None, 0x44000, None))  # MS_REC | MS_PRIVATE
        _check(_LIBC.mount(b"none", str(_BINFMT).encode(), b"binfmt_misc", 0, None))
        (_BINFMT / "register").write_text(emulation.registration)
        return
    os.read(ready[0], 1)
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{child}/{name}").write_text("0 0 65536")
    os.write(started[1], b".")
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def main(word: str, arch: str, store: str) -> None:
    """Make the root as one of this machine's own architecture is made without our shortcuts."""
    emulation, distro = emulation_of(arch), load_catalogue().get(word)
    register(emulation)
    os.environ.update(emulation.environment)
    native = Emulation(arch=arch, support=Support.NATIVE)
    patch = pytest.MonkeyPatch()
    patch.setattr(debian_archive, "emulation_of", lambda _: native)
    patch.setattr(debian_archive, "Making", partial(Making, at_one_go=False))
    images = ArchiveImages(ImageStore(Path(store)), say=partial(print, file=sys.stderr))
    image = images.provide(distro, arch, ImagePurpose.TRIAL, interpreter=distro.interpreters[0])
    print(image.root)  # noqa: T201 - a program


if __name__ == "__main__":
    main(*sys.argv[1:])
