"""Compile Python sources, and parse them for older versions; a program, which imports nothing of ours.

Standard input, by marshal: (lowest minor version of Python 3 that is asked of, {path: (source, whether
it may need a newer one)}). Standard output: a JSON object, path to [first minor version that takes it
or null, line, message], of the sources that not all versions take; a line of -1 means that this is not
known.
"""

from __future__ import annotations

import json
import marshal
import re
import sys

TYPE_CHECKING = False  # neither `typing` nor `ast` is free to import
if TYPE_CHECKING:
    import ast
    from collections.abc import Iterator

OWN = sys.version_info.minor
FSTRINGS = 12  # the version that has PEP 701
EXCEPT_LISTS = 14  # the version that has PEP 758
# An `except` with several exceptions and no parentheses: Python 2 took the second for a name.
EXCEPT = re.compile(rb"^([ \t]*except)[ \t]+([\w.]+(?:[ \t]*,[ \t]*[\w.]+)+)[ \t]*:", re.MULTILINE)


def need(source: bytes, lowest: int, *, newer: bool) -> tuple[int | None, int, str] | None:
    """Say what a source needs; None if all versions from the lowest on take it, as far as is known."""
    try:
        compile(source, "source", "exec", dont_inherit=True)
    except SyntaxError as error:
        since = EXCEPT_LISTS if OWN < EXCEPT_LISTS and is_list_of_exceptions(source) else None
        return since, error.lineno or 0, str(error.msg)
    except ValueError as error:
        return None, 0, str(error)
    except (RecursionError, MemoryError, OverflowError) as error:
        return None, -1, str(error) or type(error).__name__
    return first_version(source, lowest) if newer else None


def is_list_of_exceptions(source: bytes) -> bool:
    """Whether parentheses around lists of exceptions are all that a source lacks (PEP 758)."""
    changed, count = EXCEPT.subn(rb"\1 (\2):", source)
    if not count:
        return False
    try:
        compile(changed, "source", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def first_version(source: bytes, lowest: int) -> tuple[int | None, int, str] | None:
    """Find the first minor version from `lowest` on that takes a source, which this Python takes."""
    import ast  # noqa: PLC0415 - only these sources want it

    told: tuple[int, str] | None = None
    for minor in range(max(lowest, 4), OWN + 1):
        try:
            tree = ast.parse(source, feature_version=(3, minor))
        except SyntaxError as error:
            told = told or (error.lineno or 0, str(error.msg))
        except (ValueError, RecursionError, MemoryError):
            return None
        else:
            since, line, words = max(unchecked(tree, source), default=(0, 0, ""))
            since = max(since, minor)
            return (since, *(told or (line, words))) if since > lowest else None
    return None


def unchecked(tree: ast.AST, source: bytes) -> Iterator[tuple[int, int, str]]:
    """Find newer syntax that the parser takes for all versions: minor version, line and name of it."""
    import ast  # noqa: PLC0415 - see first_version

    lines = source.splitlines()
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module="__future__") if any(
                n.name == "annotations" for n in node.names
            ):
                yield 7, node.lineno, "annotations of __future__"
            case ast.Return() | ast.Yield() if is_bare_star(node.value):
                yield 8, node.lineno, "a starred value that is returned without parentheses"
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() if any(
                not is_old_decorator(one) for one in node.decorator_list
            ):
                yield 9, node.lineno, "a decorator that is more than a call of a name"
            case ast.Subscript(slice=ast.NamedExpr() as inner) if is_bare(inner, lines):
                yield 10, node.lineno, "an assignment expression in an index"
            case ast.Set() if any(is_bare(inner, lines) for inner in node.elts):
                yield 9, node.lineno, "an assignment expression in a set"
            case ast.Subscript() if is_bare_star(node.slice):
                yield 11, node.lineno, "a star in an index"
            case ast.arg(annotation=ast.Starred()):
                yield 11, node.lineno, "a star in an annotation"
    if OWN >= FSTRINGS:
        yield from ((FSTRINGS, line, "an f-string by PEP 701") for line in newer_fstrings(source))


def is_bare_star(node: ast.AST | None) -> bool:
    """Whether an expression is a tuple with a starred part and has no parentheses."""
    import ast  # noqa: PLC0415 - see first_version

    if not isinstance(node, ast.Tuple) or not any(isinstance(one, ast.Starred) for one in node.elts):
        return False
    return (node.lineno, node.col_offset) == (node.elts[0].lineno, node.elts[0].col_offset)


def is_bare(node: ast.expr, lines: list[bytes]) -> bool:
    """Whether an expression is an assignment with no parenthesis right before it."""
    before = lines[node.lineno - 1][: node.col_offset].rstrip()
    return type(node).__name__ == "NamedExpr" and not before.endswith(b"(")


def is_old_decorator(node: ast.AST) -> bool:
    """Whether a decorator is a dotted name or a call of one, as before PEP 614."""
    import ast  # noqa: PLC0415 - see first_version

    inner = node.func if isinstance(node, ast.Call) else node
    while isinstance(inner, ast.Attribute):
        inner = inner.value
    return isinstance(inner, ast.Name)


def newer_fstrings(source: bytes) -> Iterator[int]:
    """Find the lines of f-strings that were none before PEP 701; only a Python that has it can.

    Before, the whole f-string was one token: no quotes of its own kind, backslash, comment or end of
    the line could be in its expressions.
    """
    import io  # noqa: PLC0415 - see first_version
    import tokenize  # noqa: PLC0415 - see first_version

    quotes: list[str] = []
    for token in tokenize.tokenize(io.BytesIO(source).readline):
        name = tokenize.tok_name[token.type]
        if name == "FSTRING_END":
            quotes.pop()
        elif quotes and name != "FSTRING_MIDDLE" and is_newer(name, token.string, quotes):
            yield token.start[0]
        if name == "FSTRING_START":
            quotes.append(token.string.lstrip("fFrRbBuU"))


def is_newer(name: str, text: str, quotes: list[str]) -> bool:
    """Whether a token may not be in the expressions of f-strings that begin with these quotes."""
    broken = name in {"NL", "NEWLINE"} and any(len(quote) == 1 for quote in quotes)
    return broken or name == "COMMENT" or "\\" in text or any(quote in text for quote in quotes)


def main() -> None:
    """Answer for all sources."""
    lowest, asked = marshal.loads(sys.stdin.buffer.read())  # noqa: S302 - of our own process
    found = {path: need(code, lowest, newer=newer) for path, (code, newer) in asked.items()}
    json.dump({path: told for path, told in found.items() if told}, sys.stdout)


if __name__ == "__main__":
    main()
