"""Proofs signed by an identity instead of a key: sigstore bundles (https://docs.sigstore.dev).

A CI job that has an OpenID Connect identity gets a certificate for some minutes, signs with it, and
the signature is written into a public log. The library is the extra `sigstore` and only imported
when it is asked for; the proof is then the bundle that it makes, around the same statement.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_manylinux.errors import ProofError, SignatureError, UsageError

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


def require_library() -> None:
    """Raise UsageError if the extra is not installed."""
    if importlib.util.find_spec("sigstore") is None:
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
