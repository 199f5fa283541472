"""Tell of the CPython that runs this, in one line of JSON; see source_build.BuiltFacts.

Where libraries are missing, configure leaves modules out without an error: importing them shows it.
"""

import bz2
import ctypes
import ensurepip
import json
import lzma
import platform
import sqlite3
import ssl
import sys
import sysconfig
import zlib

WANTED = (bz2, ctypes, lzma, sqlite3, ssl, zlib)
facts = {
    "release": platform.python_version(),
    "abi": sysconfig.get_config_var("SOABI").split("-")[1],
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    "pip": ensurepip.version(),
}
json.dump(facts, sys.stdout)
