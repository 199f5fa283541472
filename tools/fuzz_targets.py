"""What is fuzzed: for each reader of bytes from outside some sound examples, and a call.

A call ends in an answer or in an error of ours, whatever the bytes; anything else is a find. What was
found is kept in tests/data/fuzz, a folder for each target, with inputs that reach far into the reader.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from elf_files import ElfSpec, Segment, Want
from run_records import make_run, make_verdict, make_wheel_record
from wheels import NATIVE, build_wheel, extension_spec, make_record

from pytest_manylinux.config.merge import file_layer, merge
from pytest_manylinux.engines.transfer import unpack
from pytest_manylinux.errors import ManylinuxError
from pytest_manylinux.inspect.audit import audit_wheel
from pytest_manylinux.inspect.elf import read_elf
from pytest_manylinux.inspect.wheel_file import glance, open_wheel, read_wheel
from pytest_manylinux.report.proof import decode_proof, encode_proof
from pytest_manylinux.trials.protocol import GarbledError, read_answers
from pytest_manylinux.trials.result import read_listing

_NAME = f"demo-1.0-{NATIVE}.whl"
_INFO = "demo-1.0.dist-info"
_MEMBERS = ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt")
_NONCE = b"0123456789abcdef0123456789abcdef"
_ANSWERS = (
    b'{"kind": "start", "python": "3.11.2", "libc": "glibc 2.36"}',
    b'{"kind": "begin", "name": "demo"}',
    (
        b'{"kind": "import", "name": "demo", "ending": {"exit_code": 0, "signal": null, '
        b'"overdue": false, "output": "", "duration": 0.1}, "report": {"status": "ok", '
        b'"loaded": ["/x.so"], "inner": {}}}'
    ),
    b'{"kind": "beside", "name": "demo.x", "report": {"status": "ok"}}',
    b'{"kind": "end"}',
)
_CONFIGURATION = b"""[tool.pytest-manylinux]
policy = "manylinux1"
distros = ["debian-12", "debian-1*"]
python = ["cp311"]
trial-timeout = 30
programs = ["demo --version"]
gate = { distros = ["debian-12"], max-age = "7 days" }
[[tool.pytest-manylinux.expect]]
distro = "debian-testing"
finding = "executable-stack"
reason = "why"
[[tool.pytest-manylinux.distro]]
id = "debian-12"
title = "ours"
"""
_LISTING = (
    b"\tlibx.so.1 => not found\n\tlibc.so.6 => /lib/libc.so.6 (0x7f)\n./a: version `G_2' not found"
)


@dataclass(frozen=True)
class Target:
    """Sound or nearly sound `examples`; `call` raises nothing."""

    examples: Callable[[], tuple[bytes, ...]]
    call: Callable[[bytes], None]


@contextlib.contextmanager
def ours() -> Iterator[None]:
    """Let errors of ours pass: one line, without control characters."""
    try:
        yield
    except ManylinuxError as error:
        _hold_to_form(error)
    except GarbledError:
        pass


def _hold_to_form(error: ManylinuxError) -> None:
    assert error.what, "an error that says nothing"
    assert error.what.isprintable(), f"not printable: {error.what!r}"


def _read_wheel(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, _NAME)
        path.write_bytes(data)
        with ours():
            glance(path)
        with ours():
            audit_wheel(read_wheel(open_wheel(path)))


def _wheel_examples() -> tuple[bytes, ...]:
    files: dict[str, bytes | str] = {
        "demo/__init__.py": "x",
        "demo/_x.so": extension_spec("_x").build(),
    }
    with tempfile.TemporaryDirectory() as folder:
        native = build_wheel(Path(folder), files, tag=NATIVE, entry_points={"demo": "demo:main"})
        pure = build_wheel(Path(folder), {"demo.py": ""}, requires=["a>=1; python_version>'3'"])
        return native.read_bytes(), pure.read_bytes()


def _read_members(data: bytes) -> None:
    """As a wheel, sound but for its .dist-info: parts of `data`, divided by NUL, are its files."""
    parts = dict(zip(_MEMBERS, data.split(b"\0"), strict=False))
    content = {"demo.py": b"", **{f"{_INFO}/{name}": part for name, part in parts.items() if part}}
    if f"{_INFO}/RECORD" not in content:
        content[f"{_INFO}/RECORD"] = make_record(content, f"{_INFO}/RECORD")
    _read_wheel(_zipped(content))


def _member_examples() -> tuple[bytes, ...]:
    with zipfile.ZipFile(io.BytesIO(_wheel_examples()[0])) as file:
        sound = {name: file.read(f"{_INFO}/{name}") for name in _MEMBERS[:2]}
    scripts = b"[console_scripts]\ndemo = demo:main [extra]\n"
    metadata = sound["METADATA"] + b"Requires-Dist: b[c]; extra == 'd'\nRequires-Python: >=3\n\ntext"
    return (
        b"\0".join([metadata, sound["WHEEL"], b"", scripts]),
        b"\0".join([metadata, sound["WHEEL"], b'demo.py,sha256=47DEQpj8,0\n"a,b",,\n', scripts, b"a"]),
    )


def _read_names(data: bytes) -> None:
    """As a wheel whose files have the lines of `data` for names."""
    content = {_text(line): b"" for line in data.split(b"\n") if line}
    content |= {
        f"{_INFO}/{name}": b"Wheel-Version: 1.0\nName: demo\nVersion: 1.0" for name in _MEMBERS[:2]
    }
    content[f"{_INFO}/RECORD"] = make_record(content, f"{_INFO}/RECORD")
    _read_wheel(_zipped(content))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _zipped(content: dict[str, bytes]) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as file:
        for name, part in content.items():
            info = zipfile.ZipInfo("x")
            info.filename = name
            file.writestr(info, part)
    return output.getvalue()


def _read_elf(data: bytes) -> None:
    with ours():
        read_elf("x.so", data)


def _elf_examples() -> tuple[bytes, ...]:
    specs = [
        ElfSpec(
            arch=arch,
            hash_style=style,
            sections=sections,
            needed=("liba.so.1", "libc.so.6"),
            soname="libx.so",
            rpath="$ORIGIN/../x.libs",
            wants=(Want("memcpy", "GLIBC_2.14", "libc.so.6"), Want("a", "A_1", "liba.so.1")),
            exports=("PyInit_x", "b@B_1", "c@B_2"),
            rodata=b"\0libz.so.1\0/etc/ssl/cert.pem\0",
            symtab=sections,
            loads=(Segment(),),
        )
        for arch, style, sections in (
            ("x86_64", "gnu", True),
            ("i686", "sysv", False),
            ("s390x", "gnu", False),
        )
    ]
    return tuple(spec.build() for spec in specs)


def _read_proof(data: bytes) -> None:
    with ours():
        decode_proof(data)


def _proof_examples() -> tuple[bytes, ...]:
    wheel = make_wheel_record(_NAME)
    verdicts = [make_verdict(wheel, subject) for subject in ("audit", "debian-12-cp311-x86_64")]
    return encode_proof(make_run()), encode_proof(make_run([wheel], verdicts))


def _read_configuration(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder, ours():
        path = Path(folder, "pyproject.toml")
        path.write_bytes(data)
        merge([file_layer(path, shown="pyproject.toml")])


def _read_answers(data: bytes) -> None:
    """Lines of `data` without their heads, or all of it as it is."""
    with ours():
        read_answers(data)
    lines = [b"%s %d %s\n" % (_NONCE, number, line) for number, line in enumerate(data.split(b"\n"))]
    with ours():
        read_answers(b"".join(lines))
    read_listing(_text(data))


def _read_archive(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "outside").write_bytes(b"precious")
        with ours():
            unpack(io.BytesIO(data), "x", Path(folder, "in", "out"), bound=1 << 16)
        there = {path.name for path in Path(folder).iterdir()}
        assert there <= {"outside", "in"}, f"came out: {there}"
        assert {path.name for path in Path(folder).glob("in/*")} <= {"out"}
        assert (Path(folder) / "outside").read_bytes() == b"precious"
        assert not [path for path in Path(folder).rglob("*") if path.is_symlink()]


def _archive_examples() -> tuple[bytes, ...]:
    import tarfile  # noqa: PLC0415 - for these only

    found = []
    for kind in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=kind) as tar:
            for name, of, link in (
                ("x", tarfile.DIRTYPE, ""),
                ("x/ä", tarfile.REGTYPE, ""),
                ("x/hard", tarfile.LNKTYPE, "x/ä"),
                ("x/link", tarfile.SYMTYPE, "../.."),
            ):
                member = tarfile.TarInfo(name)
                member.type, member.linkname = of, link
                tar.addfile(member)
        found.append(stream.getvalue())
    return tuple(found)


def _always(*examples: bytes) -> Callable[[], tuple[bytes, ...]]:
    return lambda: examples


TARGETS = {
    "elf": Target(_elf_examples, _read_elf),
    "wheel": Target(_wheel_examples, _read_wheel),
    "members": Target(_member_examples, _read_members),
    "names": Target(_always(b"demo.py\ndemo/_x.so\ndemo-1.0.data/scripts/x", b"a/../b"), _read_names),
    "proof": Target(_proof_examples, _read_proof),
    "configuration": Target(_always(_CONFIGURATION), _read_configuration),
    "answers": Target(_always(b"\n".join(_ANSWERS), _LISTING), _read_answers),
    "archive": Target(_archive_examples, _read_archive),
}
