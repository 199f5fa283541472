from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from elf_files import ElfSpec
from hypothesis import given
from hypothesis import strategies as st
from run_records import make_run
from triggers import GRAFTED, LIBC, auditwheel_sbom, library, native
from wheels import NATIVE, build_wheel

from pytest_manylinux.config.keys import BY_NAME
from pytest_manylinux.config.merge import merge
from pytest_manylinux.diagnose.check_registry import find_check
from pytest_manylinux.diagnose.grafts import agree, contradictions, grafts, old_libraries, version_key
from pytest_manylinux.errors import UsageError
from pytest_manylinux.inspect.elf import read_elf
from pytest_manylinux.inspect.known_libraries import KNOWN_LIBRARIES
from pytest_manylinux.inspect.wheel_file import open_wheel, read_wheel
from pytest_manylinux.model.run import record_wheel
from pytest_manylinux.model.verdict import Finding, Severity
from pytest_manylinux.model.wheel import WheelFacts, is_grafted
from pytest_manylinux.report.cyclonedx import sbom
from pytest_manylinux.run.outcomes import check_bounds
from pytest_manylinux.run.reports import Outputs

SBOM = "demo-1.0.dist-info/sboms/auditwheel.cdx.json"
OWN = "demo-1.0.dist-info/sboms/own.cdx.json"
CRYPTO = "demo.libs/libcrypto-0a1b2c3d.so.3"
FOO = {"name": "foo-libs", "version": "1.2-3.el8", "purl": "pkg:rpm/almalinux/foo-libs@1.2-3.el8"}


def read(folder: Path, files: Mapping[str, bytes | str]) -> WheelFacts:
    content = {"demo/__init__.py": "", **native(), **files}
    return read_wheel(open_wheel(build_wheel(folder, content, tag=NATIVE)))


def found(name: str, facts: WheelFacts) -> tuple[Finding, ...]:
    check = find_check(name)
    assert check.wheel is not None
    return tuple(check.wheel(facts))


def document(*components: dict[str, Any], **fields: Any) -> str:  # noqa: ANN401
    return json.dumps(
        {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": components} | fields
    )


@pytest.mark.parametrize(
    ("path", "grafted"),
    [
        ("demo.libs/libfoo.so.1", True),
        ("demo/.libs/libfoo.so.1", True),
        ("torch/lib/libgomp-a34b3233.so.1", True),
        ("demo.libs/libgfortran-040039e1-0352e75f.so.5.0.0", True),
        ("demo/libfoo.so.1", False),
        ("demo/_x.cpython-311-x86_64-linux-gnu.so", False),
        ("demo.libs-old/libfoo.so", False),
    ],
)
def test_a_graft_is_known_by_its_place_or_digest(path: str, grafted: bool) -> None:  # noqa: FBT001
    assert is_grafted(path) is grafted


def test_auditwheels_reference_is_the_digest_of_the_path_that_the_library_came_from(
    tmp_path: Path,
) -> None:
    odd = {"name": "of-another-name", "version": "9", "purl": "pkg:rpm/x/of-another-name@9"}
    facts = read(
        tmp_path, {GRAFTED: library(), SBOM: auditwheel_sbom(odd, came_from="/lib64/libfoo.so.1")}
    )
    assert [graft.component and graft.component.name for graft in grafts(facts)] == ["of-another-name"]
    assert list(contradictions(facts)) == []
    assert found("graft-unaccounted", facts) == ()


@pytest.mark.parametrize(
    ("file", "package"),
    [
        ("libgfortran-83c28eba.so.5.0.0", "libgfortran"),
        ("libgfortran-83c28eba.so.5.0.0", "libgfortran5"),
        ("libkeyutils-2777d33d.so.1.6", "keyutils-libs"),
        ("libssl-7f59e8e2.so.1.1.1k", "openssl-libs"),
        ("libssl-7f59e8e2.so.3", "libssl3t64"),
        ("libz-7f59e8e2.so.1.2.13", "zlib1g"),
        ("libbrotlidec-8a9f8e0c.so.1.2.1", "brotli"),
        ("libstdc++-0a1b2c3d.so.6.0.30", "libstdc++6"),
        ("libopenblasp-r0-59ffcd50.3.15.so", "openblas-threads"),
        ("libk5crypto-b1f99d5c.so.3.1", "krb5-libs"),
    ],
)
def test_a_package_is_matched_with_the_libraries_of_it(file: str, package: str, tmp_path: Path) -> None:
    purl = f"pkg:deb/debian/{package.replace('+', '%2B')}@1"
    named = document({"type": "library", "name": package, "version": "1", "purl": purl})
    facts = read(tmp_path, {f"demo.libs/{file}": library(soname=file), OWN: named})
    assert [graft.lacks for graft in grafts(facts)] == [()]
    other = document(
        {"type": "library", "name": "libxcb", "version": "1", "purl": "pkg:deb/x/libxcb@1"}
    )
    facts = read(tmp_path, {f"demo.libs/{file}": library(soname=file), OWN: other})
    assert [graft.lacks for graft in grafts(facts)] == [("a component",)]


def test_no_document_is_information_and_a_hole_in_one_a_warning(tmp_path: Path) -> None:
    two = {GRAFTED: library(), CRYPTO: library(soname="libcrypto.so.3")}
    (bare,) = found("graft-unaccounted", read(tmp_path, two))
    assert (bare.severity, bare.message) == (
        Severity.INFORMATION,
        "no SBOM names 2 of 2 grafted libraries",
    )
    (hole,) = found("graft-unaccounted", read(tmp_path, {**two, SBOM: auditwheel_sbom(FOO)}))
    assert hole.severity is Severity.WARNING
    assert hole.evidence == (f"{CRYPTO}: lacks a component",)
    unversioned = document({"type": "library", "name": "foo"})
    (bad,) = found("graft-unaccounted", read(tmp_path, {GRAFTED: library(), OWN: unversioned}))
    assert bad.evidence == (f"{GRAFTED}: lacks a version, a purl",)


WRONG: dict[str, tuple[dict[str, bytes | str], str]] = {
    "not JSON": ({OWN: "<bom/>"}, "own.cdx.json: it is not JSON"),
    "another format": ({OWN: "{}"}, "neither CycloneDX nor SPDX"),
    "another version": (
        {SBOM: auditwheel_sbom(FOO, version="0.9")},
        "is about demo 0.9, not 1.0",
    ),
    "another file": (
        {SBOM: auditwheel_sbom(FOO, file_name="demo-1.0-cp311-cp311-linux_x86_64.whl")},
        "is about demo-1.0-cp311-cp311-linux_x86_64.whl, not this file",
    ),
    "a package that is gone": (
        {
            SBOM: auditwheel_sbom(
                FOO, {"name": "libxcb", "version": "1.13", "purl": "pkg:rpm/x/libxcb@1.13"}
            )
        },
        "names libxcb 1.13, of which no library is in the wheel",
    ),
    "a file that is gone": (
        {
            OWN: document(
                {"name": "foo", "evidence": {"occurrences": [{"location": "demo.libs/old.so"}]}}
            )
        },
        "names foo in demo.libs/old.so, which the wheel has not",
    ),
    "another digest": (
        {
            OWN: document(
                {
                    "name": "foo",
                    "hashes": [{"alg": "SHA-256", "content": "0" * 64}],
                    "evidence": {"occurrences": [{"location": GRAFTED}]},
                }
            )
        },
        f"another SHA-256 for {GRAFTED}",
    ),
    "another library version": (
        {
            CRYPTO: library(soname="libcrypto.so.3", rodata=b"OpenSSL 3.0.7 1 Nov 2022\0"),
            SBOM: auditwheel_sbom(
                FOO,
                {
                    "name": "openssl-libs",
                    "version": "1:3.2.2-6.el9",
                    "purl": "pkg:rpm/x/openssl-libs@3",
                },
            ),
        },
        f"openssl-libs 1:3.2.2-6.el9; {CRYPTO} says 3.0.7",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_document_that_contradicts_the_wheel_is_named(name: str, tmp_path: Path) -> None:
    files, words = WRONG[name]
    facts = read(tmp_path, {GRAFTED: library(), **files})
    findings = found("sbom-wrong", facts)
    assert [finding.severity for finding in findings] == [Severity.WARNING]
    assert words in findings[0].message
    assert findings[0].remedy


def test_what_a_document_rightly_says_is_not_held_against_it(tmp_path: Path) -> None:
    """A crate's own document, the digest of a source archive, a library named by its digest."""
    digest = hashlib.sha256(library()).hexdigest()
    tarball = [{"alg": "SHA-256", "content": "1" * 64}]
    files: dict[str, bytes | str] = {
        GRAFTED: library(),
        OWN: document(
            {
                "name": "x",
                "version": "1",
                "purl": "pkg:generic/x@1",
                "hashes": [{"alg": "SHA-256", "content": digest}],
            },
            {
                "name": "openssl",
                "version": "3.0.1",
                "purl": "pkg:generic/openssl@3.0.1",
                "hashes": tarball,
            },
            metadata={
                "component": {"name": "rust-part", "version": "7", "purl": "pkg:cargo/rust-part@7"}
            },
        ),
    }
    facts = read(tmp_path, files)
    assert list(contradictions(facts)) == []
    assert [graft.component and graft.component.name for graft in grafts(facts)] == ["x"]


def test_spdx_is_read_too(tmp_path: Path) -> None:
    reference = {"referenceType": "purl", "referenceLocator": "pkg:generic/foo@1.2"}
    spdx = {
        "spdxVersion": "SPDX-2.3",
        "packages": [{"name": "foo", "versionInfo": "1.2", "externalRefs": [reference]}],
    }
    facts = read(
        tmp_path, {GRAFTED: library(), "demo-1.0.dist-info/sboms/a.spdx.json": json.dumps(spdx)}
    )
    assert [graft.lacks for graft in grafts(facts)] == [()]
    assert list(contradictions(facts)) == []


KEYS = (
    *("metadata", "components", "component", "tools", "name", "purl", "hashes", "alg", "evidence"),
    *("occurrences", "bom-ref", "licenses", "packages", "location", "version", "externalRefs"),
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(ANY_JSON)
def test_any_json_is_read_or_told(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    data = {"bomFormat": "CycloneDX", **value} if isinstance(value, dict) else value
    facts = read(tmp_path_factory.mktemp("json"), {GRAFTED: library(), OWN: json.dumps(data)})
    assert len(facts.sboms) == 1
    list(contradictions(facts))


def test_a_licence_is_looked_for_by_the_librarys_name(tmp_path: Path) -> None:
    (told,) = found("graft-license", read(tmp_path, {GRAFTED: library()}))
    assert (told.severity, told.evidence) == (Severity.INFORMATION, (GRAFTED,))
    for place in (
        "demo-1.0.dist-info/licenses/LICENSE",
        "demo/LICENSE.txt",
        "demo-1.0.dist-info/COPYING",
    ):
        assert found("graft-license", read(tmp_path, {GRAFTED: library(), place: "Foo is MIT."})) == ()
    source = read(tmp_path, {GRAFTED: library(), "demo/license.py": "foo"})
    assert len(found("graft-license", source)) == 1
    stated = FOO | {"licenses": [{"license": {"id": "MIT"}}]}
    assert (
        found("graft-license", read(tmp_path, {GRAFTED: library(), SBOM: auditwheel_sbom(stated)}))
        == ()
    )


TEXTS = [
    ("openssl", b"OpenSSL 3.0.13 30 Jan 2024", "3.0.13"),
    ("openssl", b"OpenSSL 1.1.1k  FIPS 25 Mar 2021", "1.1.1k"),
    ("openssl", b"OpenSSL 1.1.1w  11 Sep 2023", "1.1.1w"),
    ("openssl", b"OpenSSL 1.0.2k-fips  26 Jan 2017", "1.0.2k"),
    ("libressl", b"LibreSSL 3.8.2", "3.8.2"),
    ("mbedtls", b"Mbed TLS 3.6.0", "3.6.0"),
    ("zlib", b" deflate 1.2.13 Copyright 1995-2022 Jean-loup Gailly and Mark Adler ", "1.2.13"),
    ("zlib", b" inflate 1.3.1.zlib-ng Copyright 1995-2024 Mark Adler ", "1.3.1"),
    ("bzip2", b"bzip2/libbzip2: internal error\x001.0.8, 13-Jul-2019", "1.0.8"),
    ("libpng", b" libpng version 1.6.43 - February 23, 2024\n", "1.6.43"),
    ("libjpeg-turbo", b"libjpeg-turbo version 2.1.5.1 (build 20230203)", "2.1.5.1"),
    ("libtiff", b"LIBTIFF, Version 4.6.0\nCopyright", "4.6.0"),
    ("sqlite", b"SQLite format 3\x00\x003.45.1", "3.45.1"),
    ("libxml2", b"program compiled against libxml %d using\x0020914", "2.9.14"),
    ("libxml2", b"program compiled against libxml %d using\x0021205-GITv2.12.5", "2.12.5"),
    ("expat", b"expat_2.6.2", "2.6.2"),
    ("curl", b"libcurl/8.6.0", "8.6.0"),
    ("libssh2", b"SSH-2.0-libssh2_1.11.0", "1.11.0"),
    ("krb5", b"KRB5_BRAND: krb5-1.20.1-final 1.20.1 20221115", "1.20.1"),
    ("libgit2", b"libgit2 1.9.7", "1.9.7"),
    ("libarchive", b"libarchive 3.7.2", "3.7.2"),
    ("hdf5", b"HDF5 library version: 2.0.0", "2.0.0"),
    ("openblas", b"OpenBLAS 0.3.27 DYNAMIC_ARCH NO_AFFINITY", "0.3.27"),
    ("ffmpeg", b"FFmpeg version n6.1", "6.1"),
]


@pytest.mark.parametrize(("name", "text", "version"), TEXTS)
def test_a_library_is_known_by_its_text(name: str, text: bytes, version: str) -> None:
    data = ElfSpec(needed=LIBC, rodata=b"\0" + text + b"\0").build()
    assert read_elf("x.so", data).library_versions == ((name, version),)


@pytest.mark.parametrize(
    ("symbol", "name", "version"),
    [
        ("ZSTD_versionString", "zstd", "1.5.7"),
        ("lzma_version_string", "xz", "5.6.1"),
        ("sodium_version_string", "libsodium", "1.0.18"),
    ],
)
def test_a_library_is_known_by_a_symbol_of_its_own(symbol: str, name: str, version: str) -> None:
    text = b"\0" + version.encode() + b"\0"
    known = ElfSpec(needed=LIBC, exports=(f"{symbol}@V_1",), rodata=text)
    assert read_elf("x.so", known.build()).library_versions == ((name, version),)
    assert read_elf("x.so", ElfSpec(needed=LIBC, rodata=text).build()).library_versions == ()


def test_every_known_library_has_a_text_or_symbol_that_is_tried_here() -> None:
    tried = {name for name, _, _ in TEXTS} | {"zstd", "xz", "libsodium"}
    assert tried == {known.name for known in KNOWN_LIBRARIES}
    assert all(known.source and bool(known.anchor) != bool(known.symbol) for known in KNOWN_LIBRARIES)


def test_a_header_of_a_library_that_is_linked_in_by_the_loader_does_not_count() -> None:
    text = b"\0OpenSSL 3.0.13 30 Jan 2024\0"
    linked = ElfSpec(needed=("libssl-0a1b2c3d.so.3", *LIBC), rodata=text)
    assert read_elf("x.so", linked.build()).library_versions == ()
    itself = ElfSpec(
        soname="libssl-0a1b2c3d.so.3", needed=("libcrypto-0a1b2c3d.so.3", *LIBC), rodata=text
    )
    assert read_elf("x.so", itself.build()).library_versions == (("openssl", "3.0.13"),)


def test_two_strings_that_could_be_the_version_tell_none() -> None:
    spec = ElfSpec(needed=LIBC, rodata=b"SQLite format 3\0003.45.1\0003.1.2\0")
    assert read_elf("x.so", spec.build()).library_versions == ()


def test_the_machines_own_libraries_tell_what_their_packages_say() -> None:
    """Held against dpkg, where there is one: the upstream version of the package that has the file."""
    compared = 0
    for path in sorted(Path("/usr/lib").glob("*-linux-gnu/lib*.so.*")):
        if path.is_symlink() or not path.is_file():
            continue
        versions = dict(read_elf(path.name, path.read_bytes()).library_versions)
        known = next((k for k in KNOWN_LIBRARIES if path.name.startswith(k.files)), None)
        if known is None or known.name not in versions:
            continue
        version = _package_version(path)
        if version:
            compared += 1
            assert agree(version, versions[known.name]), (path.name, version, versions)
    if not compared:
        pytest.skip("no dpkg, or no known library, on this machine")


def _package_version(path: Path) -> str:
    try:
        owner = subprocess.run(["dpkg", "-S", path], capture_output=True, text=True, check=True).stdout
        query = ["dpkg-query", "-W", "-f=${Version}", owner.partition(": ")[0]]
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.1.1", "1.1.1k"),
        ("1.1.1k", "1.1.1w"),
        ("1.0.2z", "1.0.2za"),
        ("1.1.1w", "3.0.0"),
        ("3.0.9", "3.0.13"),
        ("5.6.0beta", "5.6.0"),
        ("5.6.0alpha", "5.6.0beta"),
        ("2.1.5", "2.1.5.1"),
    ],
)
def test_versions_are_ordered_as_upstream_means_them(older: str, newer: str) -> None:
    assert version_key(older) < version_key(newer)
    assert not version_key(newer) < version_key(older)


@pytest.mark.parametrize(
    ("stated", "told", "same"),
    [
        ("1:1.1.1k-12.el8_9", "1.1.1k", True),
        ("1:1.2.13.dfsg-1", "1.2.13", True),
        ("3.0.19-1~deb12u2", "3.0.19", True),
        ("2.9.14+dfsg-1.3", "2.9.14", True),
        ("1.6", "1.6.43", True),
        ("1:3.2.2-6.el9", "3.0.7", False),
        ("git-abc", "1.0", True),
    ],
)
def test_a_packages_version_is_held_against_upstreams(stated: str, told: str, same: bool) -> None:  # noqa: FBT001
    assert agree(stated, told) is same


def test_bounds_speak_of_what_is_linked_in_too_and_of_what_only_a_document_tells(
    tmp_path: Path,
) -> None:
    static = native(rodata=b"\0OpenSSL 3.0.7 1 Nov 2022\0")
    silent = {"demo.libs/libpng16-0a1b2c3d.so.16": library(soname="libpng16-0a1b2c3d.so.16")}
    png = {"name": "libpng", "version": "2:1.6.34-5.el8", "purl": "pkg:rpm/x/libpng@1.6.34"}
    facts = read(tmp_path, {**static, **silent, SBOM: auditwheel_sbom(png)})
    bounds = {"openssl": "3.0.8", "libpng": "1.6.37", "zlib": "1.3"}
    old = old_libraries(facts, bounds)
    assert [(one.name, one.version, one.bound, one.files) for one in old] == [
        ("libpng", "1.6.34", "1.6.37", tuple(silent)),
        ("openssl", "3.0.7", "3.0.8", tuple(static)),
    ]
    assert old_libraries(facts, {"openssl": "3.0.7", "libpng": "1.6.34"}) == ()


@pytest.mark.parametrize("raw", [{"openssl": "3.0.16", "ZLIB": "1.3"}, "openssl=3.0.16 zlib=1.3"])
def test_bounds_are_a_table_or_words(raw: object) -> None:
    assert BY_NAME["library-bounds"].read(raw, "here") == {"openssl": "3.0.16", "zlib": "1.3"}


@pytest.mark.parametrize("raw", [{"openssl": 3}, {"openssl": "new"}, "openssl", "openssl=", ["a=b"], 7])
def test_a_bound_that_is_none_says_how_to_write_it(raw: object) -> None:
    with pytest.raises(UsageError, match="here"):
        BY_NAME["library-bounds"].read(raw, "here")


def test_the_document_that_is_written_fits_the_schema_and_accounts_for_all(tmp_path: Path) -> None:
    static = native(rodata=b"\0OpenSSL 3.0.7 1 Nov 2022\0 deflate 1.2.13 Copyright 1995\0")
    files = {
        **static,
        GRAFTED: library(),
        CRYPTO: library(soname="libcrypto.so.3", rodata=b"\0OpenSSL 3.0.7 1 Nov 2022\0"),
    }
    facts = read(tmp_path, files)
    document = sbom([facts], written=1_700_000_000.0)
    assert validate(document) is None
    assert document["metadata"]["component"]["hashes"][0]["content"] == facts.wheel.sha256
    purls = {
        part["evidence"]["occurrences"][0]["location"]: part["purl"] for part in document["components"]
    }
    assert purls[CRYPTO] == "pkg:generic/openssl@3.0.7?file_name=libcrypto-0a1b2c3d.so.3"
    assert purls[GRAFTED] == "pkg:generic/libfoo?file_name=libfoo-0a1b2c3d.so.1"
    (module,) = (part for part in document["components"] if "components" in part)
    assert [inner["purl"] for inner in module["components"]] == [
        "pkg:generic/openssl@3.0.7",
        "pkg:generic/zlib@1.2.13",
    ]
    carried = read(tmp_path, {**files, OWN: json.dumps(document)})
    assert list(contradictions(carried)) == []
    assert [graft.lacks for graft in grafts(carried)] == [("a version",), ()]


def test_one_document_serves_several_wheels(tmp_path: Path) -> None:
    facts = read(tmp_path, {GRAFTED: library()})
    pure = read_wheel(open_wheel(build_wheel(tmp_path, {"other.py": ""}, name="other")))
    document = sbom([facts, pure], written=0.0)
    assert validate(document) is None
    assert [part["name"] for part in document["components"]] == ["demo", "other", "libfoo"]
    assert [len(row["dependsOn"]) for row in document["dependencies"]] == [1, 0]
    assert validate(sbom([], written=0.0)) is None


def test_auditwheels_own_form_fits_its_schema_too() -> None:
    assert validate(json.loads(auditwheel_sbom(FOO)), SchemaVersion.V1_4) is None


def test_a_run_writes_it_of_the_wheels_without_one(tmp_path: Path) -> None:
    facts = read(tmp_path, {GRAFTED: library()})
    own = SBOM.replace("demo", "other")
    carried: dict[str, bytes | str] = {GRAFTED: library(), own: auditwheel_sbom(FOO)}
    other = read_wheel(open_wheel(build_wheel(tmp_path, carried, name="other", tag=NATIVE)))
    records = tuple(record_wheel(one.wheel, "dist") for one in (facts, other))
    written = Outputs(sbom=tmp_path / "out.json").write(replace(make_run(), wheels=records), read_wheel)
    assert written == [tmp_path / "out.json"]
    document = json.loads(written[0].read_text())
    assert validate(document) is None
    assert document["metadata"]["component"]["name"] == "demo"


def test_a_bound_on_an_unknown_library_says_which_are_known() -> None:
    settings = merge([])
    check_bounds(replace(settings, library_bounds={"openssl": "3"}))
    with pytest.raises(UsageError, match="openss1") as raised:
        check_bounds(replace(settings, library_bounds={"openss1": "3"}))
    assert "perhaps you meant 'openssl'" in raised.value.remedy


def validate(document: object, version: SchemaVersion = SchemaVersion.V1_6) -> object:
    return JsonStrictValidator(version).validate_str(json.dumps(document))


@pytest.mark.parametrize("policy", ["manylinux_2_17", "musllinux_1_2"])
def test_a_written_document_accounts_for_what_before_build_grafted(policy: str, tmp_path: Path) -> None:
    """auditwheel names packages that libraries are from; what none brought is in no document of its."""
    tag = f"cp311-cp311-{policy}_x86_64"
    libc = ("libc.musl-x86_64.so.1",) if policy.startswith("musl") else LIBC
    files = {
        "demo/__init__.py": "",
        **native(needed=("libfoo-0a1b2c3d.so.1", *libc), runpath="$ORIGIN/../demo.libs"),
        GRAFTED: library(soname="libfoo-0a1b2c3d.so.1", needed=libc),
    }
    (tmp_path / "with").mkdir()
    bare = read_wheel(open_wheel(build_wheel(tmp_path, files, tag=tag)))
    assert [hole.severity for hole in found("graft-unaccounted", bare)] == [Severity.INFORMATION]
    written = json.dumps(sbom([bare], written=0.0))
    whole = read_wheel(open_wheel(build_wheel(tmp_path / "with", {**files, OWN: written}, tag=tag)))
    assert found("sbom-wrong", whole) == ()
    [graft] = grafts(whole)
    assert graft.component is not None
    assert graft.component.name == "libfoo"
