"""The proof: what binds verdicts to wheel digests, image digests and tool versions.

The file is an in-toto Statement (proof_schema.py), or a DSSE envelope around one where it was signed
(signing.py). Deterministic apart from times: two runs that saw the same differ in `started`,
`duration` and the seal only.

Instead of a key an identity can sign: sigstore bundles (https://docs.sigstore.dev). A CI job that has
an OpenID Connect identity gets a certificate for some minutes, signs with it, and the signature is
written into a public log. The library is the extra `sigstore` and only imported when it is asked for;
the proof is then the bundle that it makes, around the same statement.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pytest_manylinux.cache.atomic import write_atomically
from pytest_manylinux.errors import ManylinuxError, ProofError, SignatureError, UsageError
from pytest_manylinux.model.run import RunRecord
from pytest_manylinux.model.verdict import FLAKY, Outcome, Tries, Verdict
from pytest_manylinux.report.proof_schema import (
    Subject,
    decode_statement,
    encode_statement,
    without_surrogates,
)

if TYPE_CHECKING:
    from pytest_manylinux.report.signing import PublicKey

PREFIX = "sigstore:"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
_MEDIA_TYPE = b"application/vnd.dev.sigstore.bundle"
_NAMING = f"write {PREFIX}ISSUER,NAME, as in docs/reference/gate.md"
_EDGE = 4096  # bytes at either end in which a bundle states its type


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a certificate may name, and the OpenID Connect issuer that must have vouched for it."""

    issuer: str
    name: str

    @property
    def source(self) -> str:
        """As it is written in the settings."""
        return f"{PREFIX}{self.issuer},{self.name}"


def parse_identity(word: str) -> Identity:
    """Read `sigstore:ISSUER,NAME`; raises UsageError. An issuer's address holds no comma."""
    issuer, _, name = word.removeprefix(PREFIX).partition(",")
    if not issuer.startswith("https://") or not name:
        raise UsageError(f"{word}: no identity", remedy=_NAMING)
    return Identity(issuer, name)


def is_bundle(content: bytes) -> bool:
    """Whether these bytes look like a sigstore bundle."""
    head, tail = content[:_EDGE], content[-_EDGE:]
    return content.lstrip().startswith(b"{") and _MEDIA_TYPE in head + tail and b'"_type"' not in head


def is_envelope(content: bytes) -> bool:
    """Whether these bytes look like a DSSE envelope rather than a bare statement."""
    head = content[:4096].lstrip()
    return head.startswith(b"{") and b'"payload"' in head and b'"_type"' not in head


def require_library() -> None:
    """Raise UsageError if the extra is not installed."""
    if not all(map(importlib.util.find_spec, ("sigstore", "pypi_attestations"))):
        raise UsageError(
            "signing and checking by identity want the library sigstore, which is not installed",
            remedy='pip install "pytest-manylinux[sigstore]"',
        )


def sign_as_myself(payload: bytes) -> bytes:
    """A bundle around the statement, signed with the identity that this CI job has, as JSON.

    Raises UsageError without the library or an identity, ProofError if sigstore's services refuse
    or are out of reach.
    """
    require_library()
    from sigstore.dsse import Statement  # noqa: PLC0415 - an extra, and slow to import
    from sigstore.errors import Error  # noqa: PLC0415
    from sigstore.models import ClientTrustConfig  # noqa: PLC0415
    from sigstore.oidc import IdentityToken, detect_credential  # noqa: PLC0415
    from sigstore.sign import SigningContext  # noqa: PLC0415

    try:
        credential = detect_credential()
        if credential is None:
            raise UsageError(
                "there is no identity here to sign with",
                why="sigstore finds one in CI jobs that may ask for an OpenID Connect token",
                remedy="in GitHub Actions: permissions: id-token: write; elsewhere sign with a key",
            )
        context = SigningContext.from_trust_config(ClientTrustConfig.production())
        with context.signer(IdentityToken(credential)) as signer:
            bundle = signer.sign_dsse(Statement(payload))
    except Error as error:
        raise ProofError("sigstore did not sign the proof", why=str(error)) from error
    return f"{bundle.to_json()}\n".encode()


def publish_attestation(filename: str, sha256: str) -> bytes:
    """A PEP 740 attestation of a file by this CI job's identity, as JSON; raises as sign_as_myself.

    What PEP 740 wants of a sigstore bundle: its certificate, its entry of the log, and the envelope's
    statement and signature, all in base64 as they are in the bundle. The predicate type is that of an
    attestation that says only who published a file.
    """
    require_library()
    from pypi_attestations import AttestationType  # noqa: PLC0415 - an extra, and slow to import

    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": filename, "digest": {"sha256": sha256}}],
        "predicateType": AttestationType.PYPI_PUBLISH_V1.value,
        "predicate": None,
    }
    bundle = json.loads(sign_as_myself(json.dumps(statement).encode()))
    material, envelope = bundle["verificationMaterial"], bundle["dsseEnvelope"]
    attestation = {
        "version": 1,
        "verification_material": {
            "certificate": material["certificate"]["rawBytes"],
            "transparency_entries": material["tlogEntries"],
        },
        "envelope": {
            "statement": envelope["payload"],
            "signature": envelope["signatures"][0]["sig"],
        },
    }
    return f"{json.dumps(attestation)}\n".encode()


def open_bundle(content: bytes, identities: Sequence[Identity]) -> tuple[bytes, tuple[str, ...]]:
    """The payload and which of `identities` signed it: one at least.

    Raises SignatureError otherwise, UsageError without the library, ProofError if what sigstore's
    services vouch for is not available.
    """
    if not identities:
        raise SignatureError(
            "the proof is signed by an identity, and none is given to expect",
            remedy=f"name it in --signed-by or `signed-by`: {_NAMING}",
        )
    require_library()
    from sigstore.errors import Error, VerificationError  # noqa: PLC0415 - an extra, slow to import
    from sigstore.models import Bundle, InvalidBundle  # noqa: PLC0415
    from sigstore.verify import Verifier, policy  # noqa: PLC0415

    problems = []
    try:
        bundle = Bundle.from_json(content)
        verifier = Verifier.production()
        for identity in identities:
            expected = policy.Identity(identity=identity.name, issuer=identity.issuer)
            try:
                kind, payload = verifier.verify_dsse(bundle, expected)
            except VerificationError as error:
                problems.append(f"{identity.source}: {error}")
            else:
                return _statement(kind, payload), (identity.source,)
    except InvalidBundle as error:
        raise SignatureError("a damaged bundle around the proof", why=str(error)) from error
    except Error as error:
        raise ProofError(
            "the proof's signature cannot be checked here",
            why=str(error),
            remedy="sigstore's roots of trust must be within reach",
        ) from error
    raise SignatureError("the proof's signature does not fit", why="; ".join(problems))


def _statement(kind: str, payload: bytes) -> bytes:
    if kind != PAYLOAD_TYPE:
        raise SignatureError(
            "the bundle holds something else than a proof", why=f"its payload type is {kind!r}"
        )
    return payload


# A run of 200 wheels on 20 distros is some 10 MB; what is far above that is not one of our proofs.
SIZE_BOUND = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A proof that was read. `sha256` is over the file; `signed_by` are key ids that were checked."""

    record: RunRecord
    sha256: str
    signed_by: tuple[str, ...] = ()


Trusted: TypeAlias = "PublicKey | Identity"


def load_trusted(word: str, *, folder: Path = Path()) -> Trusted:
    """A public key by its path, relative to `folder`, or an identity; raises UsageError."""
    if word.startswith(PREFIX):
        return parse_identity(word)
    from pytest_manylinux.report import signing  # noqa: PLC0415 - of few runs, and it loads slowly

    return signing.load_public_key(folder / word)


def write_proof(
    record: RunRecord, path: Path, *, sign_key: Path | None = None, as_myself: bool = False
) -> None:
    """Write the run's proof, whole or not at all.

    Signed if a private key is named, or with this CI job's own identity (`as_myself`). Raises
    ReportError where the file cannot be written, UsageError for a key or identity that is none.
    """
    if sign_key is not None and as_myself:
        raise UsageError("a proof is signed with a key or by an identity, not both")
    if as_myself:
        write_atomically(path, sign_as_myself(encode_proof(record)))
    elif sign_key is not None:
        from pytest_manylinux.report import signing  # noqa: PLC0415 - as above

        key = signing.load_private_key(sign_key)
        write_atomically(path, signing.sign(encode_proof(record), key))
    else:
        write_atomically(path, _parts(record))


def encode_proof(record: RunRecord) -> bytes:
    """The statement as UTF-8 JSON, sealed, with a line break at its end."""
    return b"".join(_parts(record))


def _parts(record: RunRecord) -> Iterator[bytes]:
    """The same in parts. All verdicts are encoded for the seal before the first part is given."""
    parts = encode_statement(record)
    try:
        first = next(parts)
    except UnicodeEncodeError:
        parts = encode_statement(without_surrogates(record))
        first = next(parts)
    yield first
    yield from parts


def read_proof(path: Path, *, keys: Iterable[Trusted] = ()) -> Proof:
    """Read a proof and check its seal and, where keys are given, its signature.

    Raises ProofError for a file that is missing or not a proof, SignatureError if it was changed or
    no signature is from one of `keys`. A signed proof without `keys` is a SignatureError too:
    unchecked, its signature would say nothing.
    """
    content = _read(path)
    try:
        return decode_proof(content, keys=keys)
    except ManylinuxError as error:
        raise type(error)(f"{path}: {error.what}", why=error.why, remedy=error.remedy) from error


def decode_proof(content: bytes, *, keys: Iterable[Trusted] = ()) -> Proof:
    """Read a proof from bytes; see read_proof."""
    trusted = tuple(keys)
    signed_by: tuple[str, ...] = ()
    payload = content
    if is_bundle(content):
        identities = [one for one in trusted if isinstance(one, Identity)]
        payload, signed_by = open_bundle(content, identities)
    elif is_envelope(content):
        from pytest_manylinux.report import signing  # noqa: PLC0415 - as above

        public = [one for one in trusted if isinstance(one, signing.PublicKey)]
        payload, signed_by = signing.open_envelope(content, public)
    elif trusted:
        raise SignatureError(
            "the proof is not signed, and a signature is required",
            remedy="sign it when it is made: --manylinux-sign-key=FILE",
        )
    subjects, record = decode_statement(payload)
    _check_sense(subjects, record)
    return Proof(record=record, sha256=hashlib.sha256(content).hexdigest(), signed_by=signed_by)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(SIZE_BOUND + 1)
    except OSError as error:
        raise ProofError(
            f"{path}: the proof cannot be read",
            why=error.strerror or str(error),
            remedy="make it: pytest --manylinux --manylinux-proof=FILE",
        ) from error
    if len(content) > SIZE_BOUND:
        raise ProofError(f"{path}: not a proof", why=f"larger than {SIZE_BOUND >> 20} MiB")
    return content


def _check_sense(subjects: Iterable[Subject], record: RunRecord) -> None:
    """What types cannot say: subjects are the wheels, and each verdict agrees with itself."""
    wheels = Counter((wheel.file, wheel.sha256) for wheel in record.wheels)
    if Counter((subject.name, subject.digest.sha256) for subject in subjects) != wheels:
        raise ProofError("a proof that contradicts itself", why="its subjects are not its wheels")
    for verdict in record.verdicts:
        if problem := _contradiction(verdict):
            raise ProofError(
                "a proof that contradicts itself",
                why=f"{verdict.wheel or 'no wheel'} on {verdict.subject}: {problem}",
            )
        if verdict.wheel_sha256 and not wheels[verdict.wheel, verdict.wheel_sha256]:
            raise ProofError(
                "a proof that contradicts itself",
                why=f"{verdict.wheel}: a verdict on a wheel that is not among its subjects",
            )


def _contradiction(verdict: Verdict) -> str:
    if verdict.outcome is Outcome.PORTABLE and verdict.errors:
        return "portable, yet with errors"
    if verdict.outcome is Outcome.NOT_PROVEN and verdict.cause is None:
        return "not proven, but for no cause"
    if verdict.outcome is Outcome.EXPECTED and verdict.expectation is None:
        return "expected, but nothing was declared"
    if verdict.outcome.passes and verdict.subject != "audit" and not verdict.wheel_sha256:
        return "passed without a wheel"
    return "" if verdict.tries is None else _miscounted(verdict, verdict.tries)


def _miscounted(verdict: Verdict, tries: Tries) -> str:
    parts = (tries.count, tries.known - tries.count)
    failed = (tries.failed, tries.known_failed - tries.failed)
    if not all(0 <= some <= part for some, part in zip(failed, parts, strict=True)):
        return "more tries failed than there were"
    ignored = {one.finding.name for one in verdict.ignored}
    if verdict.outcome is Outcome.PORTABLE and tries.flaky and FLAKY not in ignored:
        return "portable, yet some tries failed"
    return ""
