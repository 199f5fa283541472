"""For every finding a wheel, with a target or a trial, that brings it about.

The wheels are made byte by byte (elf_files.py) and read from disk like any other; what a trial would
have seen of them is given as a value.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from elf_files import ElfSpec, Segment, Want
from trial_values import imported, installed, make_observation, make_target, raised, refused
from wheels import NATIVE, PURE, build_wheel, extension_spec

from pytest_manylinux.config.settings import IndexChoice
from pytest_manylinux.diagnose.judge import (
    apply_expectations,
    hold_against_tries,
    judge,
    judge_audit,
    judge_unreadable,
)
from pytest_manylinux.diagnose.predict import predict_target
from pytest_manylinux.errors import MalformedWheelError
from pytest_manylinux.inspect.audit import audit_wheel
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.observation import (
    CaseResult,
    CaseStatus,
    DifferenceKind,
    FileDifference,
    ImportKind,
    ImportStatus,
    LaunchOutcome,
    LoadedLibrary,
    Observation,
    ProgramOutcome,
    SuiteOutcome,
    SyntaxFault,
    UvInstall,
)
from pytest_manylinux.model.policy import musl
from pytest_manylinux.model.verdict import Expectation, Finding, Tries
from pytest_manylinux.model.wheel import WheelFacts
from pytest_manylinux.run.outcomes import index_refusals, library_findings

MODULE = "demo/_x.cpython-311-x86_64-linux-gnu.so"
LIBC = ("libc.so.6",)
GRAFTED = "demo.libs/libfoo-0a1b2c3d.so.1"


def _twice() -> dict[str, bytes | str]:
    """Two modules, each with a library of one soname; the first's lacks a symbol of the second's."""
    files: dict[str, bytes | str] = {"demo/__init__.py": "from . import _a, _b\n"}
    for name, exports in (("_a", ("one",)), ("_b", ("one", "two"))):
        spec = ElfSpec(soname="libs.so.1", needed=LIBC, exports=exports)
        wants = (Want("PyModule_Create2"), Want(exports[-1]))
        module = extension_spec(name, needed=("libs.so.1",), wants=wants, runpath=f"$ORIGIN/{name}")
        files |= {f"demo/{name}.abi3.so": module.build(), f"demo/{name}/libs.so.1": spec.build()}
    return files


TWICE = _twice()
BY_FTP = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nHome-page: ftp://example.org\n"


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """A wheel and what is done with it; `also` are the findings that rightly come along.

    With an observation it is tried, with `target` alone predicted, with neither audited. `size`,
    `expect` and `tries` stand for a large file, a declared fault and earlier trials; with `index` the
    audit asks PyPI's rules too, with `bounds` how old libraries may be. `lesson` says what
    went wrong where the finding's name alone does not.
    """

    finding: str
    files: Mapping[str, bytes | str] = field(default_factory=dict)
    tag: str = NATIVE
    target: Mapping[str, Any] | None = None
    observation: Observation | None = None
    also: frozenset[str] = frozenset()
    made: Mapping[str, Any] = field(default_factory=dict)
    size: int = 0
    expect: str = ""
    tries: Tries | None = None
    index: bool = False
    bounds: Mapping[str, str] = field(default_factory=dict)
    lesson: str = ""

    def facts(self, folder: Path) -> WheelFacts:
        """Make the wheel and read it."""
        files = {"demo/__init__.py": "", **self.files}
        facts = read_wheel(open_wheel(build_wheel(folder, files, tag=self.tag, **self.made)))
        size = self.size or facts.wheel.size
        return replace(facts, wheel=replace(facts.wheel, size=size))

    def pull(self, folder: Path) -> tuple[Finding, ...]:
        """The findings that it brings about."""
        try:
            facts = self.facts(folder)
        except MalformedWheelError as error:
            return judge_unreadable("demo.whl", error).findings
        if self.observation is None and self.target is None:
            also = index_refusals(facts, IndexChoice()) if self.index else []
            also += library_findings(facts, self.bounds)
            return judge_audit(facts, audit_wheel(facts), also=also).findings
        target = make_target(**(self.target or {}))
        if self.observation is None:
            return predict_target(facts, target).findings
        verdict = judge(facts, self.observation, target, wheel=facts.wheel)
        if self.tries is not None:
            verdict = hold_against_tries(verdict, self.tries)
        if self.expect:
            expectation = Expectation(distro="*", finding=self.expect, reason="known")
            verdict = apply_expectations(verdict, [expectation], target.distro.id)
        return verdict.findings


def native(**fields: Any) -> dict[str, bytes | str]:  # noqa: ANN401
    """One extension module, made to order."""
    return {MODULE: extension_spec("_x", **fields).build()}


def wanting(*wants: Want, **fields: Any) -> dict[str, bytes | str]:  # noqa: ANN401
    """One extension module that wants these symbols besides the usual ones."""
    usual = (Want("memcpy", "GLIBC_2.2.5", "libc.so.6"), Want("PyModule_Create2"))
    return native(wants=(*usual, *wants), **fields)


def library(**fields: Any) -> bytes:  # noqa: ANN401
    """A shared library for the folder of grafted ones."""
    return ElfSpec(**({"soname": "libfoo.so.1", "needed": LIBC} | fields)).build()


def auditwheel_sbom(
    *components: Mapping[str, Any],
    version: str = "1.0",
    file_name: str = f"demo-1.0-{NATIVE}.whl",
    came_from: str = "/opt/lib/libfoo.so.1",
) -> str:
    """A document as auditwheel writes it: its reference has the digest of the library's path."""
    subject = {"type": "library", "name": "demo", "version": version}
    subject["purl"] = subject["bom-ref"] = f"pkg:pypi/demo@{version}?file_name={file_name}"
    digest = hashlib.sha256(came_from.encode()).hexdigest()
    parts = [{"type": "library", "bom-ref": f"{c['purl']}#{digest}", **c} for c in components]
    return json.dumps(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.4",
            "version": 1,
            "metadata": {
                "component": subject,
                "tools": [{"name": "auditwheel", "version": "6.8.2"}],
            },
            "components": [subject, *parts],
        }
    )


def loaded(*paths: str) -> Observation:
    """A trial whose import loaded these; those with a digest in their name are the wheel's."""
    libraries = tuple(LoadedLibrary(path=path, from_wheel="-0a1b" in path) for path in paths)
    return make_observation(imported(loaded=libraries))


def missing(module: str) -> Observation:
    """A trial in which a Python module was not there."""
    return make_observation(
        raised("ModuleNotFoundError", f"No module named {module!r}", missing_module=module)
    )


def program(**fields: Any) -> Observation:  # noqa: ANN401
    """A trial in which a program was run."""
    ended = {"exit_code": 0, "signal": None, "output": "", "duration": 0.1} | fields
    return make_observation(imported(), programs=(ProgramOutcome(command=("demo",), **ended),))


OLD = {"glibc": (2, 31), "id": "debian-11"}
NEW = {"glibc": (2, 41), "id": "debian-13"}
MUSL = {"libc": musl(1, 2, 5), "id": "musl-1.2.5", "family": "musl"}
MUSLLINUX = "cp311-abi3-musllinux_1_2_x86_64"
MUSL_MODULE = "demo/_x.abi3.so"
ALPINE = ("libc.musl-x86_64.so.1",)
STATIC_TLS = 0x10
NEWER = Want("fcntl64", "GLIBC_2.28", "libc.so.6")
FORTIFIED = {MUSL_MODULE: wanting(Want("__memcpy_chk", "GLIBC_2.3.4", "libc.so.6"))[MODULE]}
LOST = native(needed=("libfoo-0a1b2c3d.so.1", *LIBC)) | {GRAFTED: library()}
FOO_GRAFTED = native(needed=("libfoo-0a1b2c3d.so.1", *LIBC), runpath="$ORIGIN/../demo.libs") | {
    GRAFTED: library(soname="libfoo-0a1b2c3d.so.1")
}
UNGRAFTED = native(needed=("libfoo.so.1", *LIBC)) | {GRAFTED: library()}
SIZE_CHANGED = "numpy.dtype size changed, may indicate binary incompatibility. Expected 96, got 88"

TRIGGERS = (
    Trigger(finding="wheel-malformed", made={"record": b"demo/__init__.py,,\n"}, tag=PURE),
    *(
        Trigger(finding="environment-overwritten", tag=PURE, lesson=lesson, **made)
        for lesson, made in (
            ("an entry point python3", {"made": {"entry_points": {"python3": "demo:main"}}}),
            ("a script pip3", {"files": {"demo-1.0.data/scripts/pip3": "#!python\n"}}),
            ("bin/python as data", {"files": {"demo-1.0.data/data/bin/python": "#!/bin/true\n"}}),
            ("pyvenv.cfg", {"files": {"demo-1.0.data/data/pyvenv.cfg": "home = /tmp\n"}}),
            ("a file of pip's", {"files": {"pip/_internal/main.py": ""}}),
            ("a file of setuptools'", {"files": {"demo-1.0.data/purelib/setuptools/x.py": ""}}),
            ("Python's json", {"files": {"demo-1.0.data/data/lib/python3.11/json/__init__.py": ""}}),
        )
    ),
    Trigger(
        finding="environment-overwritten",
        observation=make_observation(imported(), install=replace(installed(), changed=("bin/python",))),
        tag=PURE,
        lesson="a dependency brings python",
    ),
    *(
        Trigger(
            finding="installed-files-differ",
            observation=make_observation(
                imported(), install=replace(installed(), differences=(difference,))
            ),
            lesson=f"a file is {difference.kind.value}",
        )
        for difference in (
            FileDifference(path="lib/x.py", kind=DifferenceKind.CONTENT),
            FileDifference(path="lib/x.py", kind=DifferenceKind.ADDED),
            FileDifference(path="tests/x.py", kind=DifferenceKind.SIZE, shared=True),
        )
    ),
    *(
        Trigger(finding="foreign-metadata", files={path: "Name: pip\n"}, tag=PURE, lesson=path)
        for path in (
            "demo-1.0.data/purelib/pip-99.9.dist-info/METADATA",
            "demo-1.0.data/data/lib/python3.11/site-packages/pip-99.9.dist-info/METADATA",
            "pip-99.9.egg-info/PKG-INFO",
            "pip-99.9.DIST-INFO/METADATA",
        )
    ),
    Trigger(finding="policy-mismatch", files=wanting(NEWER)),
    Trigger(finding="symbol-too-new", files=wanting(NEWER), target={"glibc": (2, 27)}),
    *(
        Trigger(
            finding="missing-library",
            files=native(needed=(name, *LIBC)),
            target={"absent_libraries": (name,)},
            lesson=f"links {name}, which policies allow",
        )
        for name in ("libGL.so.1", "libnsl.so.1", "libcrypt.so.1")
    ),
    Trigger(finding="needs-driver", files=native(needed=("libcuda.so.1", *LIBC)), target={}),
    Trigger(finding="rpath-lost", files=LOST, target={}, lesson="the search path was not written"),
    Trigger(
        finding="rpath-lost",
        files=native(needed=("libfoo-0a1b2c3d.so.1", *LIBC), runpath="$ORIGIN/../other.libs")
        | {GRAFTED: library()},
        target={},
        lesson="a wrong search path after repair",
    ),
    Trigger(
        finding="page-alignment",
        files=native(loads=(Segment(offset=0x10),)),
        target=NEW,
        lesson="stripped after patchelf: addresses and offsets no longer agree",
    ),
    Trigger(finding="library-not-grafted", files=UNGRAFTED, target={}),
    Trigger(finding="undefined-symbol", files=wanting(Want("frobnicate")), target={}),
    Trigger(finding="symbol-not-in-musl", files=FORTIFIED, tag=MUSLLINUX, target=MUSL),
    Trigger(
        finding="symbol-not-in-musl",
        files=FORTIFIED,
        tag=MUSLLINUX,
        target=MUSL,
        observation=make_observation(
            raised("ImportError", f"Error relocating /v/{MUSL_MODULE}: __memcpy_chk: symbol not found")
        ),
        lesson="the loader's own words",
    ),
    Trigger(
        finding="built-for-glibc",
        files={MUSL_MODULE: native(needed=("ld-linux-x86-64.so.2", *LIBC))[MODULE]},
        tag=MUSLLINUX,
        also=frozenset({"policy-mismatch"}),
    ),
    *(
        Trigger(
            finding="differs-on-musl",
            files={
                MUSL_MODULE: native(needed=ALPINE, wants=(Want("PyModule_Create2"), Want(name)))[MODULE]
            },
            tag=MUSLLINUX,
            lesson=lesson,
        )
        for name, lesson in (
            ("pthread_create", "stacks of 128 KiB"),
            ("iconv_open", "fewer character sets"),
            ("setlocale", "one locale"),
        )
    ),
    Trigger(finding="executable-stack", files=native(stack="rwx"), target=NEW),
    Trigger(
        finding="libpython-linked", files=native(needed=("libpython3.11.so.1.0", *LIBC)), target={}
    ),
    Trigger(
        finding="libpython-linked",
        files={
            **native(needed=("libpython3-0a1b2c3d.14t.so.1.0", *LIBC), rpath="$ORIGIN/../demo.libs"),
            "demo.libs/libpython3-0a1b2c3d.14t.so.1.0": native()[MODULE],
        },
        lesson="auditwheel grafts the library of a free-threaded Python",
    ),
    Trigger(finding="isa-level", files=native(isa=3), also=frozenset({"policy-mismatch"})),
    Trigger(
        finding="system-call-too-new",
        files=wanting(Want("close_range", "GLIBC_2.34", "libc.so.6")),
        target={"kernel": (4, 18)},
    ),
    Trigger(finding="page-alignment", files=native(align=0x800), target=OLD),
    Trigger(finding="static-tls", files=native(flags=STATIC_TLS, tls_size=4096), target={}),
    Trigger(finding="relr-relocations", files=native(relr=True), target=OLD),
    Trigger(finding="text-relocations", files=native(text_relocations=True)),
    Trigger(
        finding="abi3-violation",
        files={"demo/_x.abi3.so": wanting(Want("PyType_FromModuleAndSpec"))[MODULE]},
        tag="cp37-abi3-manylinux_2_17_x86_64",
        target={"python": "3.9"},
    ),
    Trigger(finding="baked-path", files=native(rodata=b"\0/opt/build/ssl/cert.pem\0")),
    Trigger(finding="wrong-architecture", files=native(arch="aarch64", align=0x10000)),
    Trigger(finding="module-not-native", files={**native(), "demo/_y.abi3.so": ""}),
    Trigger(finding="packed-unusually", files=native(), made={"method": zipfile.ZIP_BZIP2}),
    Trigger(finding="policy-mismatch", files=native(), tag="cp311-cp311-linux_x86_64", index=True),
    Trigger(finding="index-refusal", files=native(), made={"metadata": BY_FTP}, index=True),
    Trigger(finding="graft-unaccounted", files=FOO_GRAFTED, lesson="no bill of materials"),
    Trigger(finding="graft-license", files=FOO_GRAFTED),
    Trigger(
        finding="sbom-wrong",
        files={**FOO_GRAFTED, "demo-1.0.dist-info/sboms/auditwheel.cdx.json": "<bom/>"},
    ),
    Trigger(
        finding="old-library",
        files=native(rodata=b"\0OpenSSL 3.0.7 1 Nov 2022\0"),
        bounds={"openssl": "3.0.8"},
    ),
    Trigger(finding="init-missing", files=native(exports=())),
    Trigger(
        finding="abi3-free-threaded",
        files={"demo/_x.abi3.so": native()[MODULE]},
        tag="cp313-cp313t-manylinux_2_17_x86_64",
        target={"python": "cp313t"},
    ),
    Trigger(finding="platform-tag-needless"),
    Trigger(finding="soname-twice", files=TWICE),
    Trigger(
        finding="program-not-started",
        files={**native(), "demo-1.0.data/scripts/demo": "exit 0\n"},
    ),
    Trigger(
        finding="syntax-error",
        files={"demo/new.py": "match x:\n    case 1:\n        pass\n"},
        tag=PURE,
        target={"python": "3.9"},
    ),
    Trigger(finding="elf-in-purelib", files={f"demo-1.0.data/purelib/{MODULE}": native()[MODULE]}),
    Trigger(finding="elf-in-pure-wheel", files=native(), tag=PURE),
    Trigger(finding="unstripped", files=native(debug=True)),
    Trigger(finding="oversized", files=native(), size=200_000_000),
    Trigger(
        finding="ucs2",
        files=wanting(Want("PyUnicodeUCS2_FromString")),
        also=frozenset({"policy-mismatch"}),
    ),
    Trigger(finding="fpe", files=wanting(Want("PyFPE_jbuf")), also=frozenset({"policy-mismatch"})),
    Trigger(finding="tag-unsupported-by-pip", files=native(), target={"pip": "18.1"}),
    Trigger(finding="python-mismatch", files=native(), target={"python": "3.12"}),
    Trigger(
        finding="requires-python",
        tag=PURE,
        made={"requires_python": ">=3.12"},
        target={},
    ),
    Trigger(finding="glibc-too-old", files=native(), target={"glibc": (2, 12)}),
    Trigger(
        finding="dependency-unavailable",
        tag=PURE,
        observation=make_observation(install=refused("ERROR: No matching distribution found for x>=9")),
    ),
    Trigger(
        finding="install-failed",
        tag=PURE,
        observation=make_observation(install=refused("ERROR: No space left on device")),
    ),
    Trigger(finding="import-error", tag=PURE, observation=make_observation(raised("ValueError", "no"))),
    Trigger(
        finding="import-exited",
        tag=PURE,
        observation=make_observation(imported(status=ImportStatus.EXITED, exit_code=0)),
    ),
    Trigger(
        finding="crash",
        tag=PURE,
        observation=make_observation(imported(status=ImportStatus.SIGNALLED, signal=11)),
    ),
    Trigger(
        finding="hang",
        tag=PURE,
        observation=make_observation(imported(status=ImportStatus.HUNG, duration=10.0)),
    ),
    Trigger(finding="undeclared-dependency", tag=PURE, observation=missing("yaml")),
    Trigger(
        finding="runtime-dlopen",
        files=native(),
        observation=make_observation(
            raised("OSError", "libusb-1.0.so.0: cannot open shared object file: No such file")
        ),
    ),
    Trigger(
        finding="removed-module",
        tag=PURE,
        target={"python": "3.13"},
        observation=missing("distutils.core"),
    ),
    Trigger(
        finding="dependency-abi",
        files=native(),
        observation=make_observation(raised("ValueError", SIZE_CHANGED)),
        made={"requires": ["numpy"]},
    ),
    Trigger(
        finding="system-library-shadowed",
        files=native(),
        observation=loaded("/v/demo.libs/libssl-0a1b2c3d.so.1.1", "/usr/lib/libssl.so.3"),
    ),
    Trigger(
        finding="loader-refusal",
        files=native(),
        observation=make_observation(raised("ImportError", "/v/demo/_native.so: invalid ELF header")),
    ),
    Trigger(
        finding="loader-refusal",
        files={MUSL_MODULE: native(needed=ALPINE, relocation=37)[MODULE]},
        tag=MUSLLINUX,
        target=MUSL,
        lesson="an indirect function on musl",
    ),
    Trigger(
        finding="missing-library",
        files=native(needed=("libstub.so.1", *LIBC), runpath="$ORIGIN")
        | {"demo/libstub.so.1": library(soname="libstub.so.1", filters=("libreal.so.1",))},
        target={"absent_libraries": ("libreal.so.1",)},
        lesson="the library that a filter takes its symbols from",
    ),
    Trigger(
        finding="entry-point-broken",
        tag=PURE,
        files={"demo-1.0.dist-info/entry_points.txt": "[console_scripts]\ndemo = demo\n"},
        lesson="names no callable",
    ),
    Trigger(
        finding="undeclared-dependency",
        tag=PURE,
        files={"demo/__init__.py": "import absent\n"},
        target={"python": "3.11"},
        lesson="predicted",
    ),
    Trigger(
        finding="program-not-started",
        tag=PURE,
        observation=make_observation(
            imported(), launches=(LaunchOutcome(path="bin/demo", refused="Exec format error"),)
        ),
    ),
    Trigger(
        finding="entry-point-broken",
        tag=PURE,
        observation=make_observation(
            imported(),
            raised("AttributeError", "no main", name="demo:main", kind=ImportKind.ENTRY_POINT),
        ),
    ),
    Trigger(
        finding="module-shadowed",
        tag=PURE,
        observation=make_observation(imported(foreign_file="/usr/lib/python3.11/demo.py")),
    ),
    Trigger(
        finding="syntax-error",
        tag=PURE,
        observation=make_observation(
            imported(),
            syntax=(SyntaxFault(path="lib/site-packages/demo/x.py", line=3, message="invalid syntax"),),
        ),
    ),
    Trigger(
        finding="installers-disagree",
        tag=PURE,
        observation=make_observation(
            imported(),
            uv=UvInstall(
                ok=False,
                version="0.13.9",
                exit_code=2,
                output="error: no\n  cause: bad\n",
                duration=0.1,
            ),
        ),
    ),
    Trigger(
        finding="gil-enabled",
        tag=PURE,
        target={"python": "cp313t"},
        observation=make_observation(imported(gil_enabled=True)),
    ),
    Trigger(finding="start-file-broken", tag=PURE, files={"demo.pth": "import absent_module\n"}),
    Trigger(
        finding="names-left-out",
        tag=PURE,
        observation=make_observation(imported(), left_out=("demo.gui",)),
    ),
    Trigger(finding="program-failed", tag=PURE, observation=program(exit_code=3)),
    Trigger(
        finding="tests-failed",
        tag=PURE,
        observation=make_observation(
            imported(),
            tests=SuiteOutcome(
                command="pytest",
                ran=1,
                exit_code=1,
                cases=(CaseResult(name="tests/test_a.py::test_b", status=CaseStatus.FAILED),),
            ),
        ),
    ),
    Trigger(
        finding="tests-not-run",
        tag=PURE,
        observation=make_observation(
            imported(),
            tests=SuiteOutcome(command="pytest", not_run="pytest found no test", exit_code=5),
        ),
    ),
    Trigger(
        finding="expectation-not-met",
        tag=PURE,
        observation=make_observation(imported()),
        expect="crash",
    ),
    Trigger(
        finding="flaky",
        tag=PURE,
        observation=make_observation(imported()),
        tries=Tries(count=1, failed=0, known=4, known_failed=1),
    ),
    Trigger(
        finding="prediction-wrong",
        files=native(needed=("libGL.so.1", *LIBC)),
        observation=make_observation(imported()),
    ),
)
