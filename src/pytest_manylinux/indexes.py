"""The package index as this machine's pip sees it, in a form that a sandbox can use.

The user's own configuration decides where distributions come from: pip's files and environment,
proxies, the CA bundle, `.netrc`. What names a folder or file of this machine becomes a read-only
mount; the rest becomes environment variables that any pip reads (pip's documentation: "Configuration").
"""

from __future__ import annotations

import ast
import functools
import hashlib
import netrc
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import requests

from pytest_manylinux.errors import UsageError
from pytest_manylinux.host.subprocesses import module_command

MOUNTS = PurePosixPath("/tmp/index")  # noqa: S108 -- inside a sandbox, where /tmp is its own
OUT_OF_REACH = re.compile(
    r"NewConnectionError|[Cc]onnection (?:refused|reset|aborted|broken)|Name or service not known|"
    r"Temporary failure in name resolution|ConnectTimeout|ReadTimeout|ProxyError|SSLError|"
    r"CERTIFICATE_VERIFY_FAILED|Max retries exceeded|Could not fetch URL.*connection error|"
    r"Failed to connect to |Unable to fetch \S+://|Failed to establish a secure connection "
)
"""What pip says where an index cannot be reached: urllib3's words, and its own from release 26.3 on."""

_CONFIG_TIMEOUT = 60.0
_PLAIN = ("no-index", "trusted-host", "proxy", "timeout", "default-timeout", "retries")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_BUNDLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_SECTIONS = ("global", "install", ":env:")  # the later wins, as in pip
_LINE = re.compile(r"(?P<section>:env:|[\w-]+)\.(?P<key>[\w-]+)=(?P<value>['\"].*['\"])")
_USERINFO = re.compile(r"(?<=://)[^/\s\"'<>]+@")


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


def redact(text: str) -> str:
    """Hide the user information of every URL in `text` (RFC 3986, 3.2.1); the rest stays."""
    return _USERINFO.sub("****@", text)


def host_index() -> IndexAccess:
    """Read the index configuration of this machine and user, once per process.

    Raises UsageError, with pip's words, where pip cannot read its own configuration.
    """
    return _host_index()


@functools.cache
def _host_index() -> IndexAccess:
    return index_access(_pip_settings(), os.environ, home=Path.home())


def forget_host_index() -> None:
    """Read the configuration anew when it is asked for next."""
    _host_index.cache_clear()
    _pip_settings.cache_clear()


def host_proxies() -> dict[str, str]:
    """The proxies of this machine and user, as environment variables; they may hold credentials."""
    return _proxies(os.environ)


def host_certificates() -> Path | None:
    """The file of certificates that this machine and user trust; None if there is none.

    Raises UsageError where pip cannot read its own configuration, which may name it.
    """
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
    commands = (module_command("pip"), [shutil.which("pip") or ""])
    for command in commands:
        if not command[0]:
            continue
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
                why=redact(done.stderr.strip()[-500:]),
                remedy="mend what `pip config debug` shows",
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


class _LinkTexts(HTMLParser):
    """The file names of a page of the simple index (PEP 503): the texts of its links."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            address = urlsplit(dict(attrs).get("href") or "").path
            self.names.append(unquote(address.rpartition("/")[2]))


def listed_files(project: str) -> tuple[str, ...]:
    """The names of a project's files on the index that pip is set to; none if it has no such project.

    Raises UsageError where pip is set to no index of its own, or the index does not answer.
    """
    index = host_index().environment.get("PIP_INDEX_URL", "")
    if not index.startswith(("http://", "https://")):
        raise UsageError(
            "the last release cannot be asked for: pip has no index-url with an address",
            remedy="set it: PIP_INDEX_URL=https://…/simple, or `pip config set global.index-url …`",
        )
    url = f"{index.rstrip('/')}/{project}/"
    try:
        answer = requests.get(
            url,
            headers={"Accept": "application/vnd.pypi.simple.v1+json, text/html;q=0.5"},
            timeout=_CONFIG_TIMEOUT,
        )
        if answer.status_code == requests.codes.not_found:
            return ()
        answer.raise_for_status()
        if "json" in answer.headers.get("Content-Type", ""):
            return tuple(str(file["filename"]) for file in answer.json()["files"])
        return tuple(_LinkTexts(answer.text).names)
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"the index has not told the files of {project}", why=redact(str(error))
        ) from error


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in environ.items():
        if name.startswith("PIP_") and value:
            yield name.removeprefix("PIP_").lower().replace("_", "-"), value
