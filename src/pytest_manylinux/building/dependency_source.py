"""The source of a dependency that has no wheel: an sdist, from where pip on this machine looks for it.

It is only downloaded here. pip itself would run the project's code for its metadata.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from packaging.utils import parse_sdist_filename

from pytest_manylinux.cache.directories import make_once
from pytest_manylinux.errors import PackageIndexError
from pytest_manylinux.escape import redact
from pytest_manylinux.indexes import (
    IndexFile,
    host_index,
    index_session,
    index_urls,
    project_files,
)

_TIMEOUT = 60.0  # seconds without a byte
_CHUNK = 1 << 20


def fetch_source(filename: str, cache: Path) -> Path:
    """The sdist of that name, in a folder below `cache` where it stays.

    Folders that pip is told of are looked at first, then its indexes. What an index sends has the
    digest that it states. Raises PackageIndexError where it is nowhere or does not come whole,
    UsageError where there is no index, and StoreError.
    """
    key = hashlib.sha256(f"{host_index().identity}\0{filename}".encode()).hexdigest()[:32]
    folder = make_once(
        cache / "sources" / key,
        lambda made: _fetch(filename, made / filename),
        doing=f"{filename} cannot be kept in {cache}",
    )
    return folder / filename


def _fetch(filename: str, place: Path) -> None:
    for source, _ in host_index().mounts:
        if (source / filename).is_file():
            shutil.copyfile(source / filename, place)
            return
    _download(_listed(filename), place)


def _listed(filename: str) -> IndexFile:
    project = parse_sdist_filename(filename)[0]
    session, urls = index_session(), index_urls()
    for url in urls:
        for file in project_files(project, url, session):
            if file.filename == filename:
                return file
    raise PackageIndexError(
        f"no index has {filename}",
        why=", ".join(map(redact, urls)),
        remedy="run it again: the index has changed since pip looked",
    )


def _download(file: IndexFile, place: Path) -> None:
    import requests  # noqa: PLC0415 - loads slowly, and few runs need it

    digest = hashlib.sha256()
    try:
        with index_session() as session, place.open("wb") as copy:
            answer = session.get(file.url, timeout=_TIMEOUT, stream=True)
            answer.raise_for_status()
            for piece in answer.iter_content(_CHUNK):
                digest.update(piece)
                copy.write(piece)
    except requests.RequestException as error:
        raise PackageIndexError(
            f"{file.filename} did not come from the index",
            why=redact(str(error)),
            remedy="see that pip on this machine reaches its index, then run again",
        ) from error
    if file.sha256 and digest.hexdigest() != file.sha256:
        raise PackageIndexError(
            f"{file.filename} is not what the index states",
            why=f"sha256 {digest.hexdigest()}, stated {file.sha256}",
            remedy="see that pip on this machine gets it whole from its index, then run again",
        )
