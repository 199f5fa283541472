"""The builder images, and which of them serves a policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import msgspec

from pytest_manylinux.decoding import convert
from pytest_manylinux.errors import UsageError
from pytest_manylinux.model.policy import Policy, parse_policy
from pytest_manylinux.toml import parse_toml


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


class BuilderRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """One `[[builder]]`: a policy on several architectures; `repository` may hold `{arch}`."""

    policy: str
    repository: str
    tag: str
    architectures: tuple[str, ...]
    digests: dict[str, str] = {}
    maintained: bool = True
    vsyscall: bool = False


def load_builders(
    overrides: Sequence[Mapping[str, object]] = (), *, where: str = "builder"
) -> tuple[BuilderImage, ...]:
    """The packaged builder images; a user's rows come first, and so win.

    Raises UsageError for a row that is none.
    """
    own = [image for raw in overrides for image in _parse(raw, where=where)]
    text = (files("pytest_manylinux.catalogue") / "builders.toml").read_text("utf-8")
    packaged = parse_toml(text)["builder"]
    return (*own, *(image for raw in packaged for image in _parse(raw, where="packaged builders")))


def builder_for(builders: Sequence[BuilderImage], policy: Policy, arch: str) -> BuilderImage | None:
    """The image whose C library is the newest that the policy still allows; None if there is none.

    A wheel that is built against an older C library keeps a newer policy too (PEP 600, PEP 656).
    """
    fitting = [
        (built, image)
        for image in builders
        if image.arch == arch and policy.libc.keeps(built := parse_policy(image.policy))
    ]
    newest = max((built for built, _ in fitting), default=None)
    return next((image for built, image in fitting if built == newest), None)


def _parse(raw: Mapping[str, object], *, where: str) -> list[BuilderImage]:
    try:
        row = convert(dict(raw), BuilderRow)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"{where}: {raw.get('policy', 'a row without policy')}: not a builder image",
            why=str(error),
            remedy="a builder has policy, repository, tag and architectures",
        ) from error
    parse_policy(row.policy, where=where)
    return [
        BuilderImage(
            policy=row.policy,
            arch=arch,
            repository=row.repository.replace("{arch}", arch),
            tag=row.tag,
            digest=row.digests.get(arch, ""),
            maintained=row.maintained,
            vsyscall=row.vsyscall,
        )
        for arch in row.architectures
    ]
