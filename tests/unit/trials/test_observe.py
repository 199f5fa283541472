from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from trial_values import make_facts

from pytest_manylinux.engines.api import Completed, Status
from pytest_manylinux.errors import SandboxError, TrialTimeoutError
from pytest_manylinux.model.observation import ImportKind, ImportOutcome, ImportStatus
from pytest_manylinux.trials.offered import names_by_dependency
from pytest_manylinux.trials.result import Asked, Seen, look

SITE = "/scratch/venv/lib/python3.11/site-packages"
START = {"kind": "start", "python": "3.11.2", "libc": "glibc 2.36"}
END = {"kind": "end"}


def ending(**fields: object) -> dict[str, object]:
    return {"exit_code": 0, "signal": None, "overdue": False, "output": "", "duration": 0.5} | fields


PIP = {
    "kind": "pip",
    "ending": ending(output="Successfully installed demo-1.0\n"),
    "before": ["pip-23.0.1.dist-info"],
    "installed": ["demo-1.0.dist-info", "pip-23.0.1.dist-info"],
}


def imported(name: str, report: Mapping[str, object] | None, **fields: object) -> list[dict[str, Any]]:
    told = {"kind": "import", "name": name, "ending": ending(**fields), "report": report}
    return [{"kind": "begin", "name": name}, told]


def done(
    *lines: dict[str, Any], status: Status = Status.EXITED, code: int = 0, stderr: str = ""
) -> Completed:
    text = "".join(f"{'a' * 32} {n} {json.dumps(line)}\n" for n, line in enumerate(lines))
    return Completed(
        status=status,
        exit_code=code if status is Status.EXITED else None,
        signal=9 if status is Status.SIGNALLED else None,
        stdout=text.encode(),
        stderr=stderr.encode(),
        truncated=False,
        duration=2.0,
    )


def only(seen: Seen) -> ImportOutcome:
    (outcome,) = seen.imports
    return outcome


OK = {"status": "ok", "loaded": [], "inner": {}}
RAISED = {"status": "raised", "exception": "ImportError", "message": "no", "chain": ["no"]}


@pytest.mark.parametrize(
    ("report", "fields", "status", "completed"),
    [
        (OK, {}, ImportStatus.OK, True),
        (RAISED, {"exit_code": 1}, ImportStatus.RAISED, False),
        ({"status": "exited", "code": 0}, {"exit_code": 1}, ImportStatus.EXITED, False),
        (None, {"exit_code": 0}, ImportStatus.EXITED, False),
        (None, {"exit_code": None, "signal": 11}, ImportStatus.SIGNALLED, False),
        (None, {"exit_code": None, "signal": 6, "overdue": True}, ImportStatus.HUNG, False),
        (None, {"exit_code": 0, "overdue": True}, ImportStatus.HUNG, False),
        (OK, {"exit_code": None, "signal": 11}, ImportStatus.SIGNALLED, True),
        (OK, {"exit_code": 3}, ImportStatus.EXITED, True),
        (OK, {"exit_code": None, "signal": 6, "overdue": True}, ImportStatus.HUNG, True),
    ],
)
def test_how_an_interpreter_ended(
    report: Mapping[str, object] | None,
    fields: dict[str, object],
    status: ImportStatus,
    completed: bool,  # noqa: FBT001
) -> None:
    seen = look(done(START, PIP, *imported("demo", report, **fields), END), Asked(imports=("demo",)))
    assert only(seen).status is status
    assert only(seen).completed is completed


def test_exit_with_zero_half_way_keeps_its_code() -> None:
    report = {"status": "exited", "exception": "SystemExit", "code": 0}
    seen = look(done(START, PIP, *imported("demo", report, exit_code=1), END), Asked(imports=("demo",)))
    assert only(seen).exit_code == 0
    assert only(seen).exception == "SystemExit"


def test_pip_is_told_with_its_version_and_words() -> None:
    seen = look(done(START, PIP, END), Asked())
    assert seen.install.ok
    assert seen.install.pip_version == "23.0.1"
    assert seen.install.installed == (("demo", "1.0"), ("pip", "23.0.1"))
    assert "Successfully installed" in seen.install.output


def test_pips_version_is_that_of_the_pip_that_installed() -> None:
    brought = PIP | {"installed": ["demo-1.0.dist-info", "pip-23.0.1.dist-info", "pip-99.9.dist-info"]}
    seen = look(done(START, brought, END), Asked())
    assert seen.install.pip_version == "23.0.1"
    assert ("pip", "99.9") in seen.install.installed


def test_files_of_the_environment_that_changed_are_told() -> None:
    seen = look(done(START, PIP | {"changed": ["bin/python", "pyvenv.cfg"]}, END), Asked())
    assert seen.install.changed == ("bin/python", "pyvenv.cfg")


def test_a_failed_installation_is_seen_and_nothing_is_imported() -> None:
    refused = PIP | {"ending": ending(exit_code=1, output="ERROR: not a supported wheel")}
    seen = look(done(START, refused, END), Asked(imports=("demo",)))
    assert not seen.install.ok
    assert seen.imports == ()


@pytest.mark.parametrize(
    "line",
    [
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
        "OSError: [Errno 28] No space left on device: '/scratch/venv/lib/x.so'",
        "OSError: [Errno 122] Disk quota exceeded: '/scratch/venv/lib/x.so'",
    ],
)
@pytest.mark.parametrize("code", [1, 2, None])
def test_a_disk_without_room_is_not_the_wheels_fault(line: str, code: int | None) -> None:
    output = f"Processing /inputs/demo.whl\n{line}\nWARNING: more"
    refused = PIP | {"ending": ending(exit_code=code, output=output)}
    with pytest.raises(SandboxError, match="no room left in /scratch or /tmp") as caught:
        look(done(START, refused, END), Asked(imports=("demo",)))
    assert caught.value.why == line


def test_an_installation_that_went_well_whatever_pip_warned_of_is_one() -> None:
    warned = PIP | {"ending": ending(output="WARNING: cache: [Errno 28] No space left on device")}
    assert look(done(START, warned, END), Asked()).install.ok


def test_a_name_that_nothing_was_said_of_is_no_success() -> None:
    with pytest.raises(SandboxError, match="nothing of the import of other"):
        look(done(START, PIP, *imported("demo", OK), END), Asked(imports=("demo", "other")))


def test_names_left_over_after_a_hang_need_no_account() -> None:
    hung = imported("demo", None, exit_code=None, signal=6, overdue=True)
    seen = look(done(START, PIP, *hung, END), Asked(imports=("demo", "other")))
    assert only(seen).status is ImportStatus.HUNG
    assert only(seen).message.startswith("the import did not end within")


def test_pip_that_does_not_end_is_a_timeout() -> None:
    late = PIP | {"ending": ending(exit_code=None, signal=6, overdue=True)}
    with pytest.raises(TrialTimeoutError):
        look(done(START, late, END), Asked(imports=("demo",)))


@pytest.mark.parametrize(
    ("completed", "kind"),
    [
        (done(), SandboxError),
        (done(START), SandboxError),
        (done(START, status=Status.TIMED_OUT), TrialTimeoutError),
        (done(START, PIP, status=Status.LOST), SandboxError),
        (done(START, PIP, *imported("demo", OK), status=Status.SIGNALLED), SandboxError),
        (done(START, PIP, imported("demo", OK)[0], status=Status.LOST), SandboxError),
        (done(START, PIP, imported("demo", OK)[0], code=1, stderr="KeyError"), SandboxError),
    ],
)
def test_half_an_account_is_an_error(completed: Completed, kind: type[SandboxError]) -> None:
    with pytest.raises(kind):
        look(completed, Asked(imports=("demo",)))


def test_the_agents_own_failure_is_told_in_its_words() -> None:
    completed = done(START, PIP, imported("demo", OK)[0], code=1, stderr="KeyError: 'x'")
    with pytest.raises(SandboxError) as caught:
        look(completed, Asked(imports=("demo",)))
    assert "KeyError" in caught.value.why


@pytest.mark.parametrize(
    ("status", "seen_as"),
    [(Status.SIGNALLED, ImportStatus.SIGNALLED), (Status.TIMED_OUT, ImportStatus.HUNG)],
)
def test_who_kills_or_stops_the_agent_while_imported_is_named(
    status: Status, seen_as: ImportStatus
) -> None:
    lines = [*imported("first", OK), {"kind": "begin", "name": "demo"}]
    seen = look(done(START, PIP, *lines, status=status), Asked(imports=("first", "demo", "third")))
    outcomes = {outcome.name: outcome.status for outcome in seen.imports}
    assert outcomes == {"first": ImportStatus.OK, "demo": seen_as}


def test_extension_modules_come_along_with_their_package() -> None:
    file = f"{SITE}/demo/_x.so"
    report = {"status": "ok", "loaded": [file], "inner": {"demo._x": file, "demo._y": "/nowhere.so"}}
    beside = {"kind": "beside", "name": "demo._y", "report": {"status": "ok", "loaded": []}}
    asked = Asked(imports=("demo",), extensions=("demo._x", "demo._y"), files=frozenset([file]))
    seen = look(done(START, PIP, *imported("demo", report), beside, END), asked)
    assert [(o.name, o.kind, o.status) for o in seen.imports] == [
        ("demo", ImportKind.TOP_LEVEL, ImportStatus.OK),
        ("demo._x", ImportKind.EXTENSION, ImportStatus.OK),
        ("demo._y", ImportKind.EXTENSION, ImportStatus.OK),
    ]
    assert seen.imports[0].loaded[0].from_wheel


def test_extension_modules_that_were_never_mapped_did_not_come_along() -> None:
    report = {"status": "ok", "loaded": [], "inner": {"demo._x": f"{SITE}/demo/_x.so"}}
    asked = Asked(imports=("demo",), extensions=("demo._x",))
    with pytest.raises(SandboxError, match=r"demo\._x"):
        look(done(START, PIP, *imported("demo", report), END), asked)


def test_extension_modules_of_a_package_that_failed_need_no_account() -> None:
    asked = Asked(imports=("demo",), extensions=("demo._x",))
    seen = look(done(START, PIP, *imported("demo", RAISED, exit_code=1), END), asked)
    assert only(seen).name == "demo"


def test_loaders_words_are_found_in_the_chain_of_errors() -> None:
    sentence = "libfoo.so.1: cannot open shared object file: No such file or directory"
    report = RAISED | {"chain": ["numpy could not be imported", sentence], "missing": None}
    seen = look(done(START, PIP, *imported("demo", report, exit_code=1), END), Asked(imports=("demo",)))
    assert only(seen).loader_words == sentence


def test_only_libraries_are_listed_and_those_of_the_wheel_marked() -> None:
    ours, theirs = f"{SITE}/demo.libs/libz-1234.so.1", "/usr/lib/x86_64-linux-gnu/libssl.so.3"
    report = OK | {"loaded": [ours, theirs, "/usr/lib/locale/C.utf8/LC_CTYPE", "/usr/bin/python3.11"]}
    asked = Asked(imports=("demo",), files=frozenset([ours]))
    seen = look(done(START, PIP, *imported("demo", report), END), asked)
    assert [(lib.path, lib.from_wheel) for lib in only(seen).loaded] == [(ours, True), (theirs, False)]


def test_listings_become_checks_with_paths_below_the_venv() -> None:
    words = "\tlibabsent.so.1 => not found\n\tlibc.so.6 => /lib/libc.so.6 (0x00007f0000000000)\n"
    listed = {"kind": "elf", "path": f"{SITE}/demo/_x.so", "words": words}
    gone = {"kind": "elf", "path": "/scratch/venv/bin/tool", "words": "", "absent": True}
    seen = look(done(START, PIP, listed, gone, END), Asked())
    assert seen.loader[0].path == "lib/python3.11/site-packages/demo/_x.so"
    assert seen.loader[0].missing == ("libabsent.so.1",)
    assert seen.loader[0].problems == ()
    assert seen.loader[1].problems == ("the file is not there after the installation",)


@pytest.mark.parametrize(("missing", "counted"), [("inner", False), ("numpy", True)])
def test_a_name_that_may_be_nowhere_counts_once_python_finds_it(missing: str, counted: bool) -> None:  # noqa: FBT001
    absent = RAISED | {"exception": "ModuleNotFoundError", "missing": missing}
    lines = [*imported("demo", OK), *imported("inner", absent)]
    asked = Asked(imports=("demo", "inner"), perhaps=frozenset({"inner"}))
    seen = look(done(START, PIP, *lines, END), asked)
    assert [one.name for one in seen.imports] == ["demo", *(["inner"] if counted else [])]


def test_names_in_a_site_packages_within_the_wheel() -> None:
    files = (
        "prefix/lib/python3.11/site-packages/inner/__init__.py",
        "prefix/lib/python3.11/site-packages/inner/more.py",
        "prefix/lib/python3.11/site-packages/single.py",
        "prefix/lib/python3.11/site-packages/not-a-name.py",
        "demo-1.0.data/data/lib/python3.11/site-packages/late.py",
        "demo/__init__.py",
    )
    assert list(names_by_dependency(make_facts(files=files))) == ["inner", "single"]
