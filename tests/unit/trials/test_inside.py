"""What runs inside the distro must run on Python 3.6 with the standard library alone."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import pytest_manylinux.trials.inside

FOLDER = Path(pytest_manylinux.trials.inside.__file__).parent
INSIDE = {
    "agent",
    "comparison",
    "examine",
    "launch",
    "processes",
    "import_one",
    "installed_files",
    "preload_pip",
    "run_suite",
    "suite_results",
    "venv_layout",
    "../../engines/inside/preloaded_main",
}
# Modules of the standard library of Python 3.6 that minimal distros have in their main package.
ALLOWED = {
    *("ast", "base64", "builtins", "contextlib", "csv", "ctypes", "hashlib", "json", "marshal", "os"),
    *("resource", "select", "stat"),
    *("array", "atexit", "fcntl", "gc", "importlib", "runpy", "shutil", "signal", "socket", "struct"),
    *("sys", "tarfile", "time", "traceback", "warnings"),
}


@pytest.mark.parametrize("name", sorted(INSIDE))
def test_the_syntax_is_that_of_python_3_6(name: str) -> None:
    source = (FOLDER / f"{name}.py").read_text()
    ast.parse(source, feature_version=(3, 6))
    with pytest.raises(SyntaxError):
        ast.parse("(x := 1)", feature_version=(3, 6))


@pytest.mark.parametrize("name", sorted(INSIDE))
def test_only_the_standard_library_is_imported(name: str) -> None:
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    assert found <= ALLOWED | {f"pytest_manylinux.trials.inside.{other}" for other in INSIDE} | {
        "pip._internal.metadata",
        "pytest_manylinux.trials.inside",
    }
