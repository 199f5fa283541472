"""`pytest-manylinux upload`: the gate, then twine with exactly the bytes that were let through."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pytest_manylinux.artifacts import (
    Artifact,
    ArtifactKind,
    attestation_problem,
    collect_artifacts,
    read_artifact,
)
from pytest_manylinux.commands.gate_command import add_gate_arguments, check, gate_setup, print_decision
from pytest_manylinux.errors import ExitCode, ProofError, SignatureError, UploadError, UsageError
from pytest_manylinux.host.subprocesses import module_command
from pytest_manylinux.report.proof import publish_attestation, read_proof, require_library

# What would make twine send or sign something else than the files that were checked.
_FORBIDDEN = ("-s", "--sign", "--sign-with", "-i", "--identity")
_ATTESTATIONS = "--attestations"


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "upload",
        help="gate, then `twine upload` of exactly the bytes that were checked",
        description="The files are copied into a private folder and judged there; twine gets the "
        "copies. Everything after -- goes to `twine upload`. Exit codes as for gate; "
        "6 if twine did not succeed.",
    )
    add_gate_arguments(parser)
    parser.add_argument(
        "--twine",
        action="append",
        default=[],
        metavar="ARGUMENT",
        help="an argument for `twine upload`, such as --twine=--repository=testpypi; may be repeated",
    )
    parser.add_argument(
        _ATTESTATIONS,
        action="store_true",
        help="send the attestations (PEP 740) along that are among the files: each file needs one, of "
        "its very bytes",
    )
    parser.add_argument(
        "--attest",
        action="store_true",
        help="make them now, of the bytes that were let through, with this CI job's identity (extra: "
        "sigstore); sends them along",
    )
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Copy, judge the copies, upload them."""
    _check_twine(arguments.twine)
    if arguments.attest:
        require_library()
    sends = arguments.attestations or arguments.attest or _ATTESTATIONS in arguments.twine
    setup = gate_setup(arguments)
    proof = read_proof(arguments.proof, keys=setup.keys)
    originals = collect_artifacts(arguments.files)
    with tempfile.TemporaryDirectory(prefix="pytest-manylinux-upload-") as folder:
        copies = copy_privately(originals, Path(folder))
        decision = check(copies, proof, setup)
        print_decision(decision, explain=False, folders=False)
        if decision.code is not ExitCode.OK:
            print("nothing was uploaded", file=sys.stderr)
            return decision.code
        if arguments.attest:
            copies = (*copies, *attest(copies))
        upload(copies if sends else files_of(copies), _options(arguments.twine, attestations=sends))
        if not sends and len(files_of(copies)) < len(copies):
            print(f"attestations were not sent along: {_ATTESTATIONS} does it", file=sys.stderr)
    return ExitCode.OK


def _check_twine(arguments: Sequence[str]) -> None:
    if importlib.util.find_spec("twine") is None:
        raise UsageError("twine is not installed", remedy="pip install 'pytest-manylinux[upload]'")
    for argument in arguments:
        if not argument.startswith("-"):
            raise UsageError(
                f"--twine={argument}: only options are passed on",
                why="a file that is not among those that are checked would be uploaded unproven",
                remedy="write an option and its value in one: --twine=--repository=NAME",
            )
        if argument.partition("=")[0] in _FORBIDDEN:
            raise UsageError(
                f"--twine={argument} cannot be used here",
                why="it would upload files that are not checked",
            )


def _options(twine: Sequence[str], *, attestations: bool) -> list[str]:
    others = [argument for argument in twine if argument != _ATTESTATIONS]
    return [_ATTESTATIONS, *others] if attestations else others


def files_of(artifacts: Sequence[Artifact]) -> tuple[Artifact, ...]:
    """The wheels and source distributions, without the attestations of them."""
    return tuple(one for one in artifacts if one.kind is not ArtifactKind.ATTESTATION)


def attest(copies: Sequence[Artifact]) -> tuple[Artifact, ...]:
    """Make an attestation next to each file that has none; raises what sign_as_myself raises."""
    attested = {one.attests for one in copies}
    made = []
    for artifact in files_of(copies):
        if artifact.filename not in attested:
            path = artifact.path.with_name(f"{artifact.filename}.publish.attestation")
            path.write_bytes(publish_attestation(artifact.filename, artifact.sha256))
            made.append(read_artifact(path))
    return tuple(made)


def _require_attestations(artifacts: Sequence[Artifact]) -> None:
    """Every file needs an attestation of its bytes; raises UsageError, and SignatureError."""
    files = files_of(artifacts)
    attestations = [one for one in artifacts if one.kind is ArtifactKind.ATTESTATION]
    for one in attestations:
        if problem := attestation_problem(one, files):
            raise SignatureError(f"{one.filename}: {problem}")
    attested = {one.attests for one in attestations}
    if missing := [file.filename for file in files if file.filename not in attested]:
        raise UsageError(
            f"no attestation of {missing[0]} is among the files",
            why="twine sends attestations with all files or with none",
            remedy="name FILE.publish.attestation too (`python -m pypi_attestations sign FILE`), or "
            "make them with --attest",
        )


def copy_privately(artifacts: Sequence[Artifact], folder: Path) -> tuple[Artifact, ...]:
    """Copy files into a folder that nobody else can write, and read what arrived there.

    Two files of one name cannot go to one index: UsageError.
    """
    copies = []
    for artifact in artifacts:
        target = folder / artifact.filename
        if target.exists():
            raise UsageError(f"{artifact.filename} is named twice", remedy="name each file once")
        try:
            shutil.copyfile(artifact.path, target)
        except OSError as error:
            raise UsageError(
                f"{artifact.path} cannot be copied", why=error.strerror or str(error)
            ) from error
        target.chmod(0o400)
        copies.append(read_artifact(target))
    return tuple(copies)


def upload(artifacts: Sequence[Artifact], options: Sequence[str]) -> None:
    """Hand the files to `twine upload`, after a last look at their digests."""
    for artifact in artifacts:
        if read_artifact(artifact.path).sha256 != artifact.sha256:
            raise ProofError(f"{artifact.filename} changed between the check and the upload")
    if _ATTESTATIONS in options:
        _require_attestations(artifacts)
    command = module_command("twine", "upload", *options)
    command += [str(artifact.path) for artifact in artifacts]
    done = subprocess.run(command, check=False, env={**os.environ, "PYTHONSAFEPATH": "1"})
    if done.returncode != 0:
        raise UploadError(
            f"twine upload ended with exit code {done.returncode}",
            remedy="its own words are above; the gate had let the files through",
        )
