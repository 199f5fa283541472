"""Words of wheels, pip, engines and imported code, made harmless: they steer nothing that shows them.

Escape sequences could redraw a terminal, control characters are forbidden in XML 1.0 (section 2.2),
direction marks could make a name look like another one (Unicode TR 36, section 2.4), and a line of a
log can be a command to the CI system that reads it. This is the one place where all of them are taken
out: reports, errors, progress and node ids pass their words through here.

Commands of CI systems, and where in a line they are obeyed:

- GitHub Actions, Gitea, Forgejo: `::name::` after blanks (actions/runner, `ActionCommand.TryParseV2`;
  .NET compares by culture, so characters without weight count as blanks), and `##[name]` anywhere
  (`ActionCommand.TryParse`);
- Azure Pipelines: `##vso[` anywhere (azure-pipelines-agent, `Command.TryParse`);
- TeamCity: `##teamcity[`, its service messages;
- GitLab: `section_start:` and `section_end:`, also in the middle of a line;
- Travis CI: `travis_fold:` and `travis_time:`;
- Buildkite: `---`, `+++`, `~~~` and `^^^` as the first word of a line.
"""

from __future__ import annotations

import os
import re
from functools import cache, lru_cache
from typing import NamedTuple

_USERINFO = re.compile(r"(?<=://)[^/\s\"'<>]+@")

_SHORT = 2000  # characters of a text that is remembered
_SUSPECT = re.compile("[^\t\n -~]")
# One line that begins with a letter or digit, without `#`, and not with both `_` and `:`: no command.
_ORDINARY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 .,;/()=@+:-]*|[A-Za-z0-9 .,;/()=@+_-]*)")


class _Commands(NamedTuple):
    """Where a line begins with what a CI system obeys, and what it obeys anywhere."""

    at_start: re.Pattern[str]
    anywhere: re.Pattern[str]


def _commands(unseen: str = "") -> _Commands:
    """The patterns; with `unseen` also where what that matches stands between a command's letters."""
    weightless, blank = (f"(?:{unseen})*", rf"(?:[ \t]|{unseen})*") if unseen else ("", r"[ \t]*")

    def spread(*words: str) -> str:
        return "|".join(weightless.join(map(re.escape, word)) for word in words)

    heading = rf"(?:{spread('---', '+++', '~~~', '^^^')}){weightless}(?:\s|$)"
    return _Commands(
        at_start=re.compile(rf"^({blank})(?=:|{heading})", re.MULTILINE),
        anywhere=re.compile(
            rf"#(?={weightless}#{weightless}(?:{spread('[', 'vso[', 'teamcity[')}))"
            rf"|{spread('section_')}(?={weightless}(?:{spread('start:', 'end:')}))"
            rf"|{spread('travis_')}(?={weightless}(?:{spread('fold:', 'time:')}))",
            re.IGNORECASE,
        ),
    )


_COMMANDS = _commands()


@cache
def _spread_commands() -> _Commands:
    """For texts that are not ASCII: ten times as long to compile, and seldom wanted."""
    # Hangul fillers are letters that nobody sees; what else has no weight is no word character.
    return _commands(r"[^\x00-\x7f\w]|[\u115f\u1160\u3164\uffa0]")


def _commands_for(text: str) -> _Commands:
    return _COMMANDS if text.isascii() else _spread_commands()


def plain(text: str) -> str:
    """The text with all that is not printable spelled out, as Python would; tabs and breaks stay.

    A CI system's commands get a backslash that breaks them. What is plain stays as it is.
    """
    if _ORDINARY.fullmatch(text):  # nearly all that a large run writes
        return text
    return _plain_again(text) if len(text) <= _SHORT else _made_plain(text)


def _made_plain(text: str) -> str:
    return without_commands(_SUSPECT.sub(_spell, text.replace("\r\n", "\n")))


_plain_again = lru_cache(maxsize=512)(_made_plain)  # each report asks, and one wheel's words are alike


def plain_line(text: str) -> str:
    """The same for a name or a sentence: line breaks and tabs are spelled out too."""
    return plain(text).replace("\n", "\\n").replace("\t", "\\t")


def without_commands(text: str) -> str:
    """The text with a backslash in whatever a CI system would obey, and otherwise as it is."""
    commands = _commands_for(text)
    return commands.anywhere.sub(r"\g<0>\\", commands.at_start.sub(r"\1\\", text))


def plain_json(text: str) -> str:
    """JSON that means the same and has no command in it: its characters are written as numbers."""
    return _commands_for(text).anywhere.sub(
        lambda match: f"{match.group()[:-1]}\\u{ord(match.group()[-1]):04x}", text
    )


def _spell(match: re.Match[str]) -> str:
    character = match.group()
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")


def printable(path: str | os.PathLike[str]) -> str:
    r"""A path, or words with paths in them, as valid text: bytes that are not UTF-8 as `\xff`."""
    text = os.fspath(path)
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # surrogates that stand for no byte
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def redact(text: str) -> str:
    """Hide the user information of every URL in `text` (RFC 3986, 3.2.1); the rest stays."""
    return _USERINFO.sub("****@", text)
