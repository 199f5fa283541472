"""`pytest-manylinux proof`: show, check, merge and re-report proofs; make keys to sign them with."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

from pytest_manylinux.errors import ExitCode, UsageError
from pytest_manylinux.report.destinations import Destination, ReportForm, check_destinations
from pytest_manylinux.report.diff import load_history
from pytest_manylinux.report.phrases import verdict_text
from pytest_manylinux.report.proof import Proof, load_trusted, read_proof, write_proof
from pytest_manylinux.report.proof_schema import json_schema
from pytest_manylinux.report.shards import merge
from pytest_manylinux.report.signing import generate_key
from pytest_manylinux.report.terminal import can_show_marks, matrix


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its actions."""
    parser = subparsers.add_parser("proof", help="show, check, merge and report proofs; make keys")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    _add_show(actions)
    _add_merge(actions)
    _add_report(actions)
    keygen = actions.add_parser("keygen", help="make an Ed25519 key to sign proofs with")
    keygen.add_argument(
        "private", type=Path, metavar="FILE", help="the private key; FILE.pub becomes the public one"
    )
    keygen.set_defaults(func=_keygen)
    schema = actions.add_parser("schema", help="print the proof's JSON Schema")
    schema.set_defaults(func=_schema)


def _add_show(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser("show", help="check a proof and print its matrix")
    parser.add_argument("proof", type=Path, metavar="PROOF")
    parser.add_argument("-v", "--verbose", action="store_true", help="every failure in full")
    _add_signed_by(parser)
    parser.set_defaults(func=_show)


def _add_merge(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser("merge", help="put proofs of several runs or shards together")
    parser.add_argument("proofs", type=Path, nargs="+", metavar="PROOF")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    parser.add_argument("--sign-key", type=Path, metavar="FILE", help="sign what comes out")
    parser.add_argument("--sigstore", action="store_true", help="sign with this CI job's identity")
    _add_signed_by(parser)
    parser.set_defaults(func=_merge)


def _add_report(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = actions.add_parser("report", help="make the other reports from a proof")
    parser.add_argument("proof", type=Path, metavar="PROOF")
    parser.add_argument("--html", type=Path, metavar="FILE")
    parser.add_argument("--markdown", type=Path, metavar="FILE")
    parser.add_argument("--history", type=Path, metavar="DIR", help="earlier proofs, for trends")
    _add_signed_by(parser)
    parser.set_defaults(func=_report)


def _add_signed_by(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--signed-by",
        action="append",
        default=[],
        metavar="KEY",
        help="public key, or sigstore:ISSUER,NAME, that must have signed; may be repeated",
    )


def _read(arguments: argparse.Namespace, path: Path) -> Proof:
    return read_proof(path, keys=tuple(map(load_trusted, arguments.signed_by)))


def _show(arguments: argparse.Namespace) -> int:
    proof = _read(arguments, arguments.proof)
    record = proof.record
    width = shutil.get_terminal_size().columns
    unicode = can_show_marks(sys.stdout.encoding)
    print(matrix(record, width=width, color=sys.stdout.isatty(), unicode=unicode))
    if arguments.verbose:
        for verdict in record.verdicts:
            if not verdict.outcome.passes:
                print(f"\n{verdict_text(verdict, full=True)}")
    signed = f"signed by {' '.join(proof.signed_by)}" if proof.signed_by else "not signed"
    print(f"pytest-manylinux {record.tool_version}, {record.engine} {record.engine_version}; {signed}")
    return ExitCode.OK


def _merge(arguments: argparse.Namespace) -> int:
    check_destinations([Destination("--output", arguments.output, ReportForm.JSON)])
    proofs = [_read(arguments, path) for path in arguments.proofs]
    write_proof(
        merge(proofs), arguments.output, sign_key=arguments.sign_key, as_myself=arguments.sigstore
    )
    print(f"{arguments.output}: {len(proofs)} proofs merged")
    return ExitCode.OK


def _report(arguments: argparse.Namespace) -> int:
    from pytest_manylinux.report.markdown import write_markdown  # noqa: PLC0415
    from pytest_manylinux.report.page.view import write_html  # noqa: PLC0415 - templates load slowly

    if arguments.html is None and arguments.markdown is None:
        raise UsageError("no report was asked for", remedy="add --html FILE or --markdown FILE")
    pairs = ((arguments.html, ReportForm.HTML), (arguments.markdown, ReportForm.MARKDOWN))
    check_destinations(
        Destination(f"--{form.name.lower()}", path, form) for path, form in pairs if path is not None
    )
    record = _read(arguments, arguments.proof).record
    history = None
    if arguments.history is not None:
        history = load_history(arguments.history, before=record.started)
    if arguments.html is not None:
        write_html(record, arguments.html, history=history)
    if arguments.markdown is not None:
        write_markdown(record, arguments.markdown)
    return ExitCode.OK


def _keygen(arguments: argparse.Namespace) -> int:
    private: Path = arguments.private
    public = private.with_name(f"{private.name}.pub")
    key = generate_key(private, public)
    print(f"{private}: keep it secret; pytest --manylinux --manylinux-sign-key={private}")
    print(f'{public}: commit it; [tool.pytest-manylinux.gate] signed-by = ["{public}"]')
    print(f"key id {key.id}")
    return ExitCode.OK


def _schema(arguments: argparse.Namespace) -> int:
    del arguments
    print(json.dumps(json_schema(), indent=2))
    return ExitCode.OK
