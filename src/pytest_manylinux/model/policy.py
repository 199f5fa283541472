"""manylinux policies: names, aliases, and the glibc that each one promises.

Sources: PEP 513 (manylinux1 = glibc 2.5), PEP 571 (manylinux2010 = 2.12), PEP 599
(manylinux2014 = 2.17) and PEP 600 (manylinux_X_Y, of which the older names are aliases).
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import lru_cache

from pytest_manylinux.errors import UsageError

ALIASES: dict[str, tuple[int, int]] = {
    "manylinux1": (2, 5),
    "manylinux2010": (2, 12),
    "manylinux2014": (2, 17),
}
# Installers write the numbers plainly and compare text: manylinux_02_17 is a tag that none of them has.
# They count down from the glibc at hand to 2.0 at most, so that manylinux_1_0 is none either.
_PERENNIAL = re.compile(r"manylinux_(?P<major>[2-9]|[1-9]\d+)_(?P<minor>0|[1-9]\d*)")


@dataclass(frozen=True, slots=True, order=True)
class Policy:
    """One manylinux policy; policies order by glibc version, the oldest (strictest) first."""

    glibc: tuple[int, int]

    @property
    def name(self) -> str:
        """The perennial name of PEP 600, such as `manylinux_2_17`."""
        return f"manylinux_{self.glibc[0]}_{self.glibc[1]}"

    @property
    def alias(self) -> str | None:
        """The legacy alias, such as `manylinux2014`, if there is one."""
        return next((alias for alias, glibc in ALIASES.items() if glibc == self.glibc), None)

    def __str__(self) -> str:
        """The name that people use: the alias where there is one."""
        return self.alias or self.name

    def platform_tags(self, arch: str) -> tuple[str, ...]:
        """All platform tags that mean this policy on `arch`, the perennial one first."""
        names = (self.name,) if self.alias is None else (self.name, self.alias)
        return tuple(f"{name}_{arch}" for name in names)


def parse_policy(text: str, *, where: str = "") -> Policy:
    """Read a policy from any of its names.

    Raises UsageError, with the nearest right word, for anything else. `where` names the setting.
    """
    word = text.strip()
    if word in ALIASES:
        return Policy(ALIASES[word])
    if match := _PERENNIAL.fullmatch(word):
        return Policy((int(match["major"]), int(match["minor"])))
    near = difflib.get_close_matches(word, [*ALIASES, "manylinux_2_28", "manylinux_2_34"], n=1)
    hint = f"perhaps you meant {near[0]!r}; " if near else ""
    raise UsageError(
        f"{where + ': ' if where else ''}{text!r} is not a manylinux policy",
        remedy=f"{hint}use manylinux1, manylinux2010, manylinux2014 or manylinux_X_Y",
    )


@lru_cache(maxsize=1024)
def policy_of_platform_tag(platform: str) -> tuple[Policy, str] | None:
    """Split a platform tag such as `manylinux_2_17_x86_64` into policy and architecture.

    None for platform tags of another kind (`linux_x86_64`, `musllinux_1_2_x86_64`, `any`).
    """
    for alias, glibc in ALIASES.items():
        if platform.startswith(f"{alias}_"):
            return Policy(glibc), platform.removeprefix(f"{alias}_")
    if match := re.fullmatch(rf"{_PERENNIAL.pattern}_(?P<arch>\w+)", platform):
        return Policy((int(match["major"]), int(match["minor"]))), match["arch"]
    return None
