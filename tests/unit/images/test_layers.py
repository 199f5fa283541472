"""The layers that stay for other images, and those that go."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from pytest_manylinux.images.layers import forget_layers, pin_layers


class Blobs:
    """The folder of layers as skopeo fills it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.times = 0
        (folder / "sha256").mkdir(parents=True)

    def add(self, content: bytes) -> str:
        """A blob, later than those before; gives its digest."""
        name = hashlib.sha256(content).hexdigest()
        path = self.folder / "sha256" / name
        path.write_bytes(content)
        self.times += 1
        os.utime(path, (self.times, self.times))
        return f"sha256:{name}"

    def image(self, *layers: bytes) -> str:
        """An image's layers, configuration and manifest."""
        config = self.add(json.dumps({"architecture": "amd64", "layers": len(layers)}).encode())
        named = [{"digest": self.add(layer)} for layer in layers]
        return self.add(json.dumps({"config": {"digest": config}, "layers": named}).encode())

    def left(self) -> set[bytes]:
        """The content of all layers that are left; documents are JSON objects."""
        contents = {path.read_bytes() for path in self.folder.glob("sha256/*")}
        return {content for content in contents if not content.startswith(b"{")}

    def documents(self) -> int:
        return sum(path.read_bytes().startswith(b"{") for path in self.folder.glob("sha256/*"))


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "layers")


def test_at_the_end_only_layers_that_images_share_stay(blobs: Blobs) -> None:
    blobs.image(b"base", b"python 3.12")
    blobs.image(b"base", b"python 3.13")
    blobs.image(b"another distro")
    forget_layers(blobs.folder, shared_only=True)
    assert blobs.left() == {b"base"}


def test_during_a_run_those_used_last_stay_up_to_the_bound(blobs: Blobs) -> None:
    blobs.image(b"1" * 100)
    blobs.image(b"2" * 100)
    blobs.image(b"3" * 100)
    forget_layers(blobs.folder, keep=200)
    assert blobs.left() == {b"2" * 100, b"3" * 100}


def test_shared_layers_have_the_bound_too_and_the_others_go_first(blobs: Blobs) -> None:
    blobs.image(b"1" * 100, b"2" * 100, b"only here")
    blobs.image(b"1" * 100, b"2" * 100)
    forget_layers(blobs.folder, keep=150, shared_only=True)
    assert blobs.left() == {b"2" * 100}


def test_manifests_stay_since_images_are_found_by_them_without_a_registry(blobs: Blobs) -> None:
    blobs.image(b"base")
    blobs.add(b'{"manifests": []}')
    forget_layers(blobs.folder, keep=0)
    assert (blobs.left(), blobs.documents()) == (set(), 3)


@pytest.mark.parametrize("document", [b"{", b"{}", b'{"layers": 3}', b'{"layers": ["x"]}'])
def test_a_document_that_is_no_manifest_names_no_layer(blobs: Blobs, document: bytes) -> None:
    blobs.add(document)
    blobs.add(b"a layer")
    forget_layers(blobs.folder, shared_only=True)
    assert blobs.left() == set()


def test_a_folder_that_is_not_there_is_no_fault(tmp_path: Path) -> None:
    forget_layers(tmp_path / "none", shared_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_pinned_layer_outlives_the_one_of_the_cache(blobs: Blobs, tmp_path: Path) -> None:
    blobs.image(b"base")
    (layer,) = (path for path in blobs.folder.glob("sha256/*") if path.read_bytes() == b"base")
    (pin,) = pin_layers([layer], tmp_path, since=0)
    forget_layers(blobs.folder, keep=0)
    assert (layer.exists(), pin.read_bytes()) == (False, b"base")


def test_a_damaged_layer_is_not_pinned_and_goes(blobs: Blobs, tmp_path: Path) -> None:
    blobs.image(b"base")
    (layer,) = (path for path in blobs.folder.glob("sha256/*") if path.read_bytes() == b"base")
    layer.write_bytes(b"bose")
    assert pin_layers([layer], tmp_path, since=layer.stat().st_mtime_ns + 1) == ()
    assert not layer.exists()
