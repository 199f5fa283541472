"""Checks without a function: the run itself makes their findings, which no wheel's facts show."""

from __future__ import annotations

from pytest_manylinux.diagnose.api import Check
from pytest_manylinux.model.verdict import Severity

# ML402: the project could not be built.

BUILD_FAILED = Check(
    code="ML402",
    name="build-failed",
    severity=Severity.ERROR,
)


# ML401: the build ended well, but without the native code.

EXTENSION_NOT_BUILT = Check(
    code="ML401",
    name="extension-not-built",
    severity=Severity.ERROR,
)


# ML403: a second build in other surroundings gave another wheel.

NOT_REPRODUCIBLE = Check(
    code="ML403",
    name="not-reproducible",
    severity=Severity.WARNING,
)


# ML132: the package index would refuse the file, whether or not it works.
#
# A warning, because what was built need not be meant for an index; the gate refuses it. upload_rules/
# knows the rules, which depend on the settings and so are not among the facts.

INDEX_REFUSAL = Check(
    code="ML132",
    name="index-refusal",
    severity=Severity.WARNING,
)


# ML143: a library inside the wheel is older than the settings' bound for it.
#
# The bounds are the project's own, so the run makes the finding (run/outcomes.py).

OLD_LIBRARY = Check(code="ML143", name="old-library", severity=Severity.ERROR)


# ML311: the same wheel passes and fails in the same place.
#
# An error, because a gate that lets it through lets chance decide, and because nobody looks at a
# warning in a green run. Who knows better says so: `ignore` lowers it, `expect` declares it, and the
# proof has either.

FLAKY = Check(
    code="ML311",
    name="flaky",
    severity=Severity.ERROR,
)


# ML901: a fault that the project declares did not happen.

EXPECTATION_NOT_MET = Check(
    code="ML901",
    name="expectation-not-met",
    severity=Severity.ERROR,
)


# ML902: the prediction and the trial disagree.

PREDICTION_WRONG = Check(
    code="ML902",
    name="prediction-wrong",
    severity=Severity.INFORMATION,
)
