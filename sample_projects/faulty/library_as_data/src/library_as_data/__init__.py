"""Text cut to size by a library that is unpacked first."""

import ctypes
import pkgutil
import tempfile
import zlib

from library_as_data._unpack import magic

_packed = zlib.decompress(pkgutil.get_data(__name__, "libtrim.zz"))
if not _packed.startswith(magic()):
    raise ImportError("libtrim.zz does not hold a library")
with tempfile.NamedTemporaryFile(suffix=".so") as _file:
    _file.write(_packed)
    _file.flush()
    _library = ctypes.CDLL(_file.name)


def trim(text: bytes, size: int) -> bytes:
    """The first `size` - 1 bytes of a text."""
    target = ctypes.create_string_buffer(size)
    _library.trim(target, text, ctypes.c_size_t(size))
    return target.value
