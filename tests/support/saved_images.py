"""What is in an image of a container engine: its layers, its history and its configuration."""

from __future__ import annotations

from collections.abc import Collection

import docker


def traces_in(client: docker.DockerClient, reference: str, marks: Collection[str]) -> set[str]:
    """Those of `marks` whose bytes are anywhere in the image as `docker save` writes it."""
    wanted = {mark: mark.encode() for mark in marks}
    overlap = max(len(mark) for mark in wanted.values())
    found: set[str] = set()
    tail = b""
    for chunk in client.api.get_image(reference, chunk_size=1 << 22):
        tail = tail[-overlap:] + chunk
        found |= {mark for mark, content in wanted.items() if content in tail}
    return found
