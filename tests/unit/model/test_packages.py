from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_manylinux.config.readers import package_names
from pytest_manylinux.errors import UsageError
from pytest_manylinux.model.packages import PackageManager, check_names, package_manager

MANAGERS = list(PackageManager)
NAMES = {
    PackageManager.APT: (
        "zlib1g-dev:amd64",
        "g++",
        "libc6",
        "flex=2.6.4-8.2",
        "x11proto-dev=1:2-1~deb12u1",
    ),
    PackageManager.APT_RPM: ("python3-module-pip", "zlib-devel=1.2.13-alt1", "libstdc++-devel"),
    PackageManager.APK: ("py3-pip", "zlib-dev=1.3.1-r2", "python3~3.12", "g++"),
    PackageManager.DNF: ("zlib-devel.x86_64", "python3-pip-21.2.3-8.el9", "gcc-c++", "bind-32:9.18-1"),
    PackageManager.PACMAN: ("python-pip", "zlib=1:1.3.1-2", "gtk2+extra"),
    PackageManager.ZYPPER: ("python311-pip", "zlib-devel=1.2.13-150500.4.3.1"),
    PackageManager.SLACKPKG: ("python3", "aaa_base"),
}
NEVER = [
    *(
        "--simulate",
        "-o",
        "; id",
        ";",
        "$(id)",
        "`id`",
        "a b",
        "a\tb",
        "a\nb",
        "a\n",
        "a,b",
        "a|b",
        "a&b",
    ),
    *(
        "",
        "/x.deb",
        "./x.deb",
        "../x",
        "https://h.example/x.rpm",
        "@core",
        "@^minimal",
        "*",
        "py*",
    ),
    *(
        "[ab]",
        "a?",
        "?essential",
        "~i",
        "task^",
        "!x",
        "x<1",
        "x>=1",
        "a'b",
        'a"b',
        "a\\b",
        "a#b",
        "%x",
        "x" * 999,
    ),
    *("é", "a\u200b", "pkgconfig(zlib)"),
]


@pytest.mark.parametrize(("manager", "name"), [(m, n) for m, names in NAMES.items() for n in names])
def test_names_in_a_managers_grammar_are_taken(manager: PackageManager, name: str) -> None:
    assert check_names((name,), where="x", manager=manager) == (name,)
    assert package_names([name], "build-packages") == (name,)


@pytest.mark.attack("escape")
@pytest.mark.parametrize("manager", [None, *MANAGERS])
@pytest.mark.parametrize("name", NEVER)
def test_what_is_not_a_package_name_is_refused(name: str, manager: PackageManager | None) -> None:
    with pytest.raises(UsageError) as caught:
        check_names(("flex", name), where="pyproject.toml: build-packages", manager=manager)
    assert repr(name) in caught.value.what
    assert caught.value.what.startswith("pyproject.toml: build-packages: ")
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("manager", "name"),
    [
        ("apt", "libc6-"),
        ("apt", "libc6:amd64-"),
        ("apt", "zlib1g=1.2-"),
        ("apt", "Zlib"),
        ("apt", "a"),
        ("apt", "x/sid"),
        ("apt-rpm", "zlib-"),
        ("apk", "x.apk"),
        ("apk", "x@edge"),
        ("dnf", "x.rpm"),
        ("zypper", "+x"),
        ("pacman", "extra/x"),
    ],
)
def test_what_one_manager_would_take_for_something_else_is_refused(manager: str, name: str) -> None:
    with pytest.raises(UsageError, match=re.escape(repr(name))):
        check_names((name,), where="packages", manager=package_manager(manager))


@given(st.sampled_from(MANAGERS), st.text(max_size=20))
def test_no_taken_name_is_an_option_a_path_or_more_than_one_word(
    manager: PackageManager, name: str
) -> None:
    try:
        check_names((name,), where="x", manager=manager)
    except UsageError:
        return
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9@_+.:=~^-]*", name)
