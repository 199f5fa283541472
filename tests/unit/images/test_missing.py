from __future__ import annotations

import pytest

from pytest_manylinux.images.failure import in_short, missing_files

MIRROR = "http://127.0.0.1:8080/debian"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            f"E: Failed to fetch {MIRROR}/pool/main/p/x/x_1%2b2_i386.deb  404  Not Found [IP: ::1 80]",
            f"{MIRROR}/pool/main/p/x/x_1+2_i386.deb: 404 Not Found",
        ),
        (
            (f"E: Failed to fetch {MIRROR}/pool/x.deb  File has unexpected size (5 != 4). "
            "Mirror sync in progress? [IP: 127.0.0.1 80]"),
            f"{MIRROR}/pool/x.deb: File has unexpected size (5 != 4). Mirror sync in progress?",
        ),
        (f"E: Failed to fetch {MIRROR}/x.deb  Hash Sum mismatch", f"{MIRROR}/x.deb: Hash Sum mismatch"),
        ("E: Failed to fetch file:/m/x.deb  File not found - /m/x.deb (2: No such file or directory)",
         "file:/m/x.deb: File not found - /m/x.deb (2: No such file or directory)"),
        (
            f"E: The repository '{MIRROR} bullseye-security Release' does not have a Release file.",
            f"{MIRROR}/dists/bullseye-security/Release: does not have a Release file",
        ),
        (
            f"E: The repository '{MIRROR} bullseye InRelease' is not signed.",
            f"{MIRROR}/dists/bullseye/InRelease: is not signed",
        ),
        (
            (f"E: Release file for {MIRROR}/dists/x/InRelease is expired (invalid since 2d). "
            "Updates for this repository will not be applied."),
            f"{MIRROR}/dists/x/InRelease: is expired (invalid since 2d)",
        ),
        (
            (f"E: Failed to fetch {MIRROR}/dists/x/InRelease  Clearsigned file isn't valid, got "
            "'NOSPLIT' (does the network require authentication?)"),
            (f"{MIRROR}/dists/x/InRelease: Clearsigned file isn't valid, got 'NOSPLIT' (does the "
            "network require authentication?)"),
        ),
        (
            f"W: GPG error: {MIRROR} bullseye InRelease: The following signatures couldn't be verified",
            f"{MIRROR}/dists/bullseye/InRelease: The following signatures couldn't be verified",
        ),
    ],
)  # fmt: skip
def test_what_an_archive_lacks_is_named(line: str, said: str) -> None:
    assert missing_files(["Reading package lists...", line]) == (said,)


@pytest.mark.parametrize(
    "line",
    [
        f"E: Failed to fetch {MIRROR}/x.deb  500  Internal Server Error [IP: 127.0.0.1 80]",
        f"E: Failed to fetch {MIRROR}/x_404.deb  Could not connect to 127.0.0.1:8080",
        f"E: Failed to fetch {MIRROR}/pool/404/x.deb  Connection timed out",
        "E: Unable to locate package python4",
        "tar: write error: No space left on device",
        "",
    ],
)
def test_what_may_pass_by_itself_is_another_matter(line: str) -> None:
    assert missing_files([line]) == ()


def test_one_file_is_named_once_and_credentials_never() -> None:
    line = "E: Failed to fetch http://me:sesame@m.example/x.deb  404  Not Found"
    (said,) = missing_files([line, line])
    assert "sesame" not in said


def test_many_are_told_by_the_first() -> None:
    assert in_short(("a: gone",)) == "a: gone"
    assert in_short(("a: gone", "b: gone", "c: gone")) == "a: gone (and 2 more)"
