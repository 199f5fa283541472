"""Rules on METADATA and PKG-INFO: the core metadata specification, and what PyPI asks beyond it.

packaging.metadata reads and validates as the specification says; trove-classifiers has the list of
classifiers, email-validator and rfc3986 judge addresses as PyPI does. Each function yields pairs of a
rule's name and how it is broken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import parseaddr
from functools import lru_cache
from importlib.util import find_spec

from packaging.metadata import ExceptionGroup, InvalidMetadata, Metadata, RawMetadata, parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version
from trove_classifiers import classifiers, deprecated_classifiers

from pytest_manylinux.upload_rules.index_rules import RuleTable

Found = Iterator[tuple[str, str]]

_RULE_OF_FIELD = {
    "metadata-version": "metadata-version",
    "summary": "summary",
    "requires-python": "requires-python",
    "license-expression": "license",
    "dynamic": "dynamic",
    "description-content-type": "description",
}
"""The rules of fields that packaging validates; all others are `metadata-field`."""

_LICENSE_FILES_SINCE = Version("2.4")
_NO_RENDERER = "whether the description renders: install readme-renderer (pytest-manylinux[upload])"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataReview:
    """What the metadata says of the file, and what is wrong with it.

    `found` are pairs of a rule's name and how it is broken; `unknown` what could not be looked at.
    `raw` are the fields as they were read.
    """

    name: str
    version: str
    license_files: tuple[str, ...]
    raw: RawMetadata
    found: tuple[tuple[str, str], ...]
    unknown: tuple[str, ...] = ()


def review_metadata(data: bytes, table: RuleTable) -> MetadataReview:
    """Hold METADATA or PKG-INFO against the rules."""
    raw, unparsed = parse_email(data)
    if not _knows_license_files(raw):
        # setuptools wrote the field before it was one; twine and PyPI pass over it.
        raw.pop("license_files", None)
        unparsed.pop("license-file", None)
    found = [("metadata-field", f"{field}: unknown, or not of the form it has") for field in unparsed]
    found += _specified(raw)
    found += _asked(raw, table)
    rendered, unknown = _description(raw)
    return MetadataReview(
        name=raw.get("name", ""),
        version=raw.get("version", ""),
        license_files=tuple(raw.get("license_files", ())),
        raw=raw,
        found=(*found, *rendered),
        unknown=unknown,
    )


def _knows_license_files(raw: RawMetadata) -> bool:
    try:
        return Version(raw.get("metadata_version", "0")) >= _LICENSE_FILES_SINCE
    except InvalidVersion:
        return False


def _specified(raw: RawMetadata) -> Found:
    """The specification's rules, as packaging.metadata has them."""
    try:
        Metadata.from_raw(raw)
    except ExceptionGroup as group:
        for error in group.exceptions:
            field = error.field if isinstance(error, InvalidMetadata) else ""
            yield _RULE_OF_FIELD.get(field, "metadata-field"), str(error)


def _asked(raw: RawMetadata, table: RuleTable) -> Found:
    """PyPI's own rules."""
    yield from _version(raw, table)
    if len(raw.get("summary", "")) > table.limits.summary:
        yield "summary", f"Summary has {len(raw['summary'])} characters of {table.limits.summary}"
    yield from _addresses(raw)
    yield from _classifiers(raw.get("classifiers", ()))
    yield from _urls(raw, table)
    yield from _requirements(raw)
    for field in raw.get("dynamic", ()):
        if field.lower() not in table.metadata.dynamic:
            yield "dynamic", f"Dynamic: {field} is not a field that may be"
    if raw.get("license") and raw.get("license_expression"):
        yield "license", "both License and License-Expression are there"


def _version(raw: RawMetadata, table: RuleTable) -> Found:
    stated = raw.get("metadata_version", "")
    if stated and stated not in table.metadata.versions:
        yield "metadata-version", f"Metadata-Version {stated} is not taken"
    try:
        local = Version(raw.get("version", "")).local
    except InvalidVersion:
        return  # packaging says so
    if local:
        yield "local-version", f"{raw['version']} has the local part +{local}"


def _addresses(raw: RawMetadata) -> Found:
    import email_validator  # noqa: PLC0415 - compiling its patterns took 35 ms of each start

    for field, value in (
        ("Author-Email", raw.get("author_email")),
        ("Maintainer-Email", raw.get("maintainer_email")),
    ):
        _, address = parseaddr(value or "")
        if not address:
            continue
        try:
            email_validator.validate_email(address, check_deliverability=False)
        except email_validator.EmailNotValidError as error:
            yield "email", f"{field}: {address!r}: {error}"


def _classifiers(stated: Sequence[str]) -> Found:
    for word in sorted(set(stated) - classifiers):
        if word in deprecated_classifiers:
            better = " or ".join(deprecated_classifiers[word])
            yield "classifier", f"{word!r} is deprecated{f'; use {better}' if better else ''}"
        else:
            yield "classifier", f"{word!r} is not known"


def _urls(raw: RawMetadata, table: RuleTable) -> Found:
    for field, value in (
        ("Home-page", raw.get("home_page")),
        ("Download-URL", raw.get("download_url")),
    ):
        if value is not None and not is_web_address(value):
            yield "url", f"{field}: {value!r} is not an http or https address"
    for label, url in raw.get("project_urls", {}).items():
        if not label:
            yield "url", f"Project-URL: {url!r} has no label"
        elif len(label) > table.limits.url_label:
            yield (
                "url",
                f"Project-URL: the label {label!r} has more than {table.limits.url_label} characters",
            )
        elif not is_web_address(url):
            yield "url", f"Project-URL: {label}: {url!r} is not an http or https address"


def is_web_address(url: str) -> bool:
    """Whether PyPI takes it for an address: http or https, with all parts of their form."""
    from rfc3986 import uri_reference  # noqa: PLC0415 - the same
    from rfc3986.exceptions import RFC3986Exception  # noqa: PLC0415
    from rfc3986.validators import Validator  # noqa: PLC0415

    validator = Validator().allow_schemes("http", "https").require_presence_of("scheme")
    validator.check_validity_of("scheme", "host", "port", "path", "query")
    try:
        validator.validate(uri_reference(url).normalize())
    except (RFC3986Exception, ValueError):
        return False
    return bool(url)


def _requirements(raw: RawMetadata) -> Found:
    for line in raw.get("requires_dist", ()):
        try:
            direct = Requirement(line).url
        except InvalidRequirement:
            continue  # packaging says so
        if direct:
            yield "direct-reference", f"Requires-Dist: {line}"
    stated = (("Provides-Dist", "provides_dist"), ("Obsoletes-Dist", "obsoletes_dist"))
    for field, key in stated:
        for line in raw.get(key, ()):  # type: ignore[attr-defined]
            try:
                direct = Requirement(line).url
            except InvalidRequirement as error:
                yield "metadata-field", f"{field}: {line}: {str(error).splitlines()[0]}"
            else:
                if direct:
                    yield "direct-reference", f"{field}: {line}"


def _description(raw: RawMetadata) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    """Whether the description renders; only reStructuredText can fail to."""
    text = raw.get("description", "")
    if not text.strip() or _content_type(raw.get("description_content_type", "")) != "text/x-rst":
        return [], ()
    if find_spec("readme_renderer") is None:
        return [], (_NO_RENDERER,)
    problem = _rendered(text)
    return ([("description", problem)] if problem else []), ()


def _content_type(stated: str) -> str:
    """The media type alone; PyPI takes none for reStructuredText."""
    if not stated.strip():
        return "text/x-rst"
    message = EmailMessage()
    message["content-type"] = stated
    return message.get_content_type()


@lru_cache(maxsize=16)
def _rendered(text: str) -> str:
    """What readme-renderer says against the text, a line; empty if it renders.

    The wheels of one release have one description, and docutils is slow.
    """
    import io  # noqa: PLC0415 - with docutils: only for descriptions in reStructuredText

    from readme_renderer import rst  # noqa: PLC0415

    words = io.StringIO()
    if rst.render(text, stream=words) is not None:
        return ""
    lines = [line for line in words.getvalue().splitlines() if line.strip()]
    return lines[0].replace("<string>", "the description's line") if lines else "it does not render"
