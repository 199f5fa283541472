"""What PyPI's own code says of a file, held against our rules; or by hand:

    PYTHONPATH=tools python tests/support/pypi_reference.py SOURCE FILE...

prints a line for each disagreement. SOURCE is a copy of https://github.com/pypi/warehouse, a checkout
or a repository; it is not part of this project. Its functions are run as they stand there: the parts of
its modules that judge a file, without its web framework and its database, and the end of `file_upload`
from the first check of names on. The fields that twine sends are made by twine.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
import tarfile
import types
import warnings
import zipfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pypi_rules import Source, named, top_level
from twine.exceptions import InvalidDistribution
from twine.package import PackageFile
from twine.repository import Repository

from pytest_manylinux.config.settings import IndexChoice
from pytest_manylinux.upload_rules.index_rules import index_rules
from pytest_manylinux.upload_rules.review import review

_FIRST_CHECK = "        # Check that the sdist filename is correct\n"
_AFTER_CHECKS = "        # If the user provided attestations, verify them\n"
_BARE_EXCEPT = re.compile(r"^(\s*except\*? )([\w.]+(?:, [\w.]+)+):$", re.MULTILINE)


class Refused(Exception):  # noqa: N818 - a verdict
    """PyPI's words against a file."""


@dataclass(frozen=True)
class Opinion:
    """Both answers on one file; empty where it is taken."""

    file: str
    theirs: str
    ours: str

    @property
    def agrees(self) -> bool:
        return bool(self.theirs) == bool(self.ours)

    def __str__(self) -> str:
        mark = "=" if self.agrees else "!"
        return f"{mark} {self.file}: PyPI {self.theirs or 'takes it'} | {self.ours or 'nothing'}"


class MultiDict(dict[str, Any]):
    """The form's fields, as far as PyPI's code asks for them."""

    def getall(self, key: str) -> list[Any]:
        value = self[key]
        return value if isinstance(value, list) else [value]


class Warehouse:
    """PyPI's functions, from a copy of its source."""

    def __init__(self, source: Path) -> None:
        self._source = Source(source)
        self.http = self._module("warehouse/utils/http.py")
        self.readme = self._module("warehouse/utils/readme.py")
        self.zipfiles = self._module("warehouse/utils/zipfiles.py")
        self.wheel = self._module("warehouse/utils/wheel.py")
        self.project_name = self._module("warehouse/utils/project.py", only=("PROJECT_NAME_RE",), re=re)
        self.metadata = self._module(
            "warehouse/forklift/metadata.py", MultiDict=MultiDict, http=self.http
        )
        self.legacy = self._legacy()

    def _module(self, name: str, *, only: Sequence[str] = (), **given: object) -> types.ModuleType:
        module = types.ModuleType(name)
        vars(module).update(given)
        text = self._source.text(name)
        blocks = [block for block in top_level(text) if not only or named(block) in only]
        run = [block for block in blocks if not _is_foreign(block)]
        exec(compile(older("".join(run)), name, "exec"), vars(module))  # noqa: S102
        return module

    def _legacy(self) -> types.ModuleType:
        name = "warehouse/forklift/legacy.py"
        module = types.ModuleType(name)
        constants = types.ModuleType("constants")
        exec(self._source.text("warehouse/constants.py"), vars(constants))  # noqa: S102
        vars(module).update(vars(constants))
        vars(module).update(vars(self.wheel))
        sentry = types.SimpleNamespace(capture_message=lambda _: None)
        mapping = {"sdist": {".zip", ".tar.gz"}, "bdist_wheel": {".whl"}}
        vars(module).update(
            sentry_sdk=sentry,
            metadata=self.metadata,
            readme=self.readme,
            zipfiles=self.zipfiles,
            _filetype_extension_mapping=mapping,
            HTTPBadRequest=Refused,
            _exc_with_message=lambda _, message: Refused(message),
            send_wheel_record_mismatch_email=lambda *_, **__: None,
        )
        blocks = [block for block in top_level(self._source.text(name)) if not _is_foreign(block)]
        kept = [
            block
            for block in blocks
            if not re.search(r"^(@view_config|def file_upload)", block, re.MULTILINE)
        ]
        imports = "\n".join(_IMPORTS)
        exec(compile(older(f"{imports}\n{''.join(kept)}"), name, "exec"), vars(module))  # noqa: S102
        return module

    def checks_of_names(self) -> str:
        """The part of `file_upload` from the checks of names to attestations, as code of its own."""
        text = self._source.text("warehouse/forklift/legacy.py")
        part = text[text.index(_FIRST_CHECK) : text.index(_AFTER_CHECKS)]
        return older(re.sub(r"^ {8}", "", part, flags=re.MULTILINE))

    def refusal(self, path: Path) -> str:
        """PyPI's words against the file, or twine's; empty where it would be taken."""
        try:
            self._upload(path)
        except Refused as error:
            return str(error)
        except InvalidDistribution as error:
            return f"twine: {error}"
        except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
            return f"twine: {error}"
        return ""

    def _upload(self, path: Path) -> None:
        package = PackageFile.from_filename(str(path), comment=None)
        form = sent(package)
        meta = self._metadata(form)
        # Markdown always renders; here its renderer may be missing.
        if meta.description and "markdown" not in (meta.description_content_type or ""):
            kind = meta.description_content_type or "text/x-rst"
            if self.readme.render(meta.description, kind, use_fallback=False) is None:
                raise Refused(f"The description failed to render for {kind!r}.")
        filetype = form["filetype"]
        self.legacy._validate_filename(path.name, filetype=filetype)
        if path.stat().st_size > self.legacy.__dict__["MAX_FILESIZE"]:
            raise Refused("File too large.")
        with ExitStack() as stack:
            archive = self.legacy._open_dist_file(str(path), stack)
            metrics = types.SimpleNamespace(
                timed=lambda *_, **__: contextlib.nullcontext(), increment=lambda *_, **__: None
            )
            valid, words = self.legacy._is_valid_dist_file(
                str(path), filetype, metrics, scan=False, archive=None
            )
            if not valid:
                raise Refused(f"Invalid distribution file. {words}")
            self._names(path, meta, filetype, archive, metrics)

    def _names(self, path: Path, meta: Any, filetype: str, archive: Any, metrics: Any) -> None:  # noqa: ANN401
        from packaging.utils import canonicalize_name  # noqa: PLC0415

        project = types.SimpleNamespace(
            name=meta.name, normalized_name=canonicalize_name(meta.name), users=()
        )
        names = {
            **vars(self.legacy),
            "meta": meta,
            "filename": path.name,
            "temporary_filename": str(path),
            "form": types.SimpleNamespace(filetype=types.SimpleNamespace(data=filetype)),
            "upload_archive": archive,
            "project": project,
            "request": types.SimpleNamespace(metrics=metrics),
            "open": lambda *_: io.BytesIO(),  # a copy of METADATA is kept
        }
        exec(compile(self.checks_of_names(), "file_upload", "exec"), names)  # noqa: S102

    def _metadata(self, form: MultiDict) -> Any:  # noqa: ANN401 - packaging's Metadata
        pattern = self.project_name.PROJECT_NAME_RE
        if not re.match(pattern, form.get("name", "")):
            raise Refused(f"{form.get('name')!r} is an invalid value for Name.")
        try:
            return self.metadata.parse(None, form_data=form)
        except Exception as error:  # a group of InvalidMetadata
            raise Refused("; ".join(map(str, getattr(error, "exceptions", (error,))))) from error


def sent(package: PackageFile) -> MultiDict:
    """The form's fields as twine sends them; those that are there several times as lists."""
    form = MultiDict()
    pairs = Repository._convert_metadata_to_list_of_tuples(package.metadata_dictionary())
    for key, value in pairs:
        form.setdefault(key, []).append(value)
    return MultiDict({key: values if len(values) > 1 else values[0] for key, values in form.items()})


def older(text: str) -> str:
    """The source as Pythons before 3.14 read it: several exceptions stand in parentheses."""
    return _BARE_EXCEPT.sub(r"\1(\2):", text)


_FOREIGN = re.compile(
    r"(from|import) (warehouse|webob|wtforms|sentry_sdk|pypi_attestations|pyramid|sqlalchemy)\b"
    r"|import packaging_legacy\b"
    r"|if __name__"
)
_IMPORTS = (
    "import datetime, hashlib, os, os.path, re, tarfile, zipfile, zlib",
    "import packaging.utils, packaging.version",
    "from contextlib import ExitStack, nullcontext",
)


def _is_foreign(block: str) -> bool:
    """Whether a statement imports what only PyPI has."""
    return _FOREIGN.match(block) is not None


def our_words(path: Path) -> str:
    """The rules of ours that refuse a file, with what breaks them; empty where none does."""
    found = review(path, index_rules(IndexChoice()))
    return "; ".join(f"{b.rule.name}: {b.detail}" for b in found.breaches if b.rule.refuses)


def compare(path: Path, warehouse: Warehouse) -> Opinion:
    """Both opinions on one file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Opinion(path.name, warehouse.refusal(path), our_words(path))


def main(arguments: Sequence[str]) -> int:
    """Compare files; the exit code is the number of disagreements, 99 at most."""
    source, *files = map(Path, arguments)
    warehouse = Warehouse(source)
    opinions = [compare(path, warehouse) for path in files]
    against = [opinion for opinion in opinions if not opinion.agrees]
    for opinion in against:
        print(opinion)
    refused = sum(bool(opinion.theirs) for opinion in opinions)
    print(f"{len(opinions)} files, PyPI refuses {refused}, {len(against)} disagreements")
    return min(len(against), 99)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
