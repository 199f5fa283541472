"""What an archive lacks, or has in a state that nothing can be made from, in apt's own words.

A mirror that cannot be reached, or that fails for the moment, is not meant: that is worth a second
attempt at the same thing, not another root.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote

from pytest_manylinux.indexes import redact

# apt 2.6: methods/http.cc and file.cc, apt-pkg/acquire-item.cc, deb/debmetaindex.cc; older ones say
# `Size mismatch`. 403, 410 and 451 are how servers say that a file is not given (any more).
_GONE = (
    r"(?:403|404|410|451)\s|File not found|Hash Sum mismatch|Size mismatch|unexpected size"
    r"|Invalid file format|Signature error|Clearsigned file isn't valid|Unable to find expected entry"
    r"|Unable to parse|was corrupted"
)
_PATTERNS = (
    re.compile(rf"[EW]: Failed to fetch (?P<url>\S+)\s+(?P<why>(?:.*?(?:{_GONE}).*))"),
    re.compile(
        r"E: The repository '(?P<base>\S+) (?P<suite>\S+) (?P<file>\S+)' "
        r"(?P<why>does not have a Release file|no longer has a Release file|is not signed"
        r"|is no longer signed|provides only weak security information)"
    ),
    re.compile(r"E: Release file for (?P<url>\S+) (?P<why>is (?:expired|not valid yet).*?)\.(?: |$)"),
    re.compile(r"[EW]: GPG error: (?P<base>\S+) (?P<suite>\S+) (?P<file>\S+?): (?P<why>.+)"),
)
_ADDRESS = re.compile(r"\s*\[IP: [^]]*\]")


def missing_files(lines: Iterable[str]) -> tuple[str, ...]:
    """`URL: why` of each file that an archive did not give as its index promises, each once.

    `lines` are the output of a failed run of apt; empty if it failed of anything else. Credentials in
    an address are hidden.
    """
    found: dict[str, str] = {}
    for line in lines:
        for pattern in _PATTERNS:
            if match := pattern.match(line.strip()):
                parts = match.groupdict()
                url = parts.get("url") or "{base}/dists/{suite}/{file}".format_map(parts)
                found.setdefault(url, " ".join(_ADDRESS.sub("", parts["why"]).split()))
                break
    return tuple(redact(f"{unquote(url)}: {why}") for url, why in found.items())


def in_short(missing: tuple[str, ...]) -> str:
    """The first of them, and how many more there are."""
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    return f"{missing[0]}{more}"
