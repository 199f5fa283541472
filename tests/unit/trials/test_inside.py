"""What runs inside the distro must run on Python 3.6 with the standard library alone."""

from __future__ import annotations

import ast
import sys
import sysconfig
from pathlib import Path

import pytest

import pytest_manylinux.trials.inside
from pytest_manylinux.trials.inside import c_library

FOLDER = Path(pytest_manylinux.trials.inside.__file__).parent
INSIDE = {
    "agent",
    "c_library",
    "comparison",
    "examine",
    "launch",
    "processes",
    "rehearsal",
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
    *("functools", "resource", "select", "stat", "sysconfig", "zipfile"),
    *("array", "atexit", "fcntl", "gc", "importlib", "runpy", "shutil", "signal", "socket", "struct"),
    *("sys", "tarfile", "time", "traceback", "warnings"),
}


@pytest.mark.parametrize(
    ("loader", "version", "has", "wanted"),
    [
        ("/lib/ld-musl-x86_64.so.1", (3, 13), 1, "mimalloc"),
        ("/lib/ld-musl-x86_64.so.1", (3, 13), 0, None),
        ("/lib/ld-musl-x86_64.so.1", (3, 12), None, None),
        ("/lib64/ld-linux-x86-64.so.2", (3, 14), 1, None),
    ],
)
def test_a_python_that_has_mimalloc_takes_it_on_musl(
    loader: str,
    version: tuple[int, int],
    has: int | None,
    wanted: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(c_library, "own_loader", lambda: loader)
    monkeypatch.setattr(sys, "version_info", version)
    monkeypatch.setattr(sysconfig, "get_config_var", {"WITH_MIMALLOC": has}.get)
    assert c_library.allocator().get("PYTHONMALLOC") == wanted


@pytest.mark.parametrize("kind", ["musl", "linux"])
def test_an_embedded_root_has_a_library_that_stands_in_for_musls_allocator(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "malloc.so"
    library.touch()
    monkeypatch.setattr(c_library, "own_loader", lambda: f"/lib/ld-{kind}-x86-64.so.1")
    monkeypatch.setattr(c_library, "LIBRARY", str(library))
    preloaded = c_library.allocator().get("LD_PRELOAD")
    assert preloaded == (str(library) if kind == "musl" else None)


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
