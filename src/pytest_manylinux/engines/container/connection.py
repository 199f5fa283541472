"""Connections to Docker's and Podman's API, which is the same one."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import urllib3
from docker.constants import DEFAULT_DOCKER_API_VERSION
from docker.context import ContextAPI
from docker.context.config import get_current_context_name
from docker.errors import APIError, DockerException, NotFound
from docker.utils import kwargs_from_env

from pytest_manylinux.errors import EngineError, SandboxError
from pytest_manylinux.host.containment import SETTINGS, allowing_namespaces, forbidding_all
from pytest_manylinux.host.shutdown import Tether

TIMEOUT = 60
"""Seconds that a daemon may take for any one answer; none of ours takes it long."""

_DEFAULT_SOCKET = "unix:///var/run/docker.sock"
_LIST = "see `docker context ls`"
_SERVICE_START = 60.0
_LONGEST_SOCKET = 107  # bytes of a path that can be bound: unix(7)
_SOCKET = "podman.sock"
# It starts in its own folder: its monitor of a command that runs out of memory leaves a file `oom`
# where the service was started, which else is the user's project.
# An image that it is handed stays in its temporary folder, as a file `api_load.tar…` (4.3): so that is
# one of its own, where its usual one is.
_START = """
folder=$1; shift
cd "$folder"
scratch=$(mktemp -d "${TMPDIR:-/var/tmp}/pytest-manylinux-podman-XXXXXXXX") || scratch=$folder
export TMPDIR="$scratch"
{ "$@" >"$folder/log" 2>&1 </dev/null; : >"$folder/ended"; } &
"""
# An ordinary user's service is two processes, of which the second outlives the first: the whole group
# is ended. One that was stopped, or does not listen, is not waited for long. That it is gone at some
# point of this is no news for the user's terminal.
# Podman keeps two monitors for each finished command, for five minutes, after the container too. They
# are told by the container's name; those of containers themselves remain, which remove them.
_STOP = """
exec 2>/dev/null
monitors() {
    all=
    for file in /proc/[0-9]*/comm; do
        read -r program <$file && [ "$program" = conmon ] && all="$all ${file%comm}cmdline"
    done
    own=${all:+$(grep -lF -e "${folder##*/}-" $all)}
    for file in ${own:+$(grep -lF -e --exec-process-spec $own)}; do
        file=${file#/proc/}; echo ${file%/cmdline}
    done
}
others() {
    for file in /proc/[0-9]*/stat; do
        read -r line <$file || continue
        [ "${line%% *}" = $$ ] && continue
        set -- ${line##*) }
        [ "$3" = $$ ] && [ "$1" != Z ] && return 0
    done
    return 1
}
trap '' TERM
kill 0; kill -CONT 0; left=100
while [ $left -gt 0 ] && others; do
    sleep 0.1; left=$((left - 1))
done
left=10
while [ $left -gt 0 ] && found=$(monitors) && [ -n "$found" ]; do
    kill -KILL $found; left=$((left - 1))
done
rm -rf "$folder" "$scratch"
kill -KILL 0
"""
_LOGGED = re.compile(r'time="[^"]*" level=(?P<level>\w+) msg=(?P<words>"(?:[^"\\]|\\.)*"|\S+)')


@contextlib.contextmanager
def speaking_to(name: str, doing: str) -> Iterator[None]:
    """Turn the SDK's errors into ours: SandboxError if it refused, EngineError if it is gone."""
    try:
        yield
    except NotFound as error:
        raise SandboxError(f"{name}: {doing}: gone", why=_words(error)) from error
    except APIError as error:
        raise SandboxError(f"{name} refused: {doing}", why=_words(error)) from error
    except (DockerException, OSError, urllib3.exceptions.HTTPError) as error:
        raise EngineError(
            f"{name} does not answer any more ({doing})",
            why=_words(error),
            remedy=f"see that the daemon of {name} runs, then run again",
        ) from error


def _words(error: Exception) -> str:
    return str(getattr(error, "explanation", None) or error)


def connect_docker() -> docker.DockerClient:
    """A client for the Docker daemon that `docker` itself would use.

    DOCKER_HOST with its TLS settings, then DOCKER_CONTEXT, then the current context of Docker's
    configuration, then the default socket. Raises EngineError if that daemon does not answer.
    """
    try:
        here = os.environ.get("DOCKER_HOST")
        settings: dict[str, Any] = {**kwargs_from_env()} if here else _of_context()
        _knock(str(settings.get("base_url", _DEFAULT_SOCKET)))
        return _secured(settings) if "tls" in settings else _plain(settings)
    except (DockerException, OSError, ValueError) as error:
        raise EngineError(
            "engine docker does not answer on this machine",
            why=_words(error),
            remedy="start the Docker daemon, or set DOCKER_HOST or a context, and see that "
            "`docker version` works for this user",
        ) from error


def _plain(settings: dict[str, Any]) -> docker.DockerClient:
    return docker.DockerClient(timeout=TIMEOUT, version="auto", **settings)


def _secured(settings: dict[str, Any]) -> docker.DockerClient:
    """With the daemon's own authority: `requests` would prefer REQUESTS_CA_BUNDLE to it."""
    client = docker.DockerClient(timeout=TIMEOUT, version=DEFAULT_DOCKER_API_VERSION, **settings)
    try:
        api: Any = client.api
        api.trust_env = False
        api._version = api._retrieve_server_version()  # noqa: SLF001 - what "auto" does
    except BaseException:
        client.close()
        raise
    return client


def _of_context() -> dict[str, Any]:
    """The SDK's settings for the context that `docker` would use; it takes a missing one for none."""
    named = os.environ.get("DOCKER_CONTEXT")
    name = named or get_current_context_name()
    where = "DOCKER_CONTEXT names it" if named else "Docker's configuration has it as the current one"
    try:
        context = ContextAPI.get_context(name)
    except Exception as error:  # the SDK raises just this for a damaged file
        what = f"Docker's context {name!r} cannot be read"
        raise EngineError(what, why=str(error), remedy=_LIST) from error
    if context is None:
        raise EngineError(f"Docker has no context {name!r}", why=where, remedy=_LIST)
    return dict(ContextAPI.kwargs_from_context(name))


class PodmanService:
    """Podman's API service, ours for the run. It ends with its owner, however that dies."""

    def __init__(self, program: str) -> None:
        self._folder = _socket_folder()
        self.address = f"unix://{self._folder}/{_SOCKET}"
        command = (str(Path(program).absolute()), "system", "service", "--time=0", self.address)
        self._tether = Tether(str(self._folder), *command, before=_START, after=_STOP)

    @property
    def name(self) -> str:
        """What names of its containers begin with, so that it finds what is left of them."""
        return self._folder.name

    def words(self) -> str:
        """What the service has said, its warnings left out unless that is all."""
        with contextlib.suppress(OSError):
            return told((self._folder / "log").read_text(errors="replace"))
        return ""

    def has_ended(self) -> bool:
        """Whether it has ended by itself."""
        return (self._folder / "ended").exists()

    def close(self) -> None:
        """End the service and remove its folder."""
        self._tether.close()


def _socket_folder() -> Path:
    """A new folder for a socket: a temporary one, unless a socket's path would be too long there."""
    usual = tempfile.gettempdir()
    for parent in (usual, os.environ.get("XDG_RUNTIME_DIR"), "/tmp", "/var/tmp"):  # noqa: S108
        if parent and os.access(parent, os.W_OK | os.X_OK):
            folder = Path(tempfile.mkdtemp(prefix="pytest-manylinux-podman-", dir=parent))
            if len(os.fsencode(folder / _SOCKET)) <= _LONGEST_SOCKET:
                return folder
            folder.rmdir()
    raise EngineError(
        "there is no place for the socket of Podman's API service",
        why=f"its path may have {_LONGEST_SOCKET} bytes, and would have more below {usual}",
        remedy="set TMPDIR to a folder with a shorter path",
    )


def told(log: str) -> str:
    """What Podman's log says, as plain sentences; warnings only where there is nothing else."""
    grave: list[str] = []
    rest: list[str] = []
    for line in filter(None, map(str.strip, log.splitlines())):
        match = _LOGGED.match(line)
        words = (
            match["words"].removeprefix('"').removesuffix('"').replace('\\"', '"') if match else line
        )
        (rest if match and match["level"] in {"debug", "info", "warning"} else grave).append(words)
    return "\n".join(grave or rest)


def connect_podman(settings: Path = SETTINGS) -> tuple[docker.DockerClient, PodmanService | None]:
    """A client for Podman's API: CONTAINER_HOST, the usual sockets, else a service of our own.

    Raises EngineError if none answers.
    """
    for address in _podman_addresses():
        with contextlib.suppress(DockerException, OSError):
            return _client(address), None
    program = shutil.which("podman")
    if program is None:
        raise EngineError(
            "engine podman is not on this machine",
            why="no socket of Podman answers, and there is no program `podman` on PATH",
            remedy="install podman, or start its API: systemctl --user start podman.socket",
        )
    _see_that_it_can_start(settings)
    service = PodmanService(program)
    try:
        return _wait_for(service, settings), service
    except BaseException:
        service.close()
        raise


def _see_that_it_can_start(settings: Path) -> None:
    """Raise EngineError if it cannot, which leaves files in the user's home when it is tried."""
    if os.geteuid() != 0 and (forbidden := forbidding_all(settings)):
        raise EngineError(
            "Podman's API service cannot start",
            why=f"an ordinary user's containers take user namespaces, and the kernel's {forbidden[0]}",
            remedy=forbidden[1],
        )


def _podman_addresses() -> Iterator[str]:
    if address := os.environ.get("CONTAINER_HOST"):
        yield address
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}")
    for path in (Path(runtime, "podman/podman.sock"), Path("/run/podman/podman.sock")):
        if os.access(path, os.W_OK):
            yield f"unix://{path}"


def _knock(address: str) -> None:
    """Raise OSError if nobody listens on a local socket: the SDK would leave its own end open."""
    kind, _, path = address.partition("://")
    if kind == "unix":
        with socket.socket(socket.AF_UNIX) as ours:
            ours.settimeout(TIMEOUT)
            try:
                ours.connect(path)
            except OSError as error:
                raise OSError(f"nobody answers at {path}: {error.strerror or error}") from error


def _client(address: str) -> docker.DockerClient:
    """A client that speaks the version in the answer to a ping, as `docker` does.

    The SDK's own way, "auto", asks for all versions: Podman (4.3) then has dpkg-query or rpm look for
    the packages of its programs, which takes half a second of processor time.
    """
    _knock(address)
    first = docker.DockerClient(base_url=address, timeout=TIMEOUT, version=DEFAULT_DOCKER_API_VERSION)
    with contextlib.closing(first):
        pong = first.api.get(f"{first.api.base_url}/_ping", timeout=TIMEOUT)
        pong.raise_for_status()
    version = pong.headers.get("Api-Version", "auto")
    return docker.DockerClient(base_url=address, timeout=TIMEOUT, version=version)


def _wait_for(service: PodmanService, settings: Path) -> docker.DockerClient:
    end = time.monotonic() + _SERVICE_START
    while True:
        try:
            return _client(service.address)
        except (DockerException, OSError) as error:
            if service.has_ended() or time.monotonic() > end:
                raise EngineError(
                    "Podman's API service does not start",
                    why=service.words() or _words(error),
                    remedy=allowing_namespaces(settings)
                    or "see that `podman info` works for this user",
                ) from error
        time.sleep(0.1)
