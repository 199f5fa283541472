"""Distros and targets: where a wheel is to work; and what a survey of a live image found there."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache

from pytest_manylinux.model.policy import Libc, LibcKind
from pytest_manylinux.model.python import PythonVersion
from pytest_manylinux.model.system_calls import KernelVersion

# The namespaces that a catalogue row has maxima for; all others belong to libraries that no policy
# lets come from outside.
NAMESPACES = ("GLIBC", "GLIBCXX", "CXXABI", "GCC", "ZLIB", "LIBATOMIC")

DEBIAN_TRIPLETS = {
    "x86_64": "x86_64-linux-gnu",
    "i686": "i386-linux-gnu",
    "aarch64": "aarch64-linux-gnu",
    "armv7l": "arm-linux-gnueabihf",
    "ppc64le": "powerpc64le-linux-gnu",
    "s390x": "s390x-linux-gnu",
    "riscv64": "riscv64-linux-gnu",
    "loongarch64": "loongarch64-linux-gnu",
}
"""Debian's names of folders of libraries and of compilers (wiki.debian.org/Multiarch/Tuples)."""


class InterpreterOrigin(enum.Enum):
    """Where a target's Python comes from."""

    DISTRO = "distro"
    """The distro packages it."""
    STANDALONE = "standalone"
    """A build for every distro, as `uv python install` gives it."""
    SOURCE = "source"
    """Built in the distro's root from CPython's source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python on a distro, with the pip that comes with it.

    `packages` are the distro packages that bring interpreter, pip and venv; `headers` those that
    bring Python.h, and what builds take for granted (make; libatomic, which CMake's own wheels for i686
    and armv7l want); both are empty for a Python that the distro does not package. `measured` tells
    whether version and pip were read from a live root of the distro rather than from its public
    package lists. `abi` is the ABI tag where the version does not tell it: PyPy's, such as
    `pypy311_pp73`. `sources` are archives to look for a Python's source in.
    With `only_named` it is tried with what names it: a wheel by its interpreter tag, or a setting.
    `caretaker` is the Python that sees to a trial where this one cannot, since it has no `os.fork`.
    """

    version: PythonVersion
    executable: str
    packages: tuple[str, ...]
    headers: tuple[str, ...] = ()
    pip: str = ""
    measured: bool = False
    abi: str = ""
    origin: InterpreterOrigin = InterpreterOrigin.DISTRO
    sources: tuple[ArchiveRecipe, ...] = ()
    only_named: bool = False
    caretaker: str = ""

    @property
    def own_abi(self) -> str:
        """The ABI tag of the extension modules that it loads (PEP 425)."""
        return self.abi or self.version.abi


class ArchiveWay(enum.Enum):
    """A way to get a root from a Debian-style archive, by the word that a catalogue row has for it."""

    ALL_SUITES = "all-suites"
    PLAIN_SUITE = "plain-suite"
    OLD_RELEASES = "old-releases"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveRecipe:
    """How a root is made from a Debian-style archive with mmdebstrap.

    `origin` names the archive family (`debian`): the mirror and the keyring are the machine's own.
    `check_valid_until` is False for suites whose Release file may be past its date. `ways` are tried
    in their order, the next one where an archive lacks something of the one before. `merged_usr` lays
    /usr out merged from the start, for suites whose packages would else convert it. `extra_suites`
    are those of updates and security that official images have too. `components` are the parts of
    the archive that hold Python and pip. `architectures` are those that the archive has, None for all
    of the distro's. With `from_source` the root is one of musl, built inside a root of the suite from
    its source packages, which an interpreter's `packages` then name.
    """

    origin: str
    suite: str
    check_valid_until: bool = True
    ways: tuple[ArchiveWay, ...] = tuple(ArchiveWay)
    merged_usr: bool = False
    extra_suites: tuple[str, ...] = ()
    components: tuple[str, ...] = ("main",)
    architectures: tuple[str, ...] | None = None
    from_source: bool = False

    @property
    def live(self) -> bool:
        """Whether the mirrors still have the suite, rather than an archive of old releases alone."""
        return any(way is not ArchiveWay.OLD_RELEASES for way in self.ways)


@dataclass(frozen=True, slots=True, kw_only=True)
class Distro:
    """One release of one distribution; a row of the catalogue.

    `id` is stable and appears in node ids: `debian-12`. `libc` is its C library.
    `architectures` are all that it can be tried on; its official image may exist for fewer of them
    (`image_architectures`, None for all), and so may its archive: ask `has_image` and `has_archive`.
    `target_release` is the suite of apt's that packages are installed from where that is not the
    image's default. `end_of_life` is None for rolling releases and where no date is known.
    `absent_libraries` are those that no package of the distro brings; any other may still have to be
    installed. `libraries` are the sonames that a surveyed image of it has, all of them, and
    `version_names` all versions of symbols that they define (`libc.so.6:GLIBC_2.36`); None where no
    image was surveyed. `symbol_maxima` are those of x86_64, `arch_symbol_maxima` what differs
    elsewhere. `kernel` is the oldest kernel that the makers support the release with, None where it is
    not known.
    """

    id: str
    family: str
    release: str
    title: str
    libc: Libc
    architectures: tuple[str, ...]
    interpreters: tuple[Interpreter, ...]
    package_manager: str
    aliases: tuple[str, ...] = ()
    image: str | None = None
    image_architectures: tuple[str, ...] | None = None
    target_release: str = ""
    archive: ArchiveRecipe | None = None
    symbol_maxima: tuple[tuple[str, str], ...] = ()
    absent_libraries: tuple[str, ...] = ()
    end_of_life: date | None = None
    rolling: bool = False
    source: str = ""
    libraries: frozenset[str] | None = field(default=None, repr=False)
    version_names: frozenset[str] | None = field(default=None, repr=False)
    arch_symbol_maxima: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    kernel: KernelVersion | None = None

    @property
    def glibc(self) -> tuple[int, ...] | None:
        """The version of its glibc; None for a distro with another C library."""
        return self.libc.version if self.libc.kind is LibcKind.GLIBC else None

    @property
    def musl(self) -> tuple[int, ...] | None:
        """The version of its musl; None for a distro with another C library."""
        return self.libc.version if self.libc.kind is LibcKind.MUSL else None

    @property
    def pythons(self) -> tuple[str, ...]:
        """Its interpreters as `parse_python` reads them: `3.11`, `cp314t`, `pp311`."""
        versions = (interpreter.version for interpreter in self.interpreters)
        return tuple(
            version.id if version.free_threaded or version.tag[:2] != "cp" else version.dotted
            for version in versions
        )

    def has_image(self, arch: str) -> bool:
        """Whether its official image exists for an architecture."""
        return self.image is not None and arch in _those(self.image_architectures, self.architectures)

    def has_archive(self, arch: str, *, on_mirrors: bool = False) -> bool:
        """Whether the archive has the distro for an architecture, so that a root can be made.

        With `on_mirrors` an archive of old releases does not count.
        """
        recipe = self.archive
        if recipe is None or (on_mirrors and not recipe.live):
            return False
        return arch in _those(recipe.architectures, self.architectures)

    def pip_of(self, interpreter: Interpreter) -> str:
        """The version of the pip that an interpreter is used with; empty where it is not known.

        A second interpreter without a figure of its own has that of the one whose package of pip it
        shares (Debian and Ubuntu have one python3-pip for all).
        """
        if interpreter.pip:
            return interpreter.pip
        own = _pip_packages(interpreter)
        return next((one.pip for one in self.interpreters if one.pip and own & _pip_packages(one)), "")

    def symbols_on(self, arch: str) -> dict[str, str]:
        """The highest version of each symbol namespace on an architecture."""
        return {**dict(self.symbol_maxima), **dict(dict(self.arch_symbol_maxima).get(arch, ()))}


def _pip_packages(interpreter: Interpreter) -> set[str]:
    return {name for name in interpreter.packages if name.endswith("pip")}


def _those(some: tuple[str, ...] | None, architectures: tuple[str, ...]) -> tuple[str, ...]:
    return architectures if some is None else tuple(arch for arch in some if arch in architectures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """distro x architecture x interpreter: one place where a wheel is tried."""

    distro: Distro
    arch: str
    interpreter: Interpreter

    @property
    def id(self) -> str:
        """Such as `debian-12-cp311-x86_64`."""
        return f"{self.place}-{self.arch}"

    @property
    def place(self) -> str:
        """Distro and Python: `debian-12-cp311`, or `debian-12+cp312` if it is not the distro's."""
        joint = "-" if self.interpreter.origin is InterpreterOrigin.DISTRO else "+"
        return f"{self.distro.id}{joint}{self.interpreter.version.id}"

    def answered_by(self, python: str, pip: str = "") -> Target:
        """The target with the Python that answered there (`3.14.10`), if the row speaks of another.

        `pip` is the version of the pip that came with it. A distro's `python3` changes its release
        while a rolling distro goes on; the row then lags behind.
        """
        own = self.interpreter
        parts = re.match(r"(\d+)\.(\d+)(t?)", python)
        if parts is None or f"{parts[1]}.{parts[2]}" == own.version.dotted:
            return self
        version = replace(own.version, major=int(parts[1]), minor=int(parts[2]))
        return replace(self, interpreter=replace(own, version=version, abi="", pip=pip, measured=False))


_TARGET_ID = re.compile(r"(?P<distro>.+)[-+](?P<python>(?:cp|pp|gp)\d{2,}(?:t|_\d+)?)-(?P<arch>\w+)")


@lru_cache(maxsize=1024)  # asked for each verdict by each report
def split_target_id(text: str) -> tuple[str, str, str] | None:
    """Distro id, Python and architecture of a target's id; None for any other text."""
    match = _TARGET_ID.fullmatch(text)
    return None if match is None else (match["distro"], match["python"], match["arch"])


IMAGE_FILES = ("oci", "oci-archive", "docker-archive", "dir", "tarball")
"""What may stand before the colon of an `image` that is a file or folder of this machine.

As in containers-transports(5); `dir` may be the folder of a root too, and `tarball` is a root.
"""


def image_file(image: str | None) -> tuple[str, str] | None:
    """Kind and path of an image that is a file or folder; None for one of a registry, or for none."""
    kind, colon, path = (image or "").partition(":")
    return (kind, path) if colon and kind in IMAGE_FILES and path else None


class ImageSource(enum.Enum):
    """Where a root filesystem came from."""

    REGISTRY = "registry"
    ARCHIVE = "archive"
    LOCAL = "local"


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedPython:
    """A Python that no distro packages, mounted into the roots of distros.

    `release` is its full version, `folder` its prefix on this machine, `digest` (`sha256:…`) that of
    its files, `source` what it was made from, for people.
    """

    version: PythonVersion
    release: str
    origin: InterpreterOrigin
    folder: str
    digest: str
    source: str = ""

    @property
    def prefix(self) -> str:
        """Where it lies in a root."""
        return added_prefix(self.version)

    @property
    def title(self) -> str:
        """Such as `CPython 3.14.8 free-threaded, from source`."""
        threads = " free-threaded" * self.version.free_threaded
        kind = "from source" if self.origin is InterpreterOrigin.SOURCE else "standalone"
        return f"{self.version.implementation.full_name} {self.release}{threads}, {kind}"


def added_prefix(version: PythonVersion) -> str:
    """The folder of an added Python in a root; /opt is for what no distro packages (FHS 3.0)."""
    return f"/opt/python/{version.id}"


class ImagePurpose(enum.Enum):
    """What an image is for: a trial (a user's machine) or a build (headers added)."""

    TRIAL = "trial"
    BUILD = "build"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A root filesystem with an immutable identity.

    `digest` is `sha256:…` over what identifies the content (for archive roots: architecture and
    the sorted list of packages with versions). `root` is the folder that holds it, for engines
    that need a folder. `reference` is what a container engine calls it, if it does. `note` is for
    people: what was not as usual with it, such as a tag that moved; no part of its identity. `base` is
    the digest that a registry knows it, or what it was derived from, by. `environment` is what programs
    in it count on, where the image of a registry is a folder here; a container engine knows it itself.
    `added` is a Python that every sandbox of it has besides.
    """

    digest: str
    name: str
    source: ImageSource
    arch: str
    root: str | None = None
    reference: str | None = None
    packages: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    note: str = field(default="", compare=False)
    base: str = ""
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    added: AddedPython | None = None

    @property
    def content(self) -> str:
        """What identifies all that a sandbox of it has: the digest, and that of an added Python."""
        return self.digest if self.added is None else f"{self.digest}+{self.added.digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyedLibrary:
    """A library in a folder that the image's loader searches.

    `versions` are the symbol versions that it defines (`GLIBC_2.36`, `GLIBC_ABI_DT_RELR`).
    """

    soname: str
    path: str
    versions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """All libraries of one image, known by its digest, of one architecture."""

    distro: str
    image: str
    arch: str
    libraries: tuple[SurveyedLibrary, ...]
