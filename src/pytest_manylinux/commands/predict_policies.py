"""`pytest-manylinux predict --policies`: what each policy would cost, as a table for the terminal."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import wrap

from rich.console import Console
from rich.table import Table

from pytest_manylinux.catalogue import Catalogue, load_catalogue
from pytest_manylinux.config.merge import environment_layer, file_layer, merge, text_of
from pytest_manylinux.config.readers import distro_shares
from pytest_manylinux.diagnose.policy_costs import (
    PolicyCosts,
    PolicyRow,
    costs_to_json,
    policy_costs,
)
from pytest_manylinux.errors import ExitCode, UsageError
from pytest_manylinux.escape import plain_json, plain_line
from pytest_manylinux.inspect.audit_policies import Obstacle
from pytest_manylinux.model.distro import Distro
from pytest_manylinux.model.policy import LibcKind
from pytest_manylinux.model.wheel import WheelFacts
from pytest_manylinux.toml import parse_toml

OTHER = "other"
"""The key of shares for users of distros that the catalogue does not have."""

_CONFIG = Path("pyproject.toml")
_SHOWN = 10  # files and distros named for one policy; --json has all
_SYMBOLS = 6
_WIDTH = 80


def show_policies(
    all_facts: Iterable[WheelFacts],
    *,
    distros: Sequence[str],
    shares: Path | None,
    as_json: bool,
    left_out: Sequence[str],
) -> ExitCode:
    """Print the costs of each policy; `distros` are words of the catalogue, `left_out` names of wheels.

    `left_out` may grow while the facts are read. Raises UsageError for shares that cannot be used.
    """
    layers = [file_layer(_CONFIG, shown=str(_CONFIG)), environment_layer(os.environ)]
    settings = merge(layers)
    own = Path(settings.catalogue) if settings.catalogue else None
    catalogue = load_catalogue(settings.distro, where=str(_CONFIG), file=own)
    if shares is None:
        figures = by_distro(settings.distro_shares, catalogue, f"{_CONFIG}: distro-shares")
    else:
        figures = by_distro(read_shares(shares), catalogue, str(shares))
    chosen = catalogue.select(distros or ["supported"], where="--distros")
    found, portable = policy_costs(all_facts, chosen, figures)
    if as_json:
        document = costs_to_json(
            found, catalogue_version=catalogue.version, without_policy=portable, left_out=left_out
        )
        print(plain_json(document))
        return ExitCode.OK
    for costs in found:
        _show(costs)
    for name in portable:
        print(plain_line(f"{name}: no native code for Linux, so that no policy is at stake"))
    for name in left_out:
        print(f"left out, not for Linux: {plain_line(name)}")
    return ExitCode.OK


def read_shares(file: Path) -> Mapping[str, float]:
    """The numbers of a JSON object, or of a TOML file (its top level, or its table `distro-shares`)."""
    shown = str(file)
    try:
        text = text_of(file, shown)
        document = json.loads(text) if file.suffix == ".json" else parse_toml(text)
    except (OSError, ValueError) as error:  # damaged JSON and TOML are ValueErrors
        raise UsageError(
            f"{shown}: shares cannot be read",
            why=str(error),
            remedy='give TOML, or JSON in a file that ends in .json: {"debian-12": 31.5, "other": 12}',
        ) from error
    if isinstance(document, dict) and isinstance(document.get("distro-shares"), dict):
        document = document["distro-shares"]
    return distro_shares(document, shown)


def by_distro(numbers: Mapping[str, float], catalogue: Catalogue, where: str) -> dict[str, float]:
    """Parts of the whole, from 0 to 1, by distro id; what is of no distro here counts for the whole.

    Raises UsageError for a name that is not a distro's, and for two names of one.
    """
    total = sum(numbers.values())
    found: dict[str, float] = {}
    for name, number in numbers.items():
        if name == OTHER:
            continue
        try:
            distro = catalogue.get(name, where=where)
        except UsageError as error:
            remedy = f"{error.remedy}; users of distros that it does not have are `other`"
            raise UsageError(error.what, why=error.why, remedy=remedy) from error
        if distro.id in found:
            raise UsageError(f"{where}: {name!r} is {distro.id}, which has a number already")
        found[distro.id] = number / total
    return found


def _show(costs: PolicyCosts) -> None:
    console = Console(width=min(Console().width, 120) if sys.stdout.isatty() else _WIDTH)
    console.print(f"[bold]{costs.title}[/]", highlight=False)
    for name in costs.wheels:
        console.print(f"  {plain_line(name)}", highlight=False, markup=False, soft_wrap=True)
    for line in _summary(costs):
        _say(line, console.width)
    console.print(_table(costs))
    _steps(costs, console.width)
    _obstacles(costs, console.width)
    _changes(costs, console.width)
    print()


def _say(text: str, width: int, indent: str = "") -> None:
    lines = wrap(
        plain_line(text), width, subsequent_indent=f"{indent}  ", initial_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    print("\n".join(lines))


def _summary(costs: PolicyCosts) -> Iterator[str]:
    today = " and ".join(map(str, costs.today)) or "no policy"
    source = "by the name" if costs.named else "by the files, for the name has none"
    served = f"{len(costs.served)} of {len(costs.distros)} distros{_users(costs, costs.served)}"
    yield f"Today: {today} ({source}): {served}."
    if costs.shares:
        known = sum(one.id in costs.shares for one in costs.distros)
        yield f"Shares are given for {known} of these distros; the others count as 0."
    for kept in costs.kept:
        promised = next(policy for policy in costs.today if policy.kind is kept.kind)
        if kept < promised:
            yield f"The files keep {kept} already: only the name is in its way."
        elif promised < kept:
            yield f"The name promises more than the files keep, which is {kept}."


def _users(costs: PolicyCosts, distros: Sequence[Distro]) -> str:
    share = costs.share(distros)
    return "" if share is None else f", {share:.1%} of users"


def _table(costs: PolicyCosts) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("policy", no_wrap=True)
    for heading in ("distros", "won", "lost", *(["users"] if costs.shares else [])):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("in the way", overflow="fold")
    for row in costs.rows:
        mark = " *" if row.policy in costs.today else ""
        users = [f"{costs.share(row.served) or 0.0:.1%}"] if costs.shares else []
        table.add_row(
            f"{row.policy}{mark}",
            str(len(row.served)),
            f"[green]+{len(row.won)}[/]" if row.won else "",
            f"[red]-{len(row.lost)}[/]" if row.lost else "",
            *users,
            _in_the_way(row.obstacles),
        )
    return table


def _in_the_way(obstacles: Sequence[Obstacle]) -> str:
    if not obstacles:
        return ""
    wants = {(one.kind, one.subject, symbol) for one in obstacles for symbol in one.symbols or ("",)}
    files = {one.path for one in obstacles}
    return f"{_count(len(wants), 'want')} of {_count(len(files), 'file')}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _steps(costs: PolicyCosts, width: int) -> None:
    """The distros that each policy wins or loses, each once: with the first policy that does."""
    print("* today. Won and lost against it, with the end of life:")
    for distros, verb in ((_newest_first(costs), "wins"), (_oldest_first(costs), "loses")):
        seen: set[str] = set()
        for row in distros:
            changed = [d for d in (row.won if verb == "wins" else row.lost) if d.id not in seen]
            seen.update(distro.id for distro in changed)
            if changed:
                names = ", ".join(_with_end(distro) for distro in changed)
                _say(f"{row.policy} {verb} {names}{_users(costs, changed)}", width, "  ")


def _newest_first(costs: PolicyCosts) -> list[PolicyRow]:
    return sorted(
        costs.rows, key=lambda row: (row.policy.kind is LibcKind.GLIBC, row.policy), reverse=True
    )


def _oldest_first(costs: PolicyCosts) -> list[PolicyRow]:
    return list(costs.rows)


def _with_end(distro: Distro) -> str:
    if distro.end_of_life is not None:
        end = distro.end_of_life.isoformat()
    else:
        end = "rolling" if distro.rolling else "no date"
    return f"{distro.id} ({end})"


def _obstacles(costs: PolicyCosts, width: int) -> None:
    row = costs.next_better
    if row is None:
        return
    idle = "" if row.won else " (which wins no distro here)"
    print(f"In the way of {row.policy}, the next better policy{idle}:")
    for obstacle in row.obstacles[:_SHOWN]:
        _say(f"{obstacle.path}: {_want(obstacle)}", width, "  ")
    if len(row.obstacles) > _SHOWN:
        print(f"  and {len(row.obstacles) - _SHOWN} more; --json has all, for every policy")


def _want(obstacle: Obstacle) -> str:
    if not obstacle.symbols:
        return obstacle.clause
    shown = ", ".join(obstacle.symbols[:_SYMBOLS])
    more = len(obstacle.symbols) - _SYMBOLS
    tail = f" and {more} more" if more > 0 else ""
    version = f" ({obstacle.subject})" if obstacle.subject not in obstacle.symbols else ""
    return f"{shown}{tail}{version}" if version else obstacle.clause


def _changes(costs: PolicyCosts, width: int) -> None:
    if not costs.changes:
        print("No change of the policy wins a distro that counts.")
        return
    for heading, change in zip(("Wins most:", "Smaller:", "Smaller:"), costs.changes, strict=False):
        won = f"+{_count(len(change.won), 'distro')}{_users(costs, change.won)}"
        _say(f"{heading} {change.words}: {change.policy}, {won}", width)
