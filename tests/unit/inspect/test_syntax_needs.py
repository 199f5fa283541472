"""Sources that not every Python compiles, told by the Python that runs this."""

from __future__ import annotations

import pytest

from pytest_manylinux.inspect.python_code import LAST_GRAMMAR, NEWEST, syntax_needs

# A source, and the first minor version of Python 3 that compiles it; None if none does.
SOURCES: dict[str, tuple[bytes, int | None]] = {
    "annotations": (b"from __future__ import annotations\n", 7),
    "walrus": (b"if (x := 1):\n    pass\n", 8),
    "bare star": (b"def f(a):\n    return 1, *a\n", 8),
    "bare star first": (b"def f(a):\n    return *a, 1\n", 8),
    "decorator": (b"@x[0].y\ndef f():\n    pass\n", 9),
    "match": (b"def f(x):\n    match x:\n        case 1:\n            return 2\n", 10),
    "walrus in an index": (b"def f(a):\n    return a[x := 1]\n", 10),
    "walrus in a set": (b"a = {x := 1}\n", 9),
    "exception group": (b"try:\n    pass\nexcept* ValueError:\n    pass\n", 11),
    "star in an index": (b"def f(a, b):\n    return a[*b]\n", 11),
    "star in an annotation": (b"def f(*args: *int): pass\n", 11),
    "type": (b"type X = int\n", 12),
    "quotes in an f-string": (b"d = {}\ndef f():\n    return f'{d['a']}'\n", 12),
    "backslash in an f-string": (b"a = f\"{'\\n'.join([])}\"\n", 12),
    "default of a parameter": (b"def f[T = int](x): pass\n", 13),
    "exceptions in a list": (b"try:\n    pass\nexcept OSError, ValueError:\n    pass\n", 14),
    "print": (b"print 'x'\n", None),
    "raise": (b"raise ValueError, 'x'\n", None),
    "backticks": (b"a = `1`\n", None),
    "octal number": (b"a = 0777\n", None),
    "mark of a merge": (b"<<<<<<< HEAD\nx = 1\n", None),
    "cut off": (b"def f(:\n", None),
    "null byte": (b"a = 1\0\n", None),
    "encoding": (b"# coding: no-such\na = 1\n", None),
    "not text": (b"a = '\xff'\n", None),
    "return at the top": (b"return 1\n", None),
    "number with two points": (b"version = 1.2.3\n", None),
    "statement as a name": (b"from . import class\n", None),
}


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("lowest", [6, 9, NEWEST])
def test_the_first_version_that_compiles_a_source_is_found_or_not_claimed(
    name: str, lowest: int
) -> None:
    source, first = SOURCES[name]
    needs = syntax_needs({"a.py": source}, lowest)
    for minor in range(lowest, LAST_GRAMMAR + 1):
        refused = any(minor < n.since if n.since else minor <= n.refused_by for n in needs)
        unknown = any(n.since is None and minor > n.refused_by for n in needs)
        assert refused is (first is None or minor < first) or (unknown and minor > NEWEST), minor


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"# only a remark\n\nfrom . import _x, y as z\nimport os.path\nVERSION = 1\n",
        b"x = '<<<<<<< HEAD'\n",
        b'a = """\nmatch x:\nprint 1\n"""\n',
        b"def f(a):\n    return (1, *a)\n",
        b"x = [1, *[2]]\n",
        b"a = f\"{'x'}\" + f'''{'x'}'''\n",
        b"def f(**kw): return {**kw}\n",
    ],
)
def test_what_all_versions_compile_needs_nothing(source: bytes) -> None:
    assert syntax_needs({"a.py": source}, 6) == ()


def test_a_source_that_the_compiler_gives_up_on_is_not_known() -> None:
    (need,) = syntax_needs({"a.py": b"x = " + b"-" * 100_000 + b"1\n"}, 9)
    assert (need.since, need.refused_by) == (None, 0)


def test_new_syntax_that_this_python_does_not_have_is_left_open() -> None:
    later = b"a = t'{1}'\n" if NEWEST < 14 else b"lazy import os\n"
    (need,) = syntax_needs({"a.py": later}, 9)
    assert (need.since, need.refused_by) == (None, NEWEST)


def test_much_code_is_shared_among_processes_and_told_alike() -> None:
    long = b"x = 0\n" * 60_000
    sources = {f"{number}.py": long + b"\n" * number for number in range(5)}
    sources["1.py"] += b"def\n"
    sources["4.py"] += b"match x:\n    case 0: pass\n"
    found = {need.path: (need.since, need.line) for need in syntax_needs(sources, 9)}
    assert found == {"1.py": (None, 60_002), "4.py": (10, 60_006)}
