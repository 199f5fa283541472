from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given, settings
from run_records import (
    STARTED,
    make_distro,
    make_large_run,
    make_run,
    make_verdict,
    make_wheel_record,
    runs,
)

from pytest_manylinux.errors import ExitCode, ManylinuxError, ProofError, ReportError, SignatureError
from pytest_manylinux.model.distro import Interpreter
from pytest_manylinux.model.python import parse_python
from pytest_manylinux.model.run import (
    BuildRecord,
    RunRecord,
    SettingRecord,
)
from pytest_manylinux.model.verdict import (
    Finding,
    Ignored,
    Outcome,
    Severity,
    Tries,
    Verdict,
)
from pytest_manylinux.report import proof_schema
from pytest_manylinux.report.proof import (
    decode_proof,
    encode_proof,
    load_trusted,
    read_proof,
    write_proof,
)
from pytest_manylinux.report.proof_schema import TEXT_BOUND, canonical, without_surrogates

GOLDEN = Path(__file__).with_name("golden")
SCHEMA = Path(__file__).parents[3] / "docs" / "reference" / "proof.schema.json"
WHEEL = make_wheel_record("demo-1.0-cp311-cp311-manylinux_2_5_x86_64.manylinux1_x86_64.whl")
TARGET = "debian-12-cp311-x86_64"


@given(runs())
def test_a_proof_in_parts_is_what_its_whole_form_would_be(record: RunRecord) -> None:
    record = canonical(without_surrogates(record))
    form = proof_schema._sealed(
        msgspec.structs.replace(
            bare := proof_schema._form_of(record, seal=""),
            predicate=msgspec.structs.replace(
                bare.predicate,  # type: ignore[attr-defined]
                verdicts=msgspec.convert(
                    record.verdicts,
                    proof_schema._form(tuple[Verdict, ...]),
                    from_attributes=True,
                ),
            ),
        )
    )
    whole = msgspec.json.format(msgspec.json.encode(form), indent=1) + b"\n"
    assert encode_proof(record) == whole


def without_times(value: object) -> object:
    if isinstance(value, dict):
        timed = {"started", "duration", "seal"}
        return {key: without_times(part) for key, part in value.items() if key not in timed}
    if isinstance(value, list):
        return [without_times(part) for part in value]
    return value


def edited(record: RunRecord, change: Callable[[dict[str, Any]], None]) -> bytes:
    statement = json.loads(encode_proof(record))
    change(statement)
    return json.dumps(statement).encode()


def resealed(record: RunRecord, change: Callable[[dict[str, Any]], None]) -> bytes:
    """A statement that was changed and got a seal that fits, as a forger would."""
    form = proof_schema.form_of(proof_schema.Statement)
    statement = msgspec.json.decode(edited(record, change), type=form)
    return msgspec.json.encode(proof_schema._sealed(statement))


@given(runs())
def test_a_proof_gives_back_the_canonical_run(record: RunRecord) -> None:
    proof = decode_proof(encode_proof(record))
    assert proof.record == canonical(without_surrogates(record))
    assert encode_proof(proof.record) == encode_proof(record)
    assert canonical(proof.record) == proof.record


@settings(max_examples=40)
@given(runs())
def test_every_proof_fits_the_published_schema(record: RunRecord) -> None:
    schema = json.loads(SCHEMA.read_text())
    errors = jsonschema.Draft202012Validator(schema).iter_errors(json.loads(encode_proof(record)))
    assert [error.message for error in errors] == []


def test_the_published_schema_is_the_one_of_the_code() -> None:
    assert json.loads(SCHEMA.read_text()) == json.loads(json.dumps(proof_schema.json_schema()))


def test_the_schema_is_strict() -> None:
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    statement = json.loads(encode_proof(make_run([WHEEL])))
    statement["predicate"]["run"]["extra"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(statement)


def test_it_is_an_in_toto_statement_over_the_wheels() -> None:
    statement = json.loads(encode_proof(make_run([WHEEL], [make_verdict(WHEEL, TARGET)])))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "urn:pytest-manylinux:proof:1"
    assert statement["subject"] == [{"name": WHEEL.file, "digest": {"sha256": WHEEL.sha256}}]


def test_what_was_seen_in_another_order_at_another_time_gives_the_same_proof() -> None:
    record = make_large_run(6, 4)
    verdicts, wheels = list(record.verdicts), list(record.wheels)
    random.Random(7).shuffle(verdicts)  # noqa: S311 - an order, no secret
    random.Random(8).shuffle(wheels)  # noqa: S311 - an order, no secret
    later = [
        replace(v, observation=v.observation and replace(v.observation, started=1.0, duration=2.0))
        for v in verdicts
    ]
    other = replace(
        record, started=5.0, duration=6.0, verdicts=tuple(later), wheels=tuple(wheels + wheels)
    )
    one, two = json.loads(encode_proof(record)), json.loads(encode_proof(other))
    assert without_times(one) == without_times(two)
    assert one != two


def golden_files() -> list[Path]:
    return sorted(GOLDEN.glob("*/*.json"))


@pytest.mark.parametrize("path", golden_files(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_proofs_of_earlier_releases_are_read_and_written_as_they_were(path: Path) -> None:
    """Each folder has what one state of the format wrote: every field filled, and none."""
    signed = path.with_suffix(".pub").is_file()
    keys = [load_trusted(str(path.with_suffix(".pub")))] if signed else []
    proof = read_proof(path, keys=keys)
    assert bool(proof.signed_by) == signed
    content = encode_proof(proof.record)
    assert decode_proof(content).record == proof.record
    if not signed:
        assert content == path.read_bytes()


def test_the_golden_files_have_every_field_of_the_present_format() -> None:
    named = json.loads(SCHEMA.read_text())["$defs"].values()
    wanted = {name for part in named for name in part.get("properties", ())}
    present = (GOLDEN / "21-compiled" / "full.json").read_text()
    assert [name for name in sorted(wanted) if f'"{name}":' not in present] == []


def test_a_distro_keeps_its_pythons() -> None:
    versions = tuple(map(parse_python, ("3.11", "cp314t", "pp311")))
    pythons = tuple(Interpreter(version=v, executable="", packages=()) for v in versions)
    record = make_run(distros=(replace(make_distro("debian-12"), interpreters=pythons),))
    (read,) = decode_proof(encode_proof(record)).record.distros
    assert tuple(python.version for python in read.interpreters) == versions


def test_nothing_of_the_host_gets_into_a_proof() -> None:
    record = make_run(
        [replace(WHEEL, build=_build("/home/me/project"))],
        [make_verdict(WHEEL, TARGET)],
        settings=(
            SettingRecord(name="mirror", value="https://me:secret@index.invalid/simple", source="flag"),
        ),
    )
    text = encode_proof(record).decode()
    assert "/somewhere" not in text
    assert "/home/me" not in text
    assert "secret" not in text
    assert "https://[hidden]@index.invalid/simple" in text


def _build(project: str) -> BuildRecord:
    return BuildRecord(
        project=project, python="cp311", policy="manylinux1", builder="zig", log="/somewhere/log.txt"
    )


def test_long_words_keep_their_end() -> None:
    verdict = make_verdict(WHEEL, TARGET, Outcome.NOT_PORTABLE)
    assert verdict.observation is not None
    words = "\n".join(f"line {n}" for n in range(5000))
    loud = replace(verdict.observation.imports[0], traceback=words)
    seen = replace(verdict.observation, imports=(loud,))
    record = canonical(make_run([WHEEL], [replace(verdict, observation=seen)]))
    kept = record.verdicts[0].observation
    assert kept is not None
    assert kept.imports[0].traceback.endswith("line 4999")
    assert kept.imports[0].traceback.startswith("line ")
    assert len(kept.imports[0].traceback) <= TEXT_BOUND


def test_a_failed_write_leaves_the_old_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "proof.json"
    write_proof(make_run([WHEEL]), path)
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(ReportError, match=r"proof\.json could not be written") as caught:
        write_proof(make_run([WHEEL], started=2.0), path)
    assert "No space left" in str(caught.value)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_has_ordinary_permissions_and_its_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "proof.json"
    write_proof(make_run(), path)
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode


def test_a_linked_proof_is_replaced_where_the_link_points(tmp_path: Path) -> None:
    link, real = tmp_path / "latest.json", tmp_path / "real.json"
    link.symlink_to(real)
    write_proof(make_run(), link)
    assert link.is_symlink()
    assert read_proof(real).record.tool_version == "0.1.0"


def test_an_edit_is_noticed() -> None:
    def lie(statement: dict[str, Any]) -> None:
        verdict = statement["predicate"]["verdicts"][0]
        verdict["outcome"] = "portable"
        verdict["findings"] = []

    record = make_run([WHEEL], [make_verdict(WHEEL, TARGET, Outcome.NOT_PORTABLE)])
    with pytest.raises(SignatureError, match="changed after it was written"):
        decode_proof(edited(record, lie))


def test_other_white_space_is_no_edit() -> None:
    content = edited(make_run([WHEEL]), lambda _: None)
    assert decode_proof(content).record.wheels[0].file == WHEEL.file


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s["predicate"]["run"].update(surprise=1), "unknown field `surprise`"),
        (lambda s: s["predicate"]["run"].update(started="now"), "Expected `float`, got `str`"),
        (lambda s: s["predicate"]["run"].pop("engine"), "missing required field `engine`"),
        (lambda s: s["predicate"]["verdicts"][0].update(outcome="fine"), "Invalid enum value 'fine'"),
        (lambda s: s.update(predicateType="urn:pytest-manylinux:proof:2"), "Invalid enum value"),
        (lambda s: s["subject"][0]["digest"].update(sha256="abc"), "matching regex"),
    ],
)
def test_another_form_is_refused_with_the_place(
    change: Callable[[dict[str, Any]], None], words: str
) -> None:
    record = make_run([WHEEL], [make_verdict(WHEEL, TARGET)])
    with pytest.raises(ProofError) as caught:
        decode_proof(edited(record, change))
    assert words in caught.value.why
    assert caught.value.exit_code is ExitCode.NOT_PROVEN


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"payload": 3}', b"PK\x03\x04"],
)
def test_what_is_no_proof_is_refused(content: bytes) -> None:
    with pytest.raises(ManylinuxError):
        decode_proof(content)


def _portable_with_errors(statement: dict[str, Any]) -> None:
    statement["predicate"]["verdicts"][0]["outcome"] = "portable"


def _foreign_subject(statement: dict[str, Any]) -> None:
    statement["subject"][0]["digest"]["sha256"] = "0" * 64


def _foreign_wheel(statement: dict[str, Any]) -> None:
    statement["predicate"]["verdicts"][0]["wheelSha256"] = "0" * 64


def _no_cause(statement: dict[str, Any]) -> None:
    statement["predicate"]["verdicts"][0]["outcome"] = "not-proven"


def _undeclared(statement: dict[str, Any]) -> None:
    statement["predicate"]["verdicts"][0]["outcome"] = "expected"


def _wheelless_pass(statement: dict[str, Any]) -> None:
    verdict = statement["predicate"]["verdicts"][0]
    verdict.update(outcome="portable", findings=[], wheelSha256="")


def _more_failures_than_tries(statement: dict[str, Any]) -> None:
    tries = {"count": 1, "failed": 1, "known": 3, "knownFailed": 4}
    statement["predicate"]["verdicts"][0]["tries"] = tries


def _fewer_known_than_done(statement: dict[str, Any]) -> None:
    tries = {"count": 3, "failed": 0, "known": 2, "knownFailed": 0}
    statement["predicate"]["verdicts"][0]["tries"] = tries


def _portable_and_flaky(statement: dict[str, Any]) -> None:
    tries = {"count": 1, "failed": 0, "known": 3, "knownFailed": 1}
    statement["predicate"]["verdicts"][0].update(outcome="portable", findings=[], tries=tries)


@pytest.mark.parametrize(
    "change",
    [
        _portable_with_errors,
        _foreign_subject,
        _foreign_wheel,
        _no_cause,
        _undeclared,
        _wheelless_pass,
        _more_failures_than_tries,
        _fewer_known_than_done,
        _portable_and_flaky,
    ],
)
def test_a_proof_that_contradicts_itself_is_refused_even_with_a_fitting_seal(
    change: Callable[[dict[str, Any]], None],
) -> None:
    record = make_run([WHEEL], [make_verdict(WHEEL, TARGET, Outcome.NOT_PORTABLE)])
    with pytest.raises(ProofError, match="contradicts itself"):
        decode_proof(resealed(record, change))


def test_a_verdict_is_portable_over_failures_only_where_flaky_is_ignored() -> None:
    flaky = Finding(code="ML311", name="flaky", severity=Severity.ERROR, message="so")
    tries = Tries(count=1, failed=0, known=3, known_failed=1)
    verdict = make_verdict(
        WHEEL, TARGET, tries=tries, ignored=(Ignored(finding=flaky, reason="a race"),)
    )
    record = decode_proof(encode_proof(make_run([WHEEL], [verdict]))).record
    assert record.verdicts[0].tries == tries


def test_a_proof_of_before_tries_were_counted_is_read() -> None:
    """Fields that have their defaults are left out, as older releases left them out."""
    content = encode_proof(make_run([WHEEL], [make_verdict(WHEEL, TARGET)]))
    assert b"tries" not in content
    assert decode_proof(content).record.verdicts[0].tries is None


def test_a_missing_proof_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ProofError, match=re.escape("nothing.json: the proof cannot be read")) as caught:
        read_proof(tmp_path / "nothing.json")
    assert "--manylinux-proof" in caught.value.remedy


def test_the_started_time_is_seconds_since_the_epoch() -> None:
    statement = json.loads(encode_proof(make_run([WHEEL], [make_verdict(WHEEL, TARGET)])))
    assert statement["predicate"]["run"]["started"] == STARTED
    assert statement["predicate"]["verdicts"][0]["observation"]["started"] == STARTED
