"""A daemon is asked until it does not list the container any more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest
import requests
from docker import APIClient
from docker.errors import APIError, NotFound

from pytest_manylinux.engines.container.leftovers import remove_container


class Daemon:
    """Answers removals with the codes given, and lists the container for so many questions."""

    def __init__(self, codes: list[int], listed: int) -> None:
        self._codes: Iterator[int] = iter(codes)
        self._listed = listed
        self.asked = 0

    def remove_container(self, container: str, *, force: bool, v: bool) -> None:
        assert (container, force, v) == ("abc", True, True)
        self.asked += 1
        code = next(self._codes)
        if code != 204:
            answer = requests.Response()
            answer.status_code = code
            raise (NotFound if code == 404 else APIError)("no", response=answer)

    def containers(self, *, all: bool, filters: dict[str, str]) -> list[dict[str, str]]:  # noqa: A002 - the SDK's
        assert all
        assert filters == {"id": "abc"}
        self._listed -= 1
        return [{"Id": "abc", "State": "dead"}] if self._listed >= 0 else []


@pytest.mark.parametrize(
    ("codes", "listed"),
    [
        ([204], 0),
        ([404], 0),
        ([204, 404], 1),  # Podman says so a moment before
        ([404, 404, 404], 2),  # Docker has forgotten it, and lists it as dead
        ([409, 409, 404], 2),  # another removes it
    ],
)
def test_it_is_gone_when_the_daemon_lists_it_no_more(codes: list[int], listed: int) -> None:
    daemon = Daemon(codes, listed)
    remove_container(cast("APIClient", daemon), "abc")
    assert daemon.asked == len(codes)


def test_what_the_daemon_cannot_remove_is_said() -> None:
    with pytest.raises(APIError):
        remove_container(cast("APIClient", Daemon([500], 1)), "abc")
