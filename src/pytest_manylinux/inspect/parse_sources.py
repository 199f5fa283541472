"""Parse Python sources for each minor version from one on; a program, which imports nothing of ours.

Standard input: a JSON object, path to source (a character for a byte). Argument: the lowest minor
version of Python 3. Standard output: a JSON object, path to [first version that parses it or null,
line, message], of the sources that the lowest version does not parse.
"""

from __future__ import annotations

import ast
import json
import sys


def need(source: bytes, lowest: int) -> tuple[int | None, int, str] | None:
    """What a source needs; None if the lowest version parses it."""
    told: tuple[int, str] | None = None
    for minor in range(lowest, sys.version_info.minor + 1):
        try:
            ast.parse(source, feature_version=(3, minor))
        except SyntaxError as error:
            told = told or (error.lineno or 0, error.msg)
        except (ValueError, RecursionError, MemoryError):
            return None
        else:
            return (minor, *told) if told else None
    return (None, *told) if told else None


def main() -> None:
    """Answer for all sources; whatever goes wrong on one leaves it out."""
    lowest = max(int(sys.argv[1]), 4)
    asked = json.load(sys.stdin)
    found = {path: need(text.encode("latin-1"), lowest) for path, text in asked.items()}
    json.dump({path: told for path, told in found.items() if told}, sys.stdout)


if __name__ == "__main__":
    main()
