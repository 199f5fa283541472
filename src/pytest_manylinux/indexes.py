"""The package index as this machine's pip sees it, in a form that a sandbox can use.

The user's own configuration decides where distributions come from: pip's files and environment,
proxies, the CA bundle, `.netrc`. What names a folder or file of this machine becomes a read-only
mount; the rest becomes environment variables that any pip reads (pip's documentation: "Configuration").
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import netrc
import os
import re
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urldefrag, urljoin, urlsplit, urlunsplit

from packaging.utils import (
    InvalidName,
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
)
from packaging.version import InvalidVersion, Version

from pytest_manylinux.errors import PackageIndexError, UsageError
from pytest_manylinux.escape import redact
from pytest_manylinux.host.subprocesses import module_command, reason_of
from pytest_manylinux.model.wheel_variants import parse_wheel_name

if TYPE_CHECKING:
    import requests

MAX_AGE = 24 * 3600.0
"""Seconds for which what an index gave counts as what its users get today."""
MOUNTS = PurePosixPath("/tmp/index")  # noqa: S108 -- inside a sandbox, where /tmp is its own
OUT_OF_REACH = re.compile(
    r"NewConnectionError|[Cc]onnection (?:refused|reset|aborted|broken)|Name or service not known|"
    r"Temporary failure in name resolution|ConnectTimeout|ReadTimeout|ProxyError|SSLError|"
    r"CERTIFICATE_VERIFY_FAILED|Max retries exceeded|Could not fetch URL.*connection error|"
    r"Failed to connect to |Unable to fetch \S+://|Failed to establish a secure connection "
)
"""What pip says where an index cannot be reached: urllib3's words, and its own from release 26.3 on."""

_ASKING = threading.RLock()  # one thread asks pip, and the others wait for its answer
_CONFIG_TIMEOUT = 60.0
_PLAIN = ("no-index", "trusted-host", "proxy", "timeout", "default-timeout", "retries")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_BUNDLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_SECTIONS = ("global", "install", ":env:")  # the later wins, as in pip
_LINE = re.compile(r"(?P<section>:env:|[\w-]+)\.(?P<key>[\w-]+)=(?P<value>['\"].*['\"])")
_DEFAULT_INDEX = re.compile(r"--index-url\s[^()]*\(default\s+(https?://[^\s)]+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexAccess:
    """What a sandbox with network needs to reach the user's index.

    `environment` may hold credentials inside URLs: give it to pip and its like only, never write it
    down unredacted. `mounts` are (path on this machine, path in the sandbox), read-only. `identity`
    is a digest that changes when the index does; it holds no credentials. Without `network` only
    folders of this machine are in it.
    """

    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    mounts: tuple[tuple[Path, PurePosixPath], ...] = ()
    network: bool = True

    @property
    def identity(self) -> str:
        """A hexadecimal SHA-256 over URLs without credentials and over local folders' own dates."""
        lines = [f"{name}={redact(value)}" for name, value in sorted(self.environment.items())]
        lines += [f"{source}:{source.stat().st_mtime_ns}" for source, _ in self.mounts]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def offline(self) -> IndexAccess:
        """What of it can be had without network: folders of this machine, and no credentials."""
        indexes, links = (
            [
                place
                for name in names
                for place in self.environment.get(name, "").split()
                if place.startswith("file://")
            ]
            for names in (("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"), ("PIP_FIND_LINKS",))
        )
        environment: dict[str, str] = {}
        if "PIP_NO_INDEX" in self.environment or not indexes:
            environment["PIP_NO_INDEX"] = "1"
        else:
            environment["PIP_INDEX_URL"] = indexes[0]
            environment |= {"PIP_EXTRA_INDEX_URL": " ".join(indexes[1:])} if indexes[1:] else {}
        environment |= {"PIP_FIND_LINKS": " ".join(links)} if links else {}
        named = " ".join(environment.values())
        mounts = tuple(mount for mount in self.mounts if f"file://{mount[1]}" in named)
        return IndexAccess(environment=environment, mounts=mounts, network=False)


def host_index() -> IndexAccess:
    """Read the index configuration of this machine and user, once per process.

    Raises UsageError, with pip's words, where pip cannot read its own configuration.
    """
    with _ASKING:
        return _host_index()


@functools.cache
def _host_index() -> IndexAccess:
    return index_access(_pip_settings(), os.environ, home=Path.home())


def begin_host_index() -> None:
    """Have it read in a thread meanwhile, since pip takes some tenths of a second to start.

    What goes wrong with it is told to who asks for it.
    """

    def read() -> None:
        with contextlib.suppress(UsageError):
            host_index()

    if not _host_index.cache_info().currsize:
        threading.Thread(target=read, name="pip-configuration").start()


def forget_host_index() -> None:
    """Read the configuration anew when it is asked for next."""
    with _ASKING:
        _host_index.cache_clear()
        _pip_settings.cache_clear()
        _index_of_pip.cache_clear()


def host_proxies() -> dict[str, str]:
    """The proxies of this machine and user, as environment variables; they may hold credentials."""
    return _proxies(os.environ)


def host_certificates() -> Path | None:
    """The file of certificates that this machine and user trust; None if there is none.

    Raises UsageError where pip cannot read its own configuration, which may name it.
    """
    with _ASKING:
        return _bundle(_pip_settings(), os.environ)


def index_access(settings: Mapping[str, str], environ: Mapping[str, str], *, home: Path) -> IndexAccess:
    """Turn pip's effective `settings` (`index-url`, …) and an environment into an IndexAccess.

    Local paths that do not exist are left out, as pip does with them (it warns).
    """
    folders = _LocalFolders(home)
    login = _netrc_login(environ, home)
    environment = {
        f"PIP_{key.upper().replace('-', '_')}": settings[key] for key in _PLAIN if key in settings
    }
    for key in ("index-url", "extra-index-url", "find-links"):
        whole = folders.index if key != "find-links" else folders.links
        places = [_place(word, whole, login) for word in settings.get(key, "").split()]
        if found := " ".join(place for place in places if place):
            environment[f"PIP_{key.upper().replace('-', '_')}"] = found
    environment |= _proxies(environ)
    if bundle := _bundle(settings, environ):
        inside = str(folders.mount(bundle))
        environment |= dict.fromkeys(_BUNDLES, inside)
    if (client := settings.get("client-cert")) and Path(client).is_file():
        environment["PIP_CLIENT_CERT"] = str(folders.mount(Path(client)))
    return IndexAccess(environment=environment, mounts=tuple(folders.mounts.items()))


class _LocalFolders:
    """Gives each local path its place below MOUNTS, the same path the same place."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.mounts: dict[Path, PurePosixPath] = {}

    def mount(self, path: Path) -> PurePosixPath:
        """The place inside for a path; the suffix stays, since pip knows files by it."""
        whole = path.expanduser().resolve()
        place = MOUNTS / f"{len(self.mounts)}{whole.suffix if whole.is_file() else ''}"
        return self.mounts.setdefault(whole, place)

    def links(self, path: Path) -> str:
        """A place for `--find-links`: a folder of distributions, or a page that lists some."""
        return f"file://{self.mount(path)}"

    def index(self, path: Path) -> str:
        """A place for an index: pages in `simple/` link to files beside it, so its parent comes too."""
        whole = path.expanduser().resolve()
        if whole.name == "simple" and not self.home.resolve().is_relative_to(whole.parent):
            return f"file://{self.mount(whole.parent)}/simple"
        return f"file://{self.mount(whole)}"


def _place(word: str, local: Callable[[Path], str], login: Callable[[str], str]) -> str | None:
    if "://" in word and not word.startswith("file:"):
        return login(word)
    path = Path(unquote(urlsplit(word).path) if word.startswith("file:") else word)
    return local(path) if path.expanduser().exists() else None


def _proxies(environ: Mapping[str, str]) -> dict[str, str]:
    names = [name for lower in _PROXIES for name in (lower, lower.upper())]
    return {name: environ[name] for name in names if environ.get(name)}


def _bundle(settings: Mapping[str, str], environ: Mapping[str, str]) -> Path | None:
    """The CA bundle that pip on this machine trusts; what is said for pip wins, as in pip."""
    named = [settings.get("cert"), *(environ.get(name) for name in _BUNDLES)]
    named.append(ssl.get_default_verify_paths().cafile)
    return next((Path(name) for name in named if name and Path(name).is_file()), None)


def _netrc_login(environ: Mapping[str, str], home: Path) -> Callable[[str], str]:
    """Write `.netrc` credentials into URLs: pip alone gets them, nothing else in the sandbox."""
    try:
        logins = netrc.netrc(environ.get("NETRC") or str(home / ".netrc"))
    except (OSError, netrc.NetrcParseError):
        return lambda url: url

    def login(url: str) -> str:
        parts = urlsplit(url)
        known = logins.authenticators(parts.hostname or "")
        if known is None or parts.username:
            return url
        user, _, password = known
        return urlunsplit(
            parts._replace(netloc=f"{quote(user, '')}:{quote(password or '', '')}@{parts.netloc}")
        )

    return login


@functools.cache
def _pip_settings() -> dict[str, str]:
    """Read pip's effective settings from `pip config list`, environment and files merged.

    A Python without pip is no mistake: then only the environment speaks.
    """
    for command in _pip_commands():
        done = subprocess.run(
            [*command, "config", "list", "--disable-pip-version-check"],
            capture_output=True,
            text=True,
            timeout=_CONFIG_TIMEOUT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode == 0:
            return parse_pip_config(done.stdout)
        if "No module named pip" not in done.stderr:
            raise UsageError(
                "pip cannot read its own configuration",
                why=redact(reason_of(done.returncode, done.stderr[-500:])),
                remedy="correct what `pip config debug` shows",
            )
    return dict(_from_environment(os.environ))


def parse_pip_config(text: str) -> dict[str, str]:
    """Read `pip config list`: a line `section.key='value'` each, the stronger section winning."""
    found: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for line in text.splitlines():
        if (match := _LINE.fullmatch(line.strip())) and match["section"] in found:
            value = ast.literal_eval(match["value"])
            found[match["section"]][match["key"].replace("_", "-").lower()] = str(value)
    return {key: value for section in _SECTIONS for key, value in found[section].items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexFile:
    """A file of a project on an index. `sha256` is empty where the index does not state it."""

    filename: str
    url: str
    sha256: str = ""


class _PageFiles(HTMLParser):
    """The files of a page of the simple index (PEP 503): its links, with digests in their fragments."""

    def __init__(self, page: str, base: str) -> None:
        super().__init__()
        self.base = base
        self.files: list[IndexFile] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get("href") or ""
        if tag == "base" and address:
            self.base = urljoin(self.base, address)
        if tag == "a" and address:
            self.files.append(file_at(urljoin(self.base, address)))


def file_at(url: str) -> IndexFile:
    """The file at an address; a fragment `sha256=…` is its digest (PEP 503)."""
    plain, fragment = urldefrag(url)
    name, _, digest = fragment.partition("=")
    filename = unquote(urlsplit(plain).path.rpartition("/")[2])
    return IndexFile(filename=filename, url=plain, sha256=digest if name == "sha256" else "")


def index_session() -> requests.Session:
    """A session with the proxies, certificates and logins that pip on this machine uses."""
    import requests  # noqa: PLC0415 - loads slowly, and few runs ask an index themselves

    session = requests.Session()
    session.headers["Accept-Encoding"] = "identity"
    if certificates := host_certificates():
        session.verify = str(certificates)
    return session


def index_urls() -> tuple[str, ...]:
    """The addresses of the indexes that pip asks, its own default included.

    Raises UsageError if there are none: all are folders of this machine, or `no-index` is set.
    """
    environment = host_index().environment
    first = environment.get("PIP_INDEX_URL") or _index_of_pip()
    words = f"{first} {environment.get('PIP_EXTRA_INDEX_URL', '')}"
    urls = tuple(word for word in words.split() if word.startswith(("http://", "https://")))
    if not urls or "PIP_NO_INDEX" in environment:
        raise UsageError(
            "there is no index to ask: pip has no index-url with an address",
            remedy="set it: PIP_INDEX_URL=https://…/simple, or `pip config set global.index-url …`",
        )
    return urls


@functools.cache
def _index_of_pip() -> str:
    """The index that pip asks unless it is told of another, as its help names it; empty without pip."""
    for command in _pip_commands():
        done = subprocess.run(
            [*command, "install", "--help", "--disable-pip-version-check"],
            capture_output=True,
            text=True,
            timeout=_CONFIG_TIMEOUT,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "COLUMNS": "1000"},
        )
        if found := _DEFAULT_INDEX.search(done.stdout):
            return found[1]
    return ""


def _pip_commands() -> Iterator[list[str]]:
    """Ways to start pip: this Python's, which may lack it, then the one on PATH."""
    yield module_command("pip")
    if program := shutil.which("pip"):
        yield [program]


def project_files(
    project: str, index: str, session: requests.Session | None = None
) -> tuple[IndexFile, ...]:
    """A project's files on an index (PEP 503, PEP 691), addresses with the index's login.

    None if it has no such project. Raises PackageIndexError where it does not answer.
    """
    import requests  # noqa: PLC0415 - as above

    url = f"{index.rstrip('/')}/{project}/"
    headers = {"Accept": "application/vnd.pypi.simple.v1+json, text/html;q=0.5"}
    try:
        asking = session or index_session()
        answer = asking.get(url, headers=headers, timeout=_CONFIG_TIMEOUT)
        if answer.status_code == requests.codes.not_found:
            return ()
        answer.raise_for_status()
        found = _listed(answer)
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise PackageIndexError(
            f"the index has not told the files of {project}", why=redact(str(error))
        ) from error
    return tuple(replace(file, url=_with_login(file.url, url)) for file in found)


def _listed(answer: requests.Response) -> Iterable[IndexFile]:
    if "json" not in answer.headers.get("Content-Type", ""):
        return _PageFiles(answer.text, answer.url).files
    return [
        IndexFile(
            filename=str(file["filename"]),
            url=urljoin(answer.url, str(file.get("url", ""))),
            sha256=str(file.get("hashes", {}).get("sha256", "")),
        )
        for file in answer.json()["files"]
    ]


def _with_login(url: str, index: str) -> str:
    """Files on the index's own host are asked for with its login, as pip does."""
    there, own = urlsplit(url), urlsplit(index)
    login, at, host = own.netloc.rpartition("@")
    if not at or there.netloc != host or there.scheme != own.scheme:
        return url
    return urlunsplit(there._replace(netloc=f"{login}@{there.netloc}"))


def release_wheels(
    requirement: str, indexes: Iterable[str], session: requests.Session
) -> tuple[IndexFile, ...]:
    """The wheels of one version, `NAME==VERSION`, on the indexes; of two of one name the first.

    Raises UsageError where it is not such a requirement or there is no such wheel, PackageIndexError
    where an index does not answer.
    """
    name, version = _pinned(requirement)
    found: dict[str, IndexFile] = {}
    for index in indexes:
        for file in project_files(name, index, session):
            found.setdefault(file.filename, file)
    if not found:
        raise UsageError(
            f"{requirement}: the index has no project {name}",
            why=", ".join(map(redact, indexes)),
            remedy="correct the name, or name another index by --index-url",
        )
    wheels = [file for file in found.values() if _version_of(file.filename) == version]
    if not wheels:
        raise UsageError(
            f"{requirement}: the index has no wheel of that version",
            why=f"it has {len(found)} files of {name}",
            remedy="name a version that has wheels",
        )
    return tuple(sorted(wheels, key=lambda file: file.filename))


def _pinned(text: str) -> tuple[NormalizedName, Version]:
    name, _, version = text.partition("==")
    try:
        return canonicalize_name(name.strip(), validate=True), Version(version)
    except (InvalidName, InvalidVersion) as error:
        raise UsageError(
            f"{text}: not a release", why=str(error), remedy="write NAME==VERSION, demo==1.0 say"
        ) from error


def _version_of(filename: str) -> Version | None:
    try:
        return parse_wheel_name(filename)[1]
    except InvalidWheelFilename:
        return None


def listed_files(project: str) -> tuple[str, ...]:
    """The names of a project's files on pip's first index; none if it has no such project.

    Raises UsageError where pip is set to no index of its own, PackageIndexError where it does not
    answer.
    """
    return tuple(file.filename for file in project_files(project, index_urls()[0]))


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in environ.items():
        if name.startswith("PIP_") and value:
            yield name.removeprefix("PIP_").lower().replace("_", "-"), value
