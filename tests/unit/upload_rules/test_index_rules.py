"""The rules as data, a private index's own list, and what the gate and the audit say of them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from pypi_rules import Source, digests, moved
from run_records import STARTED, make_run, make_wheel_record
from upload_cases import CASES, tagged, wheel
from wheels import build_wheel

from pytest_manylinux.artifacts import read_artifact
from pytest_manylinux.config.readers import gate_rule
from pytest_manylinux.config.settings import GateRule, IndexChoice
from pytest_manylinux.errors import ExitCode, UsageError
from pytest_manylinux.gate import decide
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.run.outcomes import index_refusals
from pytest_manylinux.upload_rules import core_metadata
from pytest_manylinux.upload_rules.index_rules import RuleTable, index_rules, pypi_table
from pytest_manylinux.upload_rules.review import review

ROOT = Path(__file__).parents[3]
PYPI = index_rules(IndexChoice())


def names(path: Path, choice: IndexChoice) -> set[str]:
    return {breach.rule.name for breach in review(path, index_rules(choice)).breaches}


def test_every_rule_has_an_identity_a_sentence_a_remedy_and_a_source() -> None:
    rules = pypi_table().rule
    assert len({rule.code for rule in rules}) == len({rule.name for rule in rules}) == len(rules)
    for rule in rules:
        assert re.fullmatch(r"IX[1-4]\d\d", rule.code)
        assert rule.says.endswith(".")
        assert rule.remedy
        assert rule.source.startswith(("warehouse/", "https://"))


def test_the_page_of_rules_has_each_rule_in_its_own_words() -> None:
    page = (ROOT / "docs/reference/index-rules.md").read_text("utf-8")
    for rule in pypi_table().rule:
        assert f"| {rule.code} | `{rule.name}` | {rule.says} |" in page
    assert pypi_table().snapshot.commit in page
    assert f"{pypi_table().snapshot.date}" in page


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    path = wheel(files={"demo/data.bin": bytes(3 * 1024**2)}, method=0)(tmp_path)
    small = IndexChoice(name="private", max_file_size=2)
    breaches = review(path, index_rules(small)).breaches
    assert [breach.detail for breach in breaches] == ["3.0 MiB; the private index takes 2 MiB"]
    assert names(path, IndexChoice()) == set()


def test_no_index_asks_for_nothing(tmp_path: Path) -> None:
    for case in CASES[10:14]:
        assert (
            review(case.make(tmp_path / case.name), index_rules(IndexChoice(name="none"))).breaches
            == ()
        )


def test_a_private_index_has_a_list_of_its_own(tmp_path: Path) -> None:
    path = tagged("linux_x86_64")(tmp_path)
    assert names(path, IndexChoice()) == {"platform-tag"}
    assert names(path, IndexChoice(name="private", platforms=("linux_x86_64",))) == set()
    assert names(path, IndexChoice(name="private", without=("IX103",))) == set()
    assert names(path, IndexChoice(name="private", rules=("record", "dist-info"))) == set()
    assert names(path, IndexChoice(name="private", rules=("platform-tag",))) == {"platform-tag"}


def test_a_rule_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="no rule 'platform-tags'") as caught:
        index_rules(IndexChoice(name="private", rules=("platform-tags",)))
    assert "perhaps you meant 'platform-tag'" in caught.value.remedy


@pytest.mark.parametrize(
    ("raw", "choice"),
    [
        ("pypi", IndexChoice()),
        ("none", IndexChoice(name="none")),
        (
            {"platforms": ["linux_x86_64"], "max-file-size": 300, "without": "classifier"},
            IndexChoice(
                name="private", platforms=("linux_x86_64",), max_file_size=300, without=("classifier",)
            ),
        ),
    ],
)
def test_the_setting(raw: object, choice: IndexChoice) -> None:
    assert gate_rule({"index": raw}, "gate") == GateRule(index=choice)


@pytest.mark.parametrize(
    "raw", ["testpypi", 3, {"rule": []}, {"max-file-size": "big"}, {"max-file-size": True}]
)
def test_a_setting_that_means_nothing(raw: object) -> None:
    with pytest.raises(UsageError):
        gate_rule({"index": raw}, "gate")


def test_the_audit_warns_of_what_the_gate_will_refuse(tmp_path: Path) -> None:
    (finding,) = index_refusals(read_wheel(open_wheel(tagged("linux_x86_64")(tmp_path))), IndexChoice())
    assert (finding.code, finding.severity) == ("ML132", Severity.WARNING)
    assert finding.message == (
        "PyPI would refuse it: the platform tag linux_x86_64 is not taken (IX103 platform-tag)"
    )
    assert finding.remedy.startswith("`auditwheel repair`")


def test_what_is_only_told_does_not_refuse(tmp_path: Path) -> None:
    path = build_wheel(tmp_path, {"demo.py": ""}, record=b"demo.py,,\n")
    found = review(path, PYPI)
    assert [breach.rule.name for breach in found.breaches] == ["record-differs"]
    assert not found.refused
    assert index_refusals(read_wheel(open_wheel(path)), IndexChoice()) == []


@pytest.mark.parametrize(
    ("covered", "code"), [(True, ExitCode.NOT_PORTABLE), (False, ExitCode.NOT_PROVEN)]
)
def test_the_gate_refuses_what_the_index_would(
    tmp_path: Path,
    covered: bool,  # noqa: FBT001
    code: ExitCode,
) -> None:
    artifact = read_artifact(tagged("linux_x86_64")(tmp_path))
    proven = replace(make_wheel_record(artifact.filename), sha256=artifact.sha256)
    record = make_run([proven] if covered else [], [])
    decision = decide(
        [artifact],
        record,
        GateRule(),
        required=(),
        now=STARTED,
        reviews={artifact.path: review(artifact.path, PYPI)},
    )
    (first, *_) = decision.rulings[0].reasons
    assert first.code is code
    assert first.breach
    assert first.text.startswith("the platform tag linux_x86_64 is not taken (IX103 platform-tag); ")
    assert decision.code is code


def test_a_description_is_said_to_be_unseen_where_its_renderer_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_metadata, "find_spec", lambda _: None)
    (case,) = [case for case in CASES if case.rules == ("description",) and "render" in case.name]
    found = review(case.make(tmp_path), PYPI)
    assert found.breaches == ()
    assert "readme-renderer" in found.unknown[0]


def snapshot(folder: Path, **changes: str) -> Path:
    """A made copy of PyPI's source that has the figures of our table, but for some changes."""
    table = pypi_table()
    platforms = table.platforms
    legacy: dict[str, object] = {
        "MAXIMUM_AGE_FOR_NEW_UPLOADS_DAYS": table.limits.release_days,
        "COMPRESSION_RATIO_MIN_SIZE": "64 * ONE_MIB",
        "COMPRESSION_RATIO_THRESHOLD": table.limits.ratio,
        "_allowed_platforms": set(platforms.names),
        "_macosx_arches": set(platforms.macos),
        "_macosx_major_versions": set(platforms.macos_versions),
        "_ios_arches": set(platforms.ios),
        "_android_arches": set(platforms.android),
        "_jointlinux_arches": set(platforms.linux),
        "_manylinux_arches": '_jointlinux_arches | {"ppc64"}',
    }
    metadata: dict[str, object] = {
        "SUPPORTED_METADATA_VERSIONS": set(table.metadata.versions),
        "DYNAMIC_FIELDS": [word.title() for word in table.metadata.dynamic],
        "_LENGTH_LIMITS": {"summary": table.limits.summary},
    }
    sizes = {"ONE_MIB": "1 * 1024 * 1024", "ONE_GIB": "1024 * ONE_MIB"}
    sizes |= {"MAX_FILESIZE": "100 * ONE_MIB", "MAX_PROJECT_SIZE": "10 * ONE_GIB"}
    files: dict[str, dict[str, object]] = {
        "forklift/legacy": legacy,
        "forklift/metadata": metadata,
        "constants": dict(sizes),
    }
    for name in ("utils/zipfiles", "utils/wheel", "utils/readme", "utils/http"):
        files[name] = {}
    for name, values in files.items():
        path = folder / f"warehouse/{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{key} = {changes.get(key, value)}\n" for key, value in values.items()]
        path.write_text("import os\n" + "".join(lines) + "def _last():\n    pass\n")
    return folder


def test_a_newer_snapshot_says_what_moved(tmp_path: Path) -> None:
    source = Source(snapshot(tmp_path / "same"))
    table = replace_functions(digests(source))
    assert moved(table, source) == []
    newer = snapshot(
        tmp_path / "newer",
        _ios_arches="{'arm64', 'riscv64'}",
        COMPRESSION_RATIO_THRESHOLD="40",
        MAX_FILESIZE="200 * ONE_MIB",
    )
    (newer / "warehouse/utils/zipfiles.py").write_text("import struct\n")
    lines = moved(table, Source(newer))
    assert [line for line in lines if not line.startswith("text")] == [
        "limits.file-size: 104857600 is now 209715200",
        "limits.ratio: 50 is now 40",
        "platforms.ios: +riscv64 -x86_64",
    ]
    assert [line.partition(": ")[0] for line in lines if line.startswith("text")] == [
        "text of warehouse/utils/zipfiles.py"
    ]


def replace_functions(functions: dict[str, str]) -> RuleTable:
    return msgspec.structs.replace(pypi_table(), functions=functions)
