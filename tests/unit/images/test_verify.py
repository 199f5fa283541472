from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_manylinux.cache.integrity import seal_folder
from pytest_manylinux.images.dpkg import verify
from pytest_manylinux.images.store import ImageStore, StoredImage
from pytest_manylinux.model.distro import Image


@pytest.fixture
def stored(store: ImageStore, adopt: Callable[..., Image]) -> StoredImage:
    image = adopt(base="1")
    root = Path(str(image.root))
    digest = hashlib.md5((root / "bin/tool").read_bytes(), usedforsecurity=False).hexdigest()
    (root / "var/lib/dpkg/info").mkdir()
    (root / "var/lib/dpkg/info/base.md5sums").write_text(f"{digest}  bin/tool\n")
    (found,) = store.images()
    seal_folder(found.folder)
    return found


def test_a_sound_image_has_no_faults(stored: StoredImage) -> None:
    assert list(verify(stored)) == []


def test_a_changed_and_a_missing_file_are_named(stored: StoredImage) -> None:
    tool = stored.folder / "root/bin/tool"
    tool.write_text("other")
    assert list(verify(stored)) == ["/bin/tool has changed"]
    tool.unlink()
    assert list(verify(stored)) == ["/bin/tool is missing"]


def test_a_diverted_file_is_somebody_elses(stored: StoredImage) -> None:
    (stored.folder / "root/bin/tool").write_text("other")
    diversions = stored.folder / "root/var/lib/dpkg/diversions"
    diversions.write_text("/bin/tool\n/bin/tool.distrib\nother\n")
    seal_folder(stored.folder)
    assert list(verify(stored)) == []


def test_a_changed_file_of_no_package_is_seen(stored: StoredImage) -> None:
    (stored.folder / "root/bin/other").write_text("x")
    assert list(verify(stored)) == ["a file that no package owns, or the image's record, has changed"]


def test_a_changed_package_list_is_seen(stored: StoredImage) -> None:
    (stored.folder / "root/var/lib/dpkg/status").write_text("")
    assert "the list of installed packages has changed" in list(verify(stored))
