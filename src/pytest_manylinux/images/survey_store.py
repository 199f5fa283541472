"""What is known of the libraries in images: each image is looked into once, by its digest."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import msgspec

from pytest_manylinux.cache.atomic import write_whole
from pytest_manylinux.cache.integrity import sealed, unsealed
from pytest_manylinux.engines.api import Engine
from pytest_manylinux.errors import ManylinuxError
from pytest_manylinux.images.survey_image import survey_image
from pytest_manylinux.model.distro import Distro, Image
from pytest_manylinux.model.survey import Survey

FORM = 2  # of the files: another procedure or form gets another number, and looks again


class Surveys:
    """Surveys kept below `root`, one file an image, for this run and later ones."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._known: dict[str, Survey | None] = {}
        self._under_way: dict[str, threading.Lock] = {}

    def of(self, distro: Distro, image: Image, engine: Engine) -> Survey | None:
        """The survey of an image; None for one that does not answer, and for the rest of this run.

        It takes about a second the first time. A folder that cannot be written keeps nothing.
        """
        with self._lock:
            mine = self._under_way.setdefault(image.digest, threading.Lock())
        with mine:
            if image.digest not in self._known:
                self._known[image.digest] = self._look(distro, image, engine)
            return self._known[image.digest]

    def _look(self, distro: Distro, image: Image, engine: Engine) -> Survey | None:
        path = self._root / f"{FORM}-{image.digest.replace(':', '-')}.json"
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            content = unsealed(image.digest, path.read_bytes())
            if content is not None:
                return msgspec.json.decode(content, type=Survey)
        try:
            survey = survey_image(distro, image, (), engine).survey
        except ManylinuxError:
            return None  # the trials will say what is wrong with it
        with contextlib.suppress(OSError):
            self._root.mkdir(parents=True, exist_ok=True)
            write_whole(path, sealed(image.digest, msgspec.json.encode(survey, order="sorted")))
        return survey
