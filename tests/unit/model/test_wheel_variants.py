"""Wheel variants (PEP 825): the file name, who takes it, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.utils import InvalidWheelFilename, parse_wheel_filename
from wheels import build_wheel

from pytest_manylinux.artifacts import ArtifactKind, read_artifact
from pytest_manylinux.cli import main
from pytest_manylinux.errors import ExitCode, MalformedWheelError
from pytest_manylinux.inspect.wheel_file import named_wheel, open_wheel, read_wheel
from pytest_manylinux.model.wheel_variants import parse_wheel_name, split_variant
from pytest_manylinux.report.labels import wheel_name
from pytest_manylinux.run.subjects import tags_of_name

PLAIN = "demo-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"
VARIANT = "demo-1.0-cp311-cp311-manylinux_2_28_x86_64-x86_64_v3.whl"
LABELS = st.from_regex(r"[0-9a-z_.]{1,20}", fullmatch=True)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        (PLAIN, ""),
        (VARIANT, "x86_64_v3"),
        ("demo-1.0-2-cp311-cp311-manylinux_2_28_x86_64-cu12.6.whl", "cu12.6"),
        ("demo-1.0-2a-py3-none-any-null.whl", "null"),
        ("demo-1.0-2-cp311-cp311-win_amd64.whl", ""),
        ("demo-1.0-x1-py3-none-any.whl", ""),  # a build that does not begin with a digit
        ("demo-1.0-py3-none-any-V3.whl", ""),
        ("demo-1.0-py3-none-any-.whl", ""),
        ("demo-1.0-py3-none-any-a-b.whl", ""),
    ],
)
def test_labels_are_read_by_the_names_form(name: str, label: str) -> None:
    assert split_variant(name)[1] == label


@given(st.sampled_from([PLAIN, "demo-1.0-7-py2.py3-none-any.whl"]), LABELS)
def test_a_variant_is_its_plain_wheel_and_a_label(plain: str, label: str) -> None:
    name = f"{plain.removesuffix('.whl')}-{label}.whl"
    assert split_variant(name) == (plain, label)
    assert parse_wheel_name(name) == parse_wheel_filename(plain)
    wheel = named_wheel(Path("dist", name))
    assert (wheel.variant, wheel.plain_filename, wheel.filename) == (label, plain, name)
    assert tags_of_name(Path(name)) == tags_of_name(Path(plain))


@given(st.text("demo-1.0cpanyABC_", max_size=40))
def test_other_names_are_what_packaging_says(text: str) -> None:
    name = f"{text}.whl"
    if split_variant(name)[1]:
        return
    try:
        expected = parse_wheel_filename(name)
    except InvalidWheelFilename:
        with pytest.raises(InvalidWheelFilename):
            parse_wheel_name(name)
    else:
        assert parse_wheel_name(name) == expected


def test_a_label_is_part_of_the_matrix_heading() -> None:
    plain, variant = wheel_name(PLAIN), wheel_name(VARIANT)
    assert plain is not None
    assert variant is not None
    assert (variant.version, variant.python, variant.arch) == ("1.0-x86_64_v3", "cp311", "x86_64")
    assert (plain.version, plain.python) == ("1.0", "cp311")


def variant(folder: Path, *, document: object = None, name: str = VARIANT) -> Path:
    """A wheel variant; without `document` its variant.json is as PEP 825 wants it."""
    label = split_variant(name)[1]
    right = {"variants": {label: {"x86_64": {"level": ["v3"]}}}}
    text = (
        document if isinstance(document, str) else json.dumps(right if document is None else document)
    )
    files = {"demo/__init__.py": "", "demo-1.0.dist-info/variant.json": text}
    return build_wheel(folder, files, tag="cp311-cp311-manylinux_2_28_x86_64", filename=name)


def test_a_sound_variant_has_no_problem(tmp_path: Path) -> None:
    facts = read_wheel(open_wheel(variant(tmp_path)))
    assert facts.problems == ()
    assert facts.wheel.variant == "x86_64_v3"


@pytest.mark.parametrize(
    "document", [{}, {"variants": {"other": {}}}, {"variants": {"x86_64_v3": {}, "b": {}}}, [], "{"]
)
def test_a_variant_whose_metadata_says_something_else(tmp_path: Path, document: object) -> None:
    (problem,) = read_wheel(open_wheel(variant(tmp_path, document=document))).problems
    assert problem.startswith("variant.json: ")


def test_a_variant_without_its_metadata(tmp_path: Path) -> None:
    tag = "cp311-cp311-manylinux_2_28_x86_64"
    path = build_wheel(tmp_path, {"demo/__init__.py": ""}, tag=tag, filename=VARIANT)
    (problem,) = read_wheel(open_wheel(path)).problems
    assert problem.startswith("variant.json is missing")


def test_what_is_no_name_is_still_told_as_that(tmp_path: Path) -> None:
    with pytest.raises(MalformedWheelError, match="not the name of a wheel"):
        named_wheel(tmp_path / "demo-1.0-x1-py3-none-any.whl")


def test_the_gate_takes_it_for_a_wheel(tmp_path: Path) -> None:
    artifact = read_artifact(variant(tmp_path))
    assert artifact.kind is ArtifactKind.WHEEL
    assert not artifact.is_foreign


def test_the_plan_says_what_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = variant(tmp_path)
    main(["plan", path.name])
    said = " ".join(capsys.readouterr().out.split())
    assert "it is a wheel variant (PEP 825) with the label x86_64_v3" in said
    assert 'installer = ["pip", "uv"]' in said
    assert "rename" not in said


def test_with_uv_it_is_planned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pyproject.toml").write_text('[tool.pytest-manylinux]\ninstaller = ["pip", "uv"]\n')
    path = variant(tmp_path)
    main(["plan", path.name])
    assert "PEP 825" not in capsys.readouterr().out


def test_predictions_say_what_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = variant(tmp_path)
    assert main(["predict", str(path), "--distros", "debian-12"]) == ExitCode.OK
    assert "A wheel variant (PEP 825) with the label x86_64_v3" in capsys.readouterr().out
    assert main(["predict", str(path), "--strict", "--for", "debian-12"]) == ExitCode.OK
    assert "A wheel variant (PEP 825)" in capsys.readouterr().out
    assert main(["predict", str(path), "--json", "--distros", "debian-12"]) == ExitCode.OK
    (project,) = json.loads(capsys.readouterr().out)["projects"]
    assert project["wheels"][0]["variant"] == "x86_64_v3"
