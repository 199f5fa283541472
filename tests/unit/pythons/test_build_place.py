"""Where CPython is built: natively, and for an emulated architecture by this machine's processor."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from types import TracebackType

import pytest

from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.api import Command, Completed, Engine, SandboxSpec, Status
from pytest_manylinux.errors import ImageError, NoPythonError, ToolchainError
from pytest_manylinux.host.architecture import Emulation, Support
from pytest_manylinux.model.distro import AddedPython, Image, ImageSource, InterpreterOrigin, Target
from pytest_manylinux.model.python import parse_python
from pytest_manylinux.plan import added_interpreter
from pytest_manylinux.pythons import added, build_place
from pytest_manylinux.pythons.build_place import Root, check_place

ROWS = load_catalogue()


class _Sandbox:
    def __init__(self, *, fails: bool) -> None:
        self._fails = fails

    def exec(self, command: Command) -> Completed:
        assert "usr/include" in command.argv[-1]
        return Completed(
            status=Status.EXITED,
            exit_code=int(self._fails),
            signal=None,
            stdout=b"",
            stderr=b"tar: no room\n",
            truncated=False,
            duration=0.0,
        )

    def copy_out(self, source: PurePosixPath, target: Path) -> None:
        target.write_bytes(source.name.encode())

    def __enter__(self) -> _Sandbox:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        del kind, error, traceback


class _Engine(Engine):
    name = "bubblewrap"
    caution = ""

    def __init__(self, *, fails: bool = False) -> None:
        self.opened: list[str] = []
        self._fails = fails

    def version(self) -> str:
        return "0"

    def close(self) -> None:
        return None

    def open(self, spec: SandboxSpec) -> _Sandbox:  # type: ignore[override] # no more is asked for
        self.opened.append(spec.image.name)
        return _Sandbox(fails=self._fails)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of x86_64 that runs i686 natively, and the rest under qemu."""

    def emulation(arch: str) -> Emulation:
        own = arch in {"x86_64", "i686"}
        return Emulation(arch=arch, support=Support.NATIVE if own else Support.NAMESPACE)

    monkeypatch.setattr(build_place, "emulation_of", emulation)
    monkeypatch.setattr(build_place, "host_arch", lambda: "x86_64")


def target(distro: str, python: str, arch: str) -> Target:
    row = ROWS.get(distro)
    interpreter = added_interpreter(parse_python(python), row, InterpreterOrigin.SOURCE)
    return Target(distro=row, arch=arch, interpreter=interpreter)


def image_of(arch: str) -> Image:
    return Image(name=arch, arch=arch, digest="sha256:0", source=ImageSource.ARCHIVE)


def root_of(asked: list[tuple[str, tuple[str, ...]]]) -> Root:
    def root(arch: str, packages: tuple[str, ...]) -> Image:
        asked.append((arch, packages))
        return image_of(arch)

    return root


def helper(wanted: Target) -> AddedPython:
    return AddedPython(
        version=wanted.interpreter.version,
        release="3.13.5",
        origin=InterpreterOrigin.SOURCE,
        folder=f"/kept/{wanted.arch}",
        digest="sha256:1",
        source="",
    )


def test_what_runs_here_is_built_in_its_own_root(tmp_path: Path) -> None:
    asked: list[tuple[str, tuple[str, ...]]] = []
    engine = _Engine()
    place = build_place.build_place(
        target("debian-13", "cp313t", "i686"), engine, root_of(asked), tmp_path, native=helper
    )
    assert place.environment == {"UNPACKER": "/usr/bin/python3"}
    ((arch, packages),) = asked
    assert arch == "i686"
    assert {"gcc", "make", "libssl-dev"} <= set(packages)
    assert engine.opened == []


def test_the_distros_own_python_of_the_release_helps_to_build_for_another_processor(
    tmp_path: Path,
) -> None:
    asked: list[tuple[str, tuple[str, ...]]] = []
    engine = _Engine()
    place = build_place.build_place(
        target("debian-13", "cp313t", "ppc64le"), engine, root_of(asked), tmp_path, native=helper
    )
    assert place.image.arch == "x86_64"
    assert place.image.added is None
    assert place.environment["TRIPLET"] == "powerpc64le-linux-gnu"
    assert place.environment["UNPACKER"] == "/usr/bin/python3"
    (native, packages), (foreign, libraries) = asked
    assert (native, foreign) == ("x86_64", "ppc64le")
    assert {"gcc-powerpc64le-linux-gnu", "python3"} <= set(packages)
    assert "libssl-dev" in libraries
    assert engine.opened == ["ppc64le"], "what it links with is that root's"
    (mount,) = place.mounts
    assert str(mount.target) == place.environment["SYSROOT"]
    assert mount.source.read_bytes() == b"sysroot.tar"


def test_where_the_distro_has_none_the_same_one_for_this_machine_does(tmp_path: Path) -> None:
    place = build_place.build_place(
        target("debian-12", "cp313t", "aarch64"), _Engine(), root_of([]), tmp_path, native=helper
    )
    assert place.environment["UNPACKER"] == "/opt/python/cp313t/bin/python3"
    assert place.image.added is not None
    assert place.image.added.folder == "/kept/x86_64"


def test_a_root_that_cannot_be_copied_says_why(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="could not be copied") as raised:
        build_place.build_place(
            target("debian-13", "cp313t", "aarch64"),
            _Engine(fails=True),
            root_of([]),
            tmp_path,
            native=helper,
        )
    assert "tar: no room" in raised.value.why


def test_a_distro_without_this_machines_architecture_has_no_compiler_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(build_place, "host_arch", lambda: "loongarch64")
    with pytest.raises(ToolchainError, match="not compiled for aarch64"):
        check_place(target("debian-12", "cp313t", "aarch64"))


@pytest.mark.parametrize("error", [ImageError("gone", why="404"), ToolchainError("gone", why="404")])
def test_a_python_that_cannot_be_had_is_no_fault_of_image_or_build(
    error: ImageError | ToolchainError, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(*_: object, **__: object) -> AddedPython:
        raise error

    monkeypatch.setattr(added, "fetch_source", fails)
    image = image_of("x86_64")
    wanted = target("debian-13", "cp313t", "x86_64")
    with pytest.raises(NoPythonError, match="gone") as raised:
        added.with_added_python(wanted, image, _Engine(), tmp_path, root=root_of([]), say=print)
    assert raised.value.why == "404"
