"""Our audit against auditwheel's, on the newest wheels of widely used projects; or by hand:

    python tests/support/popular_wheels.py          compare all, a line each
    python tests/support/popular_wheels.py renew    take the newest release of each

`tests/data/popular-wheels.txt` lists them, in the form of pip's requirements with digests: what
CPython 3.11 gets on x86_64 with a glibc of 2.35, each below 40 MB.
"""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from auditwheel.error import NonPlatformWheelError
from auditwheel.wheel_abi import analyze_wheel_abi, get_wheel_elfdata
from auditwheel.wheeltools import get_wheel_architecture, get_wheel_libc
from packaging.utils import parse_wheel_filename

from pytest_manylinux.inspect.audit import audit_wheel
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.policy import glibc
from pytest_manylinux.model.wheel_tags import platform_tags

LIST = Path(__file__).parents[1] / "data" / "popular-wheels.txt"
_LIBC = glibc(2, 35)
_LARGEST = 40_000_000  # bytes; auditwheel takes a minute for a wheel with hundreds of libraries


@dataclass(frozen=True)
class Pair:
    """The tag that each of the two gives a wheel; `theirs` is empty where auditwheel refuses."""

    wheel: str
    ours: str
    theirs: str

    def __str__(self) -> str:
        mark = "=" if self.ours == self.theirs else "!"
        return f"{mark} {self.wheel}: {self.ours}, auditwheel {self.theirs or 'refuses'}"


def requirements() -> tuple[str, ...]:
    """A line for each wheel: `NAME==VERSION --hash=sha256:DIGEST`."""
    lines = LIST.read_text("utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


def auditwheel_tag(path: Path) -> str:
    """What `auditwheel show` computes, without its process; empty where it refuses."""
    logging.getLogger("auditwheel").setLevel(logging.CRITICAL)
    get_wheel_elfdata.cache_clear()
    try:
        answer = analyze_wheel_abi(
            get_wheel_libc(path.name),
            get_wheel_architecture(path.name),
            path,
            frozenset(),
            disable_isa_ext_check=False,
            allow_graft=False,
        )
    except NonPlatformWheelError:
        return ""
    return str(answer.overall_policy.name)


def compare(path: Path) -> Pair:
    """Both tags of one wheel."""
    ours = audit_wheel(read_wheel(open_wheel(path)))
    return Pair(wheel=path.name, ours=ours.deserved, theirs=auditwheel_tag(path))


def download(requirement: str, folder: Path) -> Path:
    """The wheel of a requirement, by this machine's own pip settings; pip compares the digest."""
    words = folder / "requirements.txt"
    words.write_text(f"{requirement}\n", "utf-8")
    tags = platform_tags(_LIBC, "x86_64")
    platforms = [word for tag in tags for word in ("--platform", tag)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation=cp", "--python-version=3.11", *platforms]
    subprocess.run([*command, "-d", str(folder), "-r", str(words)], check=True)
    return next(folder.glob("*.whl"))


def pairs(chosen: Sequence[str]) -> Iterator[Pair]:
    """A pair for each requirement, wheel after wheel; none is kept."""
    for requirement in chosen:
        with tempfile.TemporaryDirectory() as folder:
            yield compare(download(requirement, Path(folder)))


def renewed(requirement: str) -> str:
    """The line of a project's newest release; the line as it was where that is too large."""
    name = requirement.partition("==")[0]
    with tempfile.TemporaryDirectory() as folder:
        wheel = download(name, Path(folder))
        if wheel.stat().st_size > _LARGEST:
            return requirement
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        return f"{name}=={parse_wheel_filename(wheel.name)[1]} --hash=sha256:{digest}"


def main(words: Sequence[str]) -> int:
    """Renew the list, or compare and print; exit code 1 if any pair differs."""
    if list(words) == ["renew"]:
        head = [line for line in LIST.read_text("utf-8").splitlines() if line.startswith("#")]
        LIST.write_text("\n".join([*head, *map(renewed, requirements()), ""]), "utf-8")
        return 0
    found = []
    for pair in pairs(requirements()):
        found.append(pair)
        print(pair, flush=True)
    return int(any(pair.ours != pair.theirs for pair in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
