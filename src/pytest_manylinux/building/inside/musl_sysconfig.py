"""Gives a build's environment a second sysconfig: that of the same Python, had it been built for musl.

It goes into site-packages under the name below; the variable _PYTHON_SYSCONFIGDATA_NAME of that value
(CPython's own way for cross builds, sysconfig.py) makes build back ends name extension modules by it.
The interpreter goes on to load modules of its own libc. Runs on Python 3.8 and later.
"""

import pprint
import sys
import sysconfig
from pathlib import Path

NAME = "_sysconfigdata_of_musl"
SINCE = (3, 11)  # before, the suffix for musl ended as glibc's does (CPython's configure.ac)
_NAMED = ("SOABI", "EXT_SUFFIX", "MULTIARCH", "HOST_GNU_TYPE", "BUILD_GNU_TYPE")


def main() -> None:
    """Write the module."""
    name = sysconfig._get_sysconfigdata_name()  # type: ignore[attr-defined]
    values = dict(__import__(name).build_time_vars)
    if sys.version_info >= SINCE:
        for name in _NAMED:
            if name in values:
                values[name] = values[name].replace("-linux-gnu", "-linux-musl")
    module = Path(sysconfig.get_path("purelib")) / f"{NAME}.py"
    module.write_text(f"build_time_vars = {pprint.pformat(values)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
