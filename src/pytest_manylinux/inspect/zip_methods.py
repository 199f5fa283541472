"""Unpacking of the methods that few wheels use: bzip2, LZMA and Zstandard (APPNOTE 4.4.5).

Python has all of them from 3.14 on; before that, Zstandard is backports.zstd, if that is installed.
"""

from __future__ import annotations

import bz2
import importlib
import lzma
import struct
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

from pytest_manylinux.errors import StoreError

ZIP_ZSTANDARD = 93
METHODS = {
    zipfile.ZIP_STORED: "stored",
    zipfile.ZIP_DEFLATED: "deflated",
    zipfile.ZIP_BZIP2: "bzip2",
    zipfile.ZIP_LZMA: "LZMA",
    ZIP_ZSTANDARD: "Zstandard",
}
"""The methods that some installer unpacks, by their numbers."""

_LZMA_HEAD = 4  # version, and the size of the properties that follow


class UnpackError(Exception):
    """What is packed is damaged."""


def unpacked(method: int, pieces: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Unpack a file's pieces, `most` bytes at a time; raises UnpackError if they are damaged."""
    try:
        for data, decoder in _decoding(method, pieces):
            piece = decoder.decompress(data, most)
            while piece:
                yield piece
                if decoder.eof or decoder.needs_input:
                    break
                piece = decoder.decompress(b"", most)
    except StoreError:
        raise
    except Exception as error:  # each decoder has errors of its own
        raise UnpackError(str(error)) from error


def _decoding(method: int, pieces: Iterable[bytes]) -> Iterator[tuple[bytes, Any]]:
    """Each piece with the decoder for it; an LZMA file begins with its properties."""
    decoder: Any = None
    for piece in pieces:
        data = piece
        if decoder is None and method == zipfile.ZIP_LZMA:
            size = struct.unpack_from("<H", piece, 2)[0]
            properties, data = piece[_LZMA_HEAD : _LZMA_HEAD + size], piece[_LZMA_HEAD + size :]
            settings = struct.unpack_from("<BI", properties)
            decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[_lzma_filter(*settings)])
        elif decoder is None:
            decoder = bz2.BZ2Decompressor() if method == zipfile.ZIP_BZIP2 else _zstandard()
        yield data, decoder


def _lzma_filter(packed: int, dictionary: int) -> dict[str, int]:
    """The settings of a raw LZMA1 stream by its first five bytes (LZMA specification)."""
    rest, lc = divmod(packed, 9)
    pb, lp = divmod(rest, 5)
    return {"id": lzma.FILTER_LZMA1, "dict_size": dictionary, "lc": lc, "lp": lp, "pb": pb}


def _zstandard() -> Any:  # noqa: ANN401 - the standard library's from 3.14 on
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name).ZstdDecompressor()
        except ImportError:
            continue
    raise StoreError(
        "a wheel is packed with Zstandard, which this Python does not unpack",
        why="its standard library has it from 3.14 on",
        remedy="pip install backports.zstd, or run with Python 3.14",
    )
