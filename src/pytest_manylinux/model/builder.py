"""Builder images: where a project becomes a wheel, in the layout of the manylinux project."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BuilderImage:
    """One image that builds for one policy on one architecture.

    `policy` is the name in platform tags (`manylinux2014`, `manylinux_2_28`, `musllinux_1_2`).
    `digest` is `sha256:…` or empty where it is not known. `vsyscall` tells that the image's libc
    wants the kernel's vsyscall page, without which every command in it dies unheard. On i686 all
    commands run under linux32.
    """

    policy: str
    arch: str
    repository: str
    tag: str
    digest: str = ""
    maintained: bool = True
    vsyscall: bool = False

    @property
    def reference(self) -> str:
        """What to pull: by digest where there is one, else by tag."""
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"

    @property
    def prefix(self) -> tuple[str, ...]:
        """What every command starts with; see `prefix_of`."""
        return prefix_of(self.arch)


def prefix_of(arch: str) -> tuple[str, ...]:
    """What a command starts with where wheels are for `arch`, so that `uname -m` says so."""
    return ("linux32",) if arch in {"i686", "armv7l"} else ()
