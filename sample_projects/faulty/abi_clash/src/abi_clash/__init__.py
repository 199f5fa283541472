"""Two modules that share their symbols, as plug-ins of C++ programs do."""

import os
import sys

_flags = sys.getdlopenflags()
sys.setdlopenflags(os.RTLD_NOW | os.RTLD_GLOBAL)
from abi_clash import _first, _second  # noqa: E402

sys.setdlopenflags(_flags)

__all__ = ["_first", "_second"]
