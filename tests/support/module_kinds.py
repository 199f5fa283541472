"""Kinds of wheels by their modules: files called like one, Python code, and what runs on import."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kinds_of_wheels import TAG, WORKS, WheelKind, compiled, module, packed

_LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
# A host's Python below 3.14 can not tell whether 3.13 has syntax that it does not know itself.
_KNOWN_ON_3_13 = "syntax-error" if sys.version_info >= (3, 14) else WORKS
_NOTHING = {"module-not-native": "error"}
_SLOTS = "int PyModExport__x(void) { return 0; }"
_MATCH = "def f(x):\n    match x:\n        case 1:\n            return 2\n"
_FOR_38, _FOR_35 = ".cpython-38-x86_64-linux-gnu.so", ".cpython-35m-x86_64-linux-gnu.so"
_CAN_DO_WITHOUT = "try:\n    from . import _x\nexcept ImportError:\n    _x = None\n"
_MISMATCH = {"policy-mismatch": "error"}


def file_called(name: str, data: bytes | str, *, init: str = "") -> Callable[[Path], Path]:
    """A sound module beside another file, which the package imports or not."""

    def make(folder: Path) -> Path:
        files = {"odd/_x.abi3.so": module(folder, "_x"), f"odd/{name}": data}
        return packed(folder, "odd", files, init=init or "from . import _x\n")

    return make


def suffixed(suffix: str, tag: str = TAG, *, code: str = "") -> Callable[[Path], Path]:
    """A module whose file is called by a suffix; `code` replaces its source, exports and all."""

    def make(folder: Path) -> Path:
        native = compiled(folder, "_x.so", code) if code else module(folder, "_x")
        return packed(folder, "suffixed", {f"suffixed/_x{suffix}.so": native}, tag=tag)

    return make


def of_two_pythons(*others: str, init: str, name: str = "twopy/_x") -> Callable[[Path], Path]:
    """A sound module, and another one in files of these suffixes, which `init` may import."""

    def make(folder: Path) -> Path:
        native = module(folder, name.rpartition("/")[2])
        files: dict[str, bytes | str] = {f"{name}{one}": native for one in others}
        files |= {path: "x = 1\n" for path in files if path.endswith(".py")}
        files["twopy/_sound.abi3.so"] = module(folder, "_sound")
        return packed(folder, "twopy", files, init=f"from . import _sound\n{init}")

    return make


def injected(code: str) -> Callable[[Path], Path]:
    """A sound module, and a file called like one that makes none; `code` may name it."""

    def make(folder: Path) -> Path:
        files: dict[str, bytes | str] = {
            "injected/_x.abi3.so": module(folder, "_x"),
            "injected/_inject.abi3.so": compiled(folder, "_i.so", "int attach(void) { return 1; }"),
            "injected/attach.py": code,
        }
        return packed(folder, "injected", files)

    return make


def wanting(*names: str) -> Callable[[Path], Path]:
    """Top-level modules of which the last wants what an extra brings, and says so in its own words."""

    def make(folder: Path) -> Path:
        *sound, last = names
        wants = "try:\n    import absent\nexcept ImportError as error:\n    "
        wants += "raise ImportError(f'{error}: install wanting[all]') from None\n"
        files: dict[str, bytes | str] = {f"{name}/__init__.py": "from . import _x\n" for name in sound}
        files |= {f"{name}/_x.abi3.so": module(folder, "_x") for name in sound}
        files[f"{last}/_x.abi3.so"] = module(folder, "_x")
        metadata = (
            b"Metadata-Version: 2.1\nName: wanting\nVersion: 1.0\nProvides-Extra: all\n"
            b"Requires-Dist: absent; extra == 'all'\n"
        )
        return packed(folder, last, files, init=wants, metadata=metadata)

    return make


def no_native(tag: str) -> Callable[[Path], Path]:
    """A wheel whose name promises a platform, of Python code alone."""
    return lambda folder: packed(folder, "plain", {}, init="x = 1\n", tag=tag)


def source(text: str, name: str = "newer.py", tag: str = TAG, **more: Any) -> Callable[[Path], Path]:  # noqa: ANN401
    """A sound module beside a Python file that the package imports."""

    def make(folder: Path) -> Path:
        native = module(folder, "_x")
        files: dict[str, bytes | str] = {"written/_x.abi3.so": native, f"written/{name}": text}
        init = f"from . import _x\nfrom . import {name.removesuffix('.py')}\n"
        return packed(folder, "written", files, init=init, tag=tag, **more)

    return make


def modules_at_top(name: str) -> Callable[[Path], Path]:
    """A sound package beside a module at the top that is called like one of Python's own."""

    def make(folder: Path) -> Path:
        files: dict[str, bytes | str] = {f"{name}.py": "x = 1\n"}
        files["top/_x.abi3.so"] = module(folder, "_x")
        return packed(folder, "top", files)

    return make


def ends(init: str) -> Callable[[Path], Path]:
    """A package whose interpreter ends in some way of its own."""
    return lambda folder: packed(folder, "ends", {"ends/_x.abi3.so": module(folder, "_x")}, init=init)


def arriving_by(scheme: str, extra: Mapping[str, str] | None = None) -> Callable[[Path], Path]:
    """A sound package, and a module that arrives by a folder of `.data`, or with a `.pth` beside it."""

    def make(folder: Path) -> Path:
        files: dict[str, bytes | str] = {"arrive/_x.abi3.so": module(folder, "_x")}
        files[f"arrive-1.0.data/{scheme}/late.py"] = "x = 1\n"
        return packed(
            folder, "arrive", {**files, **(extra or {})}, init="from . import _x\nimport late\n"
        )

    return make


def started_by(text: str | bytes, name: str = "arrive.pth", **more: Any) -> Callable[[Path], Path]:  # noqa: ANN401
    """A sound package, and a file that every start of Python reads."""

    def make(folder: Path) -> Path:
        files: dict[str, bytes | str] = {"arrive/_x.abi3.so": module(folder, "_x"), name: text}
        return packed(folder, "arrive", {"starts.py": "def go():\n    pass\n", **files}, **more)

    return make


KINDS: tuple[WheelKind, ...] = (
    WheelKind(
        # as libsass's sasstests: tests that were packed beside the package
        name="tests-beside-the-package",
        make=lambda folder: packed(
            folder, "own", {"own/_x.abi3.so": module(folder, "_x"), "owntests.py": "import pytest\n"}
        ),
    ),
    WheelKind(
        name="package-that-forgot-pytest",
        make=lambda folder: packed(
            folder, "own", {"own/_x.abi3.so": module(folder, "_x")}, init="import pytest\n"
        ),
        predicted="undeclared-dependency",
    ),
    WheelKind(
        name="module-is-lfs-pointer",
        make=file_called("_m.abi3.so", _LFS),
        audit=_NOTHING,
        predicted="module-not-native",
    ),
    WheelKind(
        name="imported-module-is-lfs-pointer",
        make=file_called("_m.abi3.so", _LFS, init="from . import _x, _m\n"),
        audit=_NOTHING,
        predicted="module-not-native",
    ),
    WheelKind(
        name="module-is-empty",
        make=file_called("_m.abi3.so", b""),
        audit=_NOTHING,
        predicted="module-not-native",
    ),
    WheelKind(
        name="plain-module-is-text",
        make=file_called("m.so", "INPUT(libm.so.6)\n"),
        audit=_NOTHING,
        predicted="module-not-native",
    ),
    WheelKind(name="linker-script-as-data", make=file_called("lib/libc.so", "INPUT(libc.so.6)\n")),
    WheelKind(
        name="program-dynamic-of-the-wrong-kind-in-a-package",
        make=file_called("bin/tool", "#!/nowhere/python\n"),
    ),
    WheelKind(
        name="module-without-init",
        make=suffixed(".abi3", code="int answer(void) { return 42; }"),
        audit={"init-missing": "error"},
        predicted="init-missing",
    ),
    WheelKind(
        name="named-like-a-module-and-loaded-by-a-debugger",
        make=injected('ABI = "abi3"\nFILE = f"{__file__}/../_inject.{ABI}.so"\n'),
    ),
    WheelKind(
        name="named-like-a-module-and-imported-somewhere",
        make=injected('FILE = "_inject.abi3.so"\n\ndef f():\n    from . import _inject\n'),
        audit={"init-missing": "error"},
        predicted="init-missing",
    ),
    WheelKind(
        name="named-like-a-module-and-named-nowhere",
        make=injected("x = 1\n"),
        audit={"init-missing": "error"},
        predicted="init-missing",
    ),
    WheelKind(name="second-name-wants-an-extra", make=wanting("sound", "wanting")),
    WheelKind(name="only-name-wants-an-extra", make=wanting("wanting"), seen="import-error"),
    WheelKind(
        name="slots-under-an-old-tag",
        make=suffixed(".abi3", code=_SLOTS),
        audit={"init-missing": "error"},
        predicted="init-missing",
    ),
    WheelKind(
        name="suffix-of-another-python",
        make=suffixed(".cpython-38-x86_64-linux-gnu"),
        audit={"python-mismatch": "error"},
        predicted="python-mismatch",
    ),
    WheelKind(
        name="suffix-of-threads-without-gil",
        make=suffixed(".cpython-314t-x86_64-linux-gnu", "cp314-cp314-manylinux_2_17_x86_64"),
        audit={"python-mismatch": "error"},
        predicted="python-mismatch",
    ),
    WheelKind(
        name="suffix-abi3t-before-its-time",
        make=suffixed(".abi3t"),
        audit={"python-mismatch": "error"},
        predicted="python-mismatch",
    ),
    WheelKind(
        name="suffix-abi3-with-triplet",
        make=suffixed(".abi3-x86_64-linux-gnu"),
        audit={"python-mismatch": "error"},
        predicted=("python-mismatch", "python-mismatch", WORKS, WORKS),
    ),
    WheelKind(
        name="leftover-of-another-python-beside-the-right-module",
        make=of_two_pythons(".abi3.so", _FOR_38, init="from . import _x\n"),
    ),
    WheelKind(
        name="leftover-that-no-python-of-the-tag-has",
        make=of_two_pythons(".abi3.so", _FOR_35, init="from . import _x\n"),
        audit={"python-mismatch": "warning"},
    ),
    WheelKind(
        name="leftover-that-nothing-imports",
        make=of_two_pythons(_FOR_35, init=""),
        audit={"python-mismatch": "warning"},
    ),
    WheelKind(
        name="leftover-that-code-can-do-without",
        make=of_two_pythons(_FOR_35, init=_CAN_DO_WITHOUT),
        audit={"python-mismatch": "warning"},
    ),
    WheelKind(
        name="leftover-in-whose-place-there-is-a-source",
        make=of_two_pythons(_FOR_35, ".py", init="from . import _x\n"),
        audit={"python-mismatch": "warning"},
    ),
    WheelKind(
        name="module-of-another-python-that-a-function-imports",
        make=of_two_pythons(_FOR_35, init="def f():\n    from twopy import _x\n    return _x\n"),
        audit={"python-mismatch": "error"},
        predicted="python-mismatch",
    ),
    WheelKind(
        name="module-of-another-python-at-the-top",
        make=of_two_pythons(_FOR_35, init="", name="fast"),
        audit={"python-mismatch": "error"},
        predicted="python-mismatch",
    ),
    WheelKind(
        name="policy-with-zeros",
        make=suffixed(".abi3", "cp36-abi3-manylinux_2_017_x86_64"),
        audit=_MISMATCH,
        predicted="tag-unsupported-by-pip",
    ),
    WheelKind(
        name="policy-that-no-pip-counts-down-to",
        make=suffixed(".abi3", "cp36-abi3-manylinux_1_0_x86_64"),
        audit=_MISMATCH,
        predicted="tag-unsupported-by-pip",
    ),
    WheelKind(
        name="tag-of-indexes-that-take-none",
        make=suffixed(".abi3", "cp36-abi3-linux_x86_64"),
        audit={"policy-mismatch": "warning"},
    ),
    WheelKind(
        name="abi-without-native-code",
        make=no_native("cp39-abi3-manylinux_2_17_x86_64"),
        audit={"platform-tag-needless": "error"},
    ),
    WheelKind(
        name="platform-without-native-code",
        make=no_native("py3-none-manylinux_2_17_x86_64"),
        audit={"platform-tag-needless": "warning"},
    ),
    WheelKind(
        name="syntax-too-new-for-the-oldest",
        make=source(_MATCH),
        predicted=("syntax-error", WORKS, WORKS, WORKS),
    ),
    WheelKind(
        name="syntax-of-python-2",
        make=source("print 'x'\n", "old.py"),
        predicted="syntax-error",
    ),
    WheelKind(
        name="syntax-of-a-merge",
        make=source("x = 1\n<<<<<<< HEAD\ny = 2\n=======\n", "merged.py"),
        predicted="syntax-error",
    ),
    WheelKind(
        name="syntax-that-only-the-compiler-refuses",
        make=source("return 1\n", "cut.py"),
        predicted="syntax-error",
    ),
    WheelKind(
        name="syntax-of-python-2-that-came-back",
        make=source("try:\n    pass\nexcept OSError, ValueError:\n    pass\n"),
        predicted=("syntax-error", "syntax-error", "syntax-error", WORKS),
    ),
    WheelKind(
        name="syntax-newer-than-the-hosts-own",
        make=source("d = {}\n\n\ndef f():\n    return f'{d['a']}'\n"),
        predicted=("syntax-error", "syntax-error", WORKS, WORKS),
    ),
    WheelKind(
        name="syntax-of-the-newest",
        make=source("x = t'{1}'\n"),
        predicted=("syntax-error", "syntax-error", _KNOWN_ON_3_13, WORKS),
        seen=("syntax-error", "syntax-error", "syntax-error", WORKS),
    ),
    WheelKind(
        name="syntax-bounded",
        make=source(_MATCH, requires_python=">=3.10"),
        predicted=("requires-python", WORKS, WORKS, WORKS),
    ),
    WheelKind(name="syntax-that-looks-newer", make=source('a = """\nmatch x:\n"""\n')),
    WheelKind(
        name="imports-what-left-python",
        make=source("import re, imp\n", "old.py"),
        predicted=(WORKS, WORKS, "removed-module", "removed-module"),
    ),
    WheelKind(
        name="imports-what-setuptools-brought",
        make=source("from pkg_resources import resource_filename\n", "old.py"),
        predicted=(WORKS, WORKS, "removed-module", "removed-module"),
    ),
    WheelKind(
        name="imports-by-a-call-what-setuptools-brought",
        make=source("__import__('pkg_resources').resource_filename\n", "old.py"),
        predicted=(WORKS, WORKS, "removed-module", "removed-module"),
    ),
    WheelKind(
        name="imports-by-a-call-what-may-be-there",
        make=source(
            "try:\n    __import__('pkg_resources').resource_filename\nexcept ImportError:\n    pass\n",
            "old.py",
        ),
    ),
    WheelKind(
        name="imports-what-nothing-declares",
        make=source("from absent.part import b\n", "old.py"),
        predicted="undeclared-dependency",
    ),
    WheelKind(
        name="imports-what-left-python-if-it-is-there",
        make=source("try:\n    import imp\nexcept ImportError:\n    imp = None\n", "old.py"),
    ),
    WheelKind(
        name="speaks-of-what-left-python",
        make=source('"""Once:\n\nimport imp\n"""\n# import imp\n', "old.py"),
    ),
    WheelKind(
        name="module-of-pythons-own-name",
        make=modules_at_top("statistics"),
        seen="module-shadowed",
    ),
    WheelKind(
        name="abort-at-the-interpreters-end",
        make=ends("import atexit, os\natexit.register(os.abort)\n"),
        seen="crash",
    ),
    WheelKind(
        name="looks-up-its-own-host",
        make=ends("import socket\nsocket.gethostbyname(socket.gethostname())\n"),
    ),
    WheelKind(
        name="looks-up-localhost", make=ends("import socket\nsocket.getaddrinfo('localhost', 80)\n")
    ),
    WheelKind(name="start-file-that-works", make=started_by("import starts\n")),
    WheelKind(
        name="start-file-imports-what-is-not-there",
        make=started_by("import absent_module\n"),
        audit={"start-file-broken": "warning"},
    ),
    WheelKind(
        name="start-file-that-does-not-compile",
        make=started_by("import sys; if sys: pass\n"),
        audit={"start-file-broken": "warning"},
    ),
    WheelKind(
        name="start-file-that-is-not-utf-8",
        make=started_by(b"\xff"),
        audit={"start-file-broken": "error"},
        predicted="start-file-broken",
        seen="import-exited",
    ),
    WheelKind(name="start-file-that-raises", make=started_by("import sys; sys.nothing\n")),
    WheelKind(
        name="start-file-of-a-development-installation",
        make=started_by("/home/builder/project/src\n"),
    ),
    WheelKind(
        name="start-file-of-callables-without-one",
        make=started_by("starts\n", "arrive.start"),
        audit={"start-file-broken": "warning"},
    ),
    WheelKind(
        name="imports-what-nothing-declares-beside-a-start-file",
        make=started_by("import starts\n", init="import absent_module\n"),
        predicted="undeclared-dependency",
    ),
    WheelKind(name="module-by-data-purelib", make=arriving_by("purelib")),
)
