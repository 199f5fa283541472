from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_manylinux.cache.paths import CACHE_VARIABLE
from pytest_manylinux.cli import main
from pytest_manylinux.errors import ExitCode
from pytest_manylinux.images.store import ImageStore
from pytest_manylinux.model.distro import Image


@pytest.fixture(autouse=True)
def _here(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(store.root))
    monkeypatch.setenv("COLUMNS", "120")


def test_the_list_names_images_with_sizes(
    store: ImageStore, adopt: Callable[..., Image], capsys: pytest.CaptureFixture[str]
) -> None:
    image = adopt("debian-12", base="1")
    assert main(["cache"]) == ExitCode.OK
    out = capsys.readouterr().out
    assert "debian-12" in out
    assert image.digest[7:19] in out
    assert "just now" in out
    assert f" kB in {store.root}" in out


def test_a_date_that_is_still_to_come_is_told_as_such(
    store: ImageStore, adopt: Callable[..., Image], capsys: pytest.CaptureFixture[str]
) -> None:
    adopt("debian-12", base="1")
    [stored] = store.images()
    tomorrow = time.time() + 86400
    os.utime(stored.folder / "used", (tomorrow, tomorrow))
    assert main(["cache"]) == ExitCode.OK
    assert "a clock was wrong" in capsys.readouterr().out


def test_an_empty_store_lists_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "list"]) == ExitCode.OK
    assert capsys.readouterr().out.startswith("0 images, 0 bytes")


def test_the_path_is_the_folder(store: ImageStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "path"]) == ExitCode.OK
    assert capsys.readouterr().out == f"{store.root}\n"


@pytest.mark.parametrize("days", ["-1", "-0.001", "nan", "inf", "1e300", "a", ""])
def test_what_is_no_number_of_days_forgets_nothing(
    store: ImageStore, adopt: Callable[..., Image], days: str
) -> None:
    adopt("debian-12", base="1")
    assert main(["cache", "prune", f"--older-than={days}"]) == ExitCode.USAGE
    assert len(store.images()) == 1


def test_pruning_says_what_went(
    store: ImageStore, adopt: Callable[..., Image], capsys: pytest.CaptureFixture[str]
) -> None:
    adopt("debian-12", base="1")
    assert main(["cache", "prune", "--max-size", "1K"]) == ExitCode.OK
    assert "kept debian-12" in capsys.readouterr().out
    store.release()
    assert main(["cache", "prune", "--max-size", "1K"]) == ExitCode.OK
    out = capsys.readouterr().out
    assert "removed debian-12" in out
    assert re.search(r"freed 1\d\.\d kB", out)
    assert store.images() == ()


@pytest.mark.parametrize("size", ["much", "-3", "2X"])
def test_a_size_that_is_none_is_a_usage_error(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "prune", f"--max-size={size}"]) == ExitCode.USAGE
    assert "write it as 500M or 2G" in capsys.readouterr().err


def test_damage_is_reported_and_can_be_removed(
    store: ImageStore, adopt: Callable[..., Image], capsys: pytest.CaptureFixture[str]
) -> None:
    image = adopt("debian-12", base="1")
    (Path(str(image.root)) / "var/lib/dpkg/status").write_text("")
    assert main(["cache", "verify"]) == ExitCode.NOT_PROVEN
    assert "damaged" in capsys.readouterr().out
    store.release()
    assert main(["cache", "verify", "--remove"]) == ExitCode.OK
    assert store.images() == ()


def test_an_export_replaces_no_pipe(adopt: Callable[..., Image], tmp_path: Path) -> None:
    adopt("debian-12", base="1")
    os.mkfifo(tmp_path / "pipe")
    assert main(["cache", "export", "--force", str(tmp_path / "pipe")]) == ExitCode.USAGE
    assert (tmp_path / "pipe").is_fifo()
