"""Libraries that tell their version in their bytes, whatever file they were linked into.

Each row has a literal that is looked for (fast enough to be done for every file) or a symbol of the
library's own, and the pattern of its version. The patterns were tried on the libraries inside wheels:
Pillow, cryptography, psycopg2-binary, pycurl, pygit2, pymssql, lxml, h5py, numpy, av, opencv, pyzmq.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from pytest_manylinux.inspect.symbols import Data


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLibrary:
    """A library, where it says its version, and the names that files and packages of it have.

    `name` is upstream's, as in a purl `pkg:generic/NAME`. `anchor` is a literal in its data, `symbol` a
    function that it exports where no literal tells it; the first group of `pattern` is the version. A
    `bare` version is the whole string: it counts only if no other string looks alike. `files` are
    beginnings of its file names, `packages` of what distros call it. `source` is the file of upstream's
    source code that has the text.
    """

    name: str
    source: str
    pattern: bytes
    anchor: bytes = b""
    symbol: str = ""
    bare: bool = False
    files: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    spell: Callable[[str], str] = str


def _of_libxml2(number: str) -> str:
    """`21406` is 2.14.6 (LIBXML_VERSION in xmlversion.h: major * 10000 + minor * 100 + micro)."""
    return f"{number[:-4]}.{int(number[-4:-2])}.{int(number[-2:])}"


_DATE = rb" +\d{1,2} [A-Z][a-z]{2} \d{4}"

KNOWN_LIBRARIES: tuple[KnownLibrary, ...] = (
    KnownLibrary(
        name="openssl",
        source="openssl: include/openssl/opensslv.h, OPENSSL_VERSION_TEXT",
        anchor=b"OpenSSL ",
        pattern=rb"OpenSSL (\d+\.\d+\.\d+[a-z]{0,2})(?:-[\w.-]+)?(?: +FIPS)?" + _DATE,
        files=("libssl", "libcrypto"),
        packages=("openssl", "libssl"),
    ),
    KnownLibrary(
        name="libressl",
        source="libressl: include/openssl/opensslv.h, LIBRESSL_VERSION_TEXT",
        anchor=b"LibreSSL ",
        pattern=rb"LibreSSL (\d+\.\d+\.\d+)",
        packages=("libressl",),
    ),
    KnownLibrary(
        name="mbedtls",
        source="mbedtls: include/mbedtls/build_info.h, MBEDTLS_VERSION_STRING_FULL",
        anchor=b"bed TLS ",
        pattern=rb"[Mm]bed TLS (\d+\.\d+\.\d+)",
        files=("libmbed",),
        packages=("mbedtls", "libmbed"),
    ),
    KnownLibrary(
        name="zlib",
        source="zlib: deflate.c deflate_copyright, inftrees.c inflate_copyright",
        anchor=b"flate ",
        pattern=rb"(?:in|de)flate (\d+(?:\.\d+)+)(?:\.zlib-ng)? Copyright",
        files=("libz.", "libz-"),
        packages=("zlib",),
    ),
    KnownLibrary(
        name="bzip2",
        source="bzip2: bzlib_private.h, BZ_VERSION",
        anchor=b"bzip2/libbzip2: ",
        pattern=rb"(?<![\w.])(\d\.\d\.\d), \d{1,2}-[A-Z][a-z]{2}-\d{4}",
        files=("libbz2",),
        packages=("bzip2", "libbz2"),
    ),
    KnownLibrary(
        name="zstd",
        source="zstd: lib/zstd.h, ZSTD_VERSION_STRING",
        symbol="ZSTD_versionString",
        pattern=rb"(?<![\w.])(1\.\d{1,2}\.\d{1,2})\0",
        bare=True,
        files=("libzstd",),
        packages=("zstd", "libzstd"),
    ),
    KnownLibrary(
        name="xz",
        source="xz: src/liblzma/api/lzma/version.h, LZMA_VERSION_STRING",
        symbol="lzma_version_string",
        pattern=rb"(?<![\w.])(5\.\d{1,2}\.\d{1,2}(?:alpha|beta)?)\0",
        bare=True,
        files=("liblzma",),
        packages=("xz", "liblzma"),
    ),
    KnownLibrary(
        name="libpng",
        source="libpng: png.h, PNG_HEADER_VERSION_STRING",
        anchor=b"libpng version ",
        pattern=rb"libpng version (\d+\.\d+\.\d+)",
        files=("libpng",),
        packages=("libpng",),
    ),
    KnownLibrary(
        name="libjpeg-turbo",
        source="libjpeg-turbo: src/jversion.h.in, JVERSION",
        anchor=b"libjpeg-turbo version ",
        pattern=rb"libjpeg-turbo version (\d+\.\d+(?:\.\d+)*)",
        files=("libjpeg", "libturbojpeg"),
        packages=("libjpeg", "libturbojpeg"),
    ),
    KnownLibrary(
        name="libtiff",
        source="libtiff: libtiff/tiffvers.h, TIFFLIB_VERSION_STR",
        anchor=b"LIBTIFF, Version ",
        pattern=rb"LIBTIFF, Version (\d+\.\d+(?:\.\d+)?)",
        files=("libtiff",),
        packages=("libtiff", "tiff"),
    ),
    KnownLibrary(
        name="sqlite",
        source="sqlite: sqlite3.h, SQLITE_VERSION",
        anchor=b"SQLite format 3\0",
        pattern=rb"(?<![\w.])(3\.\d{1,2}\.\d{1,2})\0",
        bare=True,
        files=("libsqlite3",),
        packages=("sqlite", "libsqlite"),
    ),
    KnownLibrary(
        name="libxml2",
        source="libxml2: include/libxml/xmlversion.h, LIBXML_VERSION_STRING",
        anchor=b"compiled against libxml ",
        pattern=rb"(?<!\d)(2\d{4})(?:-[\w.+-]+)?\0",
        bare=True,
        files=("libxml2",),
        packages=("libxml2",),
        spell=_of_libxml2,
    ),
    KnownLibrary(
        name="expat",
        source="libexpat: expat/lib/xmlparse.c, XML_ExpatVersion",
        anchor=b"expat_",
        pattern=rb"expat_(\d+\.\d+\.\d+)",
        files=("libexpat",),
        packages=("expat", "libexpat"),
    ),
    KnownLibrary(
        name="curl",
        source="curl: lib/version.c, curl_version",
        anchor=b"libcurl/",
        pattern=rb"libcurl/(\d+\.\d+\.\d+)",
        files=("libcurl",),
        packages=("curl", "libcurl"),
    ),
    KnownLibrary(
        name="libssh2",
        source="libssh2: include/libssh2.h, LIBSSH2_VERSION; src/session.h, the banner",
        anchor=b"SSH-2.0-libssh2_",
        pattern=rb"SSH-2\.0-libssh2_(\d+\.\d+\.\d+)",
        files=("libssh2",),
        packages=("libssh2",),
    ),
    KnownLibrary(
        name="krb5",
        source="krb5: src/lib/krb5/krb/brand.c, KRB5_BRAND",
        anchor=b"KRB5_BRAND: ",
        pattern=rb"KRB5_BRAND: krb5-(\d+\.\d+(?:\.\d+)?)",
        files=("libkrb5", "libgssapi_krb5", "libk5crypto", "libkadm5", "libkdb5"),
        packages=("krb5", "libkrb5", "libgssapi-krb5", "libk5crypto"),
    ),
    KnownLibrary(
        name="libgit2",
        source="libgit2: include/git2/version.h, LIBGIT2_VERSION; the user agent",
        anchor=b"libgit2 ",
        pattern=rb"libgit2 (\d+\.\d+\.\d+)",
        files=("libgit2",),
        packages=("libgit2",),
    ),
    KnownLibrary(
        name="libarchive",
        source="libarchive: libarchive/archive.h, ARCHIVE_VERSION_STRING",
        anchor=b"libarchive ",
        pattern=rb"libarchive (\d+\.\d+\.\d+)",
        files=("libarchive",),
        packages=("libarchive",),
    ),
    KnownLibrary(
        name="hdf5",
        source="hdf5: src/H5public.h, H5_VERS_INFO",
        anchor=b"HDF5 library version",
        pattern=rb"HDF5 library version:? (\d+\.\d+\.\d+)",
        files=("libhdf5",),
        packages=("hdf5", "libhdf5"),
    ),
    KnownLibrary(
        name="openblas",
        source="OpenBLAS: driver/others/openblas_get_config.c",
        anchor=b"OpenBLAS ",
        pattern=rb"OpenBLAS (\d+\.\d+\.\d+)",
        files=("libopenblas", "libscipy_openblas"),
        packages=("openblas", "libopenblas"),
    ),
    KnownLibrary(
        name="ffmpeg",
        source="ffmpeg: libavutil/version.c, av_version_info; ffbuild/version.sh",
        anchor=b"FFmpeg version ",
        pattern=rb"FFmpeg version n?(\d+\.\d+(?:\.\d+)?)",
        files=("libavcodec", "libavformat", "libavutil", "libavfilter", "libavdevice", "libsw"),
        packages=("ffmpeg", "libav", "libsw"),
    ),
    KnownLibrary(
        name="libsodium",
        source="libsodium: src/libsodium/include/sodium/version.h, SODIUM_VERSION_STRING",
        symbol="sodium_version_string",
        pattern=rb"(?<![\w.])(1\.0\.\d{1,2})\0",
        bare=True,
        files=("libsodium",),
        packages=("libsodium",),
    ),
)


def known_by_file(filename: str) -> KnownLibrary | None:
    """The library that a file is called for, `libssl-0a1b2c3d.so.3`; None for others."""
    return next((known for known in KNOWN_LIBRARIES if filename.startswith(known.files)), None)


def known_by_package(package: str) -> KnownLibrary | None:
    """The library that a package is of, `openssl-libs` or `libssl3`; None for others."""
    word = package.lower()
    return next((known for known in KNOWN_LIBRARIES if word.startswith(known.packages)), None)


def library_versions(
    data: Data,
    spans: Collection[tuple[int, int]],
    *,
    soname: str,
    exports: Iterable[str],
    needed: Iterable[str],
) -> tuple[tuple[str, str], ...]:
    """The (library, version) pairs that a file's data tells, sorted.

    `spans` are (offset, size) of that data. A file that takes a library from another one may hold the
    text of its headers: what `needed` has is not counted, but for files of the library itself.
    """
    own = known_by_file(soname)
    elsewhere = {known_by_file(name) for name in needed} - {own}
    symbols: set[str] | None = None
    found = set()
    for known in KNOWN_LIBRARIES:
        if known in elsewhere:
            continue
        if known.symbol:
            symbols = {name.partition("@")[0] for name in exports} if symbols is None else symbols
            if known.symbol not in symbols:
                continue
        versions = set(_versions(known, data, spans))
        if not (known.bare and len(versions) > 1):
            found |= {(known.name, known.spell(version)) for version in versions}
    return tuple(sorted(found))


def _versions(known: KnownLibrary, data: Data, spans: Iterable[tuple[int, int]]) -> Iterator[str]:
    pattern = re.compile(known.pattern)
    for offset, size in spans:
        end = min(offset + size, len(data))
        if known.anchor and data.find(known.anchor, offset, end) < 0:
            continue
        for match in pattern.finditer(data, offset, end):
            yield match[1].decode("ascii")
