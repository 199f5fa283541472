"""The builder for images of the manylinux layout, as far as it needs no container."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, cast

import pytest
from elf_files import ElfSpec, Want
from wheels import build_wheel

from pytest_manylinux.building.api import BYTECODE, BuildRequest, Pip
from pytest_manylinux.building.frontend import ASKS_FOR_MORE, HOOKS, FrontEnd
from pytest_manylinux.building.image_bytecode import prepare_bytecode
from pytest_manylinux.building.inside import build_hooks
from pytest_manylinux.building.manylinux_image import (
    ImagePython,
    ImageToolchain,
    Layout,
    read_layout,
    repairable_policies,
)
from pytest_manylinux.building.pipeline import Pipeline
from pytest_manylinux.building.project import Project
from pytest_manylinux.building.repair import Repair
from pytest_manylinux.building.steps import BuildLog, BuildSteps
from pytest_manylinux.catalogue.builder_images import prefix_of
from pytest_manylinux.engines.api import (
    SCRATCH,
    Command,
    Completed,
    Engine,
    OutputListener,
    SandboxSpec,
    Status,
)
from pytest_manylinux.errors import BuildError, DeadImageError, ManylinuxError, ToolchainError
from pytest_manylinux.indexes import IndexAccess
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.distro import Image, ImageSource
from pytest_manylinux.model.policy import Policy
from pytest_manylinux.model.python import PythonVersion

IMAGE = Image(digest="sha256:1", name="old", source=ImageSource.REGISTRY, arch="x86_64", reference="x")
CP39, CP313 = PythonVersion(3, 9), PythonVersion(3, 13)
MANYLINUX1, MANYLINUX2010 = Policy((2, 5)), Policy((2, 12))
OWN = {"PATH": "/opt/rh/bin:/usr/bin", "LD_LIBRARY_PATH": "/opt/rh/lib", "SSL_CERT_FILE": "/opt/certs"}
OWN_PYTHON = "/opt/python/cp39-cp39/bin/python"
PIPS = (
    f"{OWN_PYTHON}\t3.9.19\t24.0\t/site/pip\n"
    "a greeting\nwith\tfour\ttabbed\twords\n"
    "/opt/python/cp37-cp37m/bin/python\t3.7.1\t20.3.4\t/old/pip\n"
)
Answer = Callable[[tuple[str, ...]], "tuple[int, str]"]

# auditwheel 5 and 6.0 name the platforms as choices, later ones in a list.
OLD_HELP = "--plat {linux_x86_64,manylinux_2_5_x86_64,manylinux1_x86_64,manylinux_2_12_x86_64}\n"
NEW_HELP = (
    "PLATFORMS:\n- linux_x86_64\n- manylinux_2_28_x86_64\n"
    "- manylinux_2_5_x86_64 (aliased by manylinux1_x86_64)\n"
)


@dataclass
class FakeSandbox:
    """Answers each command as told, and remembers what it was asked in which environment."""

    answer: Answer
    asked: list[Command] = field(default_factory=list)

    def exec(self, command: Command, *, listener: OutputListener | None = None) -> Completed:
        self.asked.append(command)
        code, words = self.answer(command.argv)
        if listener:
            listener(words.encode())
        return Completed(
            status=Status.EXITED,
            exit_code=code,
            signal=None,
            stdout=words.encode(),
            stderr=b"",
            truncated=False,
            duration=0.1,
        )

    def __enter__(self) -> FakeSandbox:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@dataclass
class FakeEngine:
    sandbox: FakeSandbox
    name: str = "docker"

    def open(self, spec: SandboxSpec) -> FakeSandbox:
        assert spec.image is IMAGE
        return self.sandbox


def manylinux(argv: tuple[str, ...]) -> tuple[int, str]:
    """An image as those of pypa/manylinux are."""
    variables = {**OWN, "HOSTNAME": "h", "HOME": "/root"}
    names = ("cp39-cp39", "cp37-cp37m", "cp313-cp313t", "pp39-pypy39_pp73")
    answers = {
        "cat /proc/1/environ": "\0".join(f"{name}={value}" for name, value in variables.items()),
        "ls -d /opt/python": "".join(f"/opt/python/{name}/bin/python\n" for name in names),
        'do "$p" -c': PIPS,
        "command -v": "/usr/bin/yum\n",
        "auditwheel repair --help": OLD_HELP,
        "auditwheel --version": "auditwheel 6.0.0 installed at /opt/_internal with python 3.9",
        "cc --version": "cc (GCC) 4.8.2 20140120 (Red Hat 4.8.2-15)\n",
    }
    asked = " ".join(argv)
    return next(((0, words) for start, words in answers.items() if start in asked), (1, "no"))


def look(answer: Answer = manylinux, prefix: tuple[str, ...] = ()) -> tuple[Layout, FakeSandbox]:
    sandbox = FakeSandbox(answer)
    engine: Any = FakeEngine(sandbox)
    return read_layout(IMAGE, engine, prefix=prefix), sandbox


def test_what_an_image_has_is_seen_inside_it() -> None:
    layout, sandbox = look()
    assert layout.environment == OWN
    assert layout.policies == (MANYLINUX1, MANYLINUX2010)
    assert dict(layout.tools) == {"auditwheel": "6.0.0", "cc": "4.8.2"}
    assert layout.manager == "yum"
    assert layout.python(CP39) == PurePosixPath("/opt/python/cp39-cp39")
    assert layout.python(PythonVersion(3, 7)) == PurePosixPath("/opt/python/cp37-cp37m")
    assert layout.python(CP313) is None, "a free-threaded one is not what cp313 means"
    assert all(command.environment == OWN for command in sandbox.asked[1:])


def test_32_bit_images_are_asked_through_linux32() -> None:
    def answer(argv: tuple[str, ...]) -> tuple[int, str]:
        return manylinux(argv[1:] if argv[0] == "linux32" else argv)

    assert prefix_of("i686") == prefix_of("armv7l") == ("linux32",)
    assert prefix_of("x86_64") == prefix_of("aarch64") == ()
    layout, sandbox = look(answer, prefix_of("i686"))
    assert layout.prefix == ("linux32",)
    assert all(command.argv[0] == "linux32" for command in sandbox.asked[1:])


@pytest.mark.parametrize(
    ("text", "policies"), [(OLD_HELP, ((2, 5), (2, 12))), (NEW_HELP, ((2, 5), (2, 28))), ("", ())]
)
def test_the_policies_of_any_auditwheel(text: str, policies: tuple[tuple[int, int], ...]) -> None:
    assert repairable_policies(text, "x86_64") == tuple(Policy(glibc) for glibc in policies)
    assert repairable_policies(text, "i686") == ()


def test_an_image_of_another_layout_is_told() -> None:
    with pytest.raises(ToolchainError, match="no builder of the manylinux layout") as caught:
        look(lambda _: (1, ""))
    assert caught.value.why == "it has no Python in /opt/python and no auditwheel"


def test_an_image_in_which_nothing_runs_names_the_other_builder() -> None:
    class Dead(FakeEngine):
        def open(self, spec: SandboxSpec) -> FakeSandbox:
            assert spec.image is IMAGE
            raise DeadImageError("image old runs no command", why="vsyscall", remedy="boot")

    with pytest.raises(DeadImageError) as caught:
        read_layout(IMAGE, Dead(FakeSandbox(manylinux)))  # type: ignore[arg-type]
    assert caught.value.remedy == "boot; or set builder = zig, which builds without that image"


def test_the_images_pips_new_and_old() -> None:
    new, old = look()[0].with_pip
    assert (new.name, new.version, new.pip) == ("cp39-cp39", "3.9.19", "24.0")
    inner = "/scratch/env/bin/python"
    assert new.pip_command() == Pip(command=(OWN_PYTHON, "-I", "-m", "pip", "--python", inner))
    assert old.pip_command() == Pip(command=(inner, "/old/pip"), looks_away=True)


@dataclass(frozen=True)
class Maker:
    front_end: FrontEnd
    repair: Repair
    versions: dict[str, str]

    def build(self, *before: str) -> tuple[tuple[str, str], ...]:
        """As the pipeline does it."""
        self.front_end.unpack(PurePosixPath("/scratch/source.tar"))
        self.front_end.make_environment()
        self.front_end.run_before_build(before)
        self.front_end.install(("setuptools",))
        self.front_end.install(self.front_end.asked_for(), again=True)
        requirements = self.front_end.installed()
        self.front_end.build_wheel()
        return requirements


@pytest.fixture
def maker(tmp_path: Path) -> Iterator[Callable[..., tuple[Maker, FakeSandbox]]]:
    log = BuildLog(tmp_path / "log")
    index = IndexAccess(environment={"PIP_INDEX_URL": "http://me:secret@i/", "https_proxy": "p"})

    def make(answer: Answer, pip: str = "24.0") -> tuple[Maker, FakeSandbox]:
        sandbox, engine = FakeSandbox(answer), cast("Engine", FakeEngine(FakeSandbox(manylinux)))
        python = ImagePython(name="cp39-cp39", version="3.9.19", pip=pip, pip_folder="/site/pip")
        layout = replace(look()[0], with_pip=(python,))
        toolchain = ImageToolchain(layout=layout)(
            request(tmp_path, CP39, MANYLINUX1), engine, index, print
        )
        steps = BuildSteps(sandbox, log, "demo", timeout=60)  # type: ignore[arg-type]
        front_end = FrontEnd(
            steps=steps,
            toolchain=toolchain,
            project=Project(path=tmp_path, is_sdist=False),
            index=index,
            environment=toolchain.environment,
            packages=PurePosixPath("/scratch/env/lib/python3.9/site-packages"),
            image=IMAGE.name,
        )
        repair = Repair(
            steps=steps, toolchain=toolchain, environment=toolchain.environment, arch="x86_64"
        )
        versions = dict(toolchain.versions)
        return Maker(front_end=front_end, repair=repair, versions=versions), sandbox

    with log:
        yield make


def building(argv: tuple[str, ...]) -> tuple[int, str]:
    if argv[0] == "cat":
        return 0, "wheel\n"
    if "requires" in argv:
        return build_hooks.ASKS_FOR_MORE, ""
    return 0, "setuptools==70.0\n" if "installed" in argv else ""


def test_the_program_inside_and_the_front_end_agree() -> None:
    assert build_hooks.ASKS_FOR_MORE == ASKS_FOR_MORE


@pytest.mark.parametrize("version", ["24.0", "20.3.4"])
def test_credentials_and_proxies_are_for_pip_and_the_users_own_commands(
    maker: Callable[..., tuple[Maker, FakeSandbox]], version: str
) -> None:
    made, sandbox = maker(building, version)
    assert made.build("make") == (("setuptools", "70.0"),)
    assert made.versions["python"] == "3.9.19"
    assert made.versions["pip"] == version
    seeing = [command.argv for command in sandbox.asked if "PIP_INDEX_URL" in command.environment]
    assert all("install" in argv or "make" in argv for argv in seeing)
    assert len([argv for argv in seeing if "install" in argv]) == 2
    [built] = [command for command in sandbox.asked if command.argv[2:3] == ("wheel",)]
    assert built.argv[:5] == (
        OWN_PYTHON,
        HOOKS,
        "wheel",
        "/scratch/env/bin/python",
        "setuptools.build_meta:__legacy__",
    )
    assert "https_proxy" not in built.environment
    assert built.environment["SSL_CERT_FILE"] == OWN["SSL_CERT_FILE"]
    assert built.environment["LD_LIBRARY_PATH"] == OWN["LD_LIBRARY_PATH"]
    assert built.environment["PATH"].split(":")[:3] == [
        "/scratch/env/bin",
        "/opt/python/cp39-cp39/bin",
        "/opt/rh/bin",
    ]
    assert all(command.cwd == SCRATCH for command in sandbox.asked if "install" in command.argv)
    second = [argv for argv in seeing if "wheel" in argv]
    assert all(("--constraint" in argv) is (version == "20.3.4") for argv in second)


@pytest.mark.parametrize("version", ["24.0", "20.3.4"])
def test_what_the_projects_code_compiled_is_for_itself_alone(
    maker: Callable[..., tuple[Maker, FakeSandbox]], version: str, tmp_path: Path
) -> None:
    maker_, sandbox = maker(building, version)
    maker_.build()
    made = build_wheel(tmp_path / "demo-1.0-cp39-cp39-linux_x86_64.whl", {"demo.so": ElfSpec().build()})
    maker_.repair.run(read_wheel(open_wheel(made)))
    argvs = [command.argv for command in sandbox.asked]
    first = next(place for place, argv in enumerate(argvs) if HOOKS in argv)
    kept = [command.environment["PYTHONPYCACHEPREFIX"] == str(BYTECODE) for command in sandbox.asked]
    assert all(kept[: first + 1])
    later = {
        " ".join(argv)
        for argv, keeps in zip(argvs[first + 1 :], kept[first + 1 :], strict=True)
        if keeps and argv[0] not in {"cat", "sh"}
    }
    assert len(later) == 1
    assert f"{HOOKS} wheel" in later.pop(), "only the project's own build goes on with it"
    assert any(argv[0] == "auditwheel" for argv in argvs)


def test_bytecode_of_an_image_is_made_once_and_read_only(tmp_path: Path) -> None:
    sandbox = FakeSandbox(lambda _: (0, ""))
    asked, engine = request(tmp_path, CP39, MANYLINUX1), cast("Engine", FakeEngine(sandbox))
    first = ImageToolchain(layout=look()[0])(asked, engine, IndexAccess(), print)
    again = ImageToolchain(layout=look()[0])(asked, engine, IndexAccess(), print)
    assert {command.argv[0] for command in sandbox.asked} == {OWN_PYTHON}
    assert len(sandbox.asked) == 2, "the second time it was there"
    [mount] = first.mounts
    assert again.mounts == first.mounts
    assert mount.source.is_relative_to(asked.cache)
    inside = {"PYTHONPYCACHEPREFIX": str(mount.target)}
    assert first.own_bytecode == inside
    assert first.own_bytecode.items() <= sandbox.asked[0].environment.items()


@pytest.mark.parametrize(("python", "arch"), [((3, 7), "x86_64"), ((3, 9), "s390x")])
def test_pythons_that_take_no_bytecode_from_elsewhere_have_none(
    tmp_path: Path, python: tuple[int, int], arch: str
) -> None:
    asked, engine = request(tmp_path, PythonVersion(*python), MANYLINUX1), cast("Engine", None)
    assert prepare_bytecode(asked, replace(IMAGE, arch=arch), OWN_PYTHON, {}, engine) is None


def failing(step: str) -> Answer:
    def answer(argv: tuple[str, ...]) -> tuple[int, str]:
        if step in argv:
            return 1, "error: it went wrong"
        return building(argv)

    return answer


@pytest.mark.parametrize(
    ("step", "kind", "words"),
    [
        ("venv", ToolchainError, "making the environment failed"),
        ("requires", BuildError, "requirements cannot be read"),
        ("/scratch/built", BuildError, "does not build"),
        ("installed", ToolchainError, "noting build requirements failed"),
        ("install", BuildError, "requirements cannot be installed"),
        ("make", BuildError, "before-build command failed"),
    ],
)
def test_who_is_at_fault(
    maker: Callable[..., tuple[Maker, FakeSandbox]],
    step: str,
    kind: type[ManylinuxError],
    words: str,
) -> None:
    made, _ = maker(failing(step))
    with pytest.raises(kind, match=words) as caught:
        made.build("make")
    assert "it went wrong" in caught.value.why


def test_repair_keeps_the_images_library_path_and_names_what_is_missing(
    maker: Callable[..., tuple[Maker, FakeSandbox]], tmp_path: Path
) -> None:
    words = (
        'ValueError: Cannot repair wheel, because required library "libgone.so.7" could not be located'
    )

    def answer(argv: tuple[str, ...]) -> tuple[int, str]:
        return (1, words) if argv[0] == "auditwheel" else (0, "/scratch/source/lib\n")

    maker_, sandbox = maker(answer)
    made = build_wheel(
        tmp_path / "demo-1.0-cp39-cp39-linux_x86_64.whl",
        {"demo.so": ElfSpec(needed=("libgone.so.7", "libc.so.6"), wants=(Want("puts"),)).build()},
    )
    facts = read_wheel(open_wheel(made))
    with pytest.raises(BuildError, match=r"libgone\.so\.7 is needed and nowhere") as caught:
        maker_.repair.run(facts)
    assert caught.value.finding == "missing-library"
    assert caught.value.why == "demo.so needs it"
    paths = [one.environment["LD_LIBRARY_PATH"] for one in sandbox.asked if one.argv[0] == "auditwheel"]
    assert paths == ["/opt/rh/lib", "/scratch/source/lib:/opt/rh/lib"]
    assert sandbox.asked[0].environment["PATH"] == OWN["PATH"], "not the project's own auditwheel"


def request(tmp_path: Path, python: PythonVersion, policy: Policy) -> BuildRequest:
    (tmp_path / "setup.py").touch()
    return BuildRequest(
        project=tmp_path,
        python=python,
        policy=policy,
        arch="x86_64",
        image=IMAGE,
        wheelhouse=tmp_path / "wheelhouse",
        cache=tmp_path / "cache",
        log=tmp_path / "log",
    )


@pytest.mark.parametrize(
    ("python", "policies", "words"),
    [
        (CP313, (MANYLINUX1,), "has no cp313"),
        (CP39, (MANYLINUX2010,), "as old as manylinux1"),
    ],
)
def test_what_an_image_cannot_build(
    tmp_path: Path, python: PythonVersion, policies: tuple[Policy, ...], words: str
) -> None:
    own = ImagePython(name="cp39-cp39", version="3.9.19", pip="24.0", pip_folder="/site/pip")
    layout = Layout(image=IMAGE, pythons=("cp39-cp39",), with_pip=(own,), policies=policies)
    builder = Pipeline(name="official", toolchain=ImageToolchain(layout=layout))
    engine: Any = FakeEngine(FakeSandbox(manylinux))
    with pytest.raises(ToolchainError, match=words):
        builder.build(request(tmp_path, python, MANYLINUX1), engine, say=print)
