"""The proof's form as JSON: a run in canonical form, by the model's own dataclasses.

An in-toto Statement, version 1 (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md):
subjects are the wheels, the predicate is ours. What msgspec reads and writes is derived from the
dataclasses, and so is the published schema (docs/reference/proof.schema.json): names are camelCase, as
in-toto's are; fields that have their default are left out; unknown fields, wrong types and missing
fields are errors. Only a distro has a form of its own: without the recipe for its root.

A field that is added to the model gets a default and keeps the version. Any other change is a new
version; so is another order of the fields, for the seal is over them in their order.

Canonical form is what reports and proofs keep, and what a proof gives back when it is read: in a fixed
order, bounded, with nothing of the host's in it. What is dropped: folders of the host, credentials in
addresses, pip's words and output of trials that passed, all but the tail of long texts.
"""

from __future__ import annotations

import enum
import hashlib
import inspect
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from packaging.tags import parse_tag

from pytest_manylinux.decoding import convert, decode_json
from pytest_manylinux.errors import ProofError, SignatureError, UsageError
from pytest_manylinux.model.distro import Distro, Interpreter, split_target_id
from pytest_manylinux.model.observation import (
    ImportOutcome,
    LoadedLibrary,
    Observation,
    OptionalSha256,
    Sha256,
    SuiteOutcome,
)
from pytest_manylinux.model.policy import Libc, LibcKind
from pytest_manylinux.model.python import parse_python
from pytest_manylinux.model.run import BuildRecord, RunRecord, WheelRecord
from pytest_manylinux.model.verdict import Verdict, distinct

_T = TypeVar("_T")
StatementType = Literal["https://in-toto.io/Statement/v1"]
# A TypeURI names the type and need not resolve to anything; this one claims nobody's domain.
PredicateType = Literal["urn:pytest-manylinux:proof:1"]
STATEMENT_TYPE: StatementType = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: PredicateType = "urn:pytest-manylinux:proof:1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """in-toto's DigestSet; ours has SHA-256 only."""

    sha256: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A wheel: its file name and the digest of its bytes."""

    name: str
    digest: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicate:
    """The verdicts and all that they rest on.

    `seal` is the SHA-256 of the statement with an empty seal, as JSON without spaces, in this order of
    fields. It finds accidents and careless edits; it is not a signature, for anyone can compute it.
    """

    seal: OptionalSha256
    run: RunRecord
    distros: tuple[Distro, ...] = ()
    wheels: tuple[WheelRecord, ...] = ()
    builds: tuple[BuildRecord, ...] = ()
    verdicts: tuple[Verdict, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """The in-toto Statement, version 1."""

    type_: StatementType = STATEMENT_TYPE
    subject: tuple[Subject, ...]
    predicate_type: PredicateType = PREDICATE_TYPE
    predicate: Predicate


_LEFT_OUT: Mapping[type, frozenset[str]] = {
    RunRecord: frozenset({"distros", "wheels", "builds", "verdicts"}),  # the predicate has them
    WheelRecord: frozenset({"path"}),  # the host's
}
_REQUIRED = frozenset({"type_", "predicate_type"})


def _name_in_file(field: str) -> str:
    if field == "type_":
        return "_type"
    first, *rest = field.split("_")
    return first + "".join(word.capitalize() for word in rest)


class _Form(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, rename=_name_in_file
):
    """What all forms share."""


class ProvenDistro(_Form, frozen=True, kw_only=True):
    """A distro that the settings asked for, as the catalogue had it; it has `glibc` or `musl`."""

    id: str
    family: str
    release: str
    title: str
    glibc: tuple[int, int] | None = None
    architectures: tuple[str, ...]
    pythons: tuple[str, ...]
    end_of_life: date | None = None
    rolling: bool = False
    musl: tuple[int, int, int] | None = None


@cache
def form_of(kind: type) -> type[msgspec.Struct]:
    """The strict form of a dataclass in the file; a Struct with the same fields."""
    if kind is Distro:
        return ProvenDistro
    hints = get_type_hints(kind, include_extras=True)
    parts: list[Any] = []
    for field in fields(kind):
        if field.name in _LEFT_OUT.get(kind, ()):
            continue
        optional = field.default is not MISSING and field.name not in _REQUIRED
        default = (field.default,) if optional else ()
        parts.append((field.name, _form(hints[field.name]), *default))
    words = {"__doc__": kind.__doc__}
    return msgspec.defstruct(
        kind.__name__, parts, bases=(_Form,), namespace=words, frozen=True, kw_only=True
    )


def _form(hint: Any) -> Any:  # noqa: ANN401 - any type that a field may have
    if isinstance(hint, type) and is_dataclass(hint):
        return form_of(hint)
    if get_origin(hint) is tuple:
        return types.GenericAlias(tuple, tuple(_form(part) for part in get_args(hint)))
    if get_origin(hint) in {Union, types.UnionType}:
        return Union[tuple(_form(part) for part in get_args(hint))]  # noqa: UP007 - made at run time
    return hint


def encode_statement(record: RunRecord) -> Iterator[bytes]:
    """The run as a sealed statement, in parts: UTF-8 JSON with a line break at its end.

    `record` need not be canonical: what is written is. One verdict at a time is held in the file's
    form, since those of a large release would be several times as large as what they are made from.
    Raises UnicodeEncodeError for lone surrogates.
    """
    order = _in_order(record)
    bare = canonical(replace(record, verdicts=()))
    digest = hashlib.sha256()
    head = msgspec.json.encode(_form_of(bare, seal=""), order="deterministic")
    for part in _joined(head, _encoded(order)):
        digest.update(part)
    sealed = msgspec.json.encode(_form_of(bare, seal=digest.hexdigest()))
    shown = (
        _DEEPER.sub(b"\n   ", msgspec.json.format(verdict, indent=1)) for verdict in _encoded(order)
    )
    yield from _joined(msgspec.json.format(sealed, indent=1), shown, breaks=True)
    yield b"\n"


def _encoded(verdicts: Iterable[Verdict]) -> Iterator[bytes]:
    """Each verdict in canonical form, as JSON without spaces; of equal ones of a cell the first."""
    form = form_of(Verdict)
    cell: tuple[str, ...] = ()
    there: set[bytes] = set()
    for verdict in verdicts:
        if cell != (cell := (verdict.wheel, verdict.wheel_sha256, verdict.subject)):
            there.clear()
        value = convert(_verdict(verdict), form, from_attributes=True)
        encoded = msgspec.json.encode(value, order="deterministic")
        if encoded not in there:
            there.add(encoded)
            yield encoded


def _joined(head: bytes, verdicts: Iterable[bytes], *, breaks: bool = False) -> Iterator[bytes]:
    """A statement without verdicts, and then with them: they are the last of its predicate.

    With `breaks` both are in the form that people read, each verdict three levels deep.
    """
    end = b"\n }\n}" if breaks else b"}}"
    opening, between, closing = (
        (b',\n  "verdicts": [\n   ', b",\n   ", b"\n  ]") if breaks else (b',"verdicts":[', b",", b"]")
    )
    yield head.removesuffix(end)
    number = 0
    for number, verdict in enumerate(verdicts, 1):
        yield between if number > 1 else opening
        yield verdict
    yield (closing if number else b"") + end


def _form_of(record: RunRecord, *, seal: str) -> msgspec.Struct:
    """The form of a statement."""
    statement = Statement(
        subject=tuple(
            Subject(name=wheel.file, digest=Digest(sha256=wheel.sha256)) for wheel in record.wheels
        ),
        predicate=Predicate(
            seal=seal,
            run=record,
            distros=record.distros,
            wheels=record.wheels,
            builds=record.builds,
            verdicts=record.verdicts,
        ),
    )
    form: msgspec.Struct = convert(statement, form_of(Statement), from_attributes=True)
    return form


def decode_statement(payload: bytes) -> tuple[tuple[Subject, ...], RunRecord]:
    """The subjects of a statement and its run.

    Raises ProofError for what is not a proof, SignatureError where the seal does not fit.
    """
    try:
        form: Any = decode_json(payload, form_of(Statement))
    except msgspec.ValidationError as error:
        raise ProofError(
            "not a proof that this version reads",
            why=str(error),
            remedy=f"its predicateType must be {PREDICATE_TYPE} (docs/reference/proof.md)",
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProofError("not a proof: not JSON", why=str(error)) from error
    if _sealed(form) != form:
        raise SignatureError(
            "the proof was changed after it was written",
            why="its seal does not fit its content",
            remedy="make it again: pytest --manylinux --manylinux-proof=FILE",
        )
    return _model(form.subject, tuple[Subject, ...]), _record(form.predicate)


def _sealed(statement: Any) -> msgspec.Struct:  # noqa: ANN401 - a form is made at run time
    """The statement with the seal that its content asks for."""
    fill = msgspec.structs.replace
    bare = fill(statement, predicate=fill(statement.predicate, seal=""))
    seal = hashlib.sha256(msgspec.json.encode(bare, order="deterministic")).hexdigest()
    sealed: msgspec.Struct = fill(statement, predicate=fill(statement.predicate, seal=seal))
    return sealed


def _record(predicate: Any) -> RunRecord:  # noqa: ANN401
    try:
        _check_tags(tag for wheel in predicate.wheels for tag in wheel.tags)
        return replace(
            _model(predicate.run, RunRecord),
            distros=tuple(map(without_recipe, predicate.distros)),
            wheels=_model(predicate.wheels, tuple[WheelRecord, ...]),
            builds=_model(predicate.builds, tuple[BuildRecord, ...]),
            verdicts=_model(predicate.verdicts, tuple[Verdict, ...]),
        )
    except (UsageError, ValueError) as error:
        raise ProofError("not a proof that this version reads", why=str(error)) from error


def _model(form: object, kind: type[_T]) -> _T:
    return convert(form, kind, from_attributes=True)


def _check_tags(tags: Iterable[str]) -> None:
    for text in tags:
        if len(parse_tag(text)) != 1:
            raise ValueError(f"{text!r} is not one compatibility tag")


def without_recipe(distro: Distro | ProvenDistro) -> Distro:
    """What a proof keeps of a distro; how its root is made is the catalogue's."""
    return Distro(
        id=distro.id,
        family=distro.family,
        release=distro.release,
        title=distro.title,
        libc=_libc(distro),
        architectures=distro.architectures,
        interpreters=tuple(
            Interpreter(version=parse_python(python), executable="", packages=())
            for python in distro.pythons
        ),
        package_manager="",
        end_of_life=distro.end_of_life,
        rolling=distro.rolling,
    )


def _libc(distro: Distro | ProvenDistro) -> Libc:
    """Raises ProofError for a distro of a proof that has no C library, or two."""
    found = [
        Libc(kind, version)
        for kind, version in ((LibcKind.GLIBC, distro.glibc), (LibcKind.MUSL, distro.musl))
        if version is not None
    ]
    if len(found) != 1:
        why = f"{distro.id} has neither glibc nor musl, or both"
        raise ProofError("not a proof that this version reads", why=why)
    return found[0]


def json_schema() -> dict[str, object]:
    """The published JSON Schema of a proof, draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": PREDICATE_TYPE,
        "title": "pytest-manylinux proof",
        **_with_clean_words(msgspec.json.schema(form_of(Statement))),
    }


def _with_clean_words(schema: dict[str, Any]) -> dict[str, Any]:
    """Descriptions without the indentation of docstrings, which msgspec before 0.23 keeps."""
    for definition in schema.get("$defs", {}).values():
        if "description" in definition:
            definition["description"] = inspect.cleandoc(definition["description"])
    return schema


# Characters kept of one text; the end of a log or traceback is where its point is.
TEXT_BOUND = 8000
_DEEPER = re.compile(rb"\n")
_CREDENTIALS = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^/\s@]+@")


def canonical(record: RunRecord) -> RunRecord:
    """The record in canonical form; doing it twice changes nothing."""
    return replace(
        record,
        settings=tuple(
            replace(setting, value=_redacted(setting.value))
            for setting in sorted(record.settings, key=lambda s: s.name)
        ),
        wheels=_wheels(record.wheels),
        builds=tuple(sorted((_build(b) for b in record.builds), key=_build_order)),
        verdicts=_verdicts(record),
        pins=tuple(sorted(record.pins)),
        distros=tuple(map(without_recipe, record.distros)),
    )


def without_surrogates(record: RunRecord) -> RunRecord:
    """Spell out lone surrogates, which UTF-8 cannot hold: a file name of other bytes has some."""
    spelt = _spelt(record)
    if not isinstance(spelt, RunRecord):
        raise TypeError(type(spelt))
    return spelt


def _spelt(value: object) -> object:
    if isinstance(value, str) and not isinstance(value, enum.Enum):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Path):
        return Path(str(_spelt(str(value))))
    if isinstance(value, tuple):
        return tuple(_spelt(part) for part in value)
    if is_dataclass(value) and not isinstance(value, type):
        parts = {field.name: _spelt(getattr(value, field.name)) for field in fields(value)}
        return replace(value, **parts)
    return value


def _redacted(text: str) -> str:
    return _CREDENTIALS.sub(r"\g<scheme>[hidden]@", text)


def _tail(text: str) -> str:
    """The end of a text, whole lines if there are any, with credentials hidden."""
    clean = _redacted(text)
    if len(clean) <= TEXT_BOUND:
        return clean
    _, newline, rest = clean[-TEXT_BOUND:].partition("\n")
    return rest if newline and rest else clean[-TEXT_BOUND:]


def _wheels(records: Iterable[WheelRecord]) -> tuple[WheelRecord, ...]:
    """Each wheel once (name and bytes), the first record of it; sorted."""
    kept: dict[tuple[str, str], WheelRecord] = {}
    for record in records:
        build = None if record.build is None else _build(record.build)
        kept.setdefault((record.file, record.sha256), replace(record, path=None, build=build))
    return tuple(kept[key] for key in sorted(kept))


def _build(record: BuildRecord) -> BuildRecord:
    return replace(
        record,
        project=Path(record.project).name if record.project.startswith("/") else record.project,
        log=Path(record.log).name if record.log else "",
        error=_tail(record.error),
        tools=tuple(sorted(record.tools)),
        requirements=tuple(sorted(record.requirements)),
    )


def _build_order(record: BuildRecord) -> tuple[str, ...]:
    return (record.project, record.python, record.policy, record.wheel_sha256, record.error)


def _verdicts(record: RunRecord) -> tuple[Verdict, ...]:
    """In the order of a proof, and each once."""
    return tuple(distinct(_verdict(verdict) for verdict in _in_order(record)))


def _in_order(record: RunRecord) -> list[Verdict]:
    """By wheel; of a wheel the audit first, then the targets in the order of the distros."""
    places = {distro.id: index for index, distro in enumerate(record.distros)}

    def order(verdict: Verdict) -> tuple[str, str, int, str, str]:
        target = split_target_id(verdict.subject)
        place = -1 if target is None else places.get(target[0], len(places))
        return (verdict.wheel, verdict.wheel_sha256, place, verdict.subject, verdict.outcome.value)

    return sorted(record.verdicts, key=order)


def _verdict(verdict: Verdict) -> Verdict:
    seen = verdict.observation
    return replace(
        verdict,
        reason=_redacted(verdict.reason),
        observation=None if seen is None else _observation(seen, passes=verdict.outcome.passes),
    )


def _observation(seen: Observation, *, passes: bool) -> Observation:
    install = seen.install
    if install is not None:
        install = replace(
            install,
            output="" if passes else _tail(install.output),
            installed=tuple(sorted(install.installed)),
        )
    uv = seen.uv
    if uv is not None:
        uv = replace(uv, output="" if passes else _tail(uv.output))
    return replace(
        seen,
        install=install,
        uv=uv,
        imports=_imports(seen.imports),
        loader=tuple(check for check in seen.loader if not check.resolved),
        programs=tuple(replace(p, output=_tail(p.output)) for p in seen.programs),
        launches=tuple(replace(p, output=_tail(p.output)) for p in seen.launches),
        tests=None if seen.tests is None else _tests(seen.tests, passes=passes),
    )


def _tests(suite: SuiteOutcome, *, passes: bool) -> SuiteOutcome:
    """Counts, the tests that failed and the slowest; a suite that passed has nothing more to say."""
    short = suite.shortened()
    return replace(
        short,
        output="" if passes else _tail(short.output),
        cases=tuple(replace(case, words=_tail(case.words)) for case in short.cases),
    )


def _imports(outcomes: Iterable[ImportOutcome]) -> tuple[ImportOutcome, ...]:
    """Bounded texts; a library stays with the first import that had it loaded."""
    seen: set[LoadedLibrary] = set()
    kept = []
    for outcome in outcomes:
        fresh = sorted(set(outcome.loaded) - seen, key=lambda lib: (lib.path, lib.from_wheel))
        seen.update(fresh)
        kept.append(
            replace(
                outcome,
                loaded=tuple(fresh),
                traceback=_tail(outcome.traceback),
                message=_tail(outcome.message),
                output=_tail(outcome.output),
            )
        )
    return tuple(kept)
