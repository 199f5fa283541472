"""Files that a package index takes or refuses, each with the rules that it breaks.

A case makes one file in a folder. `rules` are names of rules in upload_rules/pypi.toml; none means that
PyPI takes the file. What PyPI's own code says of the same files is compared by tests/index.
"""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wheels import build_wheel

FILES: Mapping[str, bytes | str] = {"demo/__init__.py": "x = 1\n"}
INFO = "demo-1.0.dist-info"
WHEEL = "demo-1.0-py3-none-any.whl"
SDIST = "demo-1.0.tar.gz"
RST = "Title\n=====\n\nText with `a link <https://example.org>`_.\n"
BROKEN_RST = "Title\n=====\n\n.. no-such-directive:: x\n\n`unclosed <\n\n.. image::\n"

Maker = Callable[[Path], Path]


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadCase:
    """One file to upload: how to make it, and the rules that it breaks, by name."""

    name: str
    make: Maker
    rules: tuple[str, ...] = ()


def metadata(*lines: str, version: str = "2.1", body: str = "", without: tuple[str, ...] = ()) -> bytes:
    """METADATA of demo 1.0 with more fields; a line that names a field given here replaces it."""
    head = {"Metadata-Version": version, "Name": "demo", "Version": "1.0"}
    for line in lines:
        head.pop(line.partition(":")[0], None)
    kept = [f"{key}: {value}" for key, value in head.items() if key not in without]
    return ("\n".join([*kept, *lines]) + "\n" + (f"\n{body}" if body else "")).encode()


def wheel(**made: object) -> Maker:
    """A wheel of demo 1.0, made as build_wheel's arguments say."""

    def make(folder: Path) -> Path:
        files: Mapping[str, bytes | str] = {**FILES, **made.pop("files", {})}  # type: ignore[dict-item]
        return build_wheel(folder, files, **made)  # type: ignore[arg-type]

    return make


def says(*lines: str, files: Mapping[str, bytes | str] | None = None, **options: object) -> Maker:
    """A wheel whose METADATA has these lines."""
    return wheel(metadata=metadata(*lines, **options), files=files or {})  # type: ignore[arg-type]


def tagged(platform: str) -> Maker:
    """A wheel for CPython 3.11 with this platform tag."""
    return wheel(tag=f"cp311-cp311-{platform}")


def changed(change: Callable[[bytearray], object], **made: object) -> Maker:
    """A sound wheel whose bytes were changed."""

    def make(folder: Path) -> Path:
        path = wheel(**made)(folder)
        data = bytearray(path.read_bytes())
        change(data)
        path.write_bytes(data)
        return path

    return make


def with_entry(**fields: object) -> Maker:
    """A sound wheel with one more file, whose zip entry has these attributes."""

    def make(folder: Path) -> Path:
        path = wheel()(folder)
        info = zipfile.ZipInfo("demo/more.txt", (2020, 1, 1, 0, 0, 0))
        for field, value in fields.items():
            setattr(info, field, value)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(info, b"more")
        return path

    return make


def streamed(folder: Path) -> Path:
    """A wheel that was written to a pipe: sizes follow the data."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.data += bytes(data)  # type: ignore[call-overload]
            return len(bytes(data))  # type: ignore[call-overload]

    sound = wheel()(folder)
    pipe = Pipe()
    with zipfile.ZipFile(sound) as source, zipfile.ZipFile(pipe, "w") as target:
        for info in source.infolist():
            target.writestr(info.filename, source.read(info))
    sound.write_bytes(pipe.data)
    return sound


def zeros(mebibytes: int) -> Maker:
    """A wheel with one file of zeros."""
    return wheel(files={"demo/zeros.bin": bytes(mebibytes * 1024**2)})


def sdist(
    members: Mapping[str, bytes] | None = None,
    *,
    filename: str = SDIST,
    pkg_info: bytes | None = None,
    top: str = "demo-1.0",
) -> Maker:
    """A source distribution of demo 1.0; `members` are more files, by their whole paths."""

    def make(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        content = {f"{top}/demo/__init__.py": b"x = 1\n", **(members or {})}
        if pkg_info != b"":
            content[f"{top}/PKG-INFO"] = metadata() if pkg_info is None else pkg_info
        with tarfile.open(folder / filename, "w:gz") as archive:
            for name, data in content.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        return folder / filename

    return make


def sparse_sdist(folder: Path) -> Path:
    """One member is a sparse file of GNU tar, as PAX headers state it."""
    path = sdist()(folder)
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name, data, headers in (
            ("demo-1.0/PKG-INFO", metadata(), {}),
            ("demo-1.0/hole.bin", b"1\n0\n1\nx" + bytes(505), _SPARSE),
        ):
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = len(data), headers
            archive.addfile(info, io.BytesIO(data))
    return path


_SPARSE = {
    "GNU.sparse.major": "1",
    "GNU.sparse.minor": "0",
    "GNU.sparse.name": "demo-1.0/hole.bin",
    "GNU.sparse.realsize": "1",
}


def zip_sdist(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "demo-1.0.zip", "w") as archive:
        archive.writestr("demo-1.0/PKG-INFO", metadata())
    return folder / "demo-1.0.zip"


def plain(filename: str, content: bytes) -> Maker:
    """A file of any bytes."""

    def make(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / filename).write_bytes(content)
        return folder / filename

    return make


def _other_crc_name(data: bytearray) -> None:
    """The first file's own header names it otherwise than the directory."""
    place = data.find(b"demo/__init__.py")
    data[place : place + 4] = b"demx"


def _one_entry_more(data: bytearray) -> None:
    end = data.rfind(b"PK\x05\x06")
    for place in (end + 8, end + 10):
        (count,) = struct.unpack_from("<H", data, place)
        struct.pack_into("<H", data, place, count + 1)


def _two_wheels_in_one(data: bytearray) -> None:
    data[:0] = bytes(data)


LICENSED = {f"{INFO}/licenses/LICENSE": "MIT\n"}
ENTRY = f"{INFO}/entry_points.txt"

NAMES = (
    UploadCase(name="sound wheel", make=wheel()),
    UploadCase(name="build number", make=wheel(filename="demo-1.0-1-py3-none-any.whl")),
    UploadCase(
        name="build tag that is no number",
        make=wheel(filename="demo-1.0-x1-py3-none-any.whl"),
        rules=("file-name",),
    ),
    UploadCase(
        name="seven parts",
        make=wheel(filename="demo-1.0-1-py3-none-any-x.whl"),
        rules=("wheel-variant",),
    ),
    UploadCase(
        name="eight parts", make=wheel(filename="demo-1.0-1-py3-none-any-x-y.whl"), rules=("file-name",)
    ),
    UploadCase(
        name="wheel variant",
        make=wheel(filename="demo-1.0-py3-none-any-x86_64_v3.whl"),
        rules=("wheel-variant",),
    ),
    UploadCase(
        name="variant label in capitals",
        make=wheel(filename="demo-1.0-py3-none-any-X86.whl"),
        rules=("file-name",),
    ),
    UploadCase(
        name="two parts",
        make=wheel(filename="demo-1.0.whl"),
        rules=("file-name", "dist-info", "record"),
    ),
    UploadCase(
        name="name in capitals",
        make=wheel(name="Demo", metadata=metadata("Name: Demo")),
        rules=("name-not-normalized",),
    ),
    UploadCase(
        name="name with a dot",
        make=wheel(name="de.mo", metadata=metadata("Name: de.mo")),
        rules=("name-not-normalized",),
    ),
    UploadCase(
        name="name with underscores", make=wheel(name="de-mo", metadata=metadata("Name: de.mo"))
    ),
    UploadCase(name="another project's name", make=says("Name: other"), rules=("name-differs",)),
    UploadCase(name="another version", make=says("Version: 1.1"), rules=("version-differs",)),
    UploadCase(name="the version in other words", make=says("Version: 1.0.0")),
    UploadCase(
        name="renamed wheel",
        make=wheel(filename="other-1.0-py3-none-any.whl"),
        rules=("dist-info", "record"),
    ),
    UploadCase(
        name="dist-info by the version in other words",
        make=wheel(filename="demo-1.0.0-py3-none-any.whl"),
        rules=("dist-info", "record"),
    ),
    UploadCase(name="an egg", make=plain("demo-1.0-py3.11.egg", b"PK"), rules=("file-kind",)),
    UploadCase(name="a signature", make=plain(f"{WHEEL}.asc", b"-----"), rules=("file-kind",)),
    UploadCase(name="wheel that is text", make=plain(WHEEL, b"<html>"), rules=("archive-unreadable",)),
    UploadCase(name="sdist that is text", make=plain(SDIST, b"<html>"), rules=("archive-unreadable",)),
)

_TAKEN = (
    *("manylinux1_x86_64", "manylinux2010_i686", "manylinux2014_ppc64", "manylinux_2_5_x86_64"),
    *("manylinux_2_17_x86_64.manylinux2014_x86_64", "manylinux_2_39_riscv64", "manylinux_9_99_ppc64"),
    *("musllinux_1_2_aarch64", "linux_armv7l", "macosx_10_9_universal2", "macosx_14_0_arm64"),
    *("win_amd64", "ios_13_0_arm64_iphoneos", "android_24_arm64_v8a", "pyemscripten_2025_0_wasm32"),
)
_REFUSED = (
    *("linux_x86_64", "linux_aarch64", "manylinux_2_38_loongarch64", "musllinux_1_2_ppc64"),
    *("manylinux2014_riscv64", "manylinux1_aarch64", "manylinux_2_17_x86_64.linux_x86_64"),
    *("macosx_14_2_arm64", "macosx_16_0_arm64", "win_arm32", "freebsd_14_0_release_amd64"),
)
TAGS = (
    *(UploadCase(name=f"tag {tag}", make=tagged(tag)) for tag in _TAKEN),
    *(UploadCase(name=f"tag {tag}", make=tagged(tag), rules=("platform-tag",)) for tag in _REFUSED),
)

ARCHIVES = (
    UploadCase(name="bzip2", make=wheel(method=zipfile.ZIP_BZIP2), rules=("packing-method",)),
    UploadCase(name="LZMA", make=wheel(method=zipfile.ZIP_LZMA), rules=("packing-method",)),
    UploadCase(name="stored", make=wheel(method=zipfile.ZIP_STORED)),
    UploadCase(name="65 MiB of zeros", make=zeros(65), rules=("packing-ratio",)),
    UploadCase(name="60 MiB of zeros", make=zeros(60)),
    UploadCase(name="sizes after the data", make=streamed, rules=("zip-framing",)),
    UploadCase(
        name="comment of a file",
        make=with_entry(comment=b"hello"),
        rules=("zip-framing", "record-differs"),
    ),
    UploadCase(name="file twice", make=with_entry(filename="demo/__init__.py"), rules=("zip-framing",)),
    UploadCase(
        name="control character in a path",
        make=with_entry(filename="demo/a\x1bb"),
        rules=("zip-framing", "record-differs"),
    ),
    UploadCase(
        name="another name in the header", make=changed(_other_crc_name), rules=("zip-framing",)
    ),
    UploadCase(name="an entry too few", make=changed(_one_entry_more), rules=("zip-framing",)),
    UploadCase(name="something before", make=changed(_two_wheels_in_one), rules=("zip-framing",)),
    UploadCase(
        name="something after",
        make=changed(lambda data: data.extend(b"trailing")),
        rules=("zip-framing",),
    ),
    UploadCase(
        name="no WHEEL", make=wheel(leave_out=("WHEEL",)), rules=("dist-info", "record-differs")
    ),
    UploadCase(
        name="no METADATA", make=wheel(leave_out=("METADATA",)), rules=("dist-info", "record-differs")
    ),
    UploadCase(name="no RECORD", make=wheel(leave_out=("RECORD",)), rules=("record",)),
    UploadCase(name="RECORD of bytes", make=wheel(record=b"\xff\xfe"), rules=("record",)),
    UploadCase(name="RECORD lacks a file", make=with_entry(), rules=("record-differs",)),
    UploadCase(name="program", make=wheel(files={ENTRY: "[console_scripts]\ndemo = demo:main\n"})),
    UploadCase(
        name="program with a path",
        make=wheel(files={ENTRY: "[console_scripts]\n../demo = demo:main\n"}),
        rules=("entry-points",),
    ),
    UploadCase(
        name="program twice",
        make=wheel(files={ENTRY: "[console_scripts]\na = demo:a\na = demo:b\n"}),
        rules=("entry-points",),
    ),
    UploadCase(
        name="entry points with a colon",
        make=wheel(files={ENTRY: "[console_scripts]\ndemo: demo:main\n"}),
        rules=("entry-points",),
    ),
    UploadCase(
        name="entry points in Latin 1",
        make=wheel(files={ENTRY: "[x]\na = b:ö\n".encode("latin-1")}),
        rules=("entry-points",),
    ),
    UploadCase(name="licence file", make=says("License-File: LICENSE", version="2.4", files=LICENSED)),
    UploadCase(
        name="licence file that is not there",
        make=says("License-File: COPYING", version="2.4", files=LICENSED),
        rules=("license-file",),
    ),
    UploadCase(name="licence file before 2.4", make=says("License-File: COPYING", version="2.1")),
)

METADATA = (
    UploadCase(name="Metadata-Version 3.0", make=says(version="3.0"), rules=("metadata-version",)),
    UploadCase(name="Metadata-Version 2.5", make=says(version="2.5")),
    UploadCase(name="no name", make=says(without=("Name",)), rules=("metadata-field",)),
    UploadCase(name="an unknown field", make=says("Colour: blue"), rules=("metadata-field",)),
    UploadCase(name="Summary twice", make=says("Summary: a", "Summary: b"), rules=("metadata-field",)),
    UploadCase(
        name="summary of 513 characters", make=says(f"Summary: {'x' * 513}"), rules=("summary",)
    ),
    UploadCase(name="summary of 512 characters", make=says(f"Summary: {'x' * 512}")),
    UploadCase(
        name="local version",
        make=wheel(version="1.0+local", metadata=metadata("Version: 1.0+local")),
        rules=("local-version",),
    ),
    UploadCase(name="e-mail", make=says("Author-Email: A B <a@example.org>")),
    UploadCase(name="e-mail without a domain", make=says("Author-Email: A <a@b>"), rules=("email",)),
    UploadCase(name="home page by ftp", make=says("Home-page: ftp://example.org"), rules=("url",)),
    UploadCase(name="home page in words", make=says("Home-page: none yet"), rules=("url",)),
    UploadCase(name="project URL", make=says("Project-URL: Source, https://example.org/x")),
    UploadCase(
        name="project URL with a long label",
        make=says(f"Project-URL: {'x' * 33}, https://example.org"),
        rules=("url",),
    ),
    UploadCase(
        name="project URL without a label", make=says("Project-URL: , https://a.org"), rules=("url",)
    ),
    UploadCase(name="project URL in words", make=says("Project-URL: Source, here"), rules=("url",)),
    UploadCase(name="classifier", make=says("Classifier: Programming Language :: Python :: 3")),
    UploadCase(
        name="classifier of one's own", make=says("Classifier: My :: Own"), rules=("classifier",)
    ),
    UploadCase(
        name="private classifier",
        make=says("Classifier: Private :: Do Not Upload"),
        rules=("classifier",),
    ),
    UploadCase(
        name="deprecated classifier",
        make=says("Classifier: Natural Language :: Ukranian"),
        rules=("classifier",),
    ),
    UploadCase(name="requirement", make=says("Requires-Dist: attrs>=20")),
    UploadCase(
        name="requirement by URL",
        make=says("Requires-Dist: attrs @ https://example.org/attrs-1-py3-none-any.whl"),
        rules=("direct-reference",),
    ),
    UploadCase(
        name="requirement that is none", make=says("Requires-Dist: attrs >="), rules=("metadata-field",)
    ),
    UploadCase(name="dynamic field", make=says("Dynamic: Requires-Dist", version="2.2")),
    UploadCase(name="dynamic name", make=says("Dynamic: Name", version="2.2"), rules=("dynamic",)),
    UploadCase(
        name="SPDX expression", make=says("License-Expression: MIT OR Apache-2.0", version="2.4")
    ),
    UploadCase(
        name="expression that is not SPDX's",
        make=says("License-Expression: My License", version="2.4"),
        rules=("license",),
    ),
    UploadCase(
        name="licence and expression",
        make=says("License: MIT", "License-Expression: MIT", version="2.4"),
        rules=("license",),
    ),
    UploadCase(
        name="Requires-Python in words", make=says("Requires-Python: three"), rules=("requires-python",)
    ),
    UploadCase(name="description", make=says(body=RST)),
    UploadCase(
        name="description that does not render", make=says(body=BROKEN_RST), rules=("description",)
    ),
    UploadCase(name="Markdown", make=says("Description-Content-Type: text/markdown", body=BROKEN_RST)),
    UploadCase(
        name="description in HTML",
        make=says("Description-Content-Type: text/html", body="<p>x</p>"),
        rules=("description",),
    ),
)

SDISTS = (
    UploadCase(name="sound sdist", make=sdist()),
    UploadCase(name="zipped sdist", make=zip_sdist, rules=("sdist-name",)),
    UploadCase(
        name="sdist with a dash",
        make=sdist(filename="de-mo-1.0.tar.gz", pkg_info=metadata("Name: de-mo")),
        rules=("sdist-name",),
    ),
    UploadCase(
        name="sdist with the version in other words",
        make=sdist(filename="demo-1.0.0.tar.gz"),
        rules=("sdist-name",),
    ),
    UploadCase(
        name="another project's sdist",
        make=sdist(pkg_info=metadata("Name: other")),
        rules=("name-differs", "sdist-name"),
    ),
    UploadCase(name="sdist without PKG-INFO", make=sdist(pkg_info=b""), rules=("pkg-info",)),
    UploadCase(name="sdist with two folders", make=sdist({"other/x": b""}), rules=("top-folder",)),
    UploadCase(name="sdist with a sparse file", make=sparse_sdist, rules=("sparse-member",)),
    UploadCase(
        name="sdist with a local version",
        make=sdist(filename="demo-1.0+x.tar.gz", pkg_info=metadata("Version: 1.0+x")),
        rules=("local-version",),
    ),
    UploadCase(
        name="sdist without its licence",
        make=sdist(pkg_info=metadata("License-File: LICENSE", version="2.4")),
        rules=("license-file",),
    ),
    UploadCase(
        name="sdist with its licence",
        make=sdist(
            {"demo-1.0/LICENSE": b"MIT"}, pkg_info=metadata("License-File: LICENSE", version="2.4")
        ),
    ),
    UploadCase(name="sdist under another folder's name", make=sdist(top="other")),
)

CASES = (*NAMES, *TAGS, *ARCHIVES, *METADATA, *SDISTS)
