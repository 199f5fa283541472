"""Strings in a file's read-only data that tell what its code may look for at run time.

A search for a few literal pieces, then a look at the C string around each hit: fast enough to be
done for every file. What it finds is a hint (the string is there), never a proof (the code uses it).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pytest_manylinux.inspect.symbols import Data

MAX_HITS = 10_000
"""Places looked at for one literal piece in one file."""

MAX_FOUND = 200
"""Strings kept of one file."""

MAX_LENGTH = 250
"""Bytes of one string; longer ones are no path or library name that people would write."""

_LIBRARY = re.compile(rb"lib[\w+.-]{1,80}\.so(?:\.\d+){0,3}")
_PATH = re.compile(rb"/[\x21-\x7e]{3,250}")
_QUOTED = re.compile(rb'[A-Z]+DIR: "(/[\x20\x21\x23-\x7e]{2,200})"')

_BAKED = (
    b"/cert.pem",
    b"/openssl.cnf",
    b"ca-bundle.",
    b"ca-certificates.crt",
    b"/krb5.conf",
    b'OPENSSLDIR: "',
    b'ENGINESDIR: "',
    b'MODULESDIR: "',
)
"""What OpenSSL, LibreSSL, curl and Kerberos compile in as places of certificates and settings."""


def library_names(data: Data, spans: Iterable[tuple[int, int]]) -> tuple[str, ...]:
    """Library file names such as `libfoo.so.1` that are whole strings; sorted."""
    found = {text.decode() for text in _around(data, spans, (b".so",)) if _LIBRARY.fullmatch(text)}
    return tuple(sorted(found)[:MAX_FOUND])


def baked_paths(data: Data, spans: Iterable[tuple[int, int]]) -> tuple[str, ...]:
    """Absolute paths of certificates, settings and modules that are whole strings; sorted."""
    found = set()
    for text in _around(data, spans, _BAKED):
        if quoted := _QUOTED.fullmatch(text):
            found.add(quoted[1].decode())
        elif _PATH.fullmatch(text):
            found.add(text.decode())
    return tuple(sorted(found)[:MAX_FOUND])


def _around(
    data: Data, spans: Iterable[tuple[int, int]], needles: tuple[bytes, ...]
) -> Iterator[bytes | bytearray]:
    """The C strings in which a needle occurs, as far as they are short and end inside the span."""
    for offset, size in spans:
        limit = min(offset + size, len(data))
        for needle in needles:
            place = data.find(needle, offset, limit)
            for _ in range(MAX_HITS):
                if place < 0:
                    break
                earliest = max(offset, place - MAX_LENGTH)
                before = data.rfind(b"\0", earliest, place)
                end = data.find(b"\0", place, min(limit, place + MAX_LENGTH))
                if end < 0:
                    end = place + len(needle)
                elif before >= 0:
                    yield data[before + 1 : end]
                elif earliest == offset:  # the first string of its section
                    yield data[offset:end]
                place = data.find(needle, end, limit)
