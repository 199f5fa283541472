"""A trial that a cluster's worker does: what is sent along, and what comes back."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_manylinux.cache.integrity import file_digest
from pytest_manylinux.cluster.protocol import (
    Answer,
    Failed,
    Order,
    Part,
    RemoteResult,
    Root,
    SiblingPart,
    SuiteOrder,
    error_of,
    root_of,
)
from pytest_manylinux.cluster.scheduling import needs
from pytest_manylinux.config.keys import AUTO
from pytest_manylinux.config.settings import Settings
from pytest_manylinux.errors import StoreError
from pytest_manylinux.images.store import ImageStore
from pytest_manylinux.model.distro import Image, Target
from pytest_manylinux.model.wheel import SiblingWheel, Wheel
from pytest_manylinux.trials.suite import SuiteRequest
from pytest_manylinux.trials.trial import TrialRequest
from pytest_manylinux.trials.uv_program import UvProgram

if TYPE_CHECKING:
    from pytest_manylinux.cluster.byte_transfer import Supply
    from pytest_manylinux.cluster.client import Cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOrder:
    """A trial for a worker. `engine` is the name of the one to do it with, or `auto`.

    `request` is what this machine has prepared for it; None where the worker prepares all of it, and
    `suite` are the project's own tests. `siblings` are wheels of the run that meet requirements.
    `uv` is this machine's, if it is to install too.
    """

    wheel: Wheel
    target: Target
    settings: Settings
    engine: str
    request: TrialRequest | None
    suite: SuiteRequest | None = None
    uv: UvProgram | None = None
    siblings: tuple[SiblingWheel, ...] = ()
    extras: tuple[str, ...] = ()
    lowest: bool = False


def send(cluster: Cluster, store: ImageStore, trial: TrialOrder) -> Future[Answer]:
    """Send a trial to a worker that fits; `store` is where images are kept here.

    Raises ClusterError and StoreError.
    """
    request, settings = trial.request, trial.settings
    root = None if request is None else _offered_root(store, request.image, cluster.supply)
    folder = None if request is None else request.dependencies
    order = Order(
        run=cluster.run,
        wheel=_offered(trial.wheel.path, trial.wheel.sha256, cluster.supply),
        target=_lean(trial.target),
        root=root,
        resolve=request is None and settings.dependencies != "none",
        dependencies=None if folder is None else _offered_folder(folder, cluster.supply),
        imports=settings.imports,
        import_skip=settings.import_skip,
        import_depth=settings.import_depth,
        programs=tuple(tuple(line.split()) for line in settings.programs),
        timeout=settings.trial_timeout,
        suite=_offered_suite(trial.suite if request is None else request.suite, cluster.supply),
        uv=None if trial.uv is None else _offered(trial.uv.path, trial.uv.sha256, cluster.supply),
        siblings=tuple(_offered_sibling(one, cluster.supply) for one in trial.siblings),
        extras=trial.extras,
        lowest=trial.lowest,
        taken_lowest=() if request is None else request.lowest,
    )
    needed = needs(
        arch=trial.target.arch,
        engine="" if trial.engine == AUTO else trial.engine,
        registry=root is not None and root.recipe is None,
        distro=trial.target.distro.id if root is None else "",
    )
    return cluster.submit(order, needed)


def receive(answer: Answer) -> RemoteResult:
    """What a worker saw, its name in the observation; raises the error that it had."""
    if isinstance(answer, Failed):
        raise error_of(answer)
    # A worker's word on itself is not taken: who it was is known from the answer as a whole.
    observation = replace(answer.observation, worker=answer.worker, remembered=False)
    return RemoteResult(
        worker=answer.worker, engine=answer.engine, observation=observation, survey=answer.survey
    )


def _lean(target: Target) -> Target:
    """Without what only judging takes, which is done here."""
    return replace(target, distro=replace(target.distro, libraries=None))


def _offered_root(store: ImageStore, image: Image, supply: Supply) -> Root:
    """An image as it is asked for; its files are had from here if it is one of an archive."""
    from pytest_manylinux.cluster.byte_transfer import root_source  # noqa: PLC0415 - it imports an extra

    if image.root is None:
        return root_of(image, None)
    stored = store.take(image.arch, image.digest)
    if stored is None:
        raise StoreError(f"the image {image.name} is no longer in the cache", remedy="run it again")
    supply.offer(image.digest, root_source(Path(image.root)))
    return root_of(image, stored.record.recipe)


def _offered_suite(suite: SuiteRequest | None, supply: Supply) -> SuiteOrder | None:
    """A project's tests as they are asked for; tree and wheels are had from here."""
    if suite is None:
        return None
    tree = None if suite.tree is None else _offered(suite.tree, suite.tree_sha256, supply)
    return SuiteOrder(
        settings=suite.settings,
        tree=tree,
        required=None if suite.required is None else _offered_folder(suite.required, supply),
    )


def _offered_sibling(sibling: SiblingWheel, supply: Supply) -> SiblingPart:
    part = _offered(sibling.wheel.path, sibling.wheel.sha256, supply)
    return SiblingPart(part=part, extras=sibling.extras, compiled=sibling.compiled)


def _offered_folder(folder: Path, supply: Supply) -> tuple[Part, ...]:
    return tuple(_offered(path, file_digest(path), supply) for path in sorted(folder.glob("*.whl")))


def _offered(path: Path, sha256: str, supply: Supply) -> Part:
    from pytest_manylinux.cluster.byte_transfer import file_source  # noqa: PLC0415 - it imports an extra

    supply.offer(sha256, file_source(path))
    return Part(filename=path.name, sha256=sha256)
