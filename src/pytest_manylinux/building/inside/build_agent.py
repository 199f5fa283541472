"""Reads ELF files and names wheels inside a build's sandbox, with the build tools' own Python.

    build_agent.py exports PYTHON LIST             names that a Python executable offers, one a line
    build_agent.py libraries WHEEL LIST PATH...    libraries outside of a wheel, as JSON
    build_agent.py retag FOLDER PLATFORM TAKEN...  the one wheel of a folder, by another platform tag

Runs on Python 3.8 and later. Its own failures are sentences on standard error and exit code 1.
"""

from __future__ import annotations

import json
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from elftools.elf.elffile import ELFFile


def exports(python: str, listing: str) -> int:
    """Write the dynamic names that an interpreter defines, itself or in its libpython."""
    program = Path(python).resolve()
    needed, run_paths, _ = read_elf(program)
    shared = [locate(name, run_paths) for name in needed if name.startswith("libpython")]
    names = {name for path in (program, *shared) if path for name in defined_in(path)}
    write_lines(listing, sorted(names))
    return 0


def defined_in(path: Path) -> list[str]:
    """The names that a file's dynamic symbol table defines."""
    with path.open("rb") as file:
        table: Any = ELFFile(file).get_section_by_name(".dynsym")
        symbols = table.iter_symbols() if table else ()
        return [one.name for one in symbols if one.name and one["st_shndx"] != "SHN_UNDEF"]


def libraries(archive: str, listing: str, *folders: str) -> int:
    """Where repair would find each library that files of a wheel need and the wheel lacks.

    A JSON list of {"name", "needed_by", "path" (null if nowhere), "wants" (for each symbol version
    that the library takes from others, such as "GLIBC_2.34", a symbol that wants it)}, the libraries'
    own needs included.
    """
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as here:
        with zipfile.ZipFile(archive) as wheel_file:
            wheel_file.extractall(here)
        files = [path for path in Path(here).rglob("*") if path.is_file() and is_elf(path)]
        inside = {path.name for path in files}
        queue = [(path, path.relative_to(here).as_posix()) for path in files]
        while queue:
            path, name = queue.pop()
            needed, run_paths, _ = read_elf(path)
            for library in needed:
                if library not in inside and library not in found:
                    place = locate(library, [*run_paths, *folders])
                    found[library] = described(library, name, place)
                    queue += [(place, library)] if place else []
    Path(listing).write_text(json.dumps(list(found.values())), encoding="utf-8")
    return 0


def described(library: str, needed_by: str, place: Path | None) -> dict[str, Any]:
    """One entry of what `libraries` writes."""
    wants = read_elf(place)[2] if place else {}
    path = str(place) if place else None
    return {"name": library, "needed_by": needed_by, "path": path, "wants": wants}


def is_elf(path: Path) -> bool:
    """Whether a file starts as ELF files do."""
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def read_elf(path: Path) -> tuple[list[str], list[str], dict[str, str]]:
    """What it needs, where it looks first, and the versions that it wants with a symbol each."""
    with path.open("rb") as file:
        elf = ELFFile(file)
        dynamic: Any = elf.get_section_by_name(".dynamic")
        tags = list(dynamic.iter_tags()) if dynamic else []
        needed = [tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED"]
        paths = [getattr(tag, "rpath", None) or getattr(tag, "runpath", None) for tag in tags]
        origin = str(Path(path).parent)
        run_paths = [
            part.replace("$ORIGIN", origin) for words in paths if words for part in words.split(":")
        ]
        return needed, run_paths, wanted_versions(elf)


def wanted_versions(elf: ELFFile) -> dict[str, str]:
    """The symbol versions that a file takes from others, and for each the last symbol that wants it."""
    table: Any = elf.get_section_by_name(".gnu.version")
    needs: Any = elf.get_section_by_name(".gnu.version_r")
    symbols: Any = elf.get_section_by_name(".dynsym")
    if not table or not needs:
        return {}
    names = {item["vna_other"]: item.name for _, group in needs.iter_versions() for item in group}
    wanted = {}
    for index, symbol in enumerate(symbols.iter_symbols()):
        version = names.get(table.get_symbol(index)["ndx"], "")
        if version:
            wanted[version] = symbol.name
    return wanted


def locate(library: str, folders: Iterable[str]) -> Path | None:
    """The first file of that name in the folders, then where the dynamic loader looks."""
    for folder in [*folders, *loader_folders()]:
        path = Path(folder) / library
        if folder and path.is_file() and is_elf(path):
            return path
    return None


def loader_folders() -> list[str]:
    """The folders that the dynamic loader's configuration names, then its own."""
    lines = []
    for path in sorted(Path("/etc/ld.so.conf.d").glob("*.conf")):
        lines += path.read_text(encoding="utf-8").splitlines()
    return [*(line.strip() for line in lines if line.startswith("/")), "/lib", "/usr/lib", "/lib64"]


def retag(folder: str, platform: str, *taken: str) -> int:
    """Give the one wheel of a folder that platform tag alone, in its name and in its WHEEL.

    Its present ones have to begin with one of `taken`.
    """
    from auditwheel.wheeltools import InWheelCtx, add_platforms

    (wheel,) = Path(folder).glob("*.whl")
    present = wheel.stem.rpartition("-")[2].split(".")
    if present == [platform]:
        return 0
    if not all(tag.startswith(taken) for tag in present):
        raise ValueError(f"auditwheel took {wheel.name} for a wheel of another C library")
    with InWheelCtx(wheel, wheel) as context:
        context.out_wheel = add_platforms(context, [platform], present)
    wheel.unlink()
    return 0


def write_lines(path: str, lines: Iterable[str]) -> None:
    """Write a line each."""
    Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Do one piece of work; its errors are sentences."""
    work: dict[str, Callable[..., int]] = {
        "exports": exports,
        "libraries": libraries,
        "retag": retag,
    }
    try:
        return work[arguments[0]](*arguments[1:])
    except Exception as error:
        print(f"ERROR: {error}", file=sys.stderr, flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
