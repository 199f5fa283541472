from __future__ import annotations

from pytest_manylinux.images.image_progress import Progress

LINES = [
    "I: running apt-get update...",
    "Get:1 http://mirror.example/debian trixie InRelease [140 kB]",
    "I: downloading packages with apt...",
    "0 upgraded, 59 newly installed, 0 to remove and 0 not upgraded.",
    "Need to get 25.4 MB of archives.",
    "I: extracting archives...",
    "I: installing essential packages...",
    *(f"Setting up package{n} (1.0) ..." for n in range(59)),
    "I: installing remaining packages inside the chroot...",
    "0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.",
    "Need to get 900 kB of archives.",
    "Setting up python3 (3.13) ...",
    "I: success in 20 seconds",
]


def test_it_says_each_stage_once_and_counts_packages() -> None:
    said: list[str] = []
    progress = Progress("debian-13", said.append)
    for line in LINES:
        progress.feed(line)
    assert said == [
        "debian-13: reading package lists",
        "debian-13: downloading 59 packages, 25.4 MB",
        "debian-13: unpacking the base system",
        "debian-13: installing the base system",
        "debian-13: 25 of 59 packages set up",
        "debian-13: 50 of 59 packages set up",
        "debian-13: installing Python",
        "debian-13: downloading 2 packages, 900 kB",
    ]
