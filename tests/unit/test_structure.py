"""The counts of tools/structure.py, on a made package whose figures one can count by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from structure import count, longest_chain, main, read_package, repeated_classes, repeated_stems

FILES = {
    "__init__.py": "",
    "errors.py": "class Error(Exception):\n    pass\n",
    "a/__init__.py": "",
    "a/image.py": "from ..errors import Error\n\nclass _Maker:\n    class Inner:\n        pass\n",
    "a/tool.py": (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from made.b import images\n"
        "def make():\n    from made.a import image\n"
        "    def one():\n        return 1\n    return image, one\n"
    ),
    "b/__init__.py": "from made import errors\n",
    "b/images.py": (
        "import os\nimport made.a.tool as t\nfrom made.b import other\n\nclass Maker:\n    pass\n"
    ),
    "b/other.py": "async def wait():\n    pass\n" + "# filled\n" * 70,
}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with one chain of imports through relative, lazy and plain ones."""
    for name, text in FILES.items():
        path = tmp_path / "src/made" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "src/made"


def test_imports_are_followed_where_they_run(package: Path) -> None:
    modules = read_package(package)
    imports = {module.name: sorted(module.imports) for module in modules}
    assert imports["made.a.image"] == ["made.errors"]
    assert imports["made.a.tool"] == ["made.a.image"]
    assert imports["made.b"] == ["made.errors"]
    assert imports["made.b.images"] == ["made.a.tool", "made.b.other"]
    assert longest_chain(modules) == ["made.b.images", "made.a.tool", "made.a.image", "made.errors"]


def test_an_import_circle_has_an_end(package: Path) -> None:
    (package / "errors.py").write_text("import made.b.images\n")
    assert len(longest_chain(read_package(package))) == 4


def test_names_that_are_used_again(package: Path) -> None:
    modules = read_package(package)
    assert repeated_stems(modules) == ["made.a.image", "made.b.images"]
    assert repeated_classes(modules) == ["Maker"]


def test_the_counts(package: Path) -> None:
    assert count(package) == {
        "files": "8",
        "lines": str(sum(text.count("\n") for text in FILES.values())),
        "files under 60 lines": "7",
        "lines of the median file": "4",
        "longest import chain": "4",
        "own imports a module (mean)": "0.6",
        "modules whose stem is used more than once": "2 of 5",
        "class names used more than once": "1 of 3",
        "lines of a function: median / p95 / max": "2 / 5 / 5",
    }


def test_two_trees_are_two_columns(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = package.parents[1]
    main(["--tree", str(tree), "--tree", str(package)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"| | {tree} | {package} |"
    assert "| files | 8 | 8 |" in lines


def test_a_folder_without_a_package(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="not a package"):
        main(["--tree", str(tmp_path)])


def test_a_commit_that_is_not_there() -> None:
    with pytest.raises(SystemExit, match="git has no src at 'no-such-commit'"):
        main(["--commit", "no-such-commit"])
