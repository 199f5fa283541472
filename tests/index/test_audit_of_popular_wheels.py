"""Popular wheels from the index: our audit gives the tag that auditwheel gives.

Opt-in (`-m index`): it downloads half a gigabyte with this machine's own pip settings.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from popular_wheels import compare, download, requirements

pytestmark = pytest.mark.index

# Wheels whose audits once ended in an error of ours: they use a kind of symbol version of which some
# policies allow none.
ONCE_FAILED = ("opencv-python==4.10.0.84", "opencv-python-headless==4.10.0.84", "libclang==14.0.6")


def test_the_list_is_long_enough() -> None:
    assert len({line.partition("==")[0] for line in requirements()}) >= 80


@pytest.mark.parametrize("requirement", [*requirements(), *ONCE_FAILED], ids=lambda r: r.split()[0])
def test_same_tag_as_auditwheel(requirement: str, tmp_path: Path) -> None:
    pair = compare(download(requirement, tmp_path))
    assert pair.ours == pair.theirs
