from __future__ import annotations

from pathlib import Path

import pytest

from pytest_manylinux.images.failure import explain_failure, ran_out_of_room


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Err:1 http://m.example/debian x InRelease Could not connect to m.example:80", "out of reach"),
        ("W: Failed to fetch … Temporary failure resolving 'm.example'", "out of reach"),
        ("E: The repository 'http://m.example x Release' does not have a Release file.", "suite"),
        ("Err:1 … The following signatures couldn't be verified … NO_PUBKEY 0E98404D", "not trusted"),
        ("E: Failed to fetch http://m.example/x  Hash Sum mismatch", "out of step with itself"),
        ("E: Release file for http://m.example/x is expired (invalid since 3d)", "past its date"),
        ("E: Unable to locate package libfoo-dev", "package does not exist"),
        (
            "E: riscv64 can neither be executed natively nor via qemu … cannot be executed",
            "architecture",
        ),
        ("unshare: unshare failed: Operation not permitted", "namespaces"),
    ],
)
def test_each_cause_is_named_with_apts_own_line(line: str, words: str) -> None:
    log = ["I: running apt-get update...", line, "E: apt-get update failed", "E: setup failed"]
    error = explain_failure("debian-13", log, Path("kept.log"))
    assert "debian-13 could not be made" in error.what
    assert words in error.what
    assert error.why == line
    assert "kept.log" in error.remedy


def test_an_unknown_failure_gives_the_first_error_line() -> None:
    error = explain_failure("debian-13", ["I: fine", "E: odd thing", "E: setup failed"], None)
    assert error.why == "E: odd thing"


def test_silence_is_said_too() -> None:
    assert explain_failure("debian-13", [], None).why == "mmdebstrap said nothing"


def test_a_full_disk_is_told_apart() -> None:
    line = "dpkg-deb: error: failed to write (No space left on device)"
    assert ran_out_of_room(["I: fine", line]) == line
    assert not ran_out_of_room(["I: fine"])
