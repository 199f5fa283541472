"""Hold the packaged table of PyPI's rules against a copy of PyPI's source, and say what moved.

    python tools/pypi_rules.py SOURCE

SOURCE is a checkout or a repository of https://github.com/pypi/warehouse. Figures and lists are
compared one by one; of functions only that their text changed can be said, by digests. Exit code 1 if
anything moved.
"""

from __future__ import annotations

import ast
import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pytest_manylinux.upload_rules.index_rules import RuleTable, pypi_table

LEGACY = "warehouse/forklift/legacy.py"
METADATA = "warehouse/forklift/metadata.py"
CONSTANTS = "warehouse/constants.py"
FUNCTIONS = (
    (LEGACY, "_macosx_platform_re"),
    (LEGACY, "_ios_platform_re"),
    (LEGACY, "_android_platform_re"),
    (LEGACY, "_linux_platform_re"),
    (LEGACY, "_pyemscripten_platform_re"),
    (LEGACY, "_valid_platform_tag"),
    (LEGACY, "_validate_filename"),
    (LEGACY, "_is_valid_dist_file"),
    (LEGACY, "file_upload"),
    (METADATA, "_validate_metadata"),
    ("warehouse/utils/zipfiles.py", ""),
    ("warehouse/utils/wheel.py", "_validate_record"),
    ("warehouse/utils/wheel.py", "_validate_section"),
    ("warehouse/utils/wheel.py", "_validate_entrypoints"),
    ("warehouse/utils/readme.py", "render"),
    ("warehouse/utils/http.py", "is_valid_uri"),
)
"""What the rules were read from, besides figures: file and name, or a file as a whole."""

_DIGITS = 12


class Source:
    """A copy of PyPI's source: a checkout, or a repository whose newest commit is read."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def text(self, name: str) -> str:
        """A file of the source. Raises SystemExit if it is not there."""
        if (self.place / name).is_file():
            return (self.place / name).read_text("utf-8")
        return self._git("show", f"HEAD:{name}")

    def commit(self) -> str:
        """The commit and its day."""
        return self._git("log", "-1", "--format=%H of %cs").strip()

    def _git(self, *words: str) -> str:
        command = ["git", "-C", str(self.place), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{self.place}: not a copy of PyPI's source: {done.stderr.strip()}")
        return done.stdout

    def block(self, name: str, word: str) -> str:
        """The statement that gives a name; empty if there is none. The whole file without a name."""
        if not word:
            return self.text(name)
        blocks = top_level(self.text(name))
        return "".join(block for block in blocks if named(block) == word)

    def value(self, name: str, word: str) -> object:
        """A constant: literals, sets of literals, products and unions of other constants."""
        block = self.block(name, word)
        tree = ast.parse(block)
        nodes = [node for node in tree.body if isinstance(node, (ast.Assign, ast.AnnAssign))]
        if not nodes or nodes[0].value is None:
            raise SystemExit(f"{name}: there is no {word} any more")
        return self._evaluated(name, nodes[0].value)

    def _evaluated(self, name: str, node: ast.expr) -> object:
        match node:
            case ast.Name(id=other):
                place = name if self.block(name, other) else CONSTANTS
                return self.value(place, other)
            case ast.BinOp(left=left, op=op, right=right):
                one, two = self._evaluated(name, left), self._evaluated(name, right)
                if isinstance(op, ast.BitOr) and isinstance(one, set) and isinstance(two, set):
                    return one | two
                if isinstance(op, ast.Mult) and isinstance(one, int) and isinstance(two, int):
                    return one * two
        return ast.literal_eval(node)


def top_level(text: str) -> Iterator[str]:
    """The statements of a module as text, each with its decorators and what is indented below it."""
    block: list[str] = []
    for line in text.splitlines(keepends=True):
        starts = re.match(r"[A-Za-z_@]", line) and not (block and block[-1].startswith("@"))
        if starts and block:
            yield "".join(block)
            block = []
        block.append(line)
    yield "".join(block)


def named(block: str) -> str:
    """The name that a statement gives, of a function, class or value; empty for others."""
    found = re.search(r"^(?:def |class )?(\w+)(?=\(|:| =)", block, re.MULTILINE)
    return found[1] if found else ""


def constants(source: Source) -> Mapping[str, object]:
    """The figures and lists of PyPI's source, by the places that they have in our table."""
    linux = _words(source.value(LEGACY, "_jointlinux_arches"))
    limits = source.value(METADATA, "_LENGTH_LIMITS")
    assert isinstance(limits, dict)
    return {
        "limits.file-size": source.value(CONSTANTS, "MAX_FILESIZE"),
        "limits.project-size": source.value(CONSTANTS, "MAX_PROJECT_SIZE"),
        "limits.ratio": source.value(LEGACY, "COMPRESSION_RATIO_THRESHOLD"),
        "limits.ratio-from": source.value(LEGACY, "COMPRESSION_RATIO_MIN_SIZE"),
        "limits.release-days": source.value(LEGACY, "MAXIMUM_AGE_FOR_NEW_UPLOADS_DAYS"),
        "limits.summary": limits.pop("summary"),
        "limits of other fields": sorted(limits),
        "metadata.versions": _words(source.value(METADATA, "SUPPORTED_METADATA_VERSIONS")),
        "metadata.dynamic": _words(source.value(METADATA, "DYNAMIC_FIELDS")),
        "platforms.names": _words(source.value(LEGACY, "_allowed_platforms")),
        "platforms.linux": linux,
        "platforms.manylinux-only": sorted(
            {*_words(source.value(LEGACY, "_manylinux_arches"))} - {*linux}
        ),
        "platforms.macos": _words(source.value(LEGACY, "_macosx_arches")),
        "platforms.macos-versions": _words(source.value(LEGACY, "_macosx_major_versions")),
        "platforms.ios": _words(source.value(LEGACY, "_ios_arches")),
        "platforms.android": _words(source.value(LEGACY, "_android_arches")),
        **{f"text of {place}": digest for place, digest in digests(source).items()},
    }


def ours(table: RuleTable) -> Mapping[str, object]:
    """The same places of the packaged table."""
    limits, platforms = table.limits, table.platforms
    return {
        "limits.file-size": limits.file_size,
        "limits.project-size": limits.project_size,
        "limits.ratio": limits.ratio,
        "limits.ratio-from": limits.ratio_from,
        "limits.release-days": limits.release_days,
        "limits.summary": limits.summary,
        "limits of other fields": [],
        "metadata.versions": _words(table.metadata.versions),
        "metadata.dynamic": _words(table.metadata.dynamic),
        "platforms.names": _words(platforms.names),
        "platforms.linux": _words(platforms.linux),
        "platforms.manylinux-only": _words(platforms.manylinux_only),
        "platforms.macos": _words(platforms.macos),
        "platforms.macos-versions": _words(platforms.macos_versions),
        "platforms.ios": _words(platforms.ios),
        "platforms.android": _words(platforms.android),
        **{f"text of {place}": digest for place, digest in table.functions.items()},
    }


def _words(values: object) -> list[str]:
    """A set or list of words as a sorted list of lower-case ones."""
    assert isinstance(values, (set, list, tuple))
    return sorted(str(value).lower() for value in values)


def digests(source: Source) -> dict[str, str]:
    """The beginnings of SHA-256 digests of what the rules were read from."""
    return {
        f"{file}: {word}".removesuffix(": "): hashlib.sha256(
            source.block(file, word).strip().encode()
        ).hexdigest()[:_DIGITS]
        for file, word in FUNCTIONS
    }


def moved(table: RuleTable, source: Source) -> list[str]:
    """What is no longer as our table has it, a line each."""
    mine, theirs = ours(table), constants(source)
    lines = []
    for place in dict.fromkeys([*mine, *theirs]):
        old, new = mine.get(place), theirs.get(place)
        if isinstance(old, list) and isinstance(new, list):
            gone, come = sorted({*old} - {*new}), sorted({*new} - {*old})
            changes = [*(f"+{word}" for word in come), *(f"-{word}" for word in gone)]
            lines += [f"{place}: {' '.join(changes)}"] if changes else []
        elif old != new:
            lines.append(f"{place}: {old} is now {new}")
    return lines


def main(arguments: Sequence[str]) -> int:
    """Compare and say."""
    if len(arguments) != 1:
        print(__doc__)
        return 4
    source, table = Source(Path(arguments[0])), pypi_table()
    lines = moved(table, source)
    print(f"ours: {table.snapshot.commit} of {table.snapshot.date}; theirs: {source.commit()}")
    print("\n".join(lines) or "nothing moved")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
