"""What counts as importable, by files alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.tags import Tag, parse_tag
from wheels import NATIVE, build_wheel, extension_spec

from pytest_manylinux.inspect.names import NOT_NAMESPACES, extension_modules, top_level_names
from pytest_manylinux.inspect.python_code import (
    import_effects,
    imports_of,
    raises_without_library,
)
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel

ABI3 = "cp38-abi3-manylinux_2_17_x86_64"
SO = "cpython-311-x86_64-linux-gnu.so"
PP73 = "pypy311-pp73-x86_64-linux-gnu"
GRAAL, GRAAL_ABI = "graalpy250-312-native-x86_64-linux", "graalpy250_312_native"


def names(*files: str, tag: str = NATIVE, inits: dict[str, set[str]] | None = None) -> tuple[str, ...]:
    return top_level_names(files, parse_tag(tag), inits or {})


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["demo/__init__.py", "demo/inner/__init__.py"], ("demo",)),
        (["demo.py"], ("demo",)),
        (["demo.pyc"], ("demo",)),
        (["demo/__init__.pyc"], ("demo",)),
        (["_yaml/__init__.py", "yaml/__init__.py"], ("_yaml", "yaml")),
        (["ns/pkg/__init__.py", "ns/module.py"], ("ns.module", "ns.pkg")),
        (["google/cloud/storage/__init__.py"], ("google.cloud.storage",)),
        (["backports/thing.py"], ("backports.thing",)),
        (["demo-1.0.data/purelib/demo/__init__.py"], ("demo",)),
        (["demo-1.0.data/platlib/demo.py"], ("demo",)),
        (["demo-1.0.data/scripts/demo.py", "demo-1.0.data/data/share/x.py"], ()),
        (["demo-1.0.dist-info/x.py"], ()),
        (["demo.libs/libx.so.1", "demo/.libs/x.so"], ()),
        (["tests/__init__.py", "tests/test_x.py"], ("tests",)),
        (["tests/test_x.py", "docs/conf.py", "examples/run.py"], ()),
        (["my-package/__init__.py", "1st.py", "class.py"], ()),
        (["demo-stubs/__init__.pyi", "demo/__init__.pyi"], ()),
        (["__main__.py", "setup.py", "__init__.py", "conftest.py"], ()),
        (["demo/__main__.py"], ()),
        (["demo/__main__.py", "demo/__init__.py"], ("demo",)),
        (["demo/data.json", "demo/py.typed"], ()),
        (["demo/__pycache__/x.cpython-311.pyc"], ()),
        (["demo.py", "demo/data/x.py"], ("demo",)),
        (["demo/data/x.py", "demo.py"], ("demo",)),
        (["größe/__init__.py"], ("größe",)),
    ],
)
def test_top_level_names(files: list[str], expected: tuple[str, ...]) -> None:
    assert names(*files) == expected


@pytest.mark.parametrize(
    ("file", "init", "tag", "expected"),
    [
        (f"_x.{SO}", "_x", NATIVE, ("_x",)),
        ("_x.so", "_x", NATIVE, ("_x",)),
        ("_x.abi3.so", "_x", ABI3, ("_x",)),
        ("_x.abi3.so", "_x", NATIVE, ("_x",)),
        (f"_x.{SO}", "_y", NATIVE, ()),  # exports another module's init only
        ("libx.so", "", NATIVE, ()),  # a library, no module
        ("_x.cpython-39-x86_64-linux-gnu.so", "_x", NATIVE, ()),  # for another Python
        ("_x.cpython-39-x86_64-linux-gnu.so", "_x", "py3-none-manylinux1_x86_64", ("_x",)),
        ("_x.cpython-39-x86_64-linux-gnu.so", "_x", "cp39-none-manylinux1_x86_64", ("_x",)),
        ("_x.cpython-36m-x86_64-linux-gnu.so", "_x", "cp36-cp36m-manylinux1_x86_64", ("_x",)),
        ("_x.cpython-313t-x86_64-linux-gnu.so", "_x", "cp313-cp313-manylinux1_x86_64", ()),
        ("_x.cpython-313t-x86_64-linux-gnu.so", "_x", "cp313-cp313t-manylinux1_x86_64", ("_x",)),
        ("_x.cpython-311d-x86_64-linux-gnu.so", "_x", "py3-none-manylinux1_x86_64", ()),
        (f"_x.{PP73}.so", "_x", "pp311-pypy311_pp73-manylinux1_x86_64", ("_x",)),
        (f"_x.{PP73}.so", "_x", "pp39-pypy39_pp73-manylinux1_x86_64", ()),
        (f"_x.{PP73}.so", "_x", NATIVE, ()),
        (f"_x.{GRAAL}.so", "_x", f"graalpy312-{GRAAL_ABI}-manylinux_2_17_x86_64", ("_x",)),
        (f"_x.{GRAAL}.so", "_x", "graalpy312-graalpy242_312_native-manylinux_2_17_x86_64", ()),
        ("_x.so.1", "_x", NATIVE, ()),
        (f"__init__.{SO}", "__init__", NATIVE, ()),
    ],
)
def test_extension_modules_at_the_top(
    file: str, init: str, tag: str, expected: tuple[str, ...]
) -> None:
    inits = {file: {init}} if init else {}

    assert names(file, tag=tag, inits=inits) == expected


def test_a_package_may_be_an_extension_module() -> None:
    file = f"demo/__init__.{SO}"

    assert names(file, inits={file: {"demo"}}) == ("demo",)
    assert extension_modules(parse_tag(NATIVE), {file: {"demo"}}) == (("demo", file),)


def test_extension_modules_by_dotted_name(tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {
        "demo/__init__.py": "",
        f"demo/inner/_x.{SO}": extension_spec("_x").build(),
        "demo-1.0.data/platlib/demo/_y.abi3.so": extension_spec("_y").build(),
        f"81d2__mypyc.{SO}": extension_spec("81d2__mypyc").build(),
        "demo/libplain.so": extension_spec("other").build(),
        f"demo/no-package/_z.{SO}": extension_spec("_z").build(),
        f"demo/_größe.{SO}": extension_spec("x", exports=("PyInitU__gre_xna1l",)).build(),
    }

    facts = read_wheel(open_wheel(build_wheel(tmp_path, files, tag=NATIVE)))

    assert set(facts.extension_modules) == {"81d2__mypyc", "demo._größe", "demo._y", "demo.inner._x"}
    assert facts.top_level == ("demo",)


PART = st.sampled_from(
    ["demo", "ns", "inner", "_x", "tests", "lib", "a-b", "class", "__init__", "__main__"]
)
SUFFIX = st.sampled_from([".py", ".pyc", ".pyi", ".so", f".{SO}", ".abi3.so", ".txt", ""])
FILE = st.tuples(st.lists(PART, min_size=1, max_size=5), SUFFIX).map(lambda p: "/".join(p[0]) + p[1])


@settings(deadline=None)
@given(files=st.lists(FILE, unique=True, max_size=12), pythons=st.sampled_from([NATIVE, ABI3]))
def test_every_name_is_backed_by_a_file_and_order_is_nothing(files: list[str], pythons: str) -> None:
    inits = {file: {file.rpartition("/")[2].split(".")[0]} for file in files if file.endswith(".so")}
    tags: frozenset[Tag] = parse_tag(pythons)

    found = top_level_names(files, tags, inits)

    assert found == top_level_names(files[::-1], tags, inits)
    for name in found:
        assert all(part.isidentifier() for part in name.split("."))
        place = name.replace(".", "/")
        assert any(file.startswith((f"{place}.", f"{place}/__init__.")) for file in files), name
        top = name.split(".")[0]
        assert top not in NOT_NAMESPACES or any(
            file.startswith((f"{top}.", f"{top}/__init__.")) for file in files
        )


def always(sources: dict[str, str], *tops: str) -> set[str]:
    data = {path: text.encode() for path, text in sources.items()}
    return {effect.name for effect in import_effects(data, tops or ("demo",))}


@pytest.mark.parametrize(
    "text",
    [
        "import gone",
        "import os, gone.inner as x",
        "from gone import x",
        "from gone.inner import (\n    x,\n    y,\n)",
    ],
)
def test_what_stands_unindented_is_always_imported(text: str) -> None:
    assert "gone" in always({"demo.py": text})


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    import gone\nexcept ImportError:\n    pass",
        "def f():\n    import gone",
        "if False:\n    from gone import x",
        '"""\nimport gone\n"""',
        "# import gone",
        "x = 1; y = 'import gone'",
        "from .gone import x",
    ],
)
def test_what_may_not_run_is_not_always_imported(text: str) -> None:
    assert always({"demo/__init__.py": text}) <= {"demo"}


def test_imports_are_followed_through_the_wheels_own_modules() -> None:
    sources = {
        "demo/__init__.py": "from .a import x",
        "demo/a.py": "from demo.inner import b",
        "demo/inner/__init__.py": "",
        "demo/inner/b.py": "from .. import c",
        "demo/c.py": "import gone",
        "demo/never.py": "import other",
    }
    assert always(sources) == {"gone"}


def test_a_source_in_data_lies_where_it_is_installed() -> None:
    assert always({"demo-1.0.data/purelib/demo.py": "import gone"}) == {"gone"}


@given(st.text(alphabet="imporfta .\n\"'(),_#;x", max_size=80))
@settings(max_examples=50)
def test_any_text_has_effects_or_none(text: str) -> None:
    for effect in import_effects({"demo/__init__.py": text.encode()}, ("demo",)):
        assert effect.name
        assert 1 <= effect.line <= text.count("\n") + 1


def test_a_library_that_is_opened_on_import_is_told_with_its_line() -> None:
    text = b"import ctypes\nlib = ctypes.CDLL('libdemo.so.1')\n"
    (effect,) = (e for e in import_effects({"demo.py": text}, ("demo",)) if e.opens)
    assert (effect.name, effect.line) == ("libdemo.so.1", 2)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from . import _x", True),
        ("def f():\n    from . import _y, _x\n", True),
        ("class C:\n    def f(self):\n\n        import demo._x as x\n", True),
        ("try:\n    from . import _x\nexcept ImportError:\n    pass\n", False),
        ("try:\n    pass\nexcept ImportError:\n    from . import _x\n", False),
        ("def f():\n    if C:\n        with a:\n            from . import _x\n", False),
        ('def f():\n    """\n    from . import _x\n    """\n', False),
        ("from . import _xy", False),
        ("from .. import _x", False),
    ],
)
def test_code_that_cannot_do_without_a_module_is_found(text: str, *, found: bool) -> None:
    effects = imports_of(("demo._x",), {"demo/__init__.py": text.encode()})
    assert bool(effects) is found


_FIND = "import ctypes\ndef find():\n    return ctypes.CDLL(path())\n\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"{_FIND}lib = find()\nif lib is None:\n    raise ImportError('no')\n", True),
        (f"{_FIND}def more():\n    return find()\nif more() is None:\n    raise OSError('no')\n", True),
        (f"{_FIND}lib = find()\n", False),
        (f"{_FIND}if x:\n    raise ImportError('no')\n", False),
        (f"{_FIND}def start():\n    if find() is None:\n        raise ImportError('no')\n", False),
        (f"{_FIND}if __name__ == '__main__':\n    find()\n    raise ImportError('no')\n", False),
        ("lib = find()\nraise ImportError('no')\n", False),
    ],
)
def test_code_that_raises_where_it_finds_no_library(text: str, *, found: bool) -> None:
    assert raises_without_library({"demo.py": text.encode()}, ("demo",)) is found
