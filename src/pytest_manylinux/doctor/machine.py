"""Probes of this machine: engines, what makes roots, the cache folder, the kernel."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from pytest_manylinux.cache.paths import CACHE_VARIABLE, cache_root
from pytest_manylinux.doctor.api import Area, Health, ProbeResult, one_line
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.engines.bubblewrap.cgroups import find_control_groups
from pytest_manylinux.engines.container.dead_image import VSYSCALL_CURE
from pytest_manylinux.engines.select import EngineName, select_engine
from pytest_manylinux.errors import EngineError, ImageError
from pytest_manylinux.host.architecture import (
    ARCHITECTURES,
    Emulation,
    Support,
    emulation_of,
    host_arch,
)
from pytest_manylinux.host.containment import SETTINGS, contained, forbidding_settings
from pytest_manylinux.host.subprocesses import install_command
from pytest_manylinux.images.apt import words_of
from pytest_manylinux.images.skopeo import PROGRAM
from pytest_manylinux.images.store import ImageStore
from pytest_manylinux.images.unpack import UNPACKER
from pytest_manylinux.images.user_namespace import Ids, ids_here
from pytest_manylinux.model.distro import ArchiveWay

_GIB = 1024**3
_LITTLE, _TOO_LITTLE = 5 * _GIB, _GIB  # bytes: four roots with caches; a single root
_ROOT_MAKERS = ("mmdebstrap", "setpriv", "unshare")
_PROGRAMS = {
    EngineName.BUBBLEWRAP: "bwrap",
    EngineName.DOCKER: "dockerd",
    EngineName.PODMAN: "podman",
}


def look_at_engine(
    name: EngineName, *, start: Callable[[str], Engine] = select_engine
) -> Iterator[ProbeResult]:
    """Whether an engine answers, and its version. One that does not is only lacking if others do."""
    try:
        engine = start(name.value)
    except EngineError as error:
        program = _PROGRAMS[name]
        absent = shutil.which(program, path=_search_path()) is None
        yield ProbeResult(
            area=Area.ENGINE,
            name=name.value,
            health=Health.BAD,
            says=one_line(error.why or error.what),
            remedy=install_command(program) if absent else error.remedy,
        )
        return
    try:
        says = f"{engine.version()}{_daemon(name)}"
    finally:
        engine.close()
    yield ProbeResult(area=Area.ENGINE, name=name.value, health=Health.GOOD, says=says)


def _daemon(name: EngineName) -> str:
    """Which daemon a container engine's program talks to, if the environment names one."""
    variable = {EngineName.DOCKER: "DOCKER_HOST", EngineName.PODMAN: "CONTAINER_HOST"}.get(name, "")
    return f" at {os.environ[variable]}" if variable and os.environ.get(variable) else ""


def _search_path() -> str:
    """Where programs are looked for; an ordinary user's PATH often lacks those of the system."""
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


def look_at_root_makers() -> Iterator[ProbeResult]:
    """What makes Debian's roots from an archive, without a registry."""
    programs = _ROOT_MAKERS if os.geteuid() == 0 else (*_ROOT_MAKERS, "newuidmap")
    missing = [one for one in programs if shutil.which(one, path=_search_path()) is None]
    if not missing:
        yield _make_nothing()
    for program in missing:
        yield ProbeResult(
            area=Area.IMAGES,
            name="from the archive",
            health=Health.BAD,
            says=f"{program} is missing, which making a root takes",
            remedy=install_command(program),
        )


def look_at_image_tools() -> Iterator[ProbeResult]:
    """What takes images of registries, and of files, without a container engine."""
    name = "of registries, without a daemon"
    missing = [one for one in (PROGRAM, UNPACKER) if shutil.which(one, path=_search_path()) is None]
    for program in missing:
        yield ProbeResult(
            area=Area.IMAGES,
            name=name,
            health=Health.LACKING,
            says=f"{program} is missing, without which bubblewrap has no images of registries",
            remedy=install_command(program),
        )
    if not missing and ids_here() is not Ids.ONE:
        yield _good(Area.IMAGES, name, "skopeo and bsdtar are here")
    elif not missing:
        user = pwd.getpwuid(os.geteuid()).pw_name
        yield ProbeResult(
            area=Area.IMAGES,
            name=name,
            health=Health.LACKING,
            says="skopeo and bsdtar are here; with one id, packages with files of other owners than "
            "root cannot be installed into images",
            remedy=f"{install_command('newuidmap')}; "
            f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}",
        )


def _make_nothing() -> ProbeResult:
    """Whether a root could be made: an ordinary user needs subordinate ids and user namespaces."""
    name = "from the archive"
    try:
        contained(())
    except ImageError as error:
        says = ": ".join(filter(None, (error.what, one_line(error.why))))
        return ProbeResult(
            area=Area.IMAGES, name=name, health=Health.BAD, says=says, remedy=error.remedy
        )
    return _good(Area.IMAGES, name, "mmdebstrap is here")


def look_at_roots(store: ImageStore | None = None) -> Iterator[ProbeResult]:
    """The roots here that were made by another way than from all suites, and why."""
    for stored in (store or ImageStore()).images():
        recipe, lacking = stored.record.recipe, stored.record.lacking
        if recipe.way is ArchiveWay.ALL_SUITES:
            continue
        why = f"; lacking was {lacking}" if lacking else ""
        yield ProbeResult(
            area=Area.CACHE,
            name=f"root {stored.record.name} {recipe.arch}",
            health=Health.LACKING,
            says=f"made from {words_of(recipe.way)}{why}",
            remedy="`pytest-manylinux cache prune --all` has roots made again",
        )


def look_at_cache(root: Path | None = None) -> Iterator[ProbeResult]:
    """Whether the cache folder can be written, and what room there is."""
    folder = cache_root() if root is None else root
    there = next(path for path in (folder, *folder.parents) if path.exists())
    another = f"name another folder in {CACHE_VARIABLE}"
    if not os.access(there, os.W_OK | os.X_OK):
        yield ProbeResult(
            area=Area.CACHE,
            name="folder",
            health=Health.BAD,
            says=f"{folder} cannot be written",
            remedy=another,
        )
        return
    free = shutil.disk_usage(there).free
    says = f"{free / _GIB:.1f} GiB free in {folder}"
    if free >= _LITTLE:
        yield _good(Area.CACHE, "folder", says)
        return
    health = Health.BAD if free < _TOO_LITTLE else Health.LACKING
    cure = f"pytest-manylinux cache prune --older-than 30; or {another}"
    yield ProbeResult(area=Area.CACHE, name="folder", health=health, says=says, remedy=cure)


def look_at_user_namespaces(settings: Path = SETTINGS) -> Iterator[ProbeResult]:
    """Kernel settings that forbid sandboxes without a daemon."""
    forbids = list(forbidding_settings(settings))
    for name, value, cure in forbids:
        yield _lacking("user namespaces", f"{name} is {value}", cure)
    if not forbids:
        yield _good(Area.KERNEL, "user namespaces", "allowed")


def look_at_call_filter(*, here: bool) -> Iterator[ProbeResult]:
    """Whether the kernel filters system calls, which bubblewrap's sandboxes use where it does."""
    if here:
        yield _good(Area.KERNEL, "system call filter", "there, which bubblewrap's sandboxes use")
    else:
        says = "none: code in bubblewrap's sandboxes may make every call that a user may"
        cure = "a kernel with CONFIG_SECCOMP_FILTER"
        yield _lacking("system call filter", says, cure)


def look_at_vsyscall(*, here: bool) -> Iterator[ProbeResult]:
    """Whether the images of manylinux1 and manylinux2010 can run (`here`: the kernel has the page)."""
    if here:
        yield _good(Area.KERNEL, "vsyscall", "there, which images of CentOS 5 and 6 want")
    else:
        says = "not there: no command runs in the official images of manylinux1 and manylinux2010"
        yield _lacking("vsyscall", says, f"{VSYSCALL_CURE}, or set builder = zig")


def look_at_foreign(ask: Callable[[str], Emulation] = emulation_of) -> Iterator[ProbeResult]:
    """How programs of each other architecture run here: natively, under which qemu, or what to do."""
    for arch in ARCHITECTURES:
        if arch == host_arch():
            continue
        found, name = ask(arch), f"architecture {arch}"
        match found.support:
            case Support.NATIVE:
                yield _good(Area.KERNEL, name, "native: this processor runs it too")
            case Support.REGISTERED:
                yield _good(Area.KERNEL, name, f"emulated by {found.emulator}, as the machine has it")
            case Support.NAMESPACE:
                says = f"emulated by {found.emulator}, which only the engine bubblewrap can use"
                yield _good(Area.KERNEL, name, says)
            case Support.MISSING:
                yield _lacking(name, found.missing, found.remedy)


def look_at_control_groups(proc: Path = Path("/proc")) -> Iterator[ProbeResult]:
    """How bubblewrap's sandboxes are kept within memory and processes."""
    groups = find_control_groups(proc)
    if groups is not None:
        yield _good(Area.KERNEL, "control groups", f"version {groups.version}, which we may use")
    else:
        says = "none that we may use: bubblewrap limits each process by itself"
        yield _lacking("control groups", says, "run as root or in a delegated group, or use docker")


def _good(area: Area, name: str, says: str) -> ProbeResult:
    return ProbeResult(area=area, name=name, health=Health.GOOD, says=says)


def _lacking(name: str, says: str, remedy: str) -> ProbeResult:
    return ProbeResult(area=Area.KERNEL, name=name, health=Health.LACKING, says=says, remedy=remedy)


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
