"""Kinds of wheels with native code that is data: for other machines, object files, a core file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kinds_of_wheels import WheelKind, compiled, module, packed
from wheels import build_wheel

CUDA, AMDGPU, BPF, AARCH64 = 190, 224, 247, 183  # e_machine, elf(5) and the registry of ELF


def for_others(**kinds: int) -> Callable[[Path], Path]:
    """A sound module beside data files for other machines: name to e_machine, a program where odd."""

    def make(folder: Path) -> Path:
        shared = compiled(folder, "f.so", "int f(void) { return 1; }", "-nostdlib")
        files: dict[str, bytes | str] = {"others/_x.abi3.so": module(folder, "_x")}
        for name, machine in kinds.items():
            e_type = 2 if machine == CUDA else 3
            head = e_type.to_bytes(2, "little") + machine.to_bytes(2, "little")
            files[f"others/data/{name}"] = shared[:16] + head + shared[20:]
        return packed(folder, "others", files)

    return make


def object_as_data(folder: Path) -> Path:
    """A sound module beside an object file, with symbols that nothing defines, as compiled."""
    compiled(folder, "part.o", "int gone(void); int f(void) { return gone(); }", "-c", shared=False)
    files = {"others/_x.abi3.so": module(folder, "_x")}
    return packed(folder, "others", {**files, "others/build/part.o": (folder / "part.o").read_bytes()})


def core_as_data(folder: Path) -> Path:
    """A sound module beside the memory of a process that crashed (core(5): e_type 4, no sections)."""
    shared = compiled(folder, "f.so", "int f(void) { return 1; }", "-nostdlib")
    head = shared[:16] + (4).to_bytes(2, "little") + shared[18:]
    core = head[:40] + bytes(8) + head[48:58] + bytes(6) + head[64:]
    return packed(folder, "others", {"others/_x.abi3.so": module(folder, "_x"), "others/core": core})


def beside_a_version(folder: Path) -> Path:
    """A plug-in of another program that lacks a library, and Python code that only says a version."""
    compiled(folder, "libgone.so", "int gone(void) { return 0; }", "-Wl,-soname,libgone.so.1")
    code = "int gone(void); int start(void) { return gone(); }"
    files: dict[str, bytes | str] = {
        "loads/__init__.py": "from ._version import __version__\n",
        "loads/_version.py": "import os\n\n__version__ = os.environ.get('VERSION', '1.0')\n",
        "loads/binaries/ext.so": compiled(folder, "ext.so", code, "-lgone"),
    }
    return build_wheel(folder, files, name="loads", tag="py3-none-manylinux_2_17_x86_64")


def for_a_newer_glibc(folder: Path) -> Path:
    """A library that wants a glibc after 2.31, and code that does not open it."""
    (folder / "libc.map").write_text("GLIBC_2.34 { pthread_new; };\n")
    flags = ("-nostdlib", "-Wl,-soname,libc.so.6", f"-Wl,--version-script={folder}/libc.map")
    compiled(folder, "libnew.so", "void pthread_new(void) {}", *flags)
    source = "void pthread_new(void); void start(void) { pthread_new(); }"
    files: dict[str, bytes | str] = {
        "loads/__init__.py": "",
        "loads/code.py": "def where():\n    return __file__\n",
        "loads/ext.so": compiled(folder, "ext.so", source, "-nostdlib", "-lnew"),
    }
    return build_wheel(folder, files, name="loads", tag="py3-none-manylinux_2_17_x86_64")


KINDS: tuple[WheelKind, ...] = (
    WheelKind(
        name="library-that-no-code-opens",
        make=for_a_newer_glibc,
        audit={"policy-mismatch": "error"},
    ),
    WheelKind(
        name="plug-in-of-another-program-beside-a-version",
        make=beside_a_version,
        audit={"policy-mismatch": "error"},
        predicted="missing-library",
    ),
    WheelKind(name="object-file-as-data", make=object_as_data),
    WheelKind(name="core-file-as-data", make=core_as_data),
    WheelKind(name="cuda-program-as-data", make=for_others(kernel=CUDA)),
    WheelKind(name="amd-code-as-data", make=for_others(kernel=AMDGPU)),
    WheelKind(name="bpf-code-as-data", make=for_others(kernel=BPF)),
    WheelKind(
        name="agent-for-another-processor",
        make=for_others(agent=AARCH64, kernel=CUDA),
        audit={"wrong-architecture": "information"},
    ),
)
