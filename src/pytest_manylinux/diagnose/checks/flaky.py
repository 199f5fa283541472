"""ML311: the same wheel passes and fails in the same place.

An error, because a gate that lets it through lets chance decide, and because nobody looks at a warning
in a green run. Who knows better says so: `ignore` lowers it, `expect` declares it, and the proof has
either.
"""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Link, Remedy
from pytest_manylinux.model.verdict import Severity

CHECK = Check(
    code="ML311",
    name="flaky",
    severity=Severity.ERROR,
    title="The same wheel passes and fails in the same place",
    meaning=(
        "The same bytes were tried several times on the same image, in the same way; some of these "
        "tries passed, and some failed. Users will see the failure as often, so a pass does not "
        "outweigh it. Failures are remembered by the digests of wheel, image and dependencies, and by "
        "the engine: other bytes or another image begin at nothing. Tries that were lost with their "
        "sandbox, or that the machine left no time for, are not counted."
    ),
    by_hand="for n in $(seq 20); do v/bin/python -c 'import NAME' || echo failed; done",
    remedies=(
        Remedy(
            words="find what the import leaves to chance (time, threads, hash order, random names); "
            "--manylinux-repeat=20 shows how often it fails. If the reason lay outside of the wheel "
            "and is gone: pytest-manylinux cache forget WHEEL"
        ),
    ),
    links=(
        Link(
            title="pytest: flaky tests",
            address="https://docs.pytest.org/en/stable/explanation/flaky.html",
        ),
    ),
)
