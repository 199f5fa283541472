"""The proof's form as JSON: the one place that knows it.

An in-toto Statement, version 1 (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md):
subjects are the wheels, the predicate is ours. These types are the published schema too
(docs/reference/proof.schema.json is made from them), and reading is as strict as the schema: unknown
fields, wrong types and missing fields are errors. Names on the wire are camelCase, as in-toto's are.

A field that is added gets a default and keeps the version; any other change is a new version.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pytest_manylinux.model.observation import DifferenceKind, ImportKind, ImportStatus
from pytest_manylinux.model.verdict import Cause, Foretold, Outcome, Severity

STATEMENT_TYPE: Literal["https://in-toto.io/Statement/v1"] = "https://in-toto.io/Statement/v1"
# A TypeURI names the type and need not resolve to anything; this one claims nobody's domain.
PREDICATE_TYPE: Literal["urn:pytest-manylinux:proof:1"] = "urn:pytest-manylinux:proof:1"

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="SHA-256, lower-case hex")]
OptionalSha256 = Annotated[
    str,
    Meta(pattern="^([0-9a-f]{64})?$", description="SHA-256, lower-case hex; empty if there is none"),
]
Epoch = Annotated[float, Meta(description="seconds since 1970-01-01 UTC")]
Pairs = Annotated[
    tuple[tuple[str, str], ...], Meta(description="pairs of a name and its version or digest")
]
Seconds = Annotated[float, Meta(description="seconds")]


class _Wire(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename="camel"
):
    """What all parts share."""


class Setting(_Wire, frozen=True):
    """A setting as the run used it, and where it came from."""

    name: str
    value: str
    source: str


class Shard(_Wire, frozen=True):
    """Which part of a divided run; `plan` is a digest over all that was divided."""

    index: Annotated[int, Meta(ge=1)]
    count: Annotated[int, Meta(ge=1)]
    plan: str


class Merged(_Wire, frozen=True):
    """One of the proofs that were merged into this one."""

    sha256: Sha256
    started: Epoch
    tool_version: str
    engine: str
    engine_version: str


class Run(_Wire, frozen=True):
    """The run, the tool and its configuration."""

    started: Epoch
    duration: Seconds
    tool_version: str
    pytest_version: str
    host_python: str
    kernel: str
    engine: str
    engine_version: str
    catalogue_version: str = ""
    settings: tuple[Setting, ...] = ()
    pins: Pairs = ()
    shard: Shard | None = None
    merged: tuple[Merged, ...] = ()


class DistroRow(_Wire, frozen=True):
    """A distro that the settings asked for, as the catalogue had it."""

    id: str
    family: str
    release: str
    title: str
    glibc: tuple[int, int]
    architectures: tuple[str, ...]
    pythons: tuple[str, ...]
    end_of_life: date | None = None
    rolling: bool = False


class AuditRow(_Wire, frozen=True):
    """auditwheel's analysis: which tag the name promises, which one the bytes deserve."""

    promised: tuple[str, ...]
    deserved: str
    true: bool
    reasons: tuple[str, ...] = ()
    tool: str = ""


class BuildRow(_Wire, frozen=True):
    """Where a wheel came from."""

    project: str
    python: str
    policy: str
    builder: str
    image: str = ""
    image_name: str = ""
    tools: Pairs = ()
    requirements: Pairs = ()
    commit: str = ""
    dirty: bool = False
    wheel_sha256: OptionalSha256 = ""
    reused: str = ""
    error: str = ""
    log: str = ""
    started: Epoch = 0.0
    duration: Seconds = 0.0
    remembered: Annotated[bool, Meta(description="built by an earlier run, at `started`")] = False
    builder_why: Annotated[str, Meta(description="why it was this builder")] = ""


class WheelRow(_Wire, frozen=True):
    """A wheel of the run. `file` is its name, which is part of what was proven."""

    file: str
    sha256: Sha256
    size: Annotated[int, Meta(ge=0, description="bytes")]
    name: str
    version: str
    build_tag: str
    tags: tuple[str, ...]
    group: str
    audit: AuditRow | None = None
    build: BuildRow | None = None


class FindingRow(_Wire, frozen=True):
    """One thing that is wrong or worth knowing; code and name are stable."""

    code: str
    name: str
    severity: Severity
    message: str
    evidence: tuple[str, ...] = ()
    remedy: str = ""
    files: Annotated[tuple[str, ...], Meta(description="paths in the wheel")] = ()


class IgnoredRow(_Wire, frozen=True):
    """A finding that the configuration waves through."""

    finding: FindingRow
    reason: str


class ExpectationRow(_Wire, frozen=True):
    """The project's declaration of a fault."""

    distro: str
    finding: str
    reason: str


class LibraryRow(_Wire, frozen=True):
    """A shared library that was loaded; of each trial every library is listed once."""

    path: str
    from_wheel: bool


class ImportRow(_Wire, frozen=True):
    """One name, imported in a fresh interpreter."""

    name: str
    kind: ImportKind
    status: ImportStatus
    completed: Annotated[bool, Meta(description="whether the import came to its end")] = False
    exception: str = ""
    message: str = ""
    missing_module: str = ""
    loader_words: str = ""
    traceback: str = ""
    output: str = ""
    exit_code: int | None = None
    signal: int | None = None
    duration: Seconds = 0.0
    loaded: tuple[LibraryRow, ...] = ()


class LoaderRow(_Wire, frozen=True):
    """One installed ELF file that the distro's loader could not resolve in full."""

    path: str
    missing: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class ProgramRow(_Wire, frozen=True):
    """A console program that was run."""

    command: tuple[str, ...]
    exit_code: int | None
    signal: int | None
    output: str
    duration: Seconds


class DifferenceRow(_Wire, frozen=True):
    """An installed file that the wheel's bytes do not explain."""

    path: str
    kind: DifferenceKind
    shared: Annotated[bool, Meta(description="another installed distribution lists it too")] = False


class InstallRow(_Wire, frozen=True):
    """The distro's own pip at work; its words are kept where the trial did not pass."""

    ok: bool
    pip_version: Annotated[str, Meta(description="of the pip that installed, read before it did")]
    exit_code: int
    output: str
    duration: Seconds
    installed: Annotated[Pairs, Meta(description="what was there afterwards: names, versions")] = ()
    changed: Annotated[
        tuple[str, ...],
        Meta(description="files of the virtual environment itself that the installation changed"),
    ] = ()
    compared: Annotated[
        int, Meta(ge=0, description="files of the wheel that were held against what was installed")
    ] = 0
    differences: tuple[DifferenceRow, ...] = ()


class ObservationRow(_Wire, frozen=True):
    """What was seen: on which image, with which interpreter, pip and engine, and when."""

    target: str
    image: str
    image_name: str
    image_source: str
    engine: str
    python: str
    libc: str
    install: InstallRow | None = None
    imports: tuple[ImportRow, ...] = ()
    loader: tuple[LoaderRow, ...] = ()
    programs: tuple[ProgramRow, ...] = ()
    started: Epoch = 0.0
    duration: Seconds = 0.0
    remembered: Annotated[bool, Meta(description="seen by an earlier run, at `started`")] = False
    image_note: Annotated[str, Meta(description="what was not as usual with the image")] = ""
    worker: Annotated[str, Meta(description="which worker of a cluster saw it")] = ""


class TriesRow(_Wire, frozen=True):
    """How often a trial was done and failed: in this run, and as far as is remembered."""

    count: Annotated[int, Meta(ge=1, description="in this run")]
    failed: Annotated[int, Meta(ge=0, description="in this run")]
    known: Annotated[int, Meta(ge=1, description="in all runs that are remembered")]
    known_failed: Annotated[int, Meta(ge=0, description="in all runs that are remembered")]


class VerdictRow(_Wire, frozen=True):
    """What one trial (`subject` is its target) or audit amounts to."""

    wheel: str
    wheel_sha256: OptionalSha256
    subject: str
    outcome: Outcome
    cause: Cause | None = None
    reason: str = ""
    findings: tuple[FindingRow, ...] = ()
    ignored: tuple[IgnoredRow, ...] = ()
    expectation: ExpectationRow | None = None
    observation: ObservationRow | None = None
    prediction: Annotated[
        Foretold | None,
        Meta(
            description="the trial held against the prediction; beyond: bytes do not show such faults"
        ),
    ] = None
    tries: Annotated[
        TriesRow | None,
        Meta(description="set where the trial was repeated, or some tries passed and some failed"),
    ] = None


class Predicate(_Wire, frozen=True):
    """The verdicts and all that they rest on.

    `seal` is the SHA-256 of the statement with an empty seal, as canonical JSON. It finds accidents
    and careless edits; it is no signature, for anyone can make it anew.
    """

    seal: OptionalSha256
    run: Run
    distros: tuple[DistroRow, ...] = ()
    wheels: tuple[WheelRow, ...] = ()
    builds: tuple[BuildRow, ...] = ()
    verdicts: tuple[VerdictRow, ...] = ()


class Digest(_Wire, frozen=True):
    """in-toto's DigestSet; ours has SHA-256 only."""

    sha256: Sha256


class Subject(_Wire, frozen=True):
    """A wheel: its file name and the digest of its bytes."""

    name: str
    digest: Digest


class Statement(_Wire, frozen=True):
    """The in-toto Statement, version 1."""

    type_: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(name="_type")
    subject: tuple[Subject, ...]
    predicate_type: Literal["urn:pytest-manylinux:proof:1"]
    predicate: Predicate


def json_schema() -> dict[str, object]:
    """The published JSON Schema of a proof, draft 2020-12."""
    schema = msgspec.json.schema(Statement)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": PREDICATE_TYPE,
        "title": "pytest-manylinux proof",
        **schema,
    }
