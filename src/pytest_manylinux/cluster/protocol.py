"""What goes to a worker and comes back: JSON with types, checked on arrival.

An order says which trial; an answer says what was seen, or why nothing was. An answer carries a seal
over itself and the order's bytes, so that it is whole and belongs to what was asked. Bytes of wheels
and roots travel by themselves (supply.py, shelf.py); here are their digests only.
"""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec
from msgspec import Meta

from pytest_manylinux import errors
from pytest_manylinux.decoding import decode_json
from pytest_manylinux.errors import ClusterError, EngineError, ManylinuxError
from pytest_manylinux.images.recipe import Recipe
from pytest_manylinux.model.distro import Image, Survey, Target
from pytest_manylinux.model.observation import ImportDepth, Observation, Pairs
from pytest_manylinux.trials.suite import SuiteSettings

Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Digest = Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}$")]
FileName = Annotated[str, Meta(pattern=r"^[^./\x00][^/\x00]*$", max_length=255)]


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all parts share."""


class Part(_Message, frozen=True):
    """A file by its digest, and the name that it has to have."""

    filename: FileName
    sha256: Sha256


class Root(_Message, frozen=True):
    """The image that a trial is to be done on.

    One from an archive has the recipe that it was made by: whoever lacks it is sent its files. One
    from a registry has `base`, the digest that the registry knows its base by: whoever lacks it pulls
    that, and adds what the catalogue says.
    """

    digest: Digest
    name: str
    note: str = ""
    recipe: Recipe | None = None
    base: str = ""


class SuiteOrder(_Message, frozen=True):
    """A project's own tests, with their files by digest; `required` None where the worker resolves."""

    settings: SuiteSettings
    tree: Part | None
    required: tuple[Part, ...] | None


class SiblingPart(_Message, frozen=True):
    """A wheel that is taken for what requires it; see `SiblingWheel`."""

    part: Part
    extras: tuple[str, ...] = ()
    compiled: bool = False


class Order(_Message, frozen=True):
    """One trial. `run` names who asks.

    Without `root` the worker has an image of the target made or pulled, and with `resolve` it
    resolves what the wheel depends on, `siblings` taken for what requires them; otherwise that is
    `dependencies`, None for none at all.
    """

    run: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    wheel: Part
    target: Target
    root: Root | None
    resolve: bool
    dependencies: tuple[Part, ...] | None
    imports: tuple[str, ...]
    import_skip: tuple[str, ...]
    import_depth: ImportDepth
    programs: tuple[tuple[str, ...], ...]
    timeout: float
    suite: SuiteOrder | None = None
    uv: Part | None = None
    siblings: tuple[SiblingPart, ...] = ()
    extras: tuple[str, ...] = ()
    lowest: bool = False
    taken_lowest: Pairs = ()


class RemoteResult(_Message, frozen=True, tag="seen"):
    """What a worker saw. `engine` is name and version; `survey` that of an image of its own."""

    worker: str
    engine: str
    observation: Observation
    survey: Survey | None = None


class Failed(_Message, frozen=True, tag="failed"):
    """Why a worker saw nothing; `kind` names an error class of ours, `sdist` is NoWheelError's."""

    worker: str
    kind: str
    what: str
    why: str = ""
    remedy: str = ""
    sdist: str = ""


Answer = RemoteResult | Failed

_KINDS: dict[str, type[ManylinuxError]] = {
    kind.__name__: kind
    for kind in (
        errors.ClusterError,
        errors.DeadImageError,
        errors.DependencyError,
        errors.EngineError,
        errors.ImageError,
        errors.NoWheelError,
        errors.SandboxError,
        errors.StoreError,
        errors.TrialTimeoutError,
    )
}


def encode_order(order: Order) -> bytes:
    """An order as bytes."""
    return msgspec.json.encode(order, order="deterministic")


def read_order(content: bytes) -> Order:
    """Read an order; raises ClusterError for what is none of this version."""
    try:
        return decode_json(content, Order)
    except msgspec.MsgspecError as error:
        raise ClusterError(
            "the worker was asked for what it does not understand",
            why=str(error),
            remedy="have the same version of pytest-manylinux on all machines",
        ) from error


def failed(error: BaseException, worker: str) -> Failed:
    """An error as an answer."""
    if isinstance(error, ManylinuxError):
        return Failed(
            worker=worker,
            kind=type(error).__name__,
            what=error.what,
            why=error.why,
            remedy=error.remedy,
            sdist=error.sdist if isinstance(error, errors.NoWheelError) else "",
        )
    words = f"{type(error).__name__}: {error}"
    return Failed(worker=worker, kind="EngineError", what="the worker failed", why=words)


def encode_answer(answer: Answer, order: bytes) -> bytes:
    """An answer as bytes, sealed for the order's bytes."""
    content = msgspec.json.encode(answer)
    return _seal(order, content) + b"\n" + content


def read_answer(data: object, order: bytes) -> Answer:
    """Read an answer; raises ClusterError for one that is damaged, or not to this order."""
    if not isinstance(data, bytes):
        raise _unsound(f"a worker answered with {type(data).__name__}, not with bytes")
    seal, _, content = data.partition(b"\n")
    if seal != _seal(order, content):
        raise _unsound("its seal does not fit it, or it answers something else")
    try:
        answer: Answer = decode_json(content, Answer)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise _unsound(str(error)) from error
    if isinstance(answer, RemoteResult):
        _check(answer, read_order(order))
    return answer


def _check(seen: RemoteResult, order: Order) -> None:
    """Raise ClusterError for an observation of something else than what was asked for."""
    where = seen.observation.target
    if where != order.target.answered_by(seen.observation.python).id:
        raise _unsound(f"{seen.worker} was asked about {order.target.id}, and saw {where}")
    if order.root is not None and seen.observation.image != order.root.digest:
        raise _unsound(f"{seen.worker} saw it on another image than {order.root.digest}")


def _unsound(why: str) -> ClusterError:
    return ClusterError(
        "the cluster gave no answer that can be used",
        why=why,
        remedy="have the same version of pytest-manylinux on all machines, and run it again",
    )


def error_of(answer: Failed) -> ManylinuxError:
    """The error that an answer stands for; it names the worker."""
    what, why, remedy = f"worker {answer.worker}: {answer.what}", answer.why, answer.remedy
    if answer.sdist:
        return errors.NoWheelError(what, why=why, remedy=remedy, sdist=answer.sdist)
    kind = _KINDS.get(answer.kind, EngineError)
    return kind(what, why=why, remedy=remedy)


def root_of(image: Image, recipe: Recipe | None) -> Root:
    """An image as it is asked for."""
    return Root(digest=image.digest, name=image.name, note=image.note, recipe=recipe, base=image.base)


def _seal(order: bytes, content: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(order).digest() + content).hexdigest().encode()
