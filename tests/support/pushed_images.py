"""Images of a few files, made here and pushed to a registry on loopback."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
import tempfile
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A member of a layer. `kind` is one of tarfile's types, `link` where it leads."""

    name: str
    kind: bytes = tarfile.REGTYPE
    content: bytes = b""
    link: str = ""
    mode: int = 0o755
    owner: int = 0
    attributes: dict[str, str] = field(default_factory=dict)


def layer(*entries: Entry) -> bytes:
    """A layer as registries have it: a tar archive, compressed."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            member = tarfile.TarInfo(entry.name)
            member.type, member.mode, member.linkname = entry.kind, entry.mode, entry.link
            member.uid = member.gid = entry.owner
            member.pax_headers = entry.attributes
            if entry.kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
                member.devmajor, member.devminor = 1, 3
            member.size = len(entry.content)
            archive.addfile(member, io.BytesIO(entry.content))
    return gzip.compress(packed.getvalue(), mtime=0)


def write_layout(
    folder: Path, layers: Sequence[bytes], *, arch: str = "amd64", environment: Sequence[str] = ()
) -> str:
    """An OCI layout of one image; gives the manifest's digest."""
    (folder / "blobs/sha256").mkdir(parents=True)
    for content in layers:
        (folder / "blobs/sha256" / _digest(content).partition(":")[2]).write_bytes(content)
    config = _config([_digest(_unpacked(content)) for content in layers], arch, environment)
    entries = [_blob(_LAYER, _digest(content), len(content)) for content in layers]
    return _write_manifest(folder, config, entries)


def _unpacked(content: bytes) -> bytes:
    """As it is where it is no compressed file, or not a whole one."""
    try:
        return gzip.decompress(content)
    except (OSError, EOFError):
        return content


def _config(diffs: list[str], arch: str, environment: Sequence[str]) -> bytes:
    config = {
        "architecture": arch,
        "os": "linux",
        "config": {"Env": list(environment)},
        "rootfs": {"type": "layers", "diff_ids": diffs},
    }
    return json.dumps(config).encode()


def _blob(media: str, digest: str, size: int) -> dict[str, object]:
    return {"mediaType": media, "digest": digest, "size": size}


def _write_manifest(folder: Path, config: bytes, layers: list[dict[str, object]]) -> str:
    manifest = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "config": _blob(_CONFIG, _digest(config), len(config)),
        "layers": layers,
    }
    content = json.dumps(manifest).encode()
    for data in (config, content):
        (folder / "blobs/sha256" / _digest(data).partition(":")[2]).write_bytes(data)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    entry = _blob(_MANIFEST, _digest(content), len(content))
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return _digest(content)


def push(
    name: str, layers: Sequence[bytes], *, arch: str = "amd64", environment: Sequence[str] = ()
) -> str:
    """Push an image to the registry that its name begins with; gives its digest there."""
    with tempfile.TemporaryDirectory(prefix="pushed-") as folder:
        layout = Path(folder, "layout")
        layout.mkdir()
        digest = write_layout(layout, layers, arch=arch, environment=environment)
        skopeo(
            "copy", "--preserve-digests", "--dest-tls-verify=false", f"oci:{layout}", f"docker://{name}"
        )
    return digest


def push_root(name: str, archive: Path, *upper: bytes, environment: Sequence[str] = ()) -> str:
    """Push the root in a tar archive as an image, with layers over it; gives its digest."""
    with tempfile.TemporaryDirectory(prefix="pushed-", dir=archive.parent) as folder:
        layout = Path(folder, "layout")
        layout.mkdir()
        digest = root_layout(layout, archive, *upper, environment=environment)
        skopeo(
            "copy", "--preserve-digests", "--dest-tls-verify=false", f"oci:{layout}", f"docker://{name}"
        )
    return digest


def root_layout(folder: Path, archive: Path, *upper: bytes, environment: Sequence[str] = ()) -> str:
    """An OCI layout of a root in a tar archive, not compressed, with layers over it; its digest."""
    with archive.open("rb") as file:
        lowest = f"sha256:{_sha256(file)}"
    (folder / "blobs/sha256").mkdir(parents=True)
    os.link(archive, folder / "blobs/sha256" / lowest.partition(":")[2])
    entries = [_blob(_LAYER.removesuffix("+gzip"), lowest, archive.stat().st_size)]
    for content in upper:
        (folder / "blobs/sha256" / _digest(content).partition(":")[2]).write_bytes(content)
        entries.append(_blob(_LAYER, _digest(content), len(content)))
    diffs = [lowest, *(_digest(gzip.decompress(content)) for content in upper)]
    return _write_manifest(folder, _config(diffs, "amd64", environment), entries)


def push_index(name: str, digests: dict[str, str]) -> str:
    """Push a list of images that are in the repository already, by architecture; gives its digest."""
    repository, _, tag = name.rpartition(":")
    host, _, path = repository.partition("/")
    entries = [
        {
            "mediaType": _MANIFEST,
            "digest": digest,
            "size": len(_get(f"http://{host}/v2/{path}/manifests/{digest}")),
            "platform": {"os": "linux", "architecture": arch},
        }
        for arch, digest in digests.items()
    ]
    content = json.dumps({"schemaVersion": 2, "mediaType": _INDEX, "manifests": entries}).encode()
    request = urllib.request.Request(
        f"http://{host}/v2/{path}/manifests/{tag}",
        data=content,
        method="PUT",
        headers={"Content-Type": _INDEX},
    )
    urllib.request.urlopen(request).close()  # noqa: S310 - the same
    return _digest(content)


def skopeo(*words: str) -> None:
    """Run skopeo; its words are in the error."""
    done = subprocess.run(["skopeo", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _get(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"Accept": _MANIFEST})  # noqa: S310 - loopback
    with urllib.request.urlopen(request) as answer:  # noqa: S310 - the same
        return bytes(answer.read())


def _sha256(file: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
