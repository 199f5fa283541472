from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from pytest_manylinux.engines.api import Cache, Mount, SandboxSpec
from pytest_manylinux.engines.container.sandbox import folders_above
from pytest_manylinux.model.distro import Image, ImageSource

IMAGE = Image(digest="sha256:0", name="debian-12", source=ImageSource.ARCHIVE, arch="x86_64")


@pytest.mark.parametrize(
    ("targets", "above"),
    [
        ((), ()),
        (("/scratch/a",), ()),
        (("/inputs/a/b", "/usr/lib/x"), ()),
        (("/scratch/a/b/c", "/tmp/x/y"), ("/scratch/a", "/scratch/a/b", "/tmp/x")),  # noqa: S108
        (("/scratch/a", "/scratch/a/b/c"), ()),
        (("/scratch/venv/lib/pip", "/scratch/venv/lib/pip-1"), ("/scratch/venv", "/scratch/venv/lib")),
    ],
)
def test_only_what_the_daemon_makes_in_writable_places(
    targets: tuple[str, ...], above: tuple[str, ...]
) -> None:
    here = Path("/nowhere")
    first, rest = targets[:1], targets[1:]
    spec = SandboxSpec(
        image=IMAGE,
        mounts=tuple(Mount(source=here, target=PurePosixPath(target)) for target in rest),
        caches=tuple(Cache(source=here, target=PurePosixPath(target)) for target in first),
    )
    assert folders_above(spec) == tuple(PurePosixPath(path) for path in above)
