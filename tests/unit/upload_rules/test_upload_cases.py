"""Each made file breaks exactly the rules that its case names, and PyPI's data has its sources."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from upload_cases import CASES, UploadCase

from pytest_manylinux.config.settings import IndexChoice
from pytest_manylinux.upload_rules.index_rules import IndexRules, index_rules, pypi_table
from pytest_manylinux.upload_rules.review import review


@pytest.fixture(scope="session")
def pypi() -> IndexRules:
    return index_rules(IndexChoice())


def made(case: UploadCase, folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # zipfile's, of names that are there twice
        return case.make(folder)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_file_breaks_the_rules_that_its_case_names(
    case: UploadCase, tmp_path: Path, pypi: IndexRules
) -> None:
    found = review(made(case, tmp_path), pypi)
    assert {breach.rule.name for breach in found.breaches} == set(case.rules), found.breaches
    assert all(breach.detail for breach in found.breaches)
    assert found.unknown == ()


def test_every_rule_has_a_case_that_breaks_it() -> None:
    broken = {name for case in CASES for name in case.rules}
    # a file of more than 100 MiB is not made; the rule on sizes has a test of its own
    assert {rule.name for rule in pypi_table().rule} - broken == {"file-size"}
    assert len(CASES) >= 80
    assert len({case.name for case in CASES}) == len(CASES)
