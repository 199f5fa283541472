"""A root that lies in a folder, as an image of a container engine: imported once, then reused."""

from __future__ import annotations

import io
import json
import re
import tarfile
import tempfile
from pathlib import Path

import docker
from docker.errors import ImageNotFound, NotFound

from pytest_manylinux.engines.container.leftovers import LABEL, owner_labels
from pytest_manylinux.engines.transfer import pack_root
from pytest_manylinux.errors import SandboxError
from pytest_manylinux.model.distro import Image

REPOSITORY = "localhost/pytest-manylinux"
"""Our images' name in a container engine. `localhost` keeps Podman from looking for a registry."""

_IMPORT_TIMEOUT = 600  # seconds: hundreds of megabytes are written


def reference_of(client: docker.DockerClient, image: Image) -> str:
    """What the engine calls `image`; a root in a folder is imported if that was not done before."""
    if image.reference is not None:
        return image.reference
    if image.root is None or not Path(image.root).is_dir():
        raise SandboxError(
            f"image {image.name} is not there",
            why=f"neither a reference nor a folder: {image.root}",
            remedy="run again; the image is then made anew",
        )
    tag = re.sub(r"[^\w.-]", "-", image.digest)[:128]
    reference = f"{REPOSITORY}/{re.sub(r'[^a-z0-9._-]', '-', image.name.lower())}:{tag}"
    try:
        client.images.get(reference)
    except ImageNotFound:
        _import(client, Path(image.root), reference)
    return reference


def _import(client: docker.DockerClient, root: Path, reference: str) -> None:
    repository, _, tag = reference.rpartition(":")
    with tempfile.TemporaryFile() as archive:
        pack_root(root, archive)
        archive.seek(0)
        usual, client.api.timeout = client.api.timeout, _IMPORT_TIMEOUT
        try:
            answer = client.api.import_image(src=archive, changes=[f"LABEL {LABEL}=root"])
        finally:
            client.api.timeout = usual
    # Tagged by itself: Podman 4 takes no tag with an import.
    client.api.tag(_imported(answer), repository, tag)


def _imported(answer: str) -> str:
    """The id in the daemon's answer: lines of JSON, the last of which tells."""
    last = json.loads(answer.strip().splitlines()[-1])
    if "error" in last:
        raise SandboxError("the image could not be imported", why=str(last["error"]))
    return str(last["status"])


def read_file(client: docker.DockerClient, reference: str, path: str) -> str:
    """The text of a file in an image; empty if the image has none."""
    container = client.api.create_container(reference, command=["true"], labels=owner_labels("reading"))
    try:
        chunks, _ = client.api.get_archive(container["Id"], path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            content = archive.extractfile(archive.getmembers()[0])
            return content.read().decode(errors="surrogateescape") if content else ""
    except NotFound:
        return ""
    finally:
        client.api.remove_container(container["Id"], force=True)
