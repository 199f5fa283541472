"""Wheels made to order, for every test suite.

`build_wheel` packs files into a wheel with true METADATA, WHEEL and RECORD (or untrue ones, where a
test asks for damage). `compile_extension` makes a real extension module with the machine's C
compiler, for code that must load; for all else craft the bytes (elf_files.py):

    wheel = build_wheel(tmp_path, {"demo/__init__.py": "", "demo/_x.so": ElfSpec(
        needed=("libc.so.6",), wants=(Want("memcpy", "GLIBC_2.14", "libc.so.6"),),
        exports=("PyInit__x",)).build()}, tag=NATIVE)
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sysconfig
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from elf_files import ElfSpec, Want

PURE = "py3-none-any"
NATIVE = "cp311-cp311-manylinux_2_17_x86_64"


def build_wheel(
    folder: Path,
    files: Mapping[str, bytes | str],
    *,
    name: str = "demo",
    version: str = "1.0",
    tag: str = PURE,
    requires: Sequence[str] = (),
    requires_python: str = "",
    entry_points: Mapping[str, str] | None = None,
    purelib: bool | None = None,
    metadata: bytes | None = None,
    wheel_file: bytes | None = None,
    record: bytes | None = None,
    leave_out: Sequence[str] = (),
    filename: str = "",
    method: int = zipfile.ZIP_DEFLATED,
) -> Path:
    """Write a wheel into `folder` and return its path.

    `tag` is the compressed tag set. `metadata`, `wheel_file` and `record` replace those files whole;
    `leave_out` names members of .dist-info (such as `RECORD`) to leave out; `filename` replaces
    the file's name, `method` that of packing. `entry_points` are console scripts, name to
    `module:function`.
    """
    project = name.replace("-", "_")
    info = f"{project}-{version}.dist-info"
    content = {path: data.encode() if isinstance(data, str) else data for path, data in files.items()}
    content[f"{info}/METADATA"] = metadata or _metadata(name, version, requires, requires_python)
    content[f"{info}/WHEEL"] = wheel_file or _wheel_file(tag, purelib=purelib)
    if entry_points:
        lines = [f"{script} = {target}" for script, target in entry_points.items()]
        content[f"{info}/entry_points.txt"] = "\n".join(["[console_scripts]", *lines, ""]).encode()
    content[f"{info}/RECORD"] = make_record(content, f"{info}/RECORD") if record is None else record
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (filename or f"{project}-{version}-{tag}.whl")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, data in content.items():
            if place.removeprefix(f"{info}/") not in leave_out:
                entry = zipfile.ZipInfo(place, (2020, 1, 1, 0, 0, 0))
                entry.external_attr = (0o100755 if ".data/scripts/" in place else 0o100644) << 16
                archive.writestr(entry, data, method)
    return path


def make_record(files: Mapping[str, bytes], own: str) -> bytes:
    """The RECORD of some files; `own` is its own path, listed without a digest."""
    rows = []
    for place, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        quoted = f'"{place}"' if "," in place else place
        rows.append(f"{quoted},sha256={digest},{len(data)}")
    return "\n".join([*rows, f"{own},,", ""]).encode()


def _metadata(name: str, version: str, requires: Sequence[str], requires_python: str) -> bytes:
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Python: {requires_python}"] if requires_python else []
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    return "\n".join([*lines, ""]).encode()


def _wheel_file(tag: str, *, purelib: bool | None) -> bytes:
    pure = tag.endswith("-any") if purelib is None else purelib
    interpreters, abis, platforms = (part.split(".") for part in tag.split("-"))
    tags = [f"Tag: {a}-{b}-{c}" for a in interpreters for b in abis for c in platforms]
    head = ["Wheel-Version: 1.0", "Generator: factory 1", f"Root-Is-Purelib: {str(pure).lower()}"]
    return "\n".join([*head, *tags, ""]).encode()


def extension_spec(module: str, **fields: object) -> ElfSpec:
    """An extension module's bytes for crafting: exports its init function, needs glibc 2.2.5."""
    stem = module.rpartition(".")[2]
    defaults: dict[str, object] = {
        "exports": (f"PyInit_{stem}",),
        "needed": ("libc.so.6",),
        "wants": (Want("memcpy", "GLIBC_2.2.5", "libc.so.6"), Want("PyModule_Create2")),
    }
    return ElfSpec(**(defaults | fields))  # type: ignore[arg-type]


EXTENSION_SOURCE = """
#include <Python.h>
{extra}
static struct PyModuleDef definition = {{PyModuleDef_HEAD_INIT, "{module}", NULL, -1, NULL}};
PyMODINIT_FUNC PyInit_{module}(void) {{ {body} return PyModule_Create(&definition); }}
"""


@dataclass(frozen=True, kw_only=True)
class Extension:
    """A real extension module to compile. `flags` go to the compiler and linker as they are."""

    module: str
    extra: str = ""
    body: str = ""
    flags: tuple[str, ...] = ()
    language: str = "c"
    include: tuple[str, ...] = field(default=())


def compile_extension(folder: Path, extension: Extension) -> bytes:
    """Compile with the machine's compiler against the running Python's headers; returns the file.

    Raises CalledProcessError with the compiler's words if it fails.
    """
    source = EXTENSION_SOURCE.format(
        module=extension.module, extra=extension.extra, body=extension.body
    )
    headers = [f"-I{path}" for path in (sysconfig.get_path("include"), *extension.include)]
    return compile_shared(
        folder,
        extension.module,
        source,
        flags=(*headers, *extension.flags),
        language=extension.language,
    )


def compile_shared(
    folder: Path, stem: str, source: str, *, flags: Sequence[str] = (), language: str = "c"
) -> bytes:
    """Compile a shared library (or, with other flags, what they say) from one source text."""
    compiler = shutil.which("c++" if language == "c++" else "cc")
    assert compiler, "these tests want a C compiler"
    folder.mkdir(parents=True, exist_ok=True)
    text = folder / f"{stem}.{'cpp' if language == 'c++' else 'c'}"
    text.write_text(source)
    made = folder / f"{stem}.so"
    command = [compiler, "-shared", "-fPIC", "-O1", str(text), "-o", str(made), *flags]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return made.read_bytes()
