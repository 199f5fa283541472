"""A making that is killed leaves nothing behind, and the next ones, at once, make the image once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_manylinux.cache.directories import sweep
from pytest_manylinux.images import ImageStore

pytestmark = pytest.mark.integration

MAKE = """
import sys
from pathlib import Path
from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.model.distro import ImagePurpose

images = ArchiveImages(ImageStore(Path(sys.argv[1])), say=lambda text: print(text, flush=True))
distro = load_catalogue().get("debian-13")
image = images.provide(distro, "x86_64", ImagePurpose.TRIAL, interpreter=distro.interpreters[0])
print("made", image.digest, flush=True)
"""


@dataclass(frozen=True)
class Killed:
    """A store in which a making was killed half-way."""

    root: Path
    half_made: tuple[Path, ...]
    was_running: bool


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    root = tmp_path_factory.mktemp("killed")
    with _make(root) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "configuring packages" in line:
                break
        half_made = tuple(entry for entry in (root / "aside").iterdir() if entry.is_dir())
        was_running = bool(_traces(str(root)))
        process.send_signal(signal.SIGKILL)
    yield Killed(root=root, half_made=half_made, was_running=was_running)
    sweep(root / "aside")


def test_nothing_is_left_running_or_mounted(killed: Killed) -> None:
    assert killed.was_running
    assert len(killed.half_made) == 1
    assert (killed.half_made[0] / "root/etc").is_dir()
    _until(lambda: not _traces(str(killed.root)))
    assert _traces(str(killed.root)) == []


def test_the_next_two_runs_at_once_make_the_image_once(killed: Killed) -> None:
    with _make(killed.root) as one, _make(killed.root) as other:
        outputs = [one.communicate()[0], other.communicate()[0]]
    assert (one.returncode, other.returncode) == (0, 0), outputs
    last = {output.splitlines()[-1] for output in outputs}
    assert len(last) == 1
    assert last.pop().startswith("made sha256:")
    assert sum(output.count("making the root, once") for output in outputs) == 1
    assert sum(output.count("waiting for another run") for output in outputs) == 1
    assert not any(folder.exists() for folder in killed.half_made)
    (stored,) = ImageStore(killed.root).images()
    assert (stored.folder / "root/usr/bin/python3").exists()


def _make(root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", MAKE, str(root)], stdout=subprocess.PIPE, text=True)


def _until(condition: object, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while callable(condition) and not condition() and time.monotonic() < end:
        time.sleep(0.2)


def _traces(path: str) -> list[str]:
    """Processes that name the path or stand in it, and mounts below it in any namespace."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            mounts = (process / "mountinfo").read_text()
            places = [str((process / name).readlink()) for name in ("cwd", "root")]
        except OSError:
            continue
        if path in command or path in mounts or any(place.startswith(path) for place in places):
            found.append(f"{process.name}: {command}")
    return found
