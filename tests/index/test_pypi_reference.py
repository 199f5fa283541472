"""Our rules against PyPI's own code, on the made cases and on real wheels; only with `-m index`.

`PYPI_SOURCE` names a copy of PyPI's public source, `PYPI_WHEELS` a folder of real wheels: without one,
those of tests/data/popular-wheels.txt are downloaded.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from popular_wheels import download, requirements
from pypi_reference import Warehouse, compare
from upload_cases import CASES, UploadCase

pytestmark = pytest.mark.index

WHEELS = 300
REASONS: dict[str, str] = {}
"""Files on which the two may disagree, with the reason; there is none."""


@pytest.fixture(scope="module")
def warehouse() -> Warehouse:
    place = os.environ.get("PYPI_SOURCE")
    assert place, "PYPI_SOURCE must name a copy of https://github.com/pypi/warehouse"
    return Warehouse(Path(place))


@pytest.mark.filterwarnings("ignore:Markdown renderers are not available")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_made_case(case: UploadCase, tmp_path: Path, warehouse: Warehouse) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        path = case.make(tmp_path)
    opinion = compare(path, warehouse)
    assert opinion.agrees or case.name in REASONS, str(opinion)


def real_wheels(folder: Path) -> Iterator[Path]:
    """The smallest wheels of the folder that is named, or those of the list."""
    if place := os.environ.get("PYPI_WHEELS"):
        yield from sorted(Path(place).glob("*.whl"), key=lambda path: path.stat().st_size)[:WHEELS]
    else:
        yield from (download(requirement, folder) for requirement in requirements())


@pytest.mark.filterwarnings("ignore:Markdown renderers are not available")
def test_real_wheels(tmp_path: Path, warehouse: Warehouse) -> None:
    opinions = [compare(path, warehouse) for path in real_wheels(tmp_path)]
    assert opinions
    against = [opinion for opinion in opinions if not opinion.agrees and opinion.file not in REASONS]
    assert against == [], "\n".join(map(str, against))
