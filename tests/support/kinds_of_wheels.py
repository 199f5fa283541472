"""How a kind of wheel is made: compiled with the machine's C compiler, without headers, and packed."""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wheels import build_wheel

ROOTS = ("debian-11", "debian-12", "debian-13", "debian-testing")
WORKS = ""
"""The outcome of a wheel that works: no finding is an error."""

NOT_PROVEN = "not proven"
TAG = "cp36-abi3-manylinux_2_17_x86_64"
Outcomes = str | tuple[str, str, str, str]

# An extension module in C that wants no headers: the first fields of PyModuleDef on 64-bit machines
# (Include/moduleobject.h; the same from Python 3.5 on).
_MODULE = """
{before}
extern void *PyModule_Create2(void *, int);
static struct {{ long count; void *type, *init; long index; void *copy; const char *name, *doc;
                 long size; void *rest[5]; }} definition = {{1, 0, 0, 0, 0, "{name}", 0, -1, {{0}}}};
void *PyInit_{name}(void) {{ {body}; return PyModule_Create2(&definition, 1013); }}
"""
START = 'void _start(void) { __asm__ volatile("mov $60, %eax; xor %edi, %edi; syscall"); }'


@dataclass(frozen=True, kw_only=True)
class WheelKind:
    """One kind of wheel. `make` writes it into an empty folder and gives its path.

    `audit` are the findings of the audit with their severities, all of them. `predicted` and `seen` are
    the name of the finding that decides, WORKS or NOT_PROVEN: one for all ROOTS, or one for each.
    `seen` is None where the trial sees what was predicted.
    """

    name: str
    make: Callable[[Path], Path]
    audit: Mapping[str, str] = field(default_factory=dict)
    predicted: Outcomes = WORKS
    seen: Outcomes | None = None

    def on(self, root: str) -> tuple[str, str]:
        """What is predicted and what is seen on one of the ROOTS."""
        place = ROOTS.index(root)
        told = self.predicted if isinstance(self.predicted, str) else self.predicted[place]
        seen = self.predicted if self.seen is None else self.seen
        return told, seen if isinstance(seen, str) else seen[place]


def compiled(folder: Path, name: str, source: str, *flags: str, shared: bool = True) -> bytes:
    """Compile C text in `folder`, which also holds what it links to; the file is called `name`."""
    text = folder / f"{name.replace('/', '_')}.c"
    text.write_text(source)
    made = folder / name
    made.parent.mkdir(parents=True, exist_ok=True)
    command = ["cc", "-O1", "-w", "-fPIC", "-fno-stack-protector", "-U_FORTIFY_SOURCE"]
    command += [*(["-shared"] if shared else []), str(text), "-o", str(made), f"-L{folder}", *flags]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return made.read_bytes()


def module(folder: Path, name: str, *flags: str, before: str = "", body: str = "") -> bytes:
    """Compile an extension module that does `body` when it is imported."""
    source = _MODULE.format(name=name, before=before, body=body)
    return compiled(folder, f"{name}.so", source, *flags)


def packed(
    folder: Path,
    name: str,
    files: Mapping[str, bytes | str],
    *,
    init: str = "from . import _x\n",
    tag: str = TAG,
    **more: Any,  # noqa: ANN401
) -> Path:
    """A wheel with a package of its own name, which imports its module `_x`."""
    return build_wheel(folder, {f"{name}/__init__.py": init, **files}, name=name, tag=tag, **more)


def with_mode(path: Path, name: str, mode: int) -> Path:
    """The wheel with another mode of one file in the archive."""
    with zipfile.ZipFile(path) as archive:
        content = [(entry, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, data in content:
            if entry.filename == name:
                entry.external_attr = mode << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
    return path
