"""Programs that a wheel brings, and whether a distro could start them, by their bytes alone.

Rules: execve(2) on `#!` and PT_INTERP; the wheel specification on `.data/scripts` (`#!python` is
replaced by installers); the loaders' names are those of each architecture's psABI and of glibc's
shlib-versions.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_manylinux.diagnose.extension_files import lowest_versions
from pytest_manylinux.diagnose.loader_model import is_command
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.elf_facts import ElfFacts, ElfKind
from pytest_manylinux.model.policy import LibcKind
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import ScriptFile, WheelFacts

_LOADERS = frozenset(
    {
        *("/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux.so.2", "/libx32/ld-linux-x32.so.2"),
        *("/lib/ld-linux-aarch64.so.1", "/lib/ld-linux-armhf.so.3", "/lib/ld-linux.so.3"),
        *("/lib64/ld64.so.2", "/lib64/ld64.so.1", "/lib/ld64.so.1", "/lib/ld.so.1"),
        *("/lib/ld-linux-riscv64-lp64d.so.1", "/lib64/ld-linux-loongarch-lp64d.so.1"),
    }
)
_MUSL = re.compile(r"/lib/ld-musl-\w+\.so\.1")
_PYTHON = re.compile(r"(?:python|pypy|graalpy)[\d.]*w?")
_EVERYWHERE = frozenset(
    {"/bin/sh", "/usr/bin/sh", "/bin/bash", "/usr/bin/bash", "/usr/bin/env", "/bin/env"}
)
_USUAL = frozenset({"/bin", "/usr/bin", "/usr/local/bin"})
_UNVERSIONED_GONE = frozenset(
    {"debian", "ubuntu"}
)  # python is a package of its own (python-is-python3)
_SYSTEMS_OWN = "its interpreter is the system's Python, not the environment's"
_OTHER_LOADER = "link statically, or with the distros' loader (patchelf --set-interpreter)"
_OF_MUSL = "link it statically (musl-gcc -static), or name a wheel of such programs alone musllinux"
_SCRIPT = "let the first line be #!python, which installers replace by the environment's own Python"
_NO_MARK = "save it as UTF-8 without the mark"
_LINE_ENDS = "save it with Unix line ends"
_MODE = "pack the file with mode 0755: pip keeps the mode that the archive states"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartFault:
    """Why a program cannot be started, and what to do; `words` end a sentence about it."""

    path: str
    words: str
    severity: Severity
    remedy: str


def unstartable(facts: WheelFacts, target: Target | None = None) -> Iterator[StartFault]:
    """Programs that cannot be started on a target.

    Without one: on none of those that the wheel's tags are for. A static program names no loader, and
    starts on all.
    """
    libc = None if target is None else target.distro.libc.kind
    shared = {elf.path for elf in facts.elf if elf.kind is not ElfKind.PROGRAM}
    for script in (one for one in facts.script_files if one.path not in shared):
        fault = _of_script(script, facts, target)
        if fault is not None:
            words, severity, remedy = fault
            yield StartFault(path=script.path, words=words, severity=severity, remedy=remedy)
    kinds = _kinds(facts) if libc is None else {libc}
    place = f" with {next(iter(kinds)).value}" if len(kinds) == 1 else ""
    programs = set(facts.programs)
    for elf in facts.elf:
        if elf.path in programs and not any(_has_loader(elf, kind) for kind in kinds):
            yield StartFault(
                path=elf.path,
                words=f"the loader that it names, {elf.interpreter}, is on no distro{place}",
                severity=Severity.ERROR if is_command(elf.path) else Severity.WARNING,
                remedy=_OF_MUSL if names_musls_loader(elf) else _OTHER_LOADER,
            )


def names_musls_loader(elf: ElfFacts) -> bool:
    """Whether a program is for musl, by the loader that it names."""
    return _MUSL.fullmatch(elf.interpreter) is not None


def _kinds(facts: WheelFacts) -> set[LibcKind]:
    """The C libraries that the tags are for: both for `linux_ARCH` and `any`, which promise none."""
    found = {
        kind for kind in LibcKind if any(tag.startswith(kind.policies) for tag in facts.wheel.platforms)
    }
    return found or set(LibcKind)


def _has_loader(elf: ElfFacts, kind: LibcKind) -> bool:
    if not elf.interpreter:
        return True
    return names_musls_loader(elf) if kind is LibcKind.MUSL else elf.interpreter in _LOADERS


def _of_script(
    script: ScriptFile, facts: WheelFacts, target: Target | None
) -> tuple[str, Severity, str] | None:
    line = script.interpreter
    faults = (
        (not script.executable, "its mode in the archive does not let it be executed", _MODE),
        (script.byte_order_mark, "a byte order mark stands before its first line", _NO_MARK),
        (
            line is None and not script.native,
            "it has no first line with #! and is no ELF file",
            _SCRIPT,
        ),
        (line and line.endswith("\r"), "its first line ends in a carriage return", _LINE_ENDS),
    )
    replaced = script.has_installers_line  # line end and all
    for found, words, remedy in faults[:3] if replaced else faults:
        if found:
            return words, Severity.ERROR, remedy
    return None if line is None or replaced else _of_interpreter(line.split(), facts, target)


def _of_interpreter(
    words: list[str], facts: WheelFacts, target: Target | None
) -> tuple[str, Severity, str] | None:
    path = words[0] if words else ""
    folder, name = posixpath.split(path)
    asked = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), "")
    if name == "env" and path in _EVERYWHERE:
        if _PYTHON.fullmatch(asked) and asked.startswith(("python2", "pypy", "graalpy")):
            return f"{asked} is not the environment's Python", Severity.ERROR, _SCRIPT
        usual = asked in {"python", "python3", "sh", "bash"} or not asked
        return None if usual else (f"{asked} may not be installed", Severity.WARNING, _SCRIPT)
    if path in _EVERYWHERE:
        return None
    if folder not in _USUAL:
        return f"its interpreter {path or '(none)'} is on no distro", Severity.ERROR, _SCRIPT
    if _PYTHON.fullmatch(name) is not None and _is_there(path, facts, target):
        return _SYSTEMS_OWN, Severity.WARNING, _SCRIPT
    severity = Severity.WARNING if _PYTHON.fullmatch(name) is None else _lack(path, target)
    return f"its interpreter {path} is not installed with Python", severity, _SCRIPT


def _is_there(path: str, facts: WheelFacts, target: Target | None) -> bool:
    """Whether that is the target's Python, or the tags' one as distros that have it call it."""
    if path == "/usr/bin/python3":
        return True
    if target is None:
        return any(path == f"/usr/bin/python{one.dotted}" for one in lowest_versions(facts))
    executable = target.interpreter.executable
    named = f"python{target.interpreter.version.dotted}"
    return path in {executable, posixpath.join(posixpath.dirname(executable), named)}


def _lack(path: str, target: Target | None) -> Severity:
    """Of a Python that is not the target's, or not that of every distro."""
    if path == "/usr/bin/python":
        gone = target is None or target.distro.family not in _UNVERSIONED_GONE
        return Severity.WARNING if gone else Severity.ERROR
    folder = posixpath.dirname(path)
    if folder == "/bin":  # a link to /usr/bin on most distros
        return Severity.WARNING
    return Severity.WARNING if target is None and folder == "/usr/local/bin" else Severity.ERROR
