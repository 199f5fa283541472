"""Count how the code is laid out: a Markdown table, one column for each tree.

    python tools/structure.py [--tree DIR | --commit REV]... [--frames]

Without options the working tree is counted. `--tree` takes the folder that holds src/, or a package's
own folder; given more than once, the columns stand in the order of the options: before, after. All is
read from the syntax tree; nothing of the counted code is imported, except with `--frames`, which makes
a real trial and a real build with bubblewrap (tools/frames.py; minutes on an empty cache).

What is counted:

- files, lines: every .py file, __init__.py included, and its lines.
- own imports: the package's modules that a module imports, in functions too, under TYPE_CHECKING not.
  The longest chain counts the modules on it.
- module stems: names of modules but for __init__.py; a plural counts as the same name (image, images).
- class names: of all classes; a leading underscore does not count.
- functions: lines from `def` to the end, functions and methods inside others included.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SMALL = 60  # lines; a file below that ought to have a reason


@dataclass(frozen=True, kw_only=True)
class Module:
    """A file of the package: its full name and those of what it imports; lines of each function."""

    name: str
    stem: str
    lines: int
    imports: frozenset[str]
    classes: tuple[str, ...]
    functions: tuple[int, ...]

    @property
    def is_package(self) -> bool:
        """Whether it is an __init__.py."""
        return self.stem == "__init__"


def read_package(folder: Path) -> list[Module]:
    """The modules of the package in `folder`. Raises SyntaxError, OSError."""
    files = {_name(path, folder): path for path in sorted(folder.rglob("*.py"))}
    return [_module(name, path, files.keys()) for name, path in files.items()]


def _name(path: Path, folder: Path) -> str:
    parts = path.relative_to(folder.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _module(name: str, path: Path, known: Collection[str]) -> Module:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text, str(path))
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    found = [_known(full, known) for full in _imports(tree, package)]
    nodes = list(ast.walk(tree))
    return Module(
        name=name,
        stem=path.stem,
        lines=text.count("\n"),
        imports=frozenset(one for one in found if one is not None and one != name),
        classes=tuple(node.name for node in nodes if isinstance(node, ast.ClassDef)),
        functions=tuple(
            (node.end_lineno or node.lineno) - node.lineno + 1
            for node in nodes
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ),
    )


def _known(full: str, known: Collection[str]) -> str | None:
    """The module that an import names: it, or the one that has the name."""
    return next((name for name in (full, full.rpartition(".")[0]) if name in known), None)


def _imports(node: ast.AST, package: str) -> Iterator[str]:
    """Full names: of modules, and of what is taken from modules."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.If(test=ast.Name("TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                for other in child.orelse:
                    yield from _imports(other, package)
            case ast.Import():
                yield from (alias.name for alias in child.names)
            case ast.ImportFrom():
                base = child.module or ""
                if child.level:
                    above = package.split(".")[: len(package.split(".")) - child.level + 1]
                    base = ".".join([*above, *([base] if base else [])])
                yield from (f"{base}.{alias.name}" for alias in child.names)
            case _:
                yield from _imports(child, package)


def longest_chain(modules: Sequence[Module]) -> list[str]:
    """The modules on the longest way along imports. A module of a circle ends the way."""
    imports = {module.name: module.imports for module in modules}
    found: dict[str, list[str]] = {}

    def chain(name: str, above: frozenset[str]) -> list[str]:
        if name not in found:
            below = (chain(other, above | {name}) for other in sorted(imports[name] - above - {name}))
            found[name] = [name, *max(below, key=len, default=[])]
        return found[name]

    return max((chain(name, frozenset()) for name in imports), key=len, default=[])


def repeated_stems(modules: Sequence[Module]) -> list[str]:
    """The names of modules whose stem another has too."""
    own = [module for module in modules if not module.is_package]
    counts = Counter(module.stem.removesuffix("s") for module in own)
    return [module.name for module in own if counts[module.stem.removesuffix("s")] > 1]


def repeated_classes(modules: Sequence[Module]) -> list[str]:
    """The names that more than one class has."""
    counts = Counter(name.lstrip("_") for module in modules for name in module.classes)
    return sorted(name for name, count in counts.items() if count > 1)


def count(folder: Path) -> dict[str, str]:
    """Each count of the package in `folder`, in words for the table."""
    modules = read_package(folder)
    lines = [module.lines for module in modules]
    functions = sorted(length for module in modules for length in module.functions)
    stems = sum(not module.is_package for module in modules)
    classes = {name.lstrip("_") for module in modules for name in module.classes}
    last = functions[min(len(functions) - 1, int(len(functions) * 0.95))]
    return {
        "files": str(len(lines)),
        "lines": f"{sum(lines):,}",
        f"files under {SMALL} lines": str(sum(number < SMALL for number in lines)),
        "lines of the median file": f"{statistics.median(lines):.0f}",
        "longest import chain": str(len(longest_chain(modules))),
        "own imports a module (mean)": f"{statistics.mean(len(m.imports) for m in modules):.1f}",
        "modules whose stem is used more than once": f"{len(repeated_stems(modules))} of {stems}",
        "class names used more than once": f"{len(repeated_classes(modules))} of {len(classes)}",
        "lines of a function: median / p95 / max": (
            f"{statistics.median(functions):.0f} / {last} / {functions[-1]}"
        ),
    }


def frames(tree: Path) -> dict[str, str]:
    """What a trial and a build pass through on their way to the pipe; see tools/frames.py."""
    path = os.pathsep.join([str(tree), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("frames.py"), tree],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    rows: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return rows


def table(columns: Mapping[str, Mapping[str, str]]) -> str:
    """A Markdown table, one row for each count."""
    rows = list(dict.fromkeys(row for counts in columns.values() for row in counts))
    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    lines += [
        f"| {row} | " + " | ".join(c.get(row, "") for c in columns.values()) + " |" for row in rows
    ]
    return "\n".join(lines)


def _package(tree: Path) -> Path:
    """The package's own folder: `tree` itself, or the one below its src/."""
    if (tree / "__init__.py").is_file():
        return tree
    found = [path.parent for path in sorted((tree / "src").glob("*/__init__.py"))]
    if len(found) != 1:
        sys.exit(f"{tree}: not a package, and not a folder with one package in src/")
    return found[0]


def _checked_out(revision: str, stack: ExitStack) -> Path:
    """A temporary folder with src/ of a commit of this repository."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    done = subprocess.run(
        ["git", "archive", "--format=tar", revision, "src"], cwd=ROOT, check=False, capture_output=True
    )
    if done.returncode != 0:
        sys.exit(f"git has no src at {revision!r}: {done.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--tree", dest="trees", action="append", type=lambda text: ("tree", text), metavar="DIR")
    add("--commit", dest="trees", action="append", type=lambda text: ("commit", text), metavar="REV")
    add("--frames", action="store_true", help="also run a trial and a build, and count their calls")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        columns = {}
        for kind, text in options.trees or [("tree", str(ROOT))]:
            package = _package(_checked_out(text, stack) if kind == "commit" else Path(text).resolve())
            columns[text if options.trees else "now"] = {
                **count(package),
                **(frames(package.parent) if options.frames else {}),
            }
    print(table(columns))


if __name__ == "__main__":
    main()
