"""zlib's unpacking and checksums, from Intel's ISA-L where it can be had: twice as fast, same results.

Half the time that reading a wheel takes is unpacking. ISA-L is for x86_64 and aarch64 only, and on
others zlib itself does the work (pyproject.toml has the marker).
"""

from __future__ import annotations

import importlib
import zlib
from types import ModuleType


def _library() -> ModuleType:
    try:
        return importlib.import_module("isal.isal_zlib")
    except ImportError:
        return zlib


_LIBRARY = _library()
DeflateError: type[Exception] = _LIBRARY.error
"""What both functions raise for damaged bytes."""

crc32 = zlib.crc32 if _LIBRARY is zlib else _LIBRARY.crc32
decompressobj = zlib.decompressobj if _LIBRARY is zlib else _LIBRARY.decompressobj
