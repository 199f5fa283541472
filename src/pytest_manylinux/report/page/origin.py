"""What the page says of a run as a whole: when, with what, on which images, from which builds."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone

from pytest_manylinux.model.run import RunRecord
from pytest_manylinux.model.verdict import Verdict
from pytest_manylinux.report.matrix import Grid
from pytest_manylinux.report.phrases import (
    build_words,
    counted,
    prediction_words,
    remembered_words,
    repeated_words,
)


def run_scope(record: RunRecord, layout: Grid) -> str:
    """How much was tried, where, and when, in a line."""
    started = datetime.fromtimestamp(record.started, tz=timezone.utc)
    wheels = counted(len(layout.rows), "wheel")
    distros = counted(len({column.distro for column in layout.columns}), "distro")
    return f"{wheels}, {distros}, {record.engine or 'no engine'}, {started:%Y-%m-%d %H:%M} UTC"


def run_facts(record: RunRecord) -> tuple[tuple[str, str], ...]:
    """When, how long, with what: pairs of a name and a value."""
    started = datetime.fromtimestamp(record.started, tz=timezone.utc)
    facts = [
        ("run", f"{started:%Y-%m-%d %H:%M} UTC, {record.duration:.0f} s"),
        ("pytest-manylinux", record.tool_version),
        ("engine", f"{record.engine} {record.engine_version}"),
        ("host", f"{record.kernel}, Python {record.host_python}, pytest {record.pytest_version}"),
        ("catalogue", record.catalogue_version),
    ]
    facts.append(("prediction", prediction_words(record.verdicts)))
    facts.append(("repeated", repeated_words(record.verdicts)))
    facts.append(("remembered", remembered_words(record.verdicts)))
    if record.shard is not None:
        facts.append(("shard", f"{record.shard.index} of {record.shard.count}"))
    if record.merged:
        facts.append(("merged from", f"{len(record.merged)} proofs"))
    return tuple(fact for fact in facts if fact[1].strip())


def run_images(verdicts: Iterable[Verdict]) -> tuple[tuple[str, str, str], ...]:
    """Name, source and digest of every image that was used."""
    seen = {
        (v.observation.image_name, v.observation.image_source, v.observation.image)
        for v in verdicts
        if v.observation is not None
    }
    return tuple(sorted(seen))


def run_builds(record: RunRecord) -> tuple[tuple[str, ...], ...]:
    """A row a build: project, Python, policy, builder, commit, tools, result."""
    return tuple(
        (
            build.project,
            build.python,
            build.policy,
            build.builder,
            f"{build.commit[:12]}{' with changes' if build.dirty else ''}",
            ", ".join(f"{name} {version}" for name, version in build.tools),
            build_words(build),
        )
        for build in record.builds
    )
