"""gate, diff and proof as commands: exit codes and words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from run_records import (
    STARTED,
    make_large_run,
    make_observation,
    make_run,
    make_verdict,
    make_wheel,
    make_wheel_record,
)
from wheels import build_wheel

from pytest_manylinux.cli import main
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.model.run import RunRecord, record_wheel
from pytest_manylinux.model.verdict import Outcome
from pytest_manylinux.report.proof import read_proof, write_proof

TAG = "cp39-abi3-manylinux_2_17_x86_64"
TARGETS = ("debian-11-cp39-x86_64", "debian-12-cp311-x86_64")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return build_wheel(tmp_path / "dist", {"demo.py": "x = 1\n"}, tag=TAG)


def record_of(wheel: Path, outcome: Outcome = Outcome.PORTABLE) -> RunRecord:
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    record = record_wheel(replace(make_wheel(wheel.name), sha256=sha256), f"dist/{wheel.name}")
    verdicts = [make_verdict(record, "audit"), make_verdict(record, TARGETS[0])]
    return make_run([record], [*verdicts, make_verdict(record, TARGETS[1], outcome)])


@pytest.fixture
def proof(wheel: Path, tmp_path: Path) -> Path:
    path = tmp_path / "proof.json"
    write_proof(record_of(wheel), path)
    return path


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_a_proven_wheel_is_allowed(run: Run, wheel: Path, proof: Path) -> None:
    code, out, err = run("gate", wheel, "--proof", proof)
    assert (code, out, err) == (ExitCode.OK, f"allowed: {wheel}\n", "")


@pytest.mark.parametrize("words", ["", " ", ","])
def test_an_empty_requirement_is_none(run: Run, wheel: Path, proof: Path, words: str) -> None:
    code, _, err = run("gate", wheel, "--proof", proof, f"--require={words}")
    assert code == ExitCode.USAGE
    assert "--require" in err


def test_a_changed_byte_is_refused_with_exit_code_3(run: Run, wheel: Path, proof: Path) -> None:
    content = bytearray(wheel.read_bytes())
    content[-1] ^= 1
    wheel.write_bytes(content)
    code, out, err = run("gate", wheel, "--proof", proof)
    assert code == ExitCode.NOT_PROVEN
    assert out.startswith(f"refused: {wheel}: not proven\n  - ")
    assert err == "1 of 1 refused\n"


def test_wheels_that_were_built_once_more_are_refused_for_one_reason(
    run: Run, wheel: Path, proof: Path
) -> None:
    other = build_wheel(wheel.parent, {"x.py": ""}, tag="cp312-cp312-manylinux_2_17_x86_64")
    third = build_wheel(wheel.parent, {"x.py": ""}, tag="cp313-cp313-manylinux_2_17_x86_64")
    code, out, _ = run("gate", other, third, "--proof", proof, "--index", "none")
    assert code == ExitCode.NOT_PROVEN
    why = "the proof does not know these bytes; prove these: `pytest --manylinux FILE"
    assert [line.strip() for line in out.splitlines() if why in line] == [
        f"- all 2: {why} --manylinux-proof=PROOF`",
        f"2: {why} --manylinux-proof=PROOF`",
    ]
    digest = hashlib.sha256(other.read_bytes()).hexdigest()
    assert digest not in out
    assert digest in run("gate", other, "--proof", proof, "--explain")[1]


def test_a_required_distro_that_asks_nothing_is_said(run: Run, tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path / "dist", {"x.py": ""}, tag="cp311-cp311-manylinux_2_17_x86_64")
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    record = replace(make_wheel_record(wheel.name), sha256=sha256)
    verdicts = [make_verdict(record, "audit"), make_verdict(record, TARGETS[1])]
    write_proof(make_run([record], verdicts), tmp_path / "proof.json")
    options = ("--index", "none", "--require")
    code, out, _ = run("gate", wheel, "--proof", "proof.json", *options, "debian-12,debian-13")
    assert code == ExitCode.OK
    why = "no wheel here is for a Python and a machine that it has"
    assert f"nothing was to be proven on debian-13: {why}\n" in out
    code, out, _ = run("gate", wheel, "--proof", "proof.json", *options, "debian-12")
    assert (code, out) == (ExitCode.OK, f"allowed: {wheel}\n")


def test_a_faulty_wheel_is_refused_with_exit_code_1(run: Run, wheel: Path, tmp_path: Path) -> None:
    write_proof(record_of(wheel, Outcome.NOT_PORTABLE), tmp_path / "proof.json")
    code, out, _ = run("gate", wheel, "--proof", "proof.json")
    assert code == ExitCode.NOT_PORTABLE
    assert f"  - {TARGETS[1]}: not portable (executable-stack)" in out


def test_an_edited_proof_is_refused_with_exit_code_5(run: Run, wheel: Path, tmp_path: Path) -> None:
    path = tmp_path / "proof.json"
    write_proof(record_of(wheel, Outcome.NOT_PORTABLE), path)
    statement = json.loads(path.read_text())
    for verdict in statement["predicate"]["verdicts"]:
        verdict.update(outcome="portable", findings=[])
    path.write_text(json.dumps(statement))
    code, out, err = run("gate", wheel, "--proof", path)
    assert (code, out) == (ExitCode.BAD_SIGNATURE, "")
    assert "changed after it was written" in err


def test_a_missing_proof_is_exit_code_3(run: Run, wheel: Path) -> None:
    code, _, err = run("gate", wheel, "--proof", "none.json")
    assert code == ExitCode.NOT_PROVEN
    assert "the proof cannot be read" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gate", "none.whl"], "does not exist"),
        (["gate", "dist", "--require", "debain-12"], "perhaps you meant 'debian-12'"),
        (["gate", "dist", "--max-age", "-1"], "not an age"),
        (["gate", "dist", "--signed-by", "none.pub"], "the key cannot be read"),
        (["gate", "dist", "--config", "none.toml"], "no such file"),
        (["gate"], "no files to look at"),
    ],
)
@pytest.mark.usefixtures("wheel")
def test_a_mistake_is_exit_code_4(run: Run, proof: Path, arguments: list[str], words: str) -> None:
    code, _, err = run(*arguments, "--proof", proof)
    assert code == ExitCode.USAGE
    assert words in err


def test_the_rules_come_from_pyproject(run: Run, wheel: Path, proof: Path, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest-manylinux.gate]\nrequire = ["debian-12", "debian-13"]\n'
    )
    code, out, _ = run("gate", wheel, "--proof", proof)
    assert code == ExitCode.NOT_PROVEN
    assert "  - debian-13: required, and not in the proof" in out
    assert run("gate", wheel, "--proof", proof, "--require", "debian-12")[0] == ExitCode.OK


def test_a_mistake_in_the_rules_is_a_mistake(
    run: Run, wheel: Path, proof: Path, tmp_path: Path
) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.pytest-manylinux.gate]\nrequires = []\n")
    code, _, err = run("gate", wheel, "--proof", proof)
    assert code == ExitCode.USAGE
    assert "require" in err


def test_explaining_tells_the_rules_and_every_reason(run: Run, wheel: Path, proof: Path) -> None:
    code, out, _ = run("gate", wheel, "--proof", proof, "--explain", "--max-age", 100_000)
    assert code == ExitCode.OK
    for words in (
        "rules:",
        "portable on debian-11 debian-12",
        "at most 100000 days old",
        "not signed",
        f"  + {TARGETS[0]}: portable",
        "  + audit: portable",
    ):
        assert words in out
    code, out, _ = run("gate", "--proof", proof, "--explain")
    assert code == ExitCode.OK
    assert "allowed" not in out


def test_the_decision_as_json(run: Run, wheel: Path, proof: Path) -> None:
    code, out, _ = run("gate", wheel, "--proof", proof, "--json", "--max-age", 1)
    assert code == ExitCode.NOT_PROVEN
    decision = json.loads(out)
    assert decision["exitCode"] == 3
    assert decision["files"][0]["file"] == str(wheel)
    assert "max-age is 1 days" in decision["files"][0]["reasons"][0]["text"]


def test_a_stray_file_beside_the_wheels_is_refused(run: Run, wheel: Path, proof: Path) -> None:
    (wheel.parent / "notes.txt").write_text("")
    code, out, _ = run("gate", wheel.parent, "--proof", proof)
    assert code == ExitCode.NOT_PROVEN
    assert f"allowed: {wheel}" in out
    assert f"refused: {wheel.parent / 'notes.txt'}: the index would refuse it" in out
    assert "ends in neither .whl nor .tar.gz (IX107 file-kind); take the file out" in out
    code, out, _ = run("gate", wheel.parent, "--proof", proof, "--index", "none")
    assert code == ExitCode.NOT_PROVEN
    assert "neither wheel nor source distribution: its name ends in neither .whl nor .tar.gz" in out


def test_a_signed_proof_goes_through_with_its_key_only(run: Run, wheel: Path, tmp_path: Path) -> None:
    assert run("proof", "keygen", "keys/release")[0] == ExitCode.USAGE  # no such folder
    code, out, _ = run("proof", "keygen", "release.key")
    assert code == ExitCode.OK
    assert 'signed-by = ["release.key.pub"]' in out
    write_proof(record_of(wheel), Path("signed.json"), sign_key=Path("release.key"))
    run("proof", "keygen", "other.key")
    gate = ("gate", wheel, "--proof", "signed.json")
    assert run(*gate)[0] == ExitCode.BAD_SIGNATURE
    assert run(*gate, "--signed-by", "other.key.pub")[0] == ExitCode.BAD_SIGNATURE
    assert run(*gate, "--signed-by", "release.key.pub")[0] == ExitCode.OK
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest-manylinux.gate]\nsigned-by = ["release.key.pub"]\n'
    )
    assert run(*gate)[0] == ExitCode.OK
    write_proof(record_of(wheel), Path("unsigned.json"))
    assert run("gate", wheel, "--proof", "unsigned.json")[0] == ExitCode.BAD_SIGNATURE


# ---- diff -----------------------------------------------------------------------------------------


def test_diff_names_the_cause_and_fails_on_new_failures_only(
    run: Run, wheel: Path, proof: Path
) -> None:
    failing = record_of(wheel, Outcome.NOT_PORTABLE)
    seen = make_observation(TARGETS[1], image="sha256:moved")
    verdicts = tuple(
        replace(v, observation=seen) if v.subject == TARGETS[1] else v for v in failing.verdicts
    )
    write_proof(replace(failing, verdicts=verdicts), Path("new.json"))
    code, out, _ = run("diff", proof, "new.json")
    assert code == ExitCode.NOT_PORTABLE
    heading, transition, cause = out.splitlines()[:3]
    assert heading == "newly failing (1)"
    assert transition == (
        f"  {wheel.name} on {TARGETS[1]}: portable -> not portable, executable-stack:"
        " cannot enable executable stack as shared object requires: Invalid argument"
    )
    assert cause == "    only the image changed"
    assert "-> sha256:moved" in out
    assert run("diff", "new.json", "new.json") == (ExitCode.OK, "no cell changed\n", "")
    assert run("diff", "new.json", proof)[0] == ExitCode.OK  # mended


def test_diff_of_what_is_newly_not_proven_is_exit_code_3(run: Run, wheel: Path, proof: Path) -> None:
    write_proof(record_of(wheel, Outcome.NOT_PROVEN), Path("new.json"))
    assert run("diff", proof, "new.json")[0] == ExitCode.NOT_PROVEN


def test_diff_as_json(run: Run, wheel: Path, proof: Path) -> None:
    write_proof(record_of(wheel, Outcome.NOT_PORTABLE), Path("new.json"))
    _, out, _ = run("diff", proof, "new.json", "--json")
    (found,) = json.loads(out)
    assert found["change"] == "newly failing"
    assert (found["before"], found["after"]) == ("portable", "not-portable")
    assert found["findings"] == ["executable-stack"]
    assert found["causes"] == []


@pytest.mark.usefixtures("proof")
def test_a_new_cell_that_fails_is_a_new_failure(run: Run, wheel: Path) -> None:
    write_proof(make_run(), Path("empty.json"))
    write_proof(record_of(wheel, Outcome.NOT_PORTABLE), Path("new.json"))
    assert run("diff", "empty.json", "new.json")[0] == ExitCode.NOT_PORTABLE
    assert run("diff", "empty.json", "proof.json")[0] == ExitCode.OK


# ---- proof ----------------------------------------------------------------------------------------


def test_proofs_merge_into_one_that_the_gate_takes(run: Run, wheel: Path) -> None:
    whole = record_of(wheel)
    for number, subjects in enumerate([("audit", TARGETS[0]), (TARGETS[1],)]):
        part = tuple(v for v in whole.verdicts if v.subject in subjects)
        write_proof(replace(whole, verdicts=part), Path(f"{number}.json"))
        assert run("gate", wheel, "--proof", f"{number}.json")[0] == ExitCode.NOT_PROVEN
    code, out, _ = run("proof", "merge", "0.json", "1.json", "-o", "all.json")
    assert (code, out) == (ExitCode.OK, "all.json: 2 proofs merged\n")
    assert run("gate", wheel, "--proof", "all.json")[0] == ExitCode.OK
    assert len(read_proof(Path("all.json")).record.merged) == 2


def test_a_proof_is_shown(run: Run) -> None:
    write_proof(make_large_run(3, 3), Path("proof.json"))
    code, out, _ = run("proof", "show", "proof.json", "-v")
    assert code == ExitCode.OK
    assert "3 wheels (" in out
    assert "not signed" in out


def test_the_other_reports_can_be_made_from_a_proof(run: Run, proof: Path, tmp_path: Path) -> None:
    nights = tmp_path / "nights"
    earlier = replace(read_proof(proof).record, started=STARTED - 86_400)
    write_proof(earlier, nights / "proof-1.json")
    code, _, _ = run(
        "proof", "report", proof, "--html", "r.html", "--markdown", "r.md", "--history", nights
    )
    assert code == ExitCode.OK
    assert "2023-11-13" in Path("r.html").read_text()
    assert Path("r.md").read_text().startswith("## Portability")
    assert run("proof", "report", proof)[0] == ExitCode.USAGE


def test_the_schema_is_printed(run: Run) -> None:
    code, out, _ = run("proof", "schema")
    assert code == ExitCode.OK
    assert json.loads(out)["$id"] == "urn:pytest-manylinux:proof:1"


def test_groups_of_the_catalogue_can_be_required(run: Run, wheel: Path, proof: Path) -> None:
    code, out, _ = run("gate", wheel, "--proof", proof, "--require", "default")
    assert code == ExitCode.NOT_PROVEN
    assert "debian-13: required, and not in the proof" in out
