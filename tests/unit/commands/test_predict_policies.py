"""`predict --policies`: what each policy would win and lose, and what stands in its way."""

from __future__ import annotations

import json
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from elf_files import Want
from hypothesis import given
from hypothesis import strategies as st
from trial_values import make_distro, make_elf, make_facts
from wheels import build_wheel, extension_spec

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.cli import main
from pytest_manylinux.commands.predict_policies import by_distro
from pytest_manylinux.diagnose.policy_costs import MUSL_POLICIES, PolicyCosts, policy_costs
from pytest_manylinux.errors import ExitCode, UsageError
from pytest_manylinux.model.distro import Distro
from pytest_manylinux.model.elf_facts import ElfFacts, SymbolWant
from pytest_manylinux.model.policy import Policy, glibc, musl

MODULE = "demo/_x.cpython-311-x86_64-linux-gnu.so"
OLD = make_distro(id="old-8", libc=glibc(2, 28), end_of_life=date(2029, 5, 31))
MIDDLE = make_distro(id="middle-9", libc=glibc(2, 34))
NEW = make_distro(id="new-13", libc=glibc(2, 41), rolling=True)
ALPINE = make_distro(id="tiny-3", libc=musl(1, 2, 5))
OTHER_OLD = make_distro(id="other-8", libc=glibc(2, 28))
ROWS: tuple[Distro, ...] = (OLD, OTHER_OLD, MIDDLE, NEW, ALPINE)


def elf(path: str = MODULE, *wants: tuple[str, str], **fields: Any) -> ElfFacts:  # noqa: ANN401
    versions = tuple(dict.fromkeys(version for _, version in wants))
    return make_elf(
        path,
        needed=("libc.so.6", *fields.pop("needed", ())),
        wants=tuple(
            SymbolWant(name=name, version=version, library="libc.so.6") for name, version in wants
        ),
        version_needs=(("libc.so.6", versions),) if versions else (),
        exports_init=("_x",),
        **fields,
    )


def costs(
    *files: ElfFacts, platform: str = "manylinux_2_34_x86_64", shares: dict[str, float] | None = None
) -> PolicyCosts:
    facts = make_facts(filename=f"demo-1.0-cp311-cp311-{platform}.whl", elf=files)
    (found,), portable = policy_costs([facts], ROWS, shares or {})
    assert portable == ()
    return found


def ids(distros: tuple[Distro, ...]) -> list[str]:
    return [distro.id for distro in distros]


def test_each_policy_says_what_it_wins_and_loses() -> None:
    found = costs(elf(MODULE, ("dlopen", "GLIBC_2.34")))
    rows = {str(row.policy): row for row in found.rows}
    assert ids(found.served) == ["middle-9", "new-13"]
    assert ids(rows["manylinux_2_28"].won) == ["old-8", "other-8"]
    assert ids(rows["manylinux_2_41"].lost) == ["middle-9"]
    assert ids(rows["musllinux_1_2"].won) == ["tiny-3"]
    assert rows["musllinux_1_2"].lost == ()
    assert next(iter(rows)) == "manylinux1"
    assert list(rows)[-2:] == ["musllinux_1_1", "musllinux_1_2"]
    assert {"manylinux2014", "manylinux_2_31", "manylinux_2_41"} <= set(rows)


def test_what_stands_in_the_way_names_file_and_all_symbols() -> None:
    wants = [(f"call{n}", "GLIBC_2.34") for n in range(5)]
    better = costs(elf(MODULE, *wants)).next_better
    assert better is not None
    assert str(better.policy) == "manylinux_2_31"
    (obstacle,) = better.obstacles
    assert (obstacle.path, obstacle.subject) == (MODULE, "GLIBC_2.34")
    assert obstacle.symbols == tuple(name for name, _ in wants)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ((elf(MODULE, ("dlopen", "GLIBC_2.34")),), "do without dlopen@GLIBC_2.34"),
        (
            (elf(MODULE, ("dlopen", "GLIBC_2.34"), ("fstat", "GLIBC_2.33")),),
            "build against glibc 2.28",
        ),
        ((elf(MODULE, needed=("libfoo.so.3",)),), "bring libfoo.so.3 in the wheel"),
        ((elf(MODULE, isa_level=3),), "compile for the baseline, not for x86-64-v3"),
        (
            (elf(MODULE, ("dlopen", "GLIBC_2.34"), needed=("libfoo.so.3",)),),
            f"build {MODULE} alone for manylinux_2_28",
        ),
        (
            (elf(MODULE, ("dlopen", "GLIBC_2.34")), elf("demo/_y.so", needed=("libfoo.so.3",))),
            "build all for manylinux_2_28",
        ),
        ((elf(MODULE, ("printf", "GLIBC_2.2.5")),), "nothing but the name"),
    ],
)
def test_the_change_that_wins_most(files: tuple[ElfFacts, ...], words: str) -> None:
    first = costs(*files).changes[0]
    assert first.words.startswith(words)
    assert ids(first.won) == ["old-8", "other-8"]
    assert first.policy == Policy((2, 28))


def test_users_decide_what_wins_most_where_they_are_known() -> None:
    files = elf(MODULE, ("dlopen", "GLIBC_2.34"))
    found = costs(files, shares={"tiny-3": 0.4, "old-8": 0.1, "new-13": 0.25})
    assert found.changes[0].policy == MUSL_POLICIES[-1]
    assert found.share(found.changes[0].won) == 0.4
    assert found.share((MIDDLE,)) is None
    assert found.share(found.served) == 0.25


def test_a_name_without_a_policy_is_taken_by_its_files() -> None:
    found = costs(elf(MODULE, ("dlopen", "GLIBC_2.34")), platform="linux_x86_64")
    assert (found.named, found.today) == (False, (Policy((2, 34)),))


def test_a_name_that_promises_more_than_the_files_keep() -> None:
    found = costs(elf(MODULE, ("dlopen", "GLIBC_2.34")), platform="manylinux2014_x86_64")
    assert found.today == (Policy((2, 17)),)
    assert found.kept == (Policy((2, 34)),)


def test_wheels_for_musl_lose_nothing_by_one_for_glibc() -> None:
    path = MODULE.replace("gnu", "musl")
    file = make_elf(path, needed=("libc.musl-x86_64.so.1",), exports_init=("_x",))
    found = costs(file, platform="musllinux_1_2_x86_64")
    rows = {str(row.policy): row for row in found.rows}
    assert ids(found.served) == ["tiny-3"]
    assert rows["manylinux_2_28"].lost == ()
    assert ids(rows["manylinux_2_28"].won) == ["old-8", "other-8", "middle-9", "new-13"]
    assert rows["manylinux_2_28"].obstacles[0].clause.startswith("linked with musl")
    assert rows["musllinux_1_1"].obstacles == ()


@given(
    st.lists(st.sampled_from([f"GLIBC_2.{n}" for n in (3, 4, 14, 17, 25, 28, 30, 34, 38)]), max_size=6)
)
def test_older_policies_serve_more_and_are_harder_to_keep(versions: list[str]) -> None:
    found = costs(elf(MODULE, *((f"s{n}", version) for n, version in enumerate(versions))))
    rows = [row for row in found.rows if row.policy not in MUSL_POLICIES]
    for older, newer in pairwise(rows):
        assert set(ids(older.served)) >= set(ids(newer.served))
        assert len(older.obstacles) >= len(newer.obstacles)


def native(folder: Path, tag: str = "cp311-cp311-manylinux_2_34_x86_64") -> Path:
    wants = (Want("dlopen", "GLIBC_2.34", "libc.so.6"), Want("PyModule_Create2"))
    files: dict[str, bytes | str] = {
        "demo/__init__.py": "",
        MODULE: extension_spec("_x", wants=wants, needed=("libc.so.6",)).build(),
    }
    return build_wheel(folder, files, tag=tag)


def policies(*words: str | Path) -> int:
    return main(["predict", "--policies", *map(str, words)])


def test_the_table_fits_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pyproject.toml").write_text(
        '[tool.pytest-manylinux]\ndistro-shares = { "almalinux-8" = 30, jammy = 50, other = 20 }\n'
    )
    assert policies(native(tmp_path)) == ExitCode.OK
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    assert "manylinux_2_34 *" in said
    assert "manylinux_2_28 wins almalinux-8 (2029-05-31)" in said
    assert "manylinux_2_36 loses ubuntu-22.04 (2027-06-01), 50.0% of users" in said
    assert f"  {MODULE}: dlopen (GLIBC_2.34)" in said
    assert "Wins most: do without dlopen@GLIBC_2.34" in " ".join(said.split())


def test_as_json_every_policy_has_its_distros_and_reasons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shares = tmp_path / "shares.json"
    shares.write_text('{"almalinux-8": 1, "other": 3}')
    pure = build_wheel(tmp_path, {"demo/__init__.py": ""}, tag="py3-none-any", name="pure")
    wheel = native(tmp_path)
    assert policies(wheel, pure, "--json", "--shares", shares) == ExitCode.OK
    document = json.loads(capsys.readouterr().out)
    (project,) = document["projects"]
    assert document["without-native-code"] == [pure.name]
    assert project["today"] == ["manylinux_2_34"]
    assert project["next-better"] == "manylinux_2_31"
    row = next(row for row in project["policies"] if row["policy"] == "manylinux_2_28")
    assert {
        "distro": "almalinux-8",
        "end-of-life": "2029-05-31",
        "rolling": False,
        "share": 0.25,
    } in row["won"]
    assert row["in-the-way"][0]["symbols"] == ["dlopen"]
    assert project["changes"][0]["policy"] == "manylinux_2_28"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"debian-99" = 1', "no distro is called 'debian-99'"),
        ('"debian-12" = 1\nbookworm = 2', "'bookworm' is debian-12, which has a number already"),
        ('"debian-12" = "many"', "'many' cannot be used"),
        ('"debian-12" = -1', "-1 cannot be used"),
        ('"debian-12" = 0', "cannot be used"),
        ("= 3", "shares cannot be read"),
    ],
)
def test_shares_that_cannot_be_used_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    shares = tmp_path / "shares.toml"
    shares.write_text(text)
    assert policies(native(tmp_path), "--shares", shares) == ExitCode.USAGE
    said = capsys.readouterr()
    assert words in said.err
    assert said.out == ""


def test_flags_that_do_not_go_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wheel = native(tmp_path)
    assert policies(wheel, "--strict") == ExitCode.USAGE
    assert main(["predict", str(wheel), "--shares", "x.toml"]) == ExitCode.USAGE
    assert "add --policies" in capsys.readouterr().err


def test_other_counts_for_the_whole() -> None:
    found = by_distro({"bookworm": 1.0, "other": 3.0}, load_catalogue(), "here")
    assert found == {"debian-12": 0.25}
    with pytest.raises(UsageError, match="are `other`"):
        by_distro({"debian-99": 1.0}, load_catalogue(), "here")
