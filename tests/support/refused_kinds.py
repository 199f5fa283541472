"""Kinds of wheels with files that glibc's loader refuses for what their headers and versions say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kinds_of_wheels import WheelKind, compiled, module, packed

_GRAFTED = {"graft-license": "information", "graft-unaccounted": "information"}


def grafted(
    *flags: str, link: tuple[str, ...] = (), wanted: str = "", offered: str = ""
) -> Callable[[Path], Path]:
    """A module with a library of the wheel's, linked with `flags`, the module with `link`.

    The module wants the version `wanted` of it, and the library that is packed defines `offered`.
    """

    def make(folder: Path) -> Path:
        source, soname = "int answer(void) { return 42; }", "-Wl,-soname,libown.so.1"

        def library(version: str) -> bytes:
            script = folder / "versions"
            script.write_text(f"{version} {{ global: answer; local: *; }};\n")
            more = (f"-Wl,--version-script,{script}",) if version else ()
            return compiled(folder, "libown.so", source, soname, *more, *flags)

        library(wanted)
        search = "-Wl,-rpath,$ORIGIN/../graft.libs"
        native = module(
            folder, "_x", "-lown", search, *link, before="int answer(void);", body="answer()"
        )
        files = {"graft/_x.abi3.so": native, "graft.libs/libown.so.1": library(offered)}
        return packed(folder, "graft", files)

    return make


def with_header(place: int, value: int) -> Callable[[Path], Path]:
    """A module with another byte in the identification of its ELF header."""

    def make(folder: Path) -> Path:
        data = bytearray(module(folder, "_x"))
        data[place] = value
        return packed(folder, "head", {"head/_x.abi3.so": bytes(data)})

    return make


KINDS: tuple[WheelKind, ...] = (
    WheelKind(
        name="grafted-with-its-version",
        make=grafted(wanted="OWN_2", offered="OWN_2"),
        audit=_GRAFTED,
    ),
    WheelKind(
        name="grafted-without-the-version-that-is-wanted",
        make=grafted(wanted="OWN_2", offered="OWN_1"),
        audit=_GRAFTED,
        predicted="symbol-too-new",
    ),
    WheelKind(
        name="module-that-is-not-to-be-opened",
        make=grafted(link=("-Wl,-z,nodlopen",)),
        audit=_GRAFTED,
        predicted="loader-refusal",
    ),
    WheelKind(
        name="library-that-is-not-to-be-opened",
        make=grafted("-Wl,-z,nodlopen"),
        audit=_GRAFTED,
        predicted="loader-refusal",
    ),
    WheelKind(name="os-abi-of-gnu", make=with_header(7, 3)),
    WheelKind(name="os-abi-of-freebsd", make=with_header(7, 9), predicted="loader-refusal"),
    WheelKind(name="os-abi-of-a-version", make=with_header(8, 2), predicted="loader-refusal"),
)
