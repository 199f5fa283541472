"""ML902: the prediction and the trial disagree."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Link, Remedy
from pytest_manylinux.model.verdict import Severity

CHECK = Check(
    code="ML902",
    name="prediction-wrong",
    severity=Severity.INFORMATION,
    title="The prediction and the trial disagree",
    meaning=(
        "Before a trial the wheel's bytes are held against what is known of the distro. The trial then "
        "went otherwise: it worked where a fault was predicted, or failed in a way that the bytes "
        "should have shown. The trial decides; the disagreement is reported because it is a fault of "
        "a check or of the catalogue, or a package that loads libraries in its own way. Faults that "
        "bytes cannot show (a crash, a hang, an undeclared dependency) are no disagreement."
    ),
    by_hand="pytest-manylinux predict WHEEL",
    remedies=(Remedy(words="nothing to do for the wheel; please report it with the wheel's name"),),
    links=(
        Link(
            title="Platform compatibility tags",
            address="https://packaging.python.org/en/latest/specifications/platform-compatibility-tags/",
        ),
    ),
)
