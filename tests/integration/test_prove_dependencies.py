"""Dependencies, resolved by a distro's own pip from an index that is a folder here."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from wheels import build_wheel

from pytest_manylinux import indexes
from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.errors import DependencyError
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.distro import Image, ImagePurpose, Target
from pytest_manylinux.model.observation import ImportStatus, Observation
from pytest_manylinux.model.wheel import SiblingWheel
from pytest_manylinux.trials.dependencies import resolve_dependencies
from pytest_manylinux.trials.trial import TrialRequest, run_trial

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = select_engine("bubblewrap")
    yield engine
    engine.close()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is the only index there is."""
    folder = tmp_path / "an index"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", folder.as_uri())
    indexes.forget_host_index()
    yield folder
    indexes.forget_host_index()


@dataclass(frozen=True)
class Place:
    """A target, and where dependencies for it are kept."""

    target: Target
    image: Image
    engine: Engine
    cache: Path


@pytest.fixture(scope="module")
def place(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Place:
    distro = load_catalogue().get("debian-12")
    target = Target(distro=distro, arch="x86_64", interpreter=distro.interpreters[0])
    image = ArchiveImages(ImageStore()).provide(
        distro, target.arch, ImagePurpose.TRIAL, interpreter=target.interpreter
    )
    cache = tmp_path_factory.mktemp("store") / "dependencies"
    return Place(target=target, image=image, engine=engine, cache=cache)


def resolve(path: Path, place: Place, **how: Any) -> Path | None:  # noqa: ANN401
    wheel = open_wheel(path)
    return resolve_dependencies(
        wheel,
        read_wheel(wheel),
        place.target,
        place.image,
        place.engine,
        cache=place.cache,
        timeout=120.0,
        **how,
    )


def attempt(path: Path, place: Place, dependencies: Path | None) -> Observation:
    wheel = open_wheel(path)
    request = TrialRequest(
        wheel=wheel,
        facts=read_wheel(wheel),
        target=place.target,
        image=place.image,
        dependencies=dependencies,
        timeout=120.0,
    )
    return run_trial(request, place.engine)


def test_dependencies_are_resolved_kept_and_installed(
    index: Path, tmp_path: Path, place: Place
) -> None:
    build_wheel(index, {"one.py": "import two"}, name="one", requires=["two"])
    build_wheel(index, {"two.py": ""}, name="two")
    build_wheel(index, {"two.py": "0/0"}, name="two", version="2", requires_python=">=3.12")
    requires = ["one>=1", "three; python_version < '3'"]
    path = build_wheel(tmp_path, {"demo.py": "import one"}, requires=requires)
    folder = resolve(path, place)
    assert folder is not None
    names = sorted(file.name for file in folder.iterdir())
    assert names == ["one-1.0-py3-none-any.whl", "two-1.0-py3-none-any.whl"]
    seen = attempt(path, place, folder)
    assert seen.install is not None
    assert dict(seen.install.installed).keys() >= {"demo", "one", "two"}
    assert seen.imports[0].status is ImportStatus.OK
    dates = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert resolve(path, place) == folder
    assert {file: file.stat().st_mtime_ns for file in folder.iterdir()} == dates


def taken(folder: Path | None) -> list[str]:
    assert folder is not None
    return sorted(file.name.removesuffix("-py3-none-any.whl") for file in folder.iterdir())


@pytest.fixture(params=["debian-11", "debian-12"])
def any_place(request: pytest.FixtureRequest, place: Place) -> Place:
    """pip 20.3, whose resolver does not say which versions there are, and a later one."""
    distro = load_catalogue().get(request.param)
    target = Target(distro=distro, arch="x86_64", interpreter=distro.interpreters[0])
    image = ArchiveImages(ImageStore()).provide(
        distro, target.arch, ImagePurpose.TRIAL, interpreter=target.interpreter
    )
    return replace(place, target=target, image=image)


def test_the_oldest_that_a_wheel_admits_is_taken_of_what_it_requires_itself(
    index: Path, tmp_path: Path, any_place: Place
) -> None:
    for version in ("1.0", "1.2", "2.0"):
        build_wheel(index, {"one.py": ""}, name="one", version=version, requires=["deep>=1"])
        build_wheel(index, {"two.py": ""}, name="two", version=version)
        build_wheel(index, {"deep.py": ""}, name="deep", version=version)
        build_wheel(index, {"free.py": ""}, name="free", version=version)
    requires = ["one>1.0", "two>=1.1", "free", "free!=2.0; extra == 'more'"]
    path = build_wheel(tmp_path, {"demo.py": ""}, requires=requires)
    assert taken(resolve(path, any_place)) == ["deep-2.0", "free-2.0", "one-2.0", "two-2.0"]
    lowest = taken(resolve(path, any_place, lowest=True))
    assert lowest == ["deep-2.0", "free-2.0", "one-1.2", "two-1.2"]


def test_a_sibling_is_taken_whatever_the_index_has_and_extras_are_resolved(
    index: Path, tmp_path: Path, any_place: Place
) -> None:
    for name in ("sibling", "more"):
        build_wheel(index, {f"{name}.py": ""}, name=name, version="9")
    (tmp_path / "siblings").mkdir()
    metadata = b"Metadata-Version: 2.1\nName: sibling\nVersion: 1.0.dev1\nProvides-Extra: fast\n"
    metadata += b"Requires-Dist: more; extra == 'fast'\n"
    sibling = open_wheel(
        build_wheel(
            tmp_path / "siblings",
            {"sibling.py": ""},
            name="sibling",
            version="1.0.dev1",
            metadata=metadata,
        )
    )
    requires = ["sibling", "sibling[fast]; extra == 'all'"]
    path = build_wheel(tmp_path, {"demo.py": ""}, requires=requires)
    assert taken(resolve(path, any_place, siblings=(SiblingWheel(wheel=sibling),))) == [
        "sibling-1.0.dev1"
    ]
    fast = SiblingWheel(wheel=sibling, extras=("fast",))
    both = resolve(path, any_place, siblings=(fast,), extras=("all",))
    assert taken(both) == ["more-9", "sibling-1.0.dev1"]


def test_a_missing_dependency_is_told_in_pips_words(index: Path, tmp_path: Path, place: Place) -> None:
    build_wheel(index, {"one.py": ""}, name="one", version="1")
    path = build_wheel(tmp_path, {"demo.py": ""}, requires=["one>=2"])
    with pytest.raises(DependencyError) as caught:
        resolve(path, place)
    assert "No matching distribution found for one>=2" in caught.value.why
    assert "find-links" in caught.value.remedy


def test_a_refused_python_is_the_trials_to_tell_and_no_missing_dependency(
    tmp_path: Path, place: Place
) -> None:
    path = build_wheel(tmp_path, {"demo.py": ""}, requires=["one>=2"], requires_python=">=3.12")
    assert resolve(path, place) is None
    seen = attempt(path, place, None)
    assert seen.install is not None
    assert not seen.install.ok
    assert "requires a different Python: 3.11.2 not in '>=3.12'" in seen.install.output


def test_conflicting_requirements_are_told_with_their_parties(
    index: Path, tmp_path: Path, place: Place
) -> None:
    build_wheel(index, {"one.py": ""}, name="one", requires=["two>=2"])
    for version in ("1", "2"):
        build_wheel(index, {"two.py": ""}, name="two", version=version)
    path = build_wheel(tmp_path, {"demo.py": ""}, requires=["one", "two<2"])
    with pytest.raises(DependencyError) as caught:
        resolve(path, place)
    assert "demo 1.0 depends on two<2" in caught.value.why
    assert "one 1.0 depends on two>=2" in caught.value.why


_BACKEND = """
import subprocess
import zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    {before}
    name = "{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(folder + "/" + name, "w") as archive:
        archive.writestr("{name}.py", "")
        info = "{name}-1.0.dist-info/"
        archive.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n")
        wheel = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        archive.writestr(info + "WHEEL", wheel)
        archive.writestr(info + "RECORD", "{name}.py,,\\n")
    return name
"""


_DESCRIBES = """
import os

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    info = "{name}-1.0.dist-info"
    os.makedirs(folder + "/" + info)
    with open(folder + "/" + info + "/METADATA", "w") as file:
        file.write("Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n")
    return info
"""


def source_only(index: Path, name: str, *, before: str, describes: bool = True) -> None:
    """A project of which the index has the source alone; it needs nothing to be built.

    Unless it `describes` itself, it is built for its metadata too.
    pip keeps what it built by the address of the source: a name stands for one content.
    """
    settings = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    files = {
        "pyproject.toml": settings,
        "backend.py": f"{_BACKEND}{_DESCRIBES * describes}".format(before=before, name=name),
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
    }
    with tarfile.open(index / f"{name}-1.0.tar.gz", "w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{name}-1.0/{path}")
            entry.size = len(text)
            archive.addfile(entry, BytesIO(text.encode()))


def test_a_dependency_that_is_a_source_only_is_built(
    index: Path, tmp_path: Path, any_place: Place
) -> None:
    source_only(index, "sourceonly", before="pass")
    path = build_wheel(tmp_path, {"demo.py": "import sourceonly"}, requires=["sourceonly"])
    folder = resolve(path, any_place)
    assert taken(folder) == ["sourceonly-1.0"]
    seen = attempt(path, any_place, folder)
    assert seen.imports[0].status is ImportStatus.OK


def test_a_source_that_wants_a_compiler_is_told_by_its_last_line(
    index: Path, tmp_path: Path, any_place: Place
) -> None:
    source_only(index, "needscompiler", before='subprocess.run(["cc", "--version"])')
    path = build_wheel(tmp_path, {"demo.py": ""}, requires=["needscompiler"])
    with pytest.raises(DependencyError) as caught:
        resolve(path, any_place)
    assert "needscompiler, which demo-1.0-py3-none-any.whl requires, has no wheel" in caught.value.what
    assert caught.value.why.endswith("No such file or directory: 'cc'")


def test_a_source_that_wants_a_tool_for_its_metadata_is_told_by_its_last_line(
    index: Path, tmp_path: Path, any_place: Place
) -> None:
    source_only(index, "needstool", before='subprocess.run(["cmake"])', describes=False)
    path = build_wheel(tmp_path, {"demo.py": ""}, requires=["needstool"])
    with pytest.raises(DependencyError) as caught:
        resolve(path, any_place)
    assert "has no wheel for" in caught.value.what
    assert caught.value.why.endswith("No such file or directory: 'cmake'")


def test_a_trial_with_too_few_dependencies_ends_at_pip(tmp_path: Path, place: Place) -> None:
    path = build_wheel(tmp_path, {"demo.py": ""}, requires=["one"])
    (tmp_path / "empty").mkdir()
    seen = attempt(path, place, tmp_path / "empty")
    assert seen.install is not None
    assert not seen.install.ok
    assert "No matching distribution found for one" in seen.install.output
    assert seen.imports == ()


def test_nothing_needed_needs_no_folder(tmp_path: Path, place: Place) -> None:
    path = build_wheel(tmp_path, {"demo.py": ""}, requires=["one; extra == 'more'"])
    assert resolve(path, place) is None
