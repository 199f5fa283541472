"""Fetch images with skopeo: out of registries, archives and folders, into an OCI image layout.

skopeo is the Containers project's own client: it knows the logins of `docker login` and of
containers-auth.json(5), registries.conf(5), proxies, certificates and signature policies, and compares
every byte with its digest. Layers go into one folder that all images share, by their digests.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytest_manylinux.cache.paths import full
from pytest_manylinux.errors import ImageError, StoreError
from pytest_manylinux.host.shutdown import lifetime, watched
from pytest_manylinux.host.subprocesses import install_command
from pytest_manylinux.images.api import Say
from pytest_manylinux.images.failure import pull_failed
from pytest_manylinux.images.image_progress import WHAT, Pace
from pytest_manylinux.images.provision import Network
from pytest_manylinux.images.references import LOOPBACK, PLATFORMS

PROGRAM = "skopeo"
_SILENCE = 600.0
"""Seconds without a new byte of a layer, or without an answer, after which a fetch counts as hung."""
_LOOK_UP = 0.1
"""Seconds between two looks at what has come."""
_EVERY = 5.0
"""Seconds between two lines of progress."""
_MEGABYTE = 1_000_000
_POLICIES = (Path("~/.config/containers/policy.json"), Path("/etc/containers/policy.json"))
_MESSAGE = re.compile(r'level=(?:fatal|error) msg="((?:[^"\\]|\\.)*)"')
_NO_ROOM = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """An image of one architecture in the layout. `layers` are files, the lowest first.

    `environment` is the image's own; `compressed` the bytes of all layers together.
    """

    layers: tuple[Path, ...]
    environment: tuple[tuple[str, str], ...]
    compressed: int


@dataclass(frozen=True, kw_only=True)
class Skopeo:
    """skopeo as this user has it. `blobs` is the folder of layers, by digest (`sha256/…`)."""

    blobs: Path
    say: Say
    network: Network = field(default_factory=Network)

    def manifest(self, source: str, *, title: str, name: str) -> bytes:
        """The manifest, or list of manifests, that `source` leads to: the very bytes.

        Raises ImageError, NoAnswerError for a registry that does not answer.
        """
        words = ["inspect", "--raw", *self._options(source), source]
        return self._run(words, _Watch(title=title, say=self.say), name)

    def fetch(
        self, source: str, arch: str, layout: Path, *, title: str, name: str, size: int
    ) -> Fetched:
        """Copy what `source` has for an architecture; `layout` is an empty folder for what is its own.

        `size` is what its layers take, 0 if nobody knows. Raises as `manifest` does, and ImageError for
        an image of another architecture, StoreError if there is no room.
        """
        _, machine, *variant = PLATFORMS[arch].split("/")
        words = ["--override-os", "linux", "--override-arch", machine]
        words += ["--override-variant", *variant] if variant else []
        words += ["copy", *self._options(source, "src-")]
        words += ["--dest-shared-blob-dir", str(self.blobs), "--dest-oci-accept-uncompressed-layers"]
        self.blobs.mkdir(parents=True, exist_ok=True)
        watch = _Watch(title=title, say=self.say, layout=layout, blobs=self.blobs, size=size)
        self._run([*words, source, f"oci:{layout}:image"], watch, name)
        fetched, found = self._fetched(layout)
        if found != machine:
            raise ImageError(
                f"{title}: {name} is not an image for {arch}",
                why=f"it is one for {found}",
                remedy="name an image of this architecture, or a list of images that has one",
            )
        return fetched

    def kept(self, digest: str) -> bytes | None:
        """A manifest that was kept, if it is whole."""
        with contextlib.suppress(OSError):
            content = self._blob(digest).read_bytes()
            if digest_of(content) == digest:
                return content
        return None

    def keep(self, content: bytes) -> None:
        """Keep a manifest by its digest; a folder that cannot be written keeps nothing."""
        path = self._blob(digest_of(content))
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(content)
            Path(file.name).replace(path)

    def _fetched(self, layout: Path) -> tuple[Fetched, str]:
        """What is in a layout, and the architecture that it says it is for."""
        index = json.loads((layout / "index.json").read_bytes())
        manifest = json.loads(self._blob(index["manifests"][0]["digest"]).read_bytes())
        config = json.loads(self._blob(manifest["config"]["digest"]).read_bytes())
        layers = [self._blob(layer["digest"]) for layer in manifest["layers"]]
        pairs = (word.partition("=") for word in (config.get("config") or {}).get("Env") or ())
        fetched = Fetched(
            layers=tuple(layers),
            environment=tuple((name, value) for name, _, value in pairs),
            compressed=sum(path.stat().st_size for path in layers),
        )
        return fetched, str(config.get("architecture"))

    def _blob(self, digest: str) -> Path:
        return self.blobs / digest.replace(":", "/")

    def _options(self, source: str, side: str = "") -> Iterator[str]:
        """As for Docker, a registry on loopback may speak plain http."""
        host = urlsplit(f"//{source.removeprefix('docker://')}").hostname
        if source.startswith("docker://") and host in LOOPBACK:
            yield f"--{side}tls-verify=false"

    def _environment(self) -> dict[str, str]:
        environment = {**os.environ, **self.network.proxies}
        if self.network.ca_bundle is not None:
            environment.setdefault("SSL_CERT_FILE", str(self.network.ca_bundle))
        if os.geteuid() != 0:  # else skopeo looks in /run/containers, which may be root's alone
            environment.setdefault("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}")
        login = Path(os.environ.get("DOCKER_CONFIG", "")) / "config.json"
        # skopeo 1.9 looks in the home folder only, whatever DOCKER_CONFIG says.
        if os.environ.get("DOCKER_CONFIG") and login.is_file():
            environment.setdefault("REGISTRY_AUTH_FILE", str(login))
        return environment

    def _run(self, words: Sequence[str], watch: _Watch, name: str) -> bytes:
        program = required()
        trusting = () if any(path.expanduser().exists() for path in _POLICIES) else _TRUSTING
        with (
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
            subprocess.Popen(
                [program, *trusting, *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=self._environment(),
                start_new_session=True,
            ) as process,
        ):
            try:
                with watched(process):
                    stopped = watch.follow(process)
            except BaseException:
                process.kill()
                raise
            out.seek(0)
            err.seek(0)
            said = err.read().decode("utf-8", "replace")
            if stopped or process.returncode != 0:
                raise self._failed(watch.title, name, stopped or _message(said))
            return out.read()

    def _failed(self, title: str, name: str, words: str) -> ImageError | StoreError:
        if _NO_ROOM.search(words):
            return full(self.blobs.parent, words)
        return pull_failed(title, name, words)


_TRUSTING = ("--insecure-policy",)
"""Where no policy is written down, images are taken as they are, as Docker does."""


@dataclass(kw_only=True)
class _Watch:
    """Follows one skopeo: its pace by the bytes that came, and a line of progress now and then."""

    title: str
    say: Say
    layout: Path | None = None
    blobs: Path | None = None
    size: int = 0

    def follow(self, process: subprocess.Popen[bytes]) -> str:
        """Wait for its end; gives why it was not waited for any longer."""
        pace, said = Pace(_SILENCE), time.monotonic()
        started = self._here()
        while True:
            lifetime().check()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_LOOK_UP)
                return ""
            have = self._here() - started
            if self.layout is not None:
                pace.loaded(1 + have)
            if pace.is_trickle or pace.is_silent:
                process.kill()
                words = WHAT if pace.is_trickle else f"not a word for {pace.silence:.0f} s"
                return f"timed out: {words}"
            if have and time.monotonic() - said >= _EVERY:
                said = time.monotonic()
                whole = f" of {self.size // _MEGABYTE}" if self.size else ""
                self.say(f"{self.title}: pulled {have // _MEGABYTE}{whole} MB")

    def _here(self) -> int:
        """Bytes of layers, whole ones and half ones (skopeo writes them into the layout first)."""
        size = 0
        for folder, pattern in ((self.layout, "oci-put-blob*"), (self.blobs, "sha256/*")):
            for path in folder.glob(pattern) if folder is not None else ():
                with contextlib.suppress(OSError):
                    size += path.stat().st_size
        return size


def required() -> str:
    """The program; raises ImageError with the command that installs it."""
    found = shutil.which(PROGRAM)
    if found is None:
        raise ImageError(
            "skopeo is missing, which fetches images from registries for bubblewrap",
            remedy=install_command(PROGRAM),
        )
    return found


def digest_of(content: bytes) -> str:
    """The digest that a registry knows a manifest by."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def of_platform(manifest: bytes, arch: str) -> tuple[str, int]:
    """Of a manifest or a list of them: the digest for an architecture, and the size of its layers.

    The digest is empty if there is none for it; the size 0 where a list does not say it.
    """
    try:
        content: dict[str, Any] = json.loads(manifest)
        entries = content.get("manifests")
        if entries is None:
            layers = content.get("layers") or ()
            return digest_of(manifest), sum(int(layer["size"]) for layer in layers)
        fitting = [entry for entry in entries if _fits(entry.get("platform") or {}, arch)]
        return (str(fitting[0]["digest"]) if fitting else ""), 0
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ImageError("a manifest cannot be read", why=f"{type(error).__name__}: {error}") from error


def _fits(platform: Mapping[str, str], arch: str) -> bool:
    system, machine, *variant = PLATFORMS[arch].split("/")
    there = platform.get("os"), platform.get("architecture")
    return there == (system, machine) and (
        not variant or platform.get("variant", variant[0]) == variant[0]
    )


def _message(said: str) -> str:
    """What skopeo says of its failure, as a person reads it."""
    found = _MESSAGE.findall(said)
    if not found:
        return said.strip() or "skopeo said nothing"
    return str(json.loads(f'"{found[-1]}"', strict=False))
