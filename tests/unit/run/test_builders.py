"""Which builder is chosen, and why; the images themselves are no matter here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_manylinux.building.manylinux_image import Layout
from pytest_manylinux.config.merge import flag_layer, merge
from pytest_manylinux.config.settings import Settings
from pytest_manylinux.errors import (
    EngineError,
    ImageError,
    ManylinuxError,
    SandboxError,
    ToolchainError,
)
from pytest_manylinux.images import run_images
from pytest_manylinux.images.official_images import Pulled
from pytest_manylinux.model.distro import Image, ImageSource
from pytest_manylinux.model.policy import Policy, PolicyChoice
from pytest_manylinux.model.python import PythonVersion
from pytest_manylinux.plan import PlannedBuild
from pytest_manylinux.run import builder_choice
from pytest_manylinux.run.builder_choice import Builders
from pytest_manylinux.workspace import Workspace

DIGEST = "sha256:" + "a" * 64
CP39, CP311 = PythonVersion(3, 9), PythonVersion(3, 11)


class FakeEngine:
    def __init__(self, name: str) -> None:
        self.name = name

    def close(self) -> None:
        pass


class FakeRegistry:
    """Pulls what it is told to, and counts."""

    def __init__(self, error: ManylinuxError | None) -> None:
        self.error = error
        self.asked: list[str] = []

    def obtain(self, text: str, arch: str, *, title: str) -> Pulled:
        assert (arch, title) == ("x86_64", "builder")
        self.asked.append(text)
        if self.error:
            raise self.error
        return Pulled(id="sha256:1", digest=DIGEST, reference=text)


class FakeImages:
    def __init__(self, builders: FakeRegistry) -> None:
        self.builders = builders
        self.files: list[str] = []

    def of_file(self, kind: str, path: str, arch: str, *, title: str) -> Pulled:
        assert (arch, title) == ("x86_64", "builder")
        self.files.append(f"{kind}:{path}")
        source = f"{kind}:{path}"
        return Pulled(id="sha256:1", digest=DIGEST, reference=source, source=ImageSource.LOCAL)


def plan(python: PythonVersion = CP39, policy: tuple[int, int] = (2, 5)) -> PlannedBuild:
    return PlannedBuild(python=python, choice=PolicyChoice(Policy(policy)), arch="x86_64", root=None)


def settings(**options: str) -> Settings:
    flags: dict[str, str | None] = {f"manylinux_{name}": value for name, value in options.items()}
    return merge([flag_layer(flags)])


class FakeWorkspace(SimpleNamespace):
    """What of a workspace is asked for: settings, engine, images, store, say."""


class World:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.said: list[str] = []
        self.patch = monkeypatch
        self.folder = tmp_path
        self.looked = 0
        self.silence = "the registry docker.io does not answer: no route"

    def make(
        self,
        engine: str = "docker",
        *,
        error: ManylinuxError | None = None,
        pins: Mapping[str, str] | None = None,
        **options: str,
    ) -> tuple[Builders, FakeRegistry, Settings]:
        chosen = settings(**options)
        registry = FakeRegistry(error)
        self.images = FakeImages(registry)
        workspace = FakeWorkspace(
            settings=chosen,
            engine=lambda: FakeEngine(engine),
            images=self.images,
            store=SimpleNamespace(root=self.folder / "cache"),
            say=self.said.append,
        )
        self.patch.setattr(builder_choice, "read_layout", self.look)
        self.patch.setattr(run_images, "_ANSWERS", {"docker.io": self.silence})
        return Builders(cast("Workspace", workspace), pins=pins), registry, chosen

    def look(self, image: Image, _: object, *, prefix: tuple[str, ...]) -> Layout:
        assert not prefix
        self.looked += 1
        return Layout(image=image, pythons=("cp39-cp39",), policies=(Policy((2, 5)),))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    return World(monkeypatch, tmp_path)


def test_auto_takes_the_official_image_that_can_be_had(world: World) -> None:
    makers, registry, chosen = world.make()
    assert not makers.wants_root(chosen)
    first, second = makers.choose(chosen, plan()), makers.choose(chosen, plan())
    assert first.builder.name == "official"
    assert first.why == "auto: the official image is there"
    assert first.image is not None
    assert first.image.digest == DIGEST
    assert first.image.source is ImageSource.REGISTRY
    assert registry.asked == ["quay.io/pypa/manylinux1_x86_64:2024-04-29-76807b8"]
    assert world.looked == 1, "once for a run, not for each build"
    assert second.image == first.image


def test_a_later_run_does_not_look_into_the_same_image_again(world: World) -> None:
    first, _, chosen = world.make()
    kept = first.choose(chosen, plan()).builder
    later, _, _ = world.make()
    assert later.choose(chosen, plan()).builder == kept
    assert world.looked == 1
    world.patch.setattr(sys.modules[__name__], "DIGEST", "sha256:" + "cd" * 32)
    another, _, _ = world.make()
    assert another.choose(chosen, plan()).builder != kept
    assert world.looked == 2


@pytest.mark.parametrize(
    "error",
    [
        ImageError("builder: it could not be pulled", why="no such host\nand more"),
        SandboxError("builder: it could not be pulled", why="no such host"),
    ],
)
def test_auto_takes_zig_if_it_cannot_and_asks_only_once(world: World, error: ManylinuxError) -> None:
    makers, registry, chosen = world.make(error=error)
    for _ in range(3):
        found = makers.choose(chosen, plan())
        assert found.builder.name == "zig"
        assert found.image is None
        assert found.why == "auto: builder: it could not be pulled: no such host"
    assert len(registry.asked) == 1
    assert len([line for line in world.said if line.startswith("builder: zig")]) == 1


def test_auto_takes_zig_for_a_python_that_the_image_has_not(world: World) -> None:
    makers, _, chosen = world.make()
    found = makers.choose(chosen, plan(CP311))
    assert found.builder.name == "zig"
    assert found.why.startswith("auto: image quay.io/pypa/manylinux1_x86_64@sha256:aaa")
    assert found.why.endswith("has no cp311: in /opt/python are cp39-cp39")


@pytest.mark.parametrize(
    ("engine", "options", "why"),
    [
        ("bubblewrap", {}, "auto: the registry docker.io does not answer: no route"),
        ("docker", {"image_source": "archive"}, "auto: image-source is archive"),
        ("podman", {"build_packages": "flex"}, "auto: build-packages names packages of Debian"),
        ("docker", {"builder": "zig"}, "set by --manylinux-builder"),
    ],
)
def test_where_no_image_is_asked_for(
    world: World, engine: str, options: dict[str, Any], why: str
) -> None:
    makers, registry, chosen = world.make(engine, **options)
    assert makers.wants_root(chosen)
    found = makers.choose(chosen, plan())
    assert (found.builder.name, found.why) == ("zig", why)
    assert registry.asked == []


def test_a_lost_engine_is_no_reason_for_another_builder(world: World) -> None:
    makers, _, chosen = world.make(error=EngineError("docker is gone"))
    with pytest.raises(EngineError, match="gone"):
        makers.choose(chosen, plan())


def test_a_named_image_is_used_or_nothing_is(world: World) -> None:
    named = "127.0.0.1:5000/mine:1"
    makers, registry, chosen = world.make(builder=named, image_source="archive")
    found = makers.choose(chosen, plan())
    assert (found.builder.name, found.why) == (named, "set by --manylinux-builder")
    assert registry.asked == [named]
    with pytest.raises(ToolchainError, match="has no cp311"):
        makers.choose(chosen, plan(CP311))


def test_bubblewrap_builds_in_the_official_image_where_the_registry_answers(world: World) -> None:
    world.silence = ""
    makers, registry, chosen = world.make("bubblewrap")
    assert makers.choose(chosen, plan()).builder.name == "official"
    assert registry.asked == ["quay.io/pypa/manylinux1_x86_64:2024-04-29-76807b8"]


@pytest.mark.parametrize("builder", ["official", "127.0.0.1:5000/mine:1"])
def test_an_image_that_is_named_is_asked_for_whatever_answers(world: World, builder: str) -> None:
    makers, registry, chosen = world.make("bubblewrap", builder=builder)
    assert makers.choose(chosen, plan()).builder.name == builder
    assert len(registry.asked) == 1


def test_official_wants_nothing_installed_into_the_image(world: World) -> None:
    makers, _, chosen = world.make(builder="official", build_packages="flex")
    with pytest.raises(ToolchainError, match="build-packages cannot be installed"):
        makers.choose(chosen, plan())


def test_official_as_the_lock_pins_it_and_for_the_policy(world: World) -> None:
    makers, registry, chosen = world.make(builder="official", pins={"manylinux2014-x86_64": DIGEST})
    makers.choose(chosen, plan(policy=(2, 17)))
    makers.choose(chosen, plan(policy=(2, 34)))
    assert registry.asked[0] == f"quay.io/pypa/manylinux2014_x86_64@{DIGEST}"
    assert registry.asked[1].startswith("quay.io/pypa/manylinux_2_34_x86_64@sha256:")


@pytest.mark.parametrize("kind", ["docker-archive", "oci", "tarball"])
def test_an_image_in_a_file_is_taken_from_there(
    world: World, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    named = f"{kind}:images/my builder.tar"
    makers, registry, chosen = world.make("bubblewrap", builder=named)
    assert makers.in_image(chosen)
    found = makers.choose(chosen, plan())
    assert (found.builder.name, found.why) == (named, "set by --manylinux-builder")
    assert found.image is not None
    assert found.image.source is ImageSource.LOCAL
    assert world.images.files == [f"{kind}:{tmp_path}/images/my builder.tar"]
    assert registry.asked == []
