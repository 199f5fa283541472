from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trial_values import make_elf, make_facts

from pytest_manylinux.model.elf_facts import ElfKind
from pytest_manylinux.trials.judged_files import installed_path
from pytest_manylinux.trials.request import VenvLayout
from pytest_manylinux.trials.trial import is_skipped, loader_files

LAYOUT = VenvLayout(
    entries=(),
    heavy=(),
    purelib="lib/python3.11/site-packages",
    platlib="lib64/python3.11/site-packages",
    scripts="bin",
    data=".",
    seeded=frozenset({"pip"}),
)


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("demo/_x.so", "lib64/python3.11/site-packages/demo/_x.so"),
        ("demo-1.0.data/purelib/a.py", "lib/python3.11/site-packages/a.py"),
        ("demo-1.0.data/platlib/_y.so", "lib64/python3.11/site-packages/_y.so"),
        ("demo-1.0.data/scripts/tool", "bin/tool"),
        ("demo-1.0.data/data/share/x", "share/x"),
        ("demo-1.0.dist-info/RECORD", "lib64/python3.11/site-packages/demo-1.0.dist-info/RECORD"),
    ],
)
def test_files_land_where_the_wheel_specification_says(path: str, place: str) -> None:
    assert installed_path(path, make_facts(), LAYOUT) == f"/scratch/venv/{place}"


def test_a_pure_root_lands_in_purelib() -> None:
    found = installed_path("demo.py", make_facts(root_is_purelib=True), LAYOUT)
    assert str(found) == "/scratch/venv/lib/python3.11/site-packages/demo.py"


@pytest.mark.parametrize("path", ["demo-1.0.data/headers/x.h", "demo-1.0.data/unknown/x"])
def test_other_schemes_have_no_place(path: str) -> None:
    assert installed_path(path, make_facts(), LAYOUT) == ""


def test_the_loader_is_asked_about_modules_and_programs_only() -> None:
    interpreter = "/lib64/ld-linux-x86-64.so.2"
    program = {"kind": ElfKind.PROGRAM, "is_shared": False}
    facts = make_facts(
        elf=(
            make_elf("demo/_x.so"),
            make_elf("demo.libs/libz-12.so.1"),
            make_elf("demo-1.0.data/scripts/tool", interpreter=interpreter, **program),
            make_elf("demo/static-tool", **program),
        ),
        extension_paths=(("demo._x", "demo/_x.so"),),
    )
    assert loader_files(facts, LAYOUT) == (
        ("/scratch/venv/lib64/python3.11/site-packages/demo/_x.so", ""),
        ("/scratch/venv/bin/tool", interpreter),
    )


@pytest.mark.parametrize(
    ("name", "pattern", "skipped"),
    [
        ("demo", "demo", True),
        ("demo.gui._x", "demo.gui", True),
        ("demo.guitar", "demo.gui", False),
        ("demo._test_x", "demo._test*", True),
        ("demo", "demo.*", False),
    ],
)
def test_skipping(name: str, pattern: str, skipped: bool) -> None:  # noqa: FBT001
    assert is_skipped(name, [pattern]) is skipped


names = st.from_regex(r"[a-z_]{1,4}(\.[a-z_]{1,4}){0,3}", fullmatch=True)


@given(names, names)
def test_what_is_inside_of_something_skipped_is_skipped(outer: str, inner: str) -> None:
    assert is_skipped(f"{outer}.{inner}", [outer])
    assert not is_skipped(f"{outer}{inner.replace('.', '')}x", [outer])
