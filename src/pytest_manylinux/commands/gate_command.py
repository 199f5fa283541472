"""`pytest-manylinux gate`: let files through only if a proof covers their exact bytes."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pytest_manylinux.artifacts import Artifact, ArtifactKind, collect_artifacts
from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.config.merge import file_layer, merge
from pytest_manylinux.config.readers import some_words
from pytest_manylinux.config.settings import GateRule, IndexChoice, as_percentage
from pytest_manylinux.errors import ExitCode, UsageError
from pytest_manylinux.escape import plain_json, plain_line
from pytest_manylinux.gate import Decision, Reason, Ruling, decide
from pytest_manylinux.indexes import listed_files
from pytest_manylinux.model.distro import Distro
from pytest_manylinux.report.proof import Proof, Trusted, load_trusted, read_proof
from pytest_manylinux.upload_rules.index_rules import IndexRules, index_rules
from pytest_manylinux.upload_rules.release import (
    ReleaseFault,
    ReleaseFile,
    SdistBuild,
    last_release,
    release_fault_lines,
    release_faults,
    release_file,
)
from pytest_manylinux.upload_rules.review import Review, review

_CONFIG = Path("pyproject.toml")
_DISTROS_SHOWN = 5  # in a line; --json and --explain have all
_SEVERAL = 2  # files: a single one is not a release
_WORDS = {ExitCode.OK: "allowed", ExitCode.NOT_PORTABLE: "refused", ExitCode.NOT_PROVEN: "refused"}


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSetup:
    """The rules in force: from the configuration, narrowed or widened by flags."""

    rule: GateRule
    required: tuple[Distro, ...]
    keys: tuple[Trusted, ...]
    index: IndexRules


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "gate",
        help="let files through only if a proof covers their exact bytes",
        description="Let files through only if a proof covers their exact bytes, and the package index "
        "would take them. Nothing is tried here: `pytest --manylinux dist/*.whl "
        "--manylinux-proof=proof.json` makes the proof. Exit codes: 0 all allowed; 1 one is not "
        "portable, the index would refuse it, or, with --release, something is wrong with the files "
        "together; 3 one is not proven; 4 a mistake in the command line or the rules; 5 the proof's "
        "signature or seal does not fit.",
    )
    add_gate_arguments(parser)
    parser.add_argument("--explain", action="store_true", help="say every reason, and the rules")
    parser.add_argument("--json", action="store_true", help="print every reason as JSON")
    parser.set_defaults(func=run)


def add_gate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the gate and the upload have in common."""
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="files, or their folders")
    parser.add_argument(
        "--proof", type=Path, required=True, metavar="FILE", help="what --manylinux-proof=FILE wrote"
    )
    rules = parser.add_argument_group("rules, instead of those in [tool.pytest-manylinux.gate]")
    rules.add_argument(
        "--require",
        action="append",
        metavar="DISTRO",
        help="a distro or group that each wheel must be proven on, if it is for a Python of the "
        "distro; may be repeated (default: all that the proven run was asked for)",
    )
    rules.add_argument(
        "--max-age", type=float, metavar="DAYS", help="how old a verdict may be (default: any age)"
    )
    rules.add_argument(
        "--allow-ignored", action="store_true", default=None, help="let declared faults through"
    )
    rules.add_argument(
        "--require-tests",
        action="store_true",
        default=None,
        help="let no trial count in which the project's own tests were not run",
    )
    rules.add_argument(
        "--signed-by",
        action="append",
        metavar="FILE",
        help="public key, or sigstore:ISSUER,NAME; may be repeated",
    )
    rules.add_argument(
        "--other-platforms",
        choices=("allow", "refuse"),
        help="wheels for macOS, Windows and others, which cannot be proven (default: refuse)",
    )
    rules.add_argument(
        "--require-coverage",
        type=float,
        metavar="PERCENT",
        help="how many of the wheels for Linux must be proven; the rest passes where no target took it",
    )
    rules.add_argument(
        "--index", choices=("pypi", "none"), help="the package index whose rules the files must keep"
    )
    _add_release_rules(rules)
    rules.add_argument(
        "--config", type=Path, metavar="FILE", help="where the rules are (default: ./pyproject.toml)"
    )


def _add_release_rules(rules: argparse._ArgumentGroup) -> None:
    """Add what judges the files together, as one release."""
    rules.add_argument(
        "--release",
        action="store_true",
        help="refuse what is wrong with the files together: no source distribution, a Python without "
        "a wheel, two wheels for the same tags; without this it is told only",
    )
    rules.add_argument(
        "--require-same-as-last",
        action="store_true",
        help="as --release, and a wheel for all that the last release on pip's index had one for",
    )
    rules.add_argument(
        "--build-sdist",
        action="store_true",
        help="as --release, and the source distribution is built in a sandbox: its wheel must have "
        "the files that the given one has",
    )


def gate_setup(arguments: argparse.Namespace) -> GateSetup:
    """Read the rules. Raises UsageError for words that mean nothing and keys that are none."""
    config: Path = arguments.config or _CONFIG
    if arguments.config is not None and not config.is_file():
        raise UsageError(f"{config}: no such file", remedy="name a pyproject.toml")
    settings = merge([file_layer(config, shown=str(config))])
    rule = settings.gate
    keys = [load_trusted(word, folder=config.parent) for word in rule.signed_by]
    if arguments.signed_by:
        keys = [load_trusted(word) for word in arguments.signed_by]
    rule = replace(
        rule,
        require=rule.require if arguments.require is None else _words(arguments.require),
        max_age=rule.max_age if arguments.max_age is None else _age(arguments.max_age),
        allow_ignored=rule.allow_ignored if arguments.allow_ignored is None else True,
        require_tests=rule.require_tests if arguments.require_tests is None else True,
        signed_by=tuple(key.source for key in keys),
        other_platforms=arguments.other_platforms or rule.other_platforms,
        require_coverage=rule.require_coverage
        if arguments.require_coverage is None
        else as_percentage(arguments.require_coverage, "--require-coverage"),
        index=IndexChoice(name=arguments.index) if arguments.index else rule.index,
        release=rule.release or arguments.release,
        require_same_as_last=rule.require_same_as_last or arguments.require_same_as_last,
        build_sdist=rule.build_sdist or arguments.build_sdist,
    )
    required: tuple[Distro, ...] = ()
    if rule.require:
        own = config.parent / settings.catalogue if settings.catalogue else None
        catalogue = load_catalogue(settings.distro, file=own)
        required = catalogue.select(rule.require, where="gate: require")
    return GateSetup(rule=rule, required=required, keys=tuple(keys), index=index_rules(rule.index))


def _words(values: Sequence[str]) -> tuple[str, ...]:
    return some_words(" ".join(values), "--require")


def _age(days: float) -> float:
    if not days > 0:
        raise UsageError(f"--max-age: {days} is not an age", remedy="give a number of days above 0")
    return days


def check(artifacts: Sequence[Artifact], proof: Proof, setup: GateSetup) -> Decision:
    """Decide, with the proof's own distros where the rules name none."""
    required = setup.required or proof.record.distros
    reviews = {
        artifact.path: Review()
        if artifact.kind is ArtifactKind.ATTESTATION
        else review(artifact.path, setup.index)
        for artifact in artifacts
    }
    decision = decide(
        artifacts, proof.record, setup.rule, required=required, now=time.time(), reviews=reviews
    )
    whole = _is_whole(setup.rule)
    files = [artifact for artifact in artifacts if artifact.kind is not ArtifactKind.ATTESTATION]
    if not whole and len(files) < _SEVERAL:
        return decision
    last = _last_files(files) if setup.rule.require_same_as_last else ()
    build = _sdist_build(files) if setup.rule.build_sdist else None
    release = whole_release(files, reviews, last=last, build=build)
    return replace(decision, release=release, whole=whole)


def _is_whole(rule: GateRule) -> bool:
    """Whether what is wrong with the files together refuses them."""
    return rule.release or rule.require_same_as_last or rule.build_sdist


def _sdist_build(artifacts: Sequence[Artifact]) -> SdistBuild | None:
    """What the sdist builds to; None without one, which is a fault of its own."""
    from pytest_manylinux.run.collection import build_sdist  # noqa: PLC0415 - a run, for this alone

    sdists = [one.path for one in artifacts if one.kind is ArtifactKind.SDIST]
    wheels = [one.path for one in artifacts if one.kind is ArtifactKind.WHEEL and not one.is_foreign]
    if len(sdists) != 1:
        return None
    return build_sdist(sdists[0], wheels, say=lambda line: print(plain_line(line), file=sys.stderr))


def whole_release(
    artifacts: Sequence[Artifact],
    reviews: Mapping[Path, Review],
    *,
    last: Sequence[str] = (),
    build: SdistBuild | None = None,
) -> tuple[ReleaseFault, ...]:
    """What is wrong with the files together; `last` and `build` are as release_faults takes them."""
    files = [file for a in artifacts if (file := _seen(a, reviews[a.path])) is not None]
    return release_faults(files, last=last, build=build)


def _seen(artifact: Artifact, review: Review) -> ReleaseFile | None:
    if review.metadata is None:
        return release_file(artifact.filename, requires_python=artifact.requires_python)
    raw = review.metadata.raw
    return release_file(
        artifact.filename,
        requires_python=raw.get("requires_python", ""),
        classifiers=raw.get("classifiers", ()),
        requires_dist=raw.get("requires_dist", ()),
    )


def _last_files(artifacts: Sequence[Artifact]) -> tuple[str, ...]:
    """The files of the last release before the artifacts', by the index that pip is set to."""
    files = [file for a in artifacts if (file := release_file(a.filename)) is not None]
    if not files:
        return ()
    return last_release(files[0].project, files[0].version, listed_files(files[0].project))


def run(arguments: argparse.Namespace) -> int:
    """Decide on the files and say why."""
    setup = gate_setup(arguments)
    proof = read_proof(arguments.proof, keys=setup.keys)
    if not arguments.files and arguments.explain:
        print("\n".join(rule_lines(setup, proof)))
        return ExitCode.OK
    decision = check(collect_artifacts(arguments.files), proof, setup)
    if arguments.json:
        print(plain_json(json.dumps(_as_json(decision), indent=1)))
        return decision.code
    if arguments.explain:
        print("\n".join([*rule_lines(setup, proof), ""]))
    print_decision(decision, explain=arguments.explain)
    return decision.code


def rule_lines(setup: GateSetup, proof: Proof) -> list[str]:
    """The rules in force, a line each."""
    rule = setup.rule
    distros = setup.required or proof.record.distros
    source = (
        f"from require = {' '.join(rule.require)}" if rule.require else "all that the proof asks for"
    )
    age = f"at most {rule.max_age:g} days old" if rule.max_age else "of any age"
    tests = "required" if rule.require_tests else "not required"
    ignored = "let through" if rule.allow_ignored else "refused"
    if setup.keys:
        signed = f"signed by {' or '.join(key.source for key in setup.keys)}: the signature fits"
    else:
        signed = "not signed: anyone who can write the file decides (signed-by is not set)"
    return [
        "rules:",
        f"  each wheel is portable on {' '.join(d.id for d in distros) or 'no distro'} ({source}),",
        "    as far as the distro has a Python that the wheel is for; its audit holds;",
        "    at least one trial passed",
        f"  verdicts are {age}",
        f"  ignored findings and declared faults are {ignored}",
        f"  the project's own tests are {tests}",
        f"  wheels for other systems: {rule.other_platforms}",
        f"  at least {rule.require_coverage:g} % of the wheels for Linux are proven",
        f"  what is wrong with the files together is {'refused' if _is_whole(rule) else 'told only'}",
        f"  the proof is {signed}",
        *_index_lines(setup.index),
    ]


def _index_lines(index: IndexRules) -> list[str]:
    """The index's rules in force, and what only the index itself knows."""
    if not index.rules:
        return ["  no rules of a package index are asked (index = none)"]
    snapshot, limits = index.table.snapshot, index.table.limits
    return [
        f"  each file keeps {len(index.rules)} rules of {index.name}, read from PyPI's source",
        f"    of {snapshot.date}, commit {snapshot.commit[:7]}",
        "  not known here: whether a file of this name was ever uploaded (a name is never free",
        f"    again), and whether the release is older than {limits.release_days} days (it takes no",
        f"    new files then) or the project larger than {limits.project_size / 1024**3:g} GiB",
    ]


def print_decision(decision: Decision, *, explain: bool, folders: bool = True) -> None:
    """One line a file and below it the reasons: those against it, all with `explain`.

    Files with the same reasons stand together, and the reasons once below the last of them; what is
    refused comes last.
    """
    for reasons, rulings in _by_reasons(decision, explain=explain).items():
        for ruling in rulings:
            file = str(ruling.artifact.path) if folders else ruling.artifact.filename
            print(f"{_WORDS[ruling.code]}: {plain_line(file)}{_because(ruling)}")
            if explain:
                print(f"  SHA-256 {ruling.artifact.sha256}")
        those = f"all {len(rulings)}: " if len(rulings) > 1 else ""
        for reason in reasons:
            sign = "+" if reason.code is ExitCode.OK else "-"
            print(f"  {sign} {those}{plain_line(reason.text)}")
    for line in (*decision.coverage_lines(), *_unasked_lines(decision), *_release_lines(decision)):
        print(plain_line(line))
    allowed = sum(ruling.code is ExitCode.OK for ruling in decision.rulings)
    if allowed < len(decision.rulings):
        print(f"{len(decision.rulings) - allowed} of {len(decision.rulings)} refused", file=sys.stderr)
    elif decision.refuses_release:
        print("each file alone is allowed, the release is refused", file=sys.stderr)


def _unasked_lines(decision: Decision) -> list[str]:
    if not decision.unasked:
        return []
    shown, count = decision.unasked[:_DISTROS_SHOWN], len(decision.unasked)
    more = f" and {count - len(shown)} more distros" if count > len(shown) else ""
    why = "no wheel here is for a Python and a machine that it has"
    return [f"nothing was to be proven on {', '.join(shown)}{more}: {why}"]


def _release_lines(decision: Decision) -> list[str]:
    """Faults of the files together, those that refuse last, and which would with --release."""
    refusing = [fault for fault in decision.release if fault.refuses]
    told = [fault for fault in decision.release if not fault.refuses]
    if decision.whole:
        refused = [f"refused: the {line}" for line in release_fault_lines(refusing)]
        return [*release_fault_lines(told), *refused]
    lines = release_fault_lines(decision.release)
    return [*lines, "told only: with --release these refuse"] if refusing else lines


def _by_reasons(decision: Decision, *, explain: bool) -> dict[tuple[Reason, ...], list[Ruling]]:
    found: dict[tuple[Reason, ...], list[Ruling]] = {}
    for ruling in sorted(decision.rulings, key=lambda ruling: ruling.code is not ExitCode.OK):
        shown = (one for one in ruling.reasons if explain or one.code is not ExitCode.OK)
        found.setdefault(tuple(shown), []).append(ruling)
    return found


def _because(ruling: Ruling) -> str:
    against = [reason for reason in ruling.reasons if reason.code is not ExitCode.OK]
    if against and all(reason.breach for reason in against):
        return ": the index would refuse it"
    if ruling.code is ExitCode.NOT_PORTABLE:
        return ": not portable"
    if ruling.code is ExitCode.NOT_PROVEN or ruling.unproven:
        return ": not proven"
    return ""


def _as_json(decision: Decision) -> dict[str, object]:
    return {
        "exitCode": int(decision.code),
        "release": [
            {
                "code": fault.code,
                "name": fault.name,
                "text": fault.text,
                "remedy": fault.remedy,
                "refuses": decision.whole and fault.refuses,
            }
            for fault in decision.release
        ],
        "unasked": list(decision.unasked),
        "coverage": {
            "wheels": len(decision.wheels),
            "unproven": decision.unproven.total(),
            "reasons": [
                {"count": count, "text": text} for text, count in decision.unproven.most_common()
            ],
        },
        "files": [
            {
                "file": str(ruling.artifact.path),
                "sha256": ruling.artifact.sha256,
                "exitCode": int(ruling.code),
                "reasons": [
                    {"exitCode": int(reason.code), "text": reason.text} for reason in ruling.reasons
                ],
            }
            for ruling in decision.rulings
        ],
    }
