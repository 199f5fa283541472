"""Sandboxes by Docker and by Podman, through the one API that both speak.

A container lives as long as the standard input of its first process: that is a connection which
our process holds open, and which the kernel closes when we die. The daemon then removes the
container. What an unlucky moment leaves behind all the same (a container made but not started) is
found by its labels and removed at the next start; containers that are not ours are never touched.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import secrets
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import docker
from docker.errors import APIError, ImageNotFound, NotFound
from docker.types import HostConfig, LogConfig
from docker.types import Mount as Bind

from pytest_manylinux.cache.locks import in_turn
from pytest_manylinux.cache.paths import cache_root
from pytest_manylinux.engines.api import INBOX, SCRATCH, SandboxSpec
from pytest_manylinux.engines.container.connection import (
    PodmanService,
    connect_docker,
    connect_podman,
    speaking_to,
)
from pytest_manylinux.engines.container.dead_image import explained
from pytest_manylinux.engines.container.leftovers import (
    LABEL,
    owner_is_gone,
    owner_labels,
    remove_container,
    ulimits,
)
from pytest_manylinux.engines.container.sandbox import HOLDER, ContainerSandbox, first_process
from pytest_manylinux.engines.environment import SHARED_MEMORY, USER, check_mounts, user_database
from pytest_manylinux.engines.preloaded import (
    Inputs,
    PreloadedProcess,
    after,
    isolation_of_runs,
    preloaded_argv,
)
from pytest_manylinux.engines.seccomp import profile_of_preloaded
from pytest_manylinux.engines.transfer import pack_root
from pytest_manylinux.errors import EngineError, SandboxError
from pytest_manylinux.host.architecture import Support, emulation_of
from pytest_manylinux.host.tempdirs import Staging
from pytest_manylinux.model.distro import Image

REPOSITORY = "localhost/pytest-manylinux"
"""Our images' name in a container engine. `localhost` keeps Podman from looking for a registry."""

_LONGEST = 64  # characters of a name; the whole may have 255
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
    reference = imported_name(image)
    if not _has(client, reference):
        with _alone(reference):
            if not _has(client, reference):  # meanwhile another process may have imported it
                _import(client, Path(image.root), reference)
    return reference


def _has(client: docker.DockerClient, reference: str) -> bool:
    try:
        client.images.get(reference)
    except ImageNotFound:
        return False
    return True


@contextlib.contextmanager
def _alone(reference: str) -> Iterator[None]:
    """No other process that has our cache imports the same root; without a cache, any may."""
    folder = cache_root() / "locks"
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            name = hashlib.sha256(reference.encode()).hexdigest()[:32]
            stack.enter_context(in_turn(folder / f"import-{name}.lock"))
        yield


def imported_name(image: Image) -> str:
    """What a root in a folder is called in an engine once it is imported: by digest and architecture.

    A digest may be that of a list of images, which has one for each architecture. The rest is for
    people: the first word of the image's name, as the grammar of github.com/distribution/reference
    has parts of paths.
    """
    word = re.sub(r"[^a-z0-9]+", "-", image.name.partition(" ")[0].lower())[:_LONGEST].strip("-")
    tag = re.sub(r"[^\w.-]", "-", image.digest)[:128]
    return f"{REPOSITORY}/{word or 'root'}-{image.arch.replace('_', '-')}:{tag}"


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


_SILENCE = 120.0  # seconds after which a daemon that did not answer is asked again


@dataclass(frozen=True, slots=True)
class _User:
    """Who a container's commands are: `keep` maps that id to the same one on the host (Podman)."""

    uid: int
    gid: int
    keep: bool = False

    def __str__(self) -> str:
        return f"{self.uid}:{self.gid}"


class ContainerEngine:
    """Makes sandboxes as containers. Leftovers of killed runs are removed when one is made."""

    caution = ""  # the daemon has a filter of its own, and says itself where it has none

    def __init__(
        self, name: str, client: docker.DockerClient, service: PodmanService | None = None
    ) -> None:
        self.name = name
        self._client = client
        self._service = service
        self._names = service.name if service else f"pytest-manylinux-{os.getpid()}"
        self._lock = threading.Lock()
        self._sandboxes: set[ContainerSandbox] = set()
        self._silent: tuple[float, EngineError] | None = None
        self._closed = False
        self._user_files: dict[tuple[str, _User], list[Bind]] = {}
        with speaking_to(name, "asking what it is"):
            about = client.info()  # asked once: Podman takes half a second for it
            self._version = str(about["ServerVersion"])
            options = about.get("SecurityOptions") or []
            self._rootless = any("rootless" in option for option in options)
            self._apparmor = any("apparmor" in option for option in options)
            self._sweep()
        self._staging = Staging()

    def version(self) -> str:
        """The version of the engine's daemon, such as `20.10.24`."""
        return self._version

    @property
    def api(self) -> docker.APIClient:
        """The daemon's API, for pulling and making images."""
        return self._client.api

    def _sweep(self) -> None:
        for container in self._client.api.containers(all=True, filters={"label": LABEL}):
            if owner_is_gone(container["Labels"]):
                with contextlib.suppress(APIError):  # what cannot be removed now is tried again
                    remove_container(self._client.api, container["Id"])

    def open(self, spec: SandboxSpec) -> ContainerSandbox:
        """Start a container from `spec.image`, importing its root first if that was never done."""
        _check_runs(spec.image.arch)
        return self._open(spec, HOLDER)

    def preload(
        self,
        spec: SandboxSpec,
        interpreter: str,
        code: str,
        *,
        setup: str = "",
        inbox: PurePosixPath = INBOX,
        max_runs: int | None = None,
    ) -> PreloadedProcess:
        """Start a preloaded process, a container's first; see `engines.api.PreloadingEngine`.

        None that runs more than once where AppArmor confines containers: its profile refuses mounts,
        and is not taken away.
        """
        single = max_runs == 1
        if self._apparmor and not single:
            raise SandboxError(
                "no preloaded process is started for more than one run",
                why="AppArmor keeps containers from mounting",
            )
        folder, readable = self._staging.subfolder(), self._staging.readable
        inputs = Inputs(spec, folder, inbox=inbox if single else None, readable=readable)
        isolation = isolation_of_runs(max_runs, superuser=True)
        argv = after(setup, preloaded_argv(interpreter, code, spec.limits, isolation, max_runs))
        try:
            shown = replace(spec, mounts=inputs.mounts)
            sandbox = self._open(shown, first_process(argv), nested=not single)
            sandbox.become(spec.image.name)
        except BaseException:
            inputs.remove()
            raise
        return PreloadedProcess(sandbox, inputs, max_runs=max_runs)

    def _open(
        self, spec: SandboxSpec, command: Sequence[str], *, nested: bool = False
    ) -> ContainerSandbox:
        check_mounts((*spec.mounts, *spec.caches))
        user = self._user(spec)
        with self._listening(), speaking_to(self.name, f"starting a sandbox from {spec.image.name}"):
            with self._lock:
                reference = reference_of(self._client, spec.image)
                binds = [*self._describe_user(reference, user), *self._binds(spec, user)]
            container = self._client.api.create_container(
                reference,
                command=list(command),
                entrypoint=[],
                name=f"{self._names}-{secrets.token_hex(6)}",
                hostname=spec.hostname,
                user=str(user),
                stdin_open=True,
                working_dir="/",
                labels=owner_labels(spec.label),
                host_config=self._host_config(spec, user, binds) | self._rights(nested=nested),
            )
            sandbox = self._started(container["Id"], reference, spec)
        with self._lock:
            self._sandboxes.add(sandbox)
        return sandbox

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """Ask nothing of a daemon that lately kept silent: each question would take its full time."""
        if self._closed:
            raise EngineError("no sandbox is started any more", why="the run has ended")
        if self._silent is not None and time.monotonic() < self._silent[0]:
            raise self._silent[1]
        try:
            yield
        except SandboxError:
            raise
        except EngineError as error:
            self.gave_up(error)
            raise

    def gave_up(self, error: EngineError) -> None:
        """Take note that the daemon did not answer somebody."""
        self._silent = (time.monotonic() + _SILENCE, error)

    def _started(self, container: str, reference: str, spec: SandboxSpec) -> ContainerSandbox:
        try:
            return ContainerSandbox(
                self.name, self._client, container, spec, forget=self._forget, gave_up=self.gave_up
            )
        except SandboxError as error:
            raise explained(error, self._client, reference, spec.image.name) from error

    def _user(self, spec: SandboxSpec) -> _User:
        """Somebody without rights who can read the inputs, and write what the caller may write.

        A caller's own files are the caller's; the superuser's become readable to all (Staging),
        but a cache stays the superuser's, who has no capabilities inside.
        """
        uid, gid = os.geteuid(), os.getegid()
        if self._rootless:
            return _User(uid, gid, keep=True) if self.name == "podman" else _User(0, 0)
        if uid == 0:
            return _User(0, 0) if spec.caches else _User(USER, USER)
        return _User(uid, gid)

    def _describe_user(self, reference: str, user: _User) -> list[Bind]:
        """Binds of /etc/passwd and /etc/group, those of the image with our user in them."""
        if (reference, user) not in self._user_files:
            tables = [
                read_file(self._client, reference, f"/etc/{name}") for name in ("passwd", "group")
            ]
            files = user_database(*tables, uid=user.uid, gid=user.gid)
            self._user_files[reference, user] = [
                Bind(target, str(self._staging.file(text)), type="bind", read_only=True)
                for target, text in files.items()
            ]
        return self._user_files[reference, user]

    def _binds(self, spec: SandboxSpec, user: _User) -> list[Bind]:
        stranger = os.geteuid() == 0 and user.uid != 0
        binds = []
        for mount in spec.mounts:
            source = mount.source.resolve()
            source = self._staging.readable(source) if stranger else source
            binds.append(Bind(str(mount.target), str(source), type="bind", read_only=True))
        binds += [
            Bind(str(cache.target), str(cache.source.resolve()), type="bind") for cache in spec.caches
        ]
        return binds

    def _host_config(self, spec: SandboxSpec, user: _User, binds: list[Bind]) -> HostConfig:
        # Podman knows no owner for a tmpfs, so both are for everyone.
        half = f"rw,exec,nosuid,nodev,size={spec.limits.scratch // 2},mode=1777"
        return self._client.api.create_host_config(
            auto_remove=True,
            read_only=True,
            tmpfs={"/tmp": half, str(SCRATCH): half},  # noqa: S108 - the sandbox's own
            mounts=binds,
            network_mode="host" if spec.network else "none",
            ipc_mode="private",
            userns_mode="keep-id" if user.keep else None,
            # Podman gives it to commands, and to the first process only when asked.
            group_add=[user.gid] if self.name == "podman" else None,
            cap_drop=["ALL"],
            mem_limit=spec.limits.memory,
            memswap_limit=spec.limits.memory,
            pids_limit=spec.limits.processes,
            shm_size=SHARED_MEMORY,
            ulimits=list(ulimits()),
            log_config=LogConfig(type="none"),
        )

    def _rights(self, *, nested: bool) -> dict[str, object]:
        """What of a host configuration says how far the kernel lets a container's code go.

        `nested` is for a preloaded process of several runs: without capabilities too, but it may make
        namespaces, and a new /proc, which the kernel gives only to those who see all of theirs
        (mount_namespaces(7)).
        """
        options = ["no-new-privileges"]
        if not nested:
            return {"SecurityOpt": options}
        if self.name == "podman":  # its own profile lets namespaces be made
            return {"SecurityOpt": [*options, "unmask=ALL"]}
        options.append("seccomp=" + json.dumps(profile_of_preloaded()))
        return {"SecurityOpt": options, "MaskedPaths": [], "ReadonlyPaths": []}

    def _forget(self, sandbox: ContainerSandbox) -> None:
        with self._lock:
            self._sandboxes.discard(sandbox)

    def close(self) -> None:
        """Close all sandboxes that are still open, and Podman's service if it is ours.

        None is started any more.
        """
        self._closed = True
        for sandbox in tuple(self._sandboxes):
            sandbox.close()
        self._staging.close()
        self._client.close()
        if self._service is not None:
            self._service.close()


def _check_runs(arch: str) -> None:
    """Raise EngineError for an architecture that containers on this machine cannot run.

    An emulator that we register in a namespace of our own is not the daemon's.
    """
    found = emulation_of(arch)
    if found.support in {Support.NAMESPACE, Support.MISSING}:
        raise EngineError(
            f"containers of {arch} do not run on this machine",
            why=found.missing or "qemu is here, but not registered for the whole machine",
            remedy=found.remedy or "install the package binfmt-support, or use the engine bubblewrap",
        )


def open_docker() -> ContainerEngine:
    """The engine docker; raises EngineError if no daemon answers."""
    return ContainerEngine("docker", connect_docker())


def open_podman() -> ContainerEngine:
    """The engine podman; raises EngineError if its API can be had nowhere."""
    client, service = connect_podman()
    try:
        return ContainerEngine("podman", client, service)
    except BaseException:
        if service is not None:
            service.close()
        raise
