"""The names of wheel files, with the labels of wheel variants (PEP 825).

Apart from wheel_tags.py, which needs distros and Pythons: what lists an index has names alone.
"""

from __future__ import annotations

import re

from packaging.tags import Tag
from packaging.utils import BuildTag, NormalizedName, parse_wheel_filename
from packaging.version import Version

# PEP 825: NAME-VERSION(-BUILD)?-PYTHON-ABI-PLATFORM(-LABEL)?.whl. A build begins with a digit, a tag
# for a Python does not; and what stands before a label has to be a platform, so that a message on
# another bad name says what is wrong with it.
_VARIANT = re.compile(
    r"(?P<plain>[^-]+-[^-]+(?:-\d[^-]*)?-[A-Za-z_][^-]*-[^-]+"
    r"-(?:any|(?:linux|manylinux|musllinux|macosx|win|ios|android|pyemscripten|pyodide)[^-]*))"
    r"-(?P<label>[0-9a-z_.]+)\.whl"
)
VARIANTS_TAKEN = "no pip takes its name yet; uv 0.13 does with --preview-features wheel-variants"
"""Who installs wheel variants: pip 26.3 (packaging 26.4) refuses their names as invalid."""


def split_variant(filename: str) -> tuple[str, str]:
    """A wheel variant's file name without its label, and the label (PEP 825); else the name alone."""
    match = _VARIANT.fullmatch(filename)
    return (f"{match['plain']}.whl", match["label"]) if match else (filename, "")


def parse_wheel_name(filename: str) -> tuple[NormalizedName, Version, BuildTag, frozenset[Tag]]:
    """What packaging's `parse_wheel_filename` says of a wheel, of a variant too.

    Raises packaging's InvalidWheelFilename.
    """
    return parse_wheel_filename(split_variant(filename)[0])
