"""Names of images in registries: completed as a container engine does, and sent to mirrors."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_manylinux.errors import UsageError

_DEFAULT = "docker.io"
API_HOSTS = {"docker.io": "registry-1.docker.io"}
"""Where the API of a registry is, if that is another host (the Docker client's default)."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
PLATFORMS = {
    "x86_64": "linux/amd64",
    "i686": "linux/386",
    "aarch64": "linux/arm64",
    "armv7l": "linux/arm/v7",
    "ppc64le": "linux/ppc64le",
    "s390x": "linux/s390x",
    "riscv64": "linux/riscv64",
    "loongarch64": "linux/loong64",
}
"""What an image index calls each architecture (OCI image specification: GOOS/GOARCH/variant)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An image's full name. Of `tag` and `digest` one is set; `digest` is `sha256:…`."""

    registry: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        """Without tag or digest."""
        return f"{self.registry}/{self.path}"

    def __str__(self) -> str:
        """As one pulls it."""
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"


# The grammar of github.com/distribution/reference: names become parts of paths in an engine's API and
# of addresses in registries.
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\])(?::[0-9]+)?"
_REPOSITORY = re.compile(rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*")
_REFERENCE = re.compile(
    rf"{_REPOSITORY.pattern}(?::[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}})?(?:@sha256:[0-9a-f]+)?"
)
_MIRROR = re.compile(rf"{_HOST}(?:/{_PART})*")


def parse_reference(text: str) -> Reference:
    """Complete a short name: `debian:12` is `docker.io/library/debian:12`.

    Raises UsageError for what is not the name of an image.
    """
    if not _REFERENCE.fullmatch(text):
        raise UsageError(
            f"{text!r} is not the name of an image",
            remedy="write NAME:TAG or NAME@sha256:DIGEST, in lower case and without https://",
        )
    name, _, digest = text.partition("@")
    head, slash, rest = name.partition("/")
    is_registry = bool(slash) and ("." in head or ":" in head or head == "localhost")
    registry, path = (head, rest) if is_registry else (_DEFAULT, name)
    path, _, tag = path.partition(":")
    if registry == _DEFAULT and "/" not in path:
        path = f"library/{path}"
    return Reference(registry=registry, path=path, tag="" if digest else tag or "latest", digest=digest)


def parse_mirrors(words: Sequence[str], *, where: str = "registry-mirror") -> dict[str, str]:
    """Read `REGISTRY=MIRROR` words; a bare word is the mirror of docker.io. Raises UsageError."""
    mirrors: dict[str, str] = {}
    for word in words:
        registry, equals, mirror = word.partition("=")
        registry, mirror = (registry, mirror) if equals else (_DEFAULT, word)
        if not re.fullmatch(_HOST, registry) or not _MIRROR.fullmatch(mirror.rstrip("/")):
            raise UsageError(
                f"{where}: {word!r} names no mirror",
                remedy="write quay.io=mirror.example/quay, without https://",
            )
        mirrors[registry] = mirror.rstrip("/")
    return mirrors


def through_mirror(reference: Reference, mirrors: Mapping[str, str]) -> Reference:
    """The same image by the name that a mirror has it under."""
    mirror = mirrors.get(reference.registry)
    if mirror is None:
        return reference
    host, _, prefix = mirror.partition("/")
    path = f"{prefix}/{reference.path}" if prefix else reference.path
    return Reference(registry=host, path=path, tag=reference.tag, digest=reference.digest)
