"""Opening and reading wheels: from a path to facts, in one pass over the archive."""

from __future__ import annotations

import collections
import contextlib
import functools
import hashlib
import itertools
import mmap
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from pytest_manylinux.errors import StoreError, UsageError
from pytest_manylinux.host.path_checks import require_plain
from pytest_manylinux.inspect.elf import MAGIC, MalformedElfError, read_elf
from pytest_manylinux.inspect.names import (
    below_search_folder,
    extension_modules,
    is_code,
    lowest_python,
    module_files,
    module_place,
    named_for_others,
    nested_folders,
    top_level_names,
    with_broken,
)
from pytest_manylinux.inspect.python_code import (
    MAX_SOURCE,
    OPENS_TO_ALL,
    import_effects,
    imported_modules,
    imports_of,
    opened_libraries,
    raises_without_library,
    syntax_needs,
    without_named,
)
from pytest_manylinux.inspect.sbom import is_license, licensed_libraries, read_sboms
from pytest_manylinux.inspect.start_files import (
    StartFile,
    is_start_file,
    read_start_file,
    start_lines,
)
from pytest_manylinux.inspect.symbols import Pool
from pytest_manylinux.inspect.zip_archive import CHUNK, Archive, malformed
from pytest_manylinux.model.elf_facts import ElfFacts, ElfKind
from pytest_manylinux.model.wheel import FileContent, ScriptFile, Wheel, WheelFacts, WheelFile
from pytest_manylinux.model.wheel_variants import split_variant

TYPE_CHECKING = False  # what only METADATA wants is imported while ELF files are unpacked
if TYPE_CHECKING:
    from pytest_manylinux.inspect.distinfo import DistInfo, RecordEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class _PythonSource:
    """What is kept of a Python source: `code` is all of it where an import can name it."""

    opens: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    code: bytes = b""


@dataclass(frozen=True, slots=True)
class _Reading:
    """One wheel's files as they are read: RECORD's rows, and what differs from them, by path.

    `pool` shares equal values.
    """

    archive: Archive
    rows: Mapping[str, RecordEntry]
    pool: Pool = field(default_factory=Pool)
    mismatches: dict[str, str] = field(default_factory=dict)

    def checked(self, name: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """A file's pieces again; after the last it is known whether RECORD says the same."""
        row = self.rows.get(name)
        if row is None:
            yield from pieces
            return
        digest = hashlib.new(row.algorithm, usedforsecurity=False) if row.algorithm else None
        for piece in pieces:
            if digest is not None:
                digest.update(piece)
            yield piece
        size = self.archive.files[name].file_size
        if digest is not None and digest.digest() != row.digest:
            self.mismatches[name] = f"has another {row.algorithm} digest than RECORD says"
        elif row.size is not None and row.size != size:
            self.mismatches[name] = f"has {size} bytes, RECORD says {row.size}"


# A path, and its facts, or what is wrong with it, what a source or start file tells, or is called so.
Found = tuple[str, ElfFacts | str | _PythonSource | StartFile | FileContent]

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")  # core metadata specification, Name
_SOURCE = ".py"
_LIBRARY = re.compile(r".*\.so(?:\.\d+)*")
_LFS = b"version https://git-lfs"
_IN_BIN = re.compile(r"data/bin/[^/]+")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_REWRITTEN = b"#!python"  # which installers replace (wheel specification, `.data/scripts`)

FIRST_LINE = 256
"""Bytes in which a script's first line is looked for: the kernel reads as many (BINPRM_BUF_SIZE)."""

IN_MEMORY = 32 * 1024**2
"""ELF files up to so many bytes are read in memory; larger ones are mapped from a nameless file."""

BATCH = 4 * 1024**2
"""Bytes that a thread takes at a time: many small files, or one large one."""

WORKERS = max(1, min(4, os.cpu_count() or 1))
"""Threads for one wheel. Each holds IN_MEMORY and a piece at most, hence no more of them."""


def open_wheel(path: Path) -> Wheel:
    """Read a wheel's name and digest; the archive is not looked into.

    Raises UsageError if the file cannot be read, MalformedWheelError for a name that is no
    wheel's (binary distribution format, file name convention).
    """
    wheel = named_wheel(path)
    digest, size = _digest(path)
    return replace(wheel, sha256=digest, size=size)


def named_wheel(path: Path) -> Wheel:
    """The wheel by its file name alone, without digest and size; raises MalformedWheelError."""
    try:
        name, build, tags = _parsed(path.name)
    except InvalidWheelFilename as error:
        raise malformed(
            path,
            "not the name of a wheel",
            str(error),
            "name it project-version-python-abi-platform.whl, as build back ends do",
        ) from error
    return Wheel(
        path=path,
        sha256="",
        size=0,
        name=name,
        version=_version(path.name),
        build="".join(str(part) for part in build),
        tags=tags,
        variant=split_variant(path.name)[1],
    )


def _parsed(filename: str) -> tuple[str, tuple[()] | tuple[int, str], frozenset[Tag]]:
    """Project, build and tags of a file name, whose version may be any: pip before 24.1 takes those."""
    project, _, rest = split_variant(filename)[0].partition("-")
    _, dash, rest = rest.partition("-")
    name, _, build, tags = parse_wheel_filename(f"{project}-0{dash}{rest}")
    if _NAME.fullmatch(project) is None:
        raise InvalidWheelFilename(f"{project!r} has to begin and end with a letter or digit of ASCII")
    return name, build, tags


def _version(filename: str) -> str:
    text = filename.split("-")[1]
    try:
        return str(Version(text.replace("_", "+")))
    except InvalidVersion:
        return text


def glance(path: Path) -> WheelFacts:
    """Open and read a wheel in half the time, for answers that nobody relies on to upload.

    RECORD's list is compared, but not its digests: files that are not ELF are not unpacked. The
    wheel's own digest is computed meanwhile. Raises what open_wheel and read_wheel raise.
    """
    wheel = named_wheel(path)
    with ThreadPoolExecutor(1, "digest-wheel") as executor:
        stated = executor.submit(_digest, path)
        facts = read_wheel(wheel, verify=False)
        digest, size = stated.result()
    return replace(facts, wheel=replace(wheel, sha256=digest, size=size))


def read_wheel(wheel: Wheel, *, verify: bool = True) -> WheelFacts:
    """Read everything that can be known without running anything.

    Every file passes through once and is checked against RECORD; ELF files are looked into. Without
    `verify` see glance.

    Memory is bounded by the archive's directory and WORKERS ELF files, next to the facts. Raises
    MalformedWheelError (MAX_… in archive.py are the bounds), UsageError if unreadable, StoreError
    if the temporary folder cannot take a large ELF file.
    """
    with Archive(wheel.path) as archive:
        if not verify:
            return _glance(archive, wheel)
        info = _info(archive, wheel)
        names = [*(name for name in info.record if name in archive.files)]
        names += (name for name in archive.files if name not in info.record)
        reading = _Reading(archive, info.record)
        facts = _facts(wheel, archive, info, _read_files(reading, names))
        mismatches = tuple(f"{name} {how}" for name, how in sorted(reading.mismatches.items()))
        contents = tuple(_contents(archive, info, reading.mismatches))
        return replace(facts, contents=contents, mismatches=mismatches)


def files_of_a_glance(archive: Archive) -> tuple[str, ...]:
    """The files that `glance` reads whole; of others it sees the beginning at most."""
    more = (n for n in archive.files if n.partition("/")[0].endswith(".dist-info") or is_license(n))
    return tuple(dict.fromkeys((*_looked_into(archive), *more)))


def _looked_into(archive: Archive) -> list[str]:
    return [
        name
        for name in archive.files
        if name.endswith(_SOURCE)
        or is_start_file(name)
        or _LIBRARY.fullmatch(name)
        or archive.beginning(name, len(MAGIC)) == MAGIC
    ]


def _glance(archive: Archive, wheel: Wheel) -> WheelFacts:
    with ThreadPoolExecutor(1, "read-elf") as executor:
        reading = executor.submit(_read_files, _Reading(archive, {}), _looked_into(archive))
        info = _info(archive, wheel)
        found = reading.result()
    places = {name: place for place, name in enumerate(info.record)}
    in_order = sorted(found, key=lambda one: places.get(one[0], len(places)))
    return _facts(wheel, archive, info, in_order)


def _info(archive: Archive, wheel: Wheel) -> DistInfo:
    from pytest_manylinux.inspect.distinfo import read_distinfo  # noqa: PLC0415 - see TYPE_CHECKING

    return read_distinfo(archive, wheel)


def _facts(wheel: Wheel, archive: Archive, info: DistInfo, found: Sequence[Found]) -> WheelFacts:
    elf = tuple(one for _, one in found if isinstance(one, ElfFacts))
    problems = tuple(one for _, one in found if isinstance(one, str))
    sources = {path: one for path, one in found if isinstance(one, _PythonSource)}
    opened = {name for one in sources.values() for name in one.opens}
    contents = {path: one for path, one in found if isinstance(one, FileContent)}
    contents |= {path: FileContent.DAMAGED for path, one in found if isinstance(one, str)}
    code = {path: one.code for path, one in sources.items() if one.code}
    modules = without_named(module_files(contents, elf), elf, code.values())
    starts = {path: one for path, one in found if isinstance(one, StartFile)}
    folders = [name for one in starts.values() for name in one.folders]
    places, inits = _places(archive, elf, folders)
    native = ((name, places[place]) for name, place in extension_modules(wheel.tags, inits))
    extensions = with_broken(native, modules, wheel.tags, opened)
    below, nested = _places(archive, elf, nested_folders(archive.files))
    hidden = ((name, below[place]) for name, place in extension_modules(wheel.tags, nested))
    top_level = top_level_names(places, wheel.tags, inits)
    facts = WheelFacts(
        wheel=wheel,
        metadata_name=info.name,
        metadata_version=info.version,
        requires_python=info.requires_python,
        requires_dist=info.requires_dist,
        extras=info.extras,
        root_is_purelib=info.root_is_purelib,
        files=tuple(dict.fromkeys((*(n for n in info.record if n in archive.files), *archive.files))),
        elf=elf,
        top_level=top_level,
        extension_modules=tuple(sorted({name for name, _ in extensions})),
        programs=tuple(f.path for f in elf if f.kind is ElfKind.PROGRAM and f.runs_on_linux),
        problems=(*info.problems, *problems),
        scripts=info.scripts,
        entry_points=tuple(name for name, _ in info.entry_points),
        entry_references=info.entry_points,
        unpacked_size=archive.unpacked_size,
        generator=info.generator,
        wheel_tags=info.tags,
        extension_paths=tuple(sorted({*extensions, *hidden})),
        has_code=any(is_code(name, entry.file_size) for name, entry in archive.files.items()),
        opened_by_path=tuple(sorted(opened)),
        packed_by=archive.methods,
        module_files=modules,
        script_files=tuple(_scripts(archive)),
        import_order=tuple(dict.fromkeys(name for one in sources.values() for name in one.imports)),
        no_code=tuple(sorted(contents.items())),
        sboms=read_sboms(archive, info.folder),
        licensed_libraries=licensed_libraries(archive, info.folder),
    )
    return _with_code(facts, code, starts)


def _with_code(
    facts: WheelFacts, code: Mapping[str, bytes], starts: Mapping[str, StartFile]
) -> WheelFacts:
    """The facts with what the wheel's Python sources tell, and the files that every start reads."""
    lowest = lowest_python(facts.wheel.tags, facts.requires_python)
    return replace(
        facts,
        opens_to_all=any(word in one for word in OPENS_TO_ALL for one in code.values()),
        syntax=syntax_needs(code, lowest),
        raises_without_library=raises_without_library(code, facts.top_level)
        if facts.opened_by_path
        else False,
        start_lines=start_lines(starts, code, lowest),
        on_import=import_effects(code, facts.top_level),
        foreign_imports=imports_of(
            sorted(named_for_others(facts.module_files, facts.wheel.tags)), code
        ),
    )


def _places(
    archive: Archive, elf: Iterable[ElfFacts], folders: Sequence[str]
) -> tuple[dict[str, str], dict[str, tuple[str, ...]]]:
    """Files by where Python looks for them, and the init functions that those places export."""
    places = {below_search_folder(path, folders): path for path in archive.files}
    exports = {file.path: file.exports_init for file in elf if file.exports_init}
    return places, {place: exports[path] for place, path in places.items() if path in exports}


def _scripts(archive: Archive) -> Iterator[ScriptFile]:
    """The files that are put on PATH, with the modes that installers take from the archive."""
    for name, entry in archive.files.items():
        folder, _, rest = name.partition("/")
        mode = entry.external_attr >> 16
        is_script = rest.startswith("scripts/")
        if not folder.endswith(".data") or not (is_script or _IN_BIN.fullmatch(rest)):
            continue
        head = archive.beginning(name, FIRST_LINE)
        if not is_script and not mode & 0o111 and not head.startswith(MAGIC):
            continue
        marked = head.startswith(_BYTE_ORDER_MARK)
        text = head.removeprefix(_BYTE_ORDER_MARK)
        line = text[2:].split(b"\n", 1)[0].decode("utf-8", "backslashreplace")
        yield ScriptFile(
            path=name,
            executable=stat.S_ISREG(mode) and bool(mode & 0o111),
            interpreter=line.lstrip(" \t") if text.startswith(b"#!") else None,
            byte_order_mark=marked,
            native=head.startswith(MAGIC),
        )


def _contents(archive: Archive, info: DistInfo, mismatches: Collection[str]) -> Iterator[WheelFile]:
    """All files with their digests: RECORD's, which were compared, or else their own."""
    for name, entry in archive.files.items():
        row = info.record.get(name)
        if row is not None and row.algorithm == "sha256" and name not in mismatches:
            digest = row.digest.hex()
        elif name == f"{info.folder}/RECORD":
            digest = ""
        else:
            sha256 = hashlib.sha256()
            for piece in archive.stream(name):
                sha256.update(piece)
            digest = sha256.hexdigest()
        script = ".data/scripts/" in name and archive.beginning(name, len(_REWRITTEN)) == _REWRITTEN
        yield WheelFile(path=name, size=entry.file_size, sha256=digest, rewritten=script)


def _digest(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    require_plain(path)
    try:
        with path.open("rb") as file:
            while piece := file.read(CHUNK):
                digest.update(piece)
                size += len(piece)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read", why=error.strerror or str(error)) from error
    return digest.hexdigest(), size


def _read_files(reading: _Reading, names: list[str]) -> list[Found]:
    """Check the files' digests by their rows; gives what is ELF among them, in the same order.

    Unpacking and hashing release the interpreter's lock, so that threads use every core.
    """
    batches = sorted(_batches(reading.archive, names), key=lambda batch: -batch[0])
    work = functools.partial(_read_batch, reading)
    if len(batches) <= 1:
        return work(names)
    with ThreadPoolExecutor(WORKERS, "read-wheel") as executor:
        futures = [executor.submit(work, batch) for _, batch in batches]
        try:
            found = list(itertools.chain.from_iterable(future.result() for future in futures))
        except BaseException:
            executor.shutdown(cancel_futures=True)
            raise
    places = {name: place for place, name in enumerate(names)}
    return sorted(found, key=lambda one: places[one[0]])


def _batches(archive: Archive, names: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Group neighbours into pieces of work of BATCH bytes, larger files alone: (bytes, names)."""
    size, batch = 0, list[str]()
    for name in names:
        own = archive.files[name].file_size
        if own >= BATCH:
            yield own, [name]
            continue
        batch.append(name)
        size += own
        if size >= BATCH:
            yield size, batch
            size, batch = 0, []
    if batch:
        yield size, batch


def _read_batch(reading: _Reading, names: list[str]) -> list[Found]:
    found: list[Found] = []
    for name in names:
        try:
            facts = _read_file(reading, name)
        except MalformedElfError as error:
            found.append((name, f"{error.what} ({error.why})"))
        else:
            if facts is not None:
                found.append((name, facts))
    return found


def _read_file(
    reading: _Reading, name: str
) -> ElfFacts | _PythonSource | StartFile | FileContent | None:
    """Facts of an ELF file, what a source tells; if it has a row, its digest is checked too."""
    archive = reading.archive
    if archive.files[name].file_size <= IN_MEMORY:
        data = archive.read(name, limit=IN_MEMORY)
        collections.deque(reading.checked(name, (data,)), maxlen=0)
        if data.startswith(MAGIC):
            return read_elf(name, data, pool=reading.pool)
        if name.endswith(_SOURCE) and len(data) <= MAX_SOURCE:
            return _source(name, data)
        if is_start_file(name):
            return read_start_file(name, data)
        return _content(data) if _LIBRARY.fullmatch(name) else None
    pieces = reading.checked(name, archive.stream(name))
    first = next(pieces, b"")
    if first.startswith(MAGIC):
        with _mapped(first, pieces) as mapped:
            return read_elf(name, mapped, pool=reading.pool)
    if name in reading.rows:
        collections.deque(pieces, maxlen=0)  # to the end: only there is the digest known
    return None


def _source(name: str, data: bytes) -> _PythonSource:
    place = module_place(name)
    imports: Iterable[str] = ()
    if place is not None and place.endswith("/__init__.py"):
        imports = imported_modules(place.removesuffix("/__init__.py").replace("/", "."), data)
    code = b"" if place is None else data
    return _PythonSource(opens=opened_libraries(data), imports=tuple(imports), code=code)


def _content(data: bytes) -> FileContent:
    """What is in a file that is called like native code and is not ELF."""
    if not data:
        return FileContent.EMPTY
    if data.startswith(_LFS):
        return FileContent.LFS_POINTER
    try:
        data[:FIRST_LINE].decode("ascii")
    except UnicodeDecodeError:
        return FileContent.OTHER
    return FileContent.OTHER if b"\0" in data[:FIRST_LINE] else FileContent.TEXT


@contextlib.contextmanager
def _mapped(first: bytes, rest: Iterator[bytes]) -> Iterator[mmap.mmap]:
    """Bytes in a nameless file under memory mapping, gone at the end whatever happens."""
    import tempfile  # noqa: PLC0415 - only large files want it

    try:
        with tempfile.TemporaryFile() as file:
            file.write(first)
            for piece in rest:
                file.write(piece)
            file.flush()
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield data
    except OSError as error:
        raise StoreError(
            "the temporary folder cannot take a large file of the wheel",
            why=error.strerror or str(error),
            remedy="make room in it, or set TMPDIR to a folder with more",
        ) from error
