"""ML125: the wheel installs metadata of a distribution other than itself."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check, Findings, Link, Remedy
from pytest_manylinux.diagnose.environment_files import foreign_metadata
from pytest_manylinux.model.verdict import Severity
from pytest_manylinux.model.wheel import WheelFacts


def _wheel(facts: WheelFacts) -> Findings:
    found = foreign_metadata(facts)
    if found:
        yield CHECK.finding(
            f"{found[0]} would be taken for an installed distribution of its own",
            evidence=found,
            files=[path for path in facts.files if path.startswith(found)],
        )


CHECK = Check(
    code="ML125",
    name="foreign-metadata",
    severity=Severity.ERROR,
    title="The wheel installs metadata of a distribution other than itself",
    meaning=(
        "A second .dist-info or .egg-info folder comes to lie in site-packages, by way of the wheel's "
        ".data folder. pip and importlib.metadata take it for a distribution that is installed: what "
        "it names counts as there, in that version, and its entry points are found. `pip uninstall` of "
        "it removes what its RECORD lists."
    ),
    by_hand="unzip -l WHEEL | grep -E '\\.(dist|egg)-info'",
    remedies=(
        Remedy(
            words=(
                "leave it out; what the wheel needs is a Requires-Dist in its own METADATA. Data files "
                "of that name belong into a package's folder"
            )
        ),
    ),
    links=(
        Link(
            title="Recording installed projects",
            address="https://packaging.python.org/en/latest/specifications/recording-installed-packages/",
        ),
    ),
    wheel=_wheel,
)
