"""Extension modules that the distro's Python does not take."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings, once_per_wheel
from pytest_manylinux.diagnose.attribution import blamed, grouped, missing_module, no_code_of
from pytest_manylinux.diagnose.elf_index import needing
from pytest_manylinux.diagnose.extension_files import (
    importer,
    left_over,
    lowest_versions,
    never_found,
    no_modules,
    unfound,
    without_init,
)
from pytest_manylinux.diagnose.loader_model import loaded_files
from pytest_manylinux.diagnose.modules import built_for
from pytest_manylinux.diagnose.pip_words import PipRefusal, refusal_of
from pytest_manylinux.diagnose.tags import Misfit, best_fit
from pytest_manylinux.model.distro import Target
from pytest_manylinux.model.observation import Observation
from pytest_manylinux.model.python import PythonVersion
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import FileContent, ModuleFile, WheelFacts

# ML202: the wheel, or a file in it, is for another Python.


def _python_mismatch_static(facts: WheelFacts, target: Target) -> Findings:
    fit = best_fit(facts.wheel.tags, target)
    if fit.misfit is Misfit.PYTHON:
        yield _python_tag_finding(str(fit.tag), target, ())
    if fit.misfit is None:
        version = target.interpreter.version.dotted
        for module, files in unfound(facts, target).items():
            yield _python_file_finding(module, files, f"Python {version}", facts)
        yield from _left_over(facts)


def _python_mismatch_wheel(facts: WheelFacts) -> Findings:
    for module, files in never_found(facts).items():
        yield _python_file_finding(module, files, "the Python of the wheel's tag", facts)
    yield from _left_over(facts)


def _python_file_finding(
    module: str, files: list[ModuleFile], python: str, facts: WheelFacts
) -> Finding:
    paths, who = [one.path for one in files], importer(module, facts)
    return PYTHON_MISMATCH.finding(
        f"{python} does not find {module} by the name of its file: {paths[0]}",
        evidence=[*paths, who or "nothing in the wheel imports it without a condition"],
        severity=Severity.ERROR if who else Severity.WARNING,
        remedy=_FILE_REMEDY,
        files=paths,
    )


def _left_over(facts: WheelFacts) -> Findings:
    for module, files in left_over(facts).items():
        paths = [one.path for one in files]
        yield PYTHON_MISMATCH.finding(
            f"no Python of the wheel's tags finds {paths[0]}; another file is taken for {module}",
            evidence=paths,
            severity=Severity.WARNING,
            remedy=_LEFT_OVER_REMEDY,
            files=paths,
        )


_LEFT_OVER_REMEDY = (
    "build in a clean folder: a file of another build, or of an in-place one, is packed with the wheel"
)


_FILE_REMEDY = (
    "build the file with the Python of the tag, or, for the stable ABI, call it NAME.abi3.so, "
    "which every CPython finds"
)


def _python_mismatch_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    refusal = refusal_of(facts, observation, target)
    if refusal is not None and refusal.kind is PipRefusal.TAG:
        fit = best_fit(facts.wheel.tags, target)
        if fit.misfit is Misfit.PYTHON:
            yield _python_tag_finding(str(fit.tag), target, refusal.lines)
    found = blamed("python-mismatch", facts, observation, target)
    for module, members in grouped(found, lambda failure: missing_module(failure.outcome, facts)):
        files = built_for(module, facts)
        yield PYTHON_MISMATCH.finding(
            f"{module} is in the wheel, but its file is named for another Python: {files[0]}",
            evidence=[*(failure.line for failure in members), *files],
            severity=members[0].severity,
        )


def _python_tag_finding(tag: str, target: Target, lines: tuple[str, ...]) -> Finding:
    version = target.interpreter.version
    return PYTHON_MISMATCH.finding(
        f"the tag {tag} is not for Python {version.dotted}, the Python of {target.distro.id}",
        evidence=lines,
    )


PYTHON_MISMATCH = Check(
    code="ML202",
    name="python-mismatch",
    severity=Severity.ERROR,
    wheel=_python_mismatch_wheel,
    static=_python_mismatch_static,
    dynamic=_python_mismatch_dynamic,
)


# ML128: an extension module does not export what Python calls.


def _init_missing_wheel(facts: WheelFacts) -> Findings:
    for version in sorted(set(lowest_versions(facts)))[:1]:
        for one in without_init(facts, version):
            yield _init_missing_finding(one, version)


def _init_missing_static(facts: WheelFacts, target: Target) -> Findings:
    for one in without_init(facts, target.interpreter.version):
        yield _init_missing_finding(one, target.interpreter.version)


def _init_missing_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    for failure in blamed("init-missing", facts, observation, target):
        paths = [one.path for one in facts.module_files if one.name == failure.outcome.name]
        yield INIT_MISSING.finding(
            f"import {failure.outcome.name}: the file does not export its init function",
            evidence=[failure.line, *paths],
            severity=failure.severity,
            files=paths,
        )


def _init_missing_finding(one: ModuleFile, version: PythonVersion) -> Finding:
    name = _encoded(one.name.rpartition(".")[2])
    what = f"of PyInit{name} and PyModExport{name} it exports neither"
    if one.exports:
        what = f"it exports PyModExport{name}, which Python calls from 3.15 on"
    elif one.pypy_init:
        what = f"it exports _cffi_pypyinit{name}, which PyPy calls, and no other Python"
    return INIT_MISSING.finding(
        f"{one.path} does not export PyInit{name}, which {version.title} calls",
        evidence=[what],
        files=[one.path],
    )


def _encoded(name: str) -> str:
    """The end of an init function: `_x`; `U_` and Punycode where it is not ASCII (PEP 489)."""
    if name.isascii():
        return f"_{name}"
    return f"U_{name.encode('punycode').decode('ascii').replace('-', '_')}"


INIT_MISSING = Check(
    code="ML128",
    name="init-missing",
    severity=Severity.ERROR,
    wheel=_init_missing_wheel,
    static=_init_missing_static,
    dynamic=_init_missing_dynamic,
)


# ML127: a file that Python or the loader takes for native code holds something else.

_NOT_NATIVE_REMEDIES = {
    FileContent.LFS_POINTER: "check out with Git LFS before the build (actions/checkout: lfs: true)",
    FileContent.EMPTY: "build again in a clean folder: a linker that was stopped leaves empty files",
    FileContent.TEXT: (
        "pack the library itself; a linker script, or the target of a symbolic link as text, is not one"
    ),
}


def _module_not_native_wheel(facts: WheelFacts) -> Findings:
    sure = {one.path for one in no_modules(facts)}
    for path, content in facts.no_code:
        # A library may lie there for other machines or for a linker; only what loads it is broken.
        needed = bool(needing(path.rpartition("/")[2], facts))
        if path in sure or content is not FileContent.TEXT or needed:
            yield MODULE_NOT_NATIVE.finding(
                f"{path} is called like native code and is {content.value}",
                severity=Severity.ERROR if path in sure or needed else Severity.WARNING,
                remedy=_NOT_NATIVE_REMEDIES.get(content, ""),
                files=[path],
            )


def _module_not_native_static(facts: WheelFacts, target: Target) -> Findings:
    del target
    return [
        finding for finding in _module_not_native_wheel(facts) if finding.severity is Severity.ERROR
    ]


def _module_not_native_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    for failure in blamed("module-not-native", facts, observation, target):
        path = no_code_of(failure, facts)
        content = dict(facts.no_code)[path]
        yield MODULE_NOT_NATIVE.finding(
            f"{path} is called like native code and is {content.value}",
            evidence=[failure.line],
            severity=failure.severity,
            remedy=_NOT_NATIVE_REMEDIES.get(content, ""),
            files=[path],
        )


MODULE_NOT_NATIVE = Check(
    code="ML127",
    name="module-not-native",
    severity=Severity.ERROR,
    wheel=_module_not_native_wheel,
    static=_module_not_native_static,
    dynamic=_module_not_native_dynamic,
)


# ML122: a file wants a Python with two-byte characters.

_ONE_UCS_SINCE = (3, 3)  # PEP 393: from here on there is one kind of Python only


@once_per_wheel
def _ucs2_lines(facts: WheelFacts) -> dict[str, str]:
    return {
        elf.path: f"{elf.path} wants {want.name}"
        for elf in facts.elf
        for want in elf.wants
        if want.name.startswith("PyUnicodeUCS")
    }


def _ucs2_wheel(facts: WheelFacts) -> Findings:
    lines = _ucs2_lines(facts)
    if lines:
        first = next(iter(lines))
        yield UCS2.finding(
            f"{first} wants a Python built with one width of Unicode characters",
            evidence=list(lines.values()),
            files=list(lines),
        )


def _ucs2_static(facts: WheelFacts, target: Target) -> Findings:
    version = target.interpreter.version
    if (version.major, version.minor) < _ONE_UCS_SINCE:
        return
    if not _ucs2_lines(facts):
        return
    loaded = {elf.path for elf in loaded_files(facts)}
    lines = {path: line for path, line in _ucs2_lines(facts).items() if path in loaded}
    if lines:
        yield UCS2.finding(
            f"{next(iter(lines))} wants a width of characters that no Python {version.dotted} has",
            evidence=list(lines.values()),
            severity=Severity.ERROR,
            files=list(lines),
        )


def _ucs2_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    found = list(blamed("ucs2", facts, observation, target))
    if found:
        lines = _ucs2_lines(facts)
        yield UCS2.finding(
            f"{found[0].subject}: made for a Python with another width of characters",
            evidence=[*(failure.line for failure in found), *lines.values()],
            severity=min((f.severity for f in found), key=list(Severity).index),
            files=list(lines),
        )


UCS2 = Check(
    code="ML122",
    name="ucs2",
    severity=Severity.WARNING,
    wheel=_ucs2_wheel,
    static=_ucs2_static,
    dynamic=_ucs2_dynamic,
)


# ML123: a file wants a Python built with floating-point exception control.

_FPE_SYMBOLS = frozenset({"PyFPE_jbuf", "PyFPE_counter", "PyFPE_dummy"})
_FPE_GONE = (3, 7)  # fpectl was removed


@once_per_wheel
def _fpe_wants(facts: WheelFacts) -> dict[str, str]:
    return {elf.path: want.name for elf in facts.elf for want in elf.wants if want.name in _FPE_SYMBOLS}


def _fpe_wheel(facts: WheelFacts) -> Findings:
    found = _fpe_wants(facts)
    if found:
        path, symbol = next(iter(found.items()))
        yield FPE.finding(
            f"{path} wants {symbol}, which only Pythons with fpectl had",
            evidence=[f"{path} wants {symbol}" for path, symbol in found.items()],
            files=list(found),
        )


def _fpe_static(facts: WheelFacts, target: Target) -> Findings:
    version = target.interpreter.version
    if (version.major, version.minor) < _FPE_GONE or not _fpe_wants(facts):
        return
    loaded = {elf.path for elf in loaded_files(facts)}
    found = {path: symbol for path, symbol in _fpe_wants(facts).items() if path in loaded}
    if found:
        path, symbol = next(iter(found.items()))
        yield FPE.finding(
            f"{path} wants {symbol}, which Python {version.dotted} does not have",
            evidence=[f"{path} wants {symbol}" for path, symbol in found.items()],
            severity=Severity.ERROR,
            files=list(found),
        )


def _fpe_dynamic(facts: WheelFacts, observation: Observation, target: Target) -> Findings:
    failed = list(blamed("fpe", facts, observation, target))
    if failed:
        found = _fpe_wants(facts)
        yield FPE.finding(
            f"{failed[0].subject}: made for a Python with floating-point exception control",
            evidence=[*(f.line for f in failed), *(f"{path} wants {s}" for path, s in found.items())],
            severity=min((f.severity for f in failed), key=list(Severity).index),
            files=list(found),
        )


FPE = Check(
    code="ML123",
    name="fpe",
    severity=Severity.WARNING,
    wheel=_fpe_wheel,
    static=_fpe_static,
    dynamic=_fpe_dynamic,
)
