from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux.config.keys import BY_NAME, KEYS
from pytest_manylinux.config.merge import (
    Layer,
    environment_layer,
    file_layer,
    flag_layer,
    merge,
)
from pytest_manylinux.config.options import OPTIONS
from pytest_manylinux.config.settings import FIELD_NAMES, SourceKind
from pytest_manylinux.errors import UsageError
from pytest_manylinux.model.observation import ALL_LEVELS, ImportDepth
from pytest_manylinux.model.policy import Policy, PolicyChoice
from pytest_manylinux.report.signing import PASSPHRASE_VARIABLE

VALUES: dict[str, list[object]] = {
    "policy": ["manylinux1", ["manylinux2014", "musllinux_1_2"], "manylinux_2_28 musllinux_1_1"],
    "distros": [["debian-12"], "debian-11,debian-13", "default"],
    "python": [["cp311"], "3.9 3.13", ">=3.11, <3.14", "3.11-3.13"],
    "build": ["*", "cp3{11,12}-*"],
    "skip": [["pp*"], "*-musllinux_* cp39-*"],
    "engine": ["auto", "bubblewrap", "docker"],
    "build-timeout": [1, 60.5, "900"],
    "jobs": ["auto", 1, "8"],
    "wheelhouse": ["wheelhouse", "out/wheels"],
    "dependencies": ["resolve", "none"],
}
KINDS = [kind for kind in SourceKind if kind is not SourceKind.DEFAULT]

layers = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.fixed_dictionaries(
            {}, optional={name: st.sampled_from(values) for name, values in VALUES.items()}
        ),
    ),
    unique_by=lambda pair: pair[0],
).map(lambda pairs: [Layer(kind, kind.name.lower(), values) for kind, values in pairs])


def test_every_key_is_a_setting_and_every_setting_a_key() -> None:
    assert {key.field for key in KEYS} == set(FIELD_NAMES)


def test_without_layers_everything_is_default() -> None:
    settings = merge([])
    assert settings.policy == (PolicyChoice(Policy((2, 5)), auto=True),)
    assert settings.distros == ("auto",)
    assert all(settings.source(key.name).kind is SourceKind.DEFAULT for key in KEYS)


@pytest.mark.parametrize(
    "raw", ["manylinux2014,musllinux_1_2", ["manylinux2014", "musllinux_1_2", "manylinux_2_17"]]
)
def test_several_policies_each_once_in_their_order(raw: object) -> None:
    settings = merge([Layer(SourceKind.PYPROJECT, "pyproject.toml", {"policy": raw})])
    assert list(map(str, settings.policy)) == ["manylinux2014", "musllinux_1_2"]


def test_auto_and_a_policy_of_musl_stand_beside_each_other() -> None:
    raw = ["auto", "musllinux_1_2", "auto"]
    settings = merge([Layer(SourceKind.PYPROJECT, "pyproject.toml", {"policy": raw})])
    assert list(map(str, settings.policy)) == ["auto", "musllinux_1_2"]
    assert settings.policy[0] == PolicyChoice(Policy((2, 5)), auto=True)


@given(layers)
def test_the_highest_layer_that_has_a_key_wins(found: list[Layer]) -> None:
    settings = merge(found)
    for name in VALUES:
        key = BY_NAME[name]
        having = [
            layer
            for layer in found
            if name in layer.values and not (key.option.per_run and layer.kind is SourceKind.PROJECT)
        ]
        if not having:
            assert getattr(settings, key.field) == key.default
            continue
        top = max(having, key=lambda layer: layer.kind.value)
        assert getattr(settings, key.field) == key.read(top.values[name], "here")
        assert settings.source(name).kind is top.kind


@given(layers)
def test_the_order_in_which_layers_are_given_does_not_matter(found: list[Layer]) -> None:
    assert merge(found) == merge(list(reversed(found)))


@pytest.mark.parametrize(
    ("name", "raw", "said"),
    [
        ("policy", "manylinux2", "not a policy"),
        ("policy", [], "name a policy"),
        ("policy", ["manylinux2014", "manylinux2"], "not a policy"),
        ("policy", "musllinux1", "perhaps you meant 'musllinux_1_2'"),
        ("policy", "atuo", "perhaps you meant 'auto'"),
        ("policy", ["auto", "manylinux2014"], "a musllinux policy may stand beside 'auto'"),
        ("policy", "musllinux_1_2 manylinux1 auto", "leave one of them out"),
        ("engine", "dokcer", "perhaps you meant 'docker'"),
        ("python", "311", "not a Python version"),
        ("python", "3.14-3.11", "not a range"),
        ("python", "3.13-3.15t", "not a range"),
        ("python", ">=3.11.4", "patch releases"),
        ("python", "=>3.11", "cannot be used"),
        ("python", 3.11, "list of strings"),
        ("build", "cp311_*", "matches no build identifier"),
        ("skip", "musllinux", "matches no build identifier"),
        ("skip", "cp3{11,12-*", "matches no build identifier"),
        ("skip", "cp3{1..2000}-*", "more than 1000 patterns"),
        ("skip", "{a,b}" * 60, "more than 1000 patterns"),
        ("build", "{" * 5000, "matches no build identifier"),
        ("build-network", "nome", "perhaps you meant 'none'"),
        ("jobs", 0, "auto or a number"),
        ("jobs", True, "auto or a number"),
        ("build-timeout", -1, "seconds above 0"),
        ("trial-timeout", "soon", "seconds above 0"),
        ("trial-timeout", float("inf"), "seconds above 0"),
        ("distros", [1], "list of strings"),
        ("before-build", {"a": 1}, "command line"),
        ("expect", [{"distro": "debian-13"}], "'finding' is missing"),
        ("expect", [{"finding": "crash", "reason": ""}], "not empty"),
        ("expect", "crash", "write it as tables"),
        ("ignore", [{"finding": "x", "reason": "y", "severty": "z"}], "'severity'"),
        *(
            ("import-depth", raw, "all or a number from 0")
            for raw in (True, -1, "2:warning", "", "all:")
        ),
        ("gate", {"max-age": "old"}, "days above 0"),
        ("gate", {"allow-ignored": "yes"}, "true or false"),
    ],
)
def test_a_wrong_value_is_a_usage_error_that_names_the_file(name: str, raw: object, said: str) -> None:
    layer = Layer(SourceKind.PYPROJECT, "pyproject.toml", {name: raw})
    with pytest.raises(UsageError) as caught:
        merge([layer])
    assert f"pyproject.toml: tool.pytest-manylinux.{name}" in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "levels", "decides"),
    [(0, 0, False), (2, 2, False), ("2", 2, False), ("all", ALL_LEVELS, False), ("1:error", 1, True)],
)
def test_the_depth_of_imports(raw: object, levels: int, decides: bool) -> None:  # noqa: FBT001
    layer = Layer(SourceKind.PYPROJECT, "pyproject.toml", {"import-depth": raw})
    depth = merge([layer]).import_depth
    assert depth == ImportDepth(levels=levels, decides=decides)
    assert str(depth) == str(raw)


def test_an_unknown_key_suggests_the_nearest() -> None:
    layer = Layer(SourceKind.PYPROJECT, "pyproject.toml", {"polcy": "manylinux1"})
    with pytest.raises(UsageError, match="perhaps you meant 'policy'"):
        merge([layer])


def test_a_wrong_flag_or_variable_is_called_by_its_own_name() -> None:
    with pytest.raises(UsageError, match="--manylinux-policy"):
        merge([flag_layer({"manylinux_policy": "nope"})])
    with pytest.raises(UsageError, match="PYTEST_MANYLINUX_TRIAL_TIMEOUT"):
        merge([environment_layer({"PYTEST_MANYLINUX_TRIAL_TIMEOUT": "0"})])


def test_a_mistake_in_an_overridden_layer_is_told_as_well() -> None:
    table = Layer(SourceKind.PYPROJECT, "pyproject.toml", {"engine": "doker"})
    with pytest.raises(UsageError, match="doker"):
        merge([table, flag_layer({"manylinux_engine": "docker"})])


def test_an_empty_variable_counts_as_not_set() -> None:
    assert environment_layer({"PYTEST_MANYLINUX_ENGINE": ""}).values == {}


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("PYTEST_MANYLINUX_DISTRO", "perhaps you meant PYTEST_MANYLINUX_DISTROS"),
        ("PYTEST_MANYLINUX_TEST_COMAND", "perhaps you meant PYTEST_MANYLINUX_TEST_COMMAND"),
        ("PYTEST_MANYLINUX_XYZZY", "unset it"),
    ],
)
def test_a_variable_that_nothing_reads_is_an_error(name: str, remedy: str) -> None:
    with pytest.raises(UsageError, match=f"there is no variable {name}") as error:
        environment_layer({name: "x"})
    assert remedy in error.value.remedy


@pytest.mark.parametrize(
    "name",
    [
        "PYTEST_MANYLINUX_CACHE",
        "PYTEST_MANYLINUX_MIRROR_DEBIAN_OLD",
        PASSPHRASE_VARIABLE,
        *(option.variable for option in OPTIONS if option.metavar),
    ],
)
def test_every_variable_that_is_read_may_be_set(name: str) -> None:
    environment_layer({name: "x"})
    with pytest.raises(UsageError):
        environment_layer({name.replace("MANYLINUX_", "MANYLINUX_X_", 1): "x"})


@pytest.mark.parametrize("value", ['"debian-12"', '["debian-12"]'])
def test_one_distro_alone_is_told_from_a_row_of_ones_own(tmp_path: Path, value: str) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text(f"[tool.pytest-manylinux]\ndistro = {value}\n")
    with pytest.raises(UsageError) as error:
        merge([file_layer(file, shown="pyproject.toml")])
    assert "perhaps you meant distros" in error.value.remedy


def test_one_expectation_with_several_distros_becomes_several() -> None:
    row = {"distro": ["debian-13", "debian-testing"], "finding": "crash", "reason": "known"}
    settings = merge([Layer(SourceKind.PYPROJECT, "pyproject.toml", {"expect": [row]})])
    assert [found.distro for found in settings.expect] == ["debian-13", "debian-testing"]


@pytest.mark.parametrize("raw", ["needs-driver", ["needs-driver"]])
def test_a_ready_made_expectation_needs_its_name_alone(raw: object) -> None:
    settings = merge([Layer(SourceKind.PYPROJECT, "pyproject.toml", {"expect": raw})])
    (found,) = settings.expect
    assert (found.distro, found.finding) == ("*", "needs-driver")
    assert found.reason


def test_ready_made_expectations_stand_beside_tables() -> None:
    row = {"distro": "debian-13", "finding": "crash", "reason": "known"}
    layer = Layer(SourceKind.PYPROJECT, "pyproject.toml", {"expect": ["needs-driver", row]})
    assert [found.finding for found in merge([layer]).expect] == ["needs-driver", "crash"]


def test_an_expectation_that_is_not_ready_made_names_those_that_are() -> None:
    layer = Layer(SourceKind.PYPROJECT, "pyproject.toml", {"expect": ["crash"]})
    with pytest.raises(UsageError, match="no ready-made expectation is called 'crash'") as caught:
        merge([layer])
    assert "needs-driver" in caught.value.remedy


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[tool", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b'[tool]\npytest-manylinux = "x"', "is no table"),
    ],
)
def test_a_broken_file_is_one_clear_line(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=said):
        file_layer(file, shown="pyproject.toml")


def test_a_file_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert file_layer(tmp_path / "pyproject.toml", shown="pyproject.toml").values == {}


@pytest.mark.parametrize(
    "value",
    [f"1{'0' * 400}", f"1{'0' * 5000}", f"0x{'f' * 5000}", f"{'[' * 3000}{']' * 3000}", r'"a\u0000b"'],
)
@pytest.mark.parametrize("name", ["test-timeout", "distros", "test-command", "distro-shares.other"])
def test_no_value_of_a_table_is_more_than_a_usage_error(tmp_path: Path, value: str, name: str) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text(f"[tool.pytest-manylinux]\n{name} = {value}\n")
    with pytest.raises(UsageError) as caught:
        merge([file_layer(file, shown="pyproject.toml")])
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("name", ["policy", "python", "build", "kernel", "jobs", "repeat"])
@pytest.mark.parametrize(
    "form", ["manylinux_2_{}", "musllinux_1_{}", "cp3{}", "3.{}", "cp3{{1..{}}}-*", "{}"]
)
def test_a_number_that_python_does_not_read_is_a_usage_error(name: str, form: str) -> None:
    with pytest.raises(UsageError):
        merge([Layer(SourceKind.FLAG, "command line", {name: form.format("9" * 5000)})])


@pytest.mark.parametrize("name", [key.name for key in KEYS if key.name.endswith("timeout")])
@pytest.mark.parametrize("raw", ["1e300", 10**15, "86401", "nan", "-1", 0, True])
def test_a_time_limit_is_at_most_a_day(name: str, raw: object) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        merge([Layer(SourceKind.PYPROJECT, "pyproject.toml", {name: raw})])
    assert merge([Layer(SourceKind.PYPROJECT, "pyproject.toml", {name: 86400})])


@pytest.mark.parametrize("name", ["distros", "archs"])
@pytest.mark.parametrize("raw", ["", " , ", []])
def test_an_empty_choice_is_no_choice(name: str, raw: object) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        merge([Layer(SourceKind.FLAG, "command line", {name: raw})])


@pytest.mark.parametrize("home", ["~no-such-user/x", "~no-such-user"])
def test_a_home_that_there_is_not_is_a_usage_error(home: str) -> None:
    with pytest.raises(UsageError, match="cannot be used"):
        merge([Layer(SourceKind.FLAG, "command line", {"wheelhouse": home})])


@pytest.mark.parametrize("name", ["extras", "test-extras", "test-groups"])
def test_extras_and_groups_have_names(name: str) -> None:
    layer = Layer(SourceKind.PYPROJECT, "pyproject.toml", {name: ["Fast.io", "a_b-c", "x"]})
    assert merge([layer])
    for wrong in ("a b", "[x]", "-r", "x;", "a]", "ä"):
        with pytest.raises(UsageError, match="is not a name"):
            merge([Layer(SourceKind.PYPROJECT, "pyproject.toml", {name: [wrong]})])


@pytest.mark.parametrize("line", ["demo --version", "demo 'a b' c\\ d", 'demo --name="a b"'])
def test_programs_are_command_lines(line: str) -> None:
    layer = Layer(SourceKind.PYPROJECT, "pyproject.toml", {"programs": [line]})
    assert merge([layer]).programs == (line,)


@pytest.mark.parametrize("line", ['demo "a', "demo 'a", "demo \\", "''"])
def test_programs_whose_words_cannot_be_split_are_refused(line: str) -> None:
    layer = Layer(SourceKind.PYPROJECT, "pyproject.toml", {"programs": line})
    with pytest.raises(UsageError, match="programs"):
        merge([layer])


def test_patterns_expand_as_a_shell_does_and_not_without_end() -> None:
    layer = Layer(SourceKind.PYPROJECT, "pyproject.toml", {"test-skip": "{cp39,cp31{0..2}}-* debian-*"})
    assert merge([layer]).test_skip == ("cp39-*", "cp310-*", "cp311-*", "cp312-*", "debian-*")
    with pytest.raises(UsageError, match="too many patterns"):
        merge([Layer(SourceKind.PYPROJECT, "pyproject.toml", {"test-skip": "{a,b}" * 40})])
