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

from pytest_manylinux.artifacts import Artifact, collect_artifacts, read_artifact
from pytest_manylinux.commands.gate_command import add_gate_arguments, check, gate_setup, print_decision
from pytest_manylinux.errors import ExitCode, ProofError, UploadError, UsageError
from pytest_manylinux.host.subprocesses import module_command
from pytest_manylinux.report.proof import read_proof

# What would make twine send or sign something else than the files that were checked.
_FORBIDDEN = ("-s", "--sign", "--sign-with", "-i", "--identity", "--attestations")


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
    parser.set_defaults(func=run)


def run(arguments: argparse.Namespace) -> int:
    """Copy, judge the copies, upload them."""
    _check_twine(arguments.twine)
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
        upload(copies, arguments.twine)
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
    command = module_command("twine", "upload", *options)
    command += [str(artifact.path) for artifact in artifacts]
    done = subprocess.run(command, check=False, env={**os.environ, "PYTHONSAFEPATH": "1"})
    if done.returncode != 0:
        raise UploadError(
            f"twine upload ended with exit code {done.returncode}",
            remedy="its own words are above; the gate had let the files through",
        )
