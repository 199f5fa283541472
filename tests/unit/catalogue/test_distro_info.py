"""Ends of life of Debian and Ubuntu against distro-info-data, which each keeps of both.

Debian: apt-get install distro-info-data (`make test` does).
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from packaging.version import Version

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.model.distro import Distro

FOLDER = Path("/usr/share/distro-info")
# What the rows call the end of life: Debian's long-term support, Ubuntu's standard support.
COLUMNS = {"debian": "eol-lts", "ubuntu": "eol"}
ROWS = [
    distro for distro in load_catalogue().distros if distro.family in COLUMNS and distro.end_of_life
]


def releases(family: str) -> dict[str, dict[str, str]]:
    """The package's lines by version: `12`, `24.04`."""
    with (FOLDER / f"{family}.csv").open(encoding="utf-8", newline="") as file:
        return {line["version"].removesuffix(" LTS"): line for line in csv.DictReader(file)}


@pytest.mark.parametrize("distro", ROWS, ids=lambda distro: str(distro.id))
def test_the_end_of_life_and_the_name_are_the_distros_own(distro: Distro) -> None:
    known = releases(distro.family)
    if distro.release not in known:  # this machine's package is older than the release
        assert Version(distro.release) > max(Version(version) for version in known if version)
        return
    line = known[distro.release]
    assert str(distro.end_of_life) == line[COLUMNS[distro.family]]
    assert line["series"] in distro.aliases
    assert distro.archive is not None
    assert distro.archive.suite == line["series"]


def test_the_rows_are_compared() -> None:
    known = {family: releases(family) for family in COLUMNS}
    compared = [distro for distro in ROWS if distro.release in known[distro.family]]
    assert {distro.family for distro in compared} == set(COLUMNS)
    assert len(compared) > len(ROWS) - 3
