"""`pytest-manylinux explain`: what a finding means and what to do about it."""

from __future__ import annotations

import argparse

from pytest_manylinux.errors import ExitCode


def register(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `explain`."""
    parser = subparsers.add_parser(
        "explain",
        help="say what a finding means, how to see it by hand, and what to do",
        description="Explain findings by code (ML104) or name (missing-library); list all without one.",
    )
    parser.add_argument("finding", nargs="*", metavar="CODE|NAME", help="codes or names of findings")
    parser.set_defaults(func=_explain)


def _explain(arguments: argparse.Namespace) -> int:
    # The checks are many small modules; other commands need none of them.
    from pytest_manylinux.diagnose.explain import explain, overview  # noqa: PLC0415

    texts = [explain(word) for word in arguments.finding] or [overview()]
    print("\n\n".join(texts))
    return ExitCode.OK
