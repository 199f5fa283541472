"""Make a Debian root with mmdebstrap, watched, bounded, and gone if we are."""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_manylinux.cache.directories import remove_tree
from pytest_manylinux.engines.seccomp import no_sync_program
from pytest_manylinux.errors import EngineError, ImageError
from pytest_manylinux.host.architecture import emulation_of, registering
from pytest_manylinux.host.containment import contained
from pytest_manylinux.host.shutdown import watched
from pytest_manylinux.host.subprocesses import install_command
from pytest_manylinux.images.apt import DEBIAN_ARCHITECTURES
from pytest_manylinux.images.configure_main import FAILED as CONFIGURE_FAILED
from pytest_manylinux.images.fetch_main import FAILED as FETCH_FAILED
from pytest_manylinux.images.image_progress import WHAT, Pace
from pytest_manylinux.images.no_fsync import without_fsync
from pytest_manylinux.images.recipe import MUSL, MUSL_SOURCES, MUSL_TOOLS, UNPACKED, Recipe
from pytest_manylinux.model.packages import PackageManager, check_names

_APT = PackageManager.APT
_HOOKS = Path(__file__).with_name("hooks")
_MERGED_USR = Path("/usr/share/mmdebstrap/hooks/merged-usr")
_MERGE_USR = _MERGED_USR / "setup00.sh"
_UNPACK = Path(__file__).with_name("unpack_main.py")
_FETCH = Path(__file__).with_name("fetch_main.py")
_CONFIGURE = Path(__file__).with_name("configure_main.py")
# What minbase is, as apt's patterns (apt-patterns(7)): mmdebstrap has no name for it when it unpacks.
_BASE_SYSTEM = ("?essential", "?priority(required)", "apt")
# Suites whose official images have /bin beside /usr/bin; later ones are merged by packages' scripts.
_SPLIT_USR = ("buster", "bullseye")
_SILENCE = 900.0
"""Seconds without a word after which a making counts as hung."""
_LOOK_UP = 5.0
"""Seconds between two looks at what was downloaded."""
_AT_WORK = 60.0
"""Seconds since its last byte within which a file counts as being downloaded."""
_KEPT = 400
"""Lines of output kept for finding the decisive one."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSED_ON = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
# The files of subordinate ids become the user's own, who must be able to read and remove them.
_RUN = 'mmdebstrap "$@" && { [ -z "$PM_OWN" ] || chown --no-dereference --recursive 0:0 "$PM_OWN"; }'


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """One run of mmdebstrap. `folder` gets root/ and log; `base` is the root to grow, if any.

    With `at_one_go`, packages are installed by fetch_main.py and configure_main.py, where that can be;
    by mmdebstrap's own steps otherwise, and where that fails. The root is the same.
    """

    recipe: Recipe
    sources: tuple[str, ...]
    transport: str
    check_valid_until: bool
    folder: Path
    apt_cache: Path
    base: Path | None = None
    at_one_go: bool = True


class MmdebstrapFailedError(Exception):
    """mmdebstrap ended with an error; `lines` are the last of its output."""

    def __init__(self, lines: tuple[str, ...]) -> None:
        super().__init__(lines[-1] if lines else "")
        self.lines = lines


def run_mmdebstrap(making: Making, listener: Callable[[str], None]) -> None:
    """Make the root; `listener` gets each line of output.

    Raises ImageError if mmdebstrap is missing or hangs, MmdebstrapFailedError if it fails, UsageError
    for a package that is not a package's name.
    """
    if shutil.which("mmdebstrap") is None:
        raise ImageError(
            "mmdebstrap is missing, which makes Debian roots", remedy=install_command("mmdebstrap")
        )
    _prepare(making)
    try:
        _run(making, listener)
    except MmdebstrapFailedError as error:
        if not any(line.startswith((FETCH_FAILED, CONFIGURE_FAILED)) for line in error.lines):
            raise
        remove_tree(making.folder / "root")
        _run(replace(making, at_one_go=False), listener)
    if making.recipe.variant == MUSL:
        _keep_what_was_built(making.folder)


def _run(making: Making, listener: Callable[[str], None]) -> None:
    with (
        (making.folder / "log").open("a", encoding="utf-8") as log,
        contextlib.closing(_output(making)) as lines,
    ):
        for line in lines:
            log.write(line + "\n")
            listener(line)


def _keep_what_was_built(folder: Path) -> None:
    """Have the root that was built in the place of the one that it was built in."""
    (folder / "root" / "musl-root").rename(folder / "built")
    remove_tree(folder / "root")
    (folder / "built").rename(folder / "root")


def _output(making: Making) -> Generator[str, None, None]:
    """The lines of a run as they come; raises MmdebstrapFailedError after the last of a bad one."""
    with subprocess.Popen(
        contained(_command(making)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_environment(making),
        cwd=making.folder,
        start_new_session=True,
    ) as process:
        kept: deque[str] = deque(maxlen=_KEPT)
        try:
            with watched(process):
                for line in _lines(process, lambda: _loading(making.apt_cache)):
                    kept.append(line)
                    yield line
                code = process.wait()
        except BaseException:
            # An interrupt, or an error of whoever listens: nothing may go on without us.
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if code != 0:
        raise MmdebstrapFailedError(tuple(kept))


def _command(making: Making) -> tuple[str, ...]:
    """What makes the root; slower, but no different, without libseccomp."""
    argv = ("sh", "-c", _RUN, "sh", *_arguments(making))
    try:
        return without_fsync(no_sync_program(), argv)
    except EngineError:
        return argv


def _prepare(making: Making) -> None:
    (making.folder / "apt.conf").write_text(making.transport, "utf-8")
    (making.folder / "tmp").mkdir()
    making.apt_cache.mkdir(parents=True, exist_ok=True)


def _hook(name: str) -> str:
    """A shell line as mmdebstrap wants it: it gives the root as `$1`."""
    return f'sh {shlex.quote(str(_HOOKS / name))} "$1"'


def _arguments(making: Making) -> Iterator[str]:
    recipe = making.recipe
    # A comma or a leading `?`, `~` or `/` would mean something to mmdebstrap: no name has one.
    packages = check_names(recipe.packages, where=f"packages of {recipe.distro}", manager=_APT)
    yield from ("--verbose", "--mode=root", "--format=directory", "--dpkgopt=force-unsafe-io")
    yield f"--architectures={DEBIAN_ARCHITECTURES[recipe.arch]}"
    yield from ("--skip=essential/unlink", "--skip=cleanup/apt")
    if not making.check_valid_until:
        yield '--aptopt=Acquire::Check-Valid-Until "false"'
    yield f"--setup-hook={_hook('setup.sh')}"
    if recipe.variant == UNPACKED:
        yield "--variant=extract"
        yield from (f"--include={pattern}" for pattern in _BASE_SYSTEM)
        yield f"--include={','.join(packages)}"
        yield f'--extract-hook={shlex.quote(sys.executable)} -I -S {shlex.quote(str(_UNPACK))} "$1"'
        yield f"--extract-hook={_hook('finish.sh')}"
    elif making.base is not None:
        yield "--variant=custom"
        yield f"--customize-hook={_hook('install.sh')} {shlex.join(packages)}"
        yield f"--customize-hook={_hook('finish.sh')}"
    elif recipe.variant == MUSL:
        yield from _installing(making, MUSL_TOOLS)
        yield from _building_for_musl(recipe)
        yield f"--customize-hook={_hook('finish.sh')}"
    else:
        yield from _installing(making, packages)
        yield f"--customize-hook={_hook('finish.sh')}"
    merged = recipe.merged_usr or (recipe.variant == UNPACKED and recipe.suite not in _SPLIT_USR)
    if making.base is None and merged and _MERGED_USR.is_dir():
        own = _is_at_one_go(making)
        yield f"--setup-hook={_MERGE_USR}" if own else f"--hook-dir={_MERGED_USR}"
    yield from (recipe.suite, str(making.folder / "root"), *making.sources)


def _is_at_one_go(making: Making) -> bool:
    return making.at_one_go and making.base is None and making.recipe.variant in {"minbase", MUSL}


def _installing(making: Making, packages: tuple[str, ...]) -> Iterator[str]:
    """What installs packages and the base system in an empty root."""
    if _is_at_one_go(making):
        yield "--variant=custom"
        yield from (f"--customize-hook={hook}" for hook in _at_one_go(making.recipe, packages))
    else:
        yield "--variant=minbase"
        yield f"--include={','.join(packages)}"


def _building_for_musl(recipe: Recipe) -> Iterator[str]:
    """The hooks that build a root of musl, with the Python of one source package, inside a root."""
    (python,) = recipe.packages
    yield f"--customize-hook={_hook('musl_sources.sh')} {shlex.join((*MUSL_SOURCES, python))}"
    yield f"--customize-hook={_hook('musl_build.sh')} {python.removeprefix('python')}"


def _at_one_go(recipe: Recipe, packages: tuple[str, ...]) -> Iterator[str]:
    """The hooks that install the packages; what merges /usr has left a stand-in for one of them."""
    merged = ("usr-is-merged",) if recipe.merged_usr and _MERGED_USR.is_dir() else ()
    words = (recipe.suite, DEBIAN_ARCHITECTURES[recipe.arch], *packages, *merged)
    python = shlex.join((sys.executable, "-I", "-S"))
    yield f'{python} {shlex.quote(str(_FETCH))} "$1" {shlex.join(words)}'
    yield f'{python} {shlex.quote(str(_CONFIGURE))} "$1"'


def _environment(making: Making) -> Mapping[str, str]:
    proxies = {
        name: value
        for wanted in _PASSED_ON
        for name in (wanted, wanted.upper())
        if (value := os.environ.get(name))
    }
    root = making.folder / "root"
    return {
        **proxies,
        "PATH": _PATH,
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "TMPDIR": str(making.folder / "tmp"),
        "PM_OWN": "" if os.geteuid() == 0 else str(root),
        "PM_BASE": "" if making.base is None else str(making.base),
        "PM_APT_CACHE": str(making.apt_cache),
        "PM_APT_CONF": str(making.folder / "apt.conf"),
        **(_emulated(making.recipe.arch) if making.recipe.variant == UNPACKED else {}),
    }


def _emulated(arch: str) -> dict[str, str]:
    """What unpack_main.py starts the root's own programs with."""
    emulation = emulation_of(arch)
    return {
        **dict(emulation.environment),
        "PM_STARTED_BY": shlex.join(registering(emulation.registration)),
    }


def _lines(process: subprocess.Popen[bytes], loading: Callable[[], int]) -> Iterator[str]:
    """Lines as they come; raises ImageError after a long silence, or if a download stops.

    `loading` gives the bytes of what is being downloaded now.
    """
    if process.stdout is None:
        return
    rest, pace = b"", Pace(_SILENCE)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if selector.select(min(_LOOK_UP, _SILENCE)):
                chunk = os.read(process.stdout.fileno(), 65536)
                if not chunk:
                    break
                pace.heard()
                *whole, rest = (rest + chunk).split(b"\n")
                yield from (line.decode("utf-8", "replace") for line in whole)
            else:
                pace.loaded(loading())
                _check(pace)
    if rest:
        yield rest.decode("utf-8", "replace")


def _check(pace: Pace) -> None:
    remedy = "see whether the mirror answers, then run it again"
    if pace.is_trickle:
        raise ImageError("making a root hung: the mirror is too slow", why=WHAT, remedy=remedy)
    if pace.is_silent:
        raise ImageError(f"making a root hung: not a word for {pace.silence:.0f} s", remedy=remedy)


def _loading(apt_cache: Path) -> int:
    """Bytes of the files that apt is in the middle of."""
    size = 0
    for path in apt_cache.glob("*/partial/*"):
        with contextlib.suppress(OSError):
            status = path.stat()
            if time.time() - status.st_mtime < _AT_WORK:  # else an earlier making left it
                size += status.st_size
    return size
