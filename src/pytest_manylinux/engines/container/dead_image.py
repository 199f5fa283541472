"""Why no sandbox starts from an image: whether any command in it runs at all.

The C library of CentOS 5 and 6 (glibc 2.5 and 2.12; manylinux1 and manylinux2010) asks the time by
a page that the kernel maps into each process, the vsyscall page. A kernel without it (vsyscall=none)
ends every program of such an image by SIGSEGV before it has said a word.
"""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import docker
from docker.errors import APIError, DockerException

from pytest_manylinux.engines.container.leftovers import owner_labels, remove_container
from pytest_manylinux.errors import DeadImageError, SandboxError

_SIGNALS = range(129, 193)  # exit codes that mean 128 + a signal
_TIMEOUT = 60
VSYSCALL_CURE = "put vsyscall=emulate on the kernel's command line and restart the machine"


def has_vsyscall(maps: Path = Path("/proc/self/maps")) -> bool:
    """Whether this kernel gives programs the vsyscall page; only x86_64 ever had it."""
    try:
        return "[vsyscall]" in maps.read_text()
    except OSError:
        return False


def explained(
    error: SandboxError, client: docker.DockerClient, reference: str, name: str
) -> SandboxError:
    """The error to raise instead of `error`, which kept a sandbox from starting.

    A DeadImageError where `/bin/true` of the image is ended by a signal too; else `error` itself.
    """
    with contextlib.suppress(DockerException, OSError):
        code = _run_true(client, reference)
        if code in _SIGNALS:
            return dead_image(name, code - 128, vsyscall=has_vsyscall())
    return error


def dead_image(name: str, number: int, *, vsyscall: bool) -> DeadImageError:
    """The words for an image in which `/bin/true` was ended by signal `number`."""
    what = f"image {name} runs no command on this machine"
    seen = f"`/bin/true` in it was ended by {signal.Signals(number).name} (exit code {128 + number})"
    if number == signal.SIGSEGV and not vsyscall:
        why = f"{seen}: this kernel has no vsyscall page, which the glibc of CentOS 5 and 6 wants"
        return DeadImageError(what, why=why, remedy=VSYSCALL_CURE)
    return DeadImageError(
        what, why=seen, remedy="see that the image is whole and made for this processor"
    )


def _run_true(client: docker.DockerClient, reference: str) -> int:
    """The exit code of `/bin/true` in a container of the image; raises what the SDK does."""
    api = client.api
    settings = api.create_host_config(network_mode="none", cap_drop=["ALL"])
    labels = owner_labels("probe")
    container = api.create_container(
        reference, command=["/bin/true"], entrypoint=[], labels=labels, host_config=settings
    )["Id"]
    try:
        api.start(container)
        return int(api.wait(container, timeout=_TIMEOUT)["StatusCode"])
    finally:
        with contextlib.suppress(APIError):
            remove_container(api, container)
