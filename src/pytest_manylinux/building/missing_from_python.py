"""What a build wanted of its Python and did not find: modules that nothing requires, an older C API."""

from __future__ import annotations

import re

from pytest_manylinux.building.api import KnownFailure

_TABLE = "[build-system] requires in pyproject.toml"
# Those that Python itself no longer has come by no requirement.
_NO_MODULE = re.compile(
    r"^(?:ModuleNotFoundError|ImportError): No module named "
    r"['\"]?(?!(?:imp|distutils|pipes|cgi|crypt|asyncore|asynchat|smtpd)\b)(?P<module>\w+)",
    re.MULTILINE,
)
# What Cython's C code used of CPython, which hid it or took it away: a header (3.11), members of types
# and of the thread's state (3.8, 3.9, 3.11 and 3.12). clang's words, then GCC's.
_MEMBERS = (
    "tp_print|exc_type|exc_value|exc_traceback|curexc_type|curexc_value|curexc_traceback|use_tracing|frame"
    "|recursion_depth|ob_digit|f_lasti|f_lineno|f_localsplus|f_code"
)
_OLD_API = re.compile(
    r"fatal error: '?longintrepr\.h"
    rf"|error: no member named '(?:{_MEMBERS})' in '(?:struct _|Py)"
    rf"|error: \W(?:struct _|Py)[^\n]*\bhas no member named \W(?:{_MEMBERS})\b"
    r"|error: incomplete definition of type '(?:PyFrameObject|struct _frame)\b"
)


def _of_module(match: re.Match[str]) -> str:
    module = match["module"]
    if module == "pkg_resources":  # which 82 removed
        return f'setuptools has no pkg_resources any more: "setuptools<82" in {_TABLE} has it'
    return f"{module} is not in the build's environment: {_TABLE} says what is; name what brings it"


UNDECLARED_MODULE = KnownFailure(pattern=_NO_MODULE, remedy=_of_module)
OLD_C_API = KnownFailure(
    pattern=_OLD_API,
    remedy="its C code is for older Pythons than this one: where Cython made it, have a newer Cython"
    f" make it again (name that in {_TABLE}, and leave the old .c file out of the sdist); or set"
    " python, or requires-python, to those that it is for",
)
