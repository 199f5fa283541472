"""Runs as values, for tests of reports and of the gate."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

from hypothesis import strategies as st
from packaging.utils import parse_wheel_filename

from pytest_manylinux.model.distro import Distro, Interpreter
from pytest_manylinux.model.observation import (
    DifferenceKind,
    FileDifference,
    ImportKind,
    ImportOutcome,
    ImportStatus,
    InstallOutcome,
    LoadedLibrary,
    Observation,
)
from pytest_manylinux.model.policy import Libc, LibcKind
from pytest_manylinux.model.python import parse_python
from pytest_manylinux.model.run import (
    BuildRecord,
    MergedRecord,
    RunRecord,
    SettingRecord,
    ShardRecord,
    WheelRecord,
    record_wheel,
)
from pytest_manylinux.model.verdict import (
    Cause,
    Expectation,
    Finding,
    Ignored,
    Outcome,
    Severity,
    Tries,
    Verdict,
)
from pytest_manylinux.model.wheel import Audit, Wheel

STARTED = 1_700_000_000.0

EXECUTABLE_STACK = Finding(
    code="ML107",
    name="executable-stack",
    severity=Severity.ERROR,
    message="cannot enable executable stack as shared object requires: Invalid argument",
    evidence=("demo/_native.so: PT_GNU_STACK is RWE", "glibc 2.41 refuses it at dlopen"),
    remedy="link with -Wl,-z,noexecstack",
)
MISSING_LIBRARY = Finding(
    code="ML103",
    name="missing-library",
    severity=Severity.ERROR,
    message="libGL.so.1: cannot open shared object file: No such file or directory",
    evidence=("demo/_native.so needs libGL.so.1",),
    remedy="graft the library, or say in the README that libgl1 must be installed",
)

# id: family, release, glibc, Python, end of life
_ROWS: Mapping[str, tuple[str, str, tuple[int, int], str, date | None]] = {
    "debian-11": ("debian", "11", (2, 31), "3.9", date(2026, 8, 31)),
    "debian-12": ("debian", "12", (2, 36), "3.11", date(2028, 6, 30)),
    "debian-13": ("debian", "13", (2, 41), "3.13", date(2030, 6, 30)),
    "debian-testing": ("debian", "testing", (2, 43), "3.14", None),
    "ubuntu-22.04": ("ubuntu", "22.04", (2, 35), "3.10", date(2027, 4, 1)),
    "ubuntu-24.04": ("ubuntu", "24.04", (2, 39), "3.12", date(2029, 5, 31)),
    "opensuse-leap-15.6": ("opensuse", "15.6", (2, 38), "3.6", date(2026, 4, 30)),
}


def make_distro(distro: str) -> Distro:
    """A row as the catalogue has it; distros that are not in the table get figures by their name."""
    if distro in _ROWS:
        family, release, glibc, python, end = _ROWS[distro]
    else:
        family, _, release = distro.rpartition("-")
        digit = int(hashlib.sha256(distro.encode()).hexdigest()[:2], 16) % 20
        glibc, python, end = (2, 17 + digit), f"3.{8 + digit % 6}", date(2020 + digit, 5, 31)
    return Distro(
        id=distro,
        family=family,
        release=release,
        title=f"{family.capitalize()} {release}",
        libc=Libc(LibcKind.GLIBC, glibc),
        architectures=("x86_64",),
        interpreters=(
            Interpreter(
                version=parse_python(python), executable="/usr/bin/python3", packages=("python3",)
            ),
        ),
        package_manager="apt",
        end_of_life=end,
        rolling=end is None,
    )


def make_wheel(filename: str, content: bytes = b"") -> Wheel:
    """A wheel with the digest of `content` (of its name if there is none)."""
    name, version, build, tags = parse_wheel_filename(filename)
    return Wheel(
        path=Path("/somewhere/dist") / filename,
        sha256=hashlib.sha256(content or filename.encode()).hexdigest(),
        size=len(content) or 12_345,
        name=str(name),
        version=str(version),
        build="".join(map(str, build)),
        tags=tags,
    )


def make_wheel_record(filename: str, content: bytes = b"") -> WheelRecord:
    wheel = make_wheel(filename, content)
    audit = Audit(promised=wheel.platforms, deserved=wheel.platforms[0], true=True, tool="auditwheel 6")
    return record_wheel(wheel, f"dist/{filename}", audit=audit)


def make_observation(target: str, **changes: object) -> Observation:
    distro = target.rsplit("-", 2)[0]
    python = target.rsplit("-", 2)[1].replace("cp3", "3.")
    seen = Observation(
        target=target,
        image="sha256:" + hashlib.sha256(distro.encode()).hexdigest(),
        image_name=distro,
        image_source="archive",
        engine="bubblewrap",
        python=f"{python}.2",
        libc="glibc 2.36",
        install=InstallOutcome(
            ok=True,
            pip_version="23.0.1",
            exit_code=0,
            output="Successfully installed demo",
            duration=0.5,
        ),
        imports=(
            ImportOutcome(
                name="demo",
                kind=ImportKind.TOP_LEVEL,
                status=ImportStatus.OK,
                duration=0.1,
                loaded=(LoadedLibrary(path="/usr/lib/libc.so.6", from_wheel=False),),
            ),
        ),
        started=STARTED,
        duration=0.9,
    )
    return replace(seen, **changes)  # type: ignore[arg-type]


def make_verdict(
    wheel: WheelRecord, subject: str, outcome: Outcome = Outcome.PORTABLE, **changes: object
) -> Verdict:
    """A verdict that agrees with itself: errors, cause or declaration as its outcome asks for."""
    verdict = Verdict(
        outcome=outcome,
        subject=subject,
        wheel=wheel.file,
        wheel_sha256=wheel.sha256,
        findings=(EXECUTABLE_STACK,) if outcome in {Outcome.NOT_PORTABLE, Outcome.EXPECTED} else (),
        cause=Cause.TIMEOUT if outcome is Outcome.NOT_PROVEN else None,
        reason="nothing came back within 300 s" if outcome is Outcome.NOT_PROVEN else "",
        expectation=Expectation(distro="*", finding="executable-stack", reason="the lesson")
        if outcome is Outcome.EXPECTED
        else None,
        observation=None if subject == "audit" else make_observation(subject),
    )
    return replace(verdict, **changes)  # type: ignore[arg-type]


def make_run(
    wheels: Sequence[WheelRecord] = (), verdicts: Sequence[Verdict] = (), **changes: object
) -> RunRecord:
    """A run with these; its distros are those that the verdicts name."""
    names = {v.subject.rsplit("-", 2)[0] for v in verdicts if "-cp3" in v.subject}
    record = RunRecord(
        started=STARTED,
        duration=12.5,
        tool_version="0.1.0",
        pytest_version="9.0.0",
        host_python="3.11.2",
        kernel="linux 6.1",
        engine="bubblewrap",
        engine_version="0.8.0",
        settings=(SettingRecord(name="policy", value="manylinux1", source="default"),),
        wheels=tuple(wheels),
        verdicts=tuple(verdicts),
        catalogue_version="sha256:0123",
        distros=tuple(make_distro(name) for name in sorted(names)),
    )
    return replace(record, **changes)  # type: ignore[arg-type]


def make_large_run(wheels: int, distros: int, *, seed: int = 1) -> RunRecord:
    """Some of everything, the same each time: most verdicts pass, a few do not."""
    chance = random.Random(seed)  # noqa: S311 - a picture, no secret
    families = ("debian", "ubuntu", "opensuse-leap", "almalinux", "fedora", "amazonlinux")
    places = [f"{families[i % len(families)]}-{10 + i}" for i in range(distros)]
    records = []
    verdicts = []
    for index in range(wheels):
        python = ("cp39", "cp311", "cp313")[index % 3]
        record = make_wheel_record(
            f"package_{index // 3}-1.{index}.0-{python}-{python}"
            "-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
        )
        records.append(record)
        verdicts.append(make_verdict(record, "audit"))
        for place in places:
            (outcome,) = chance.choices(list(Outcome), [40, 3, 1, 1])
            verdicts.append(make_verdict(record, f"{place}-{python}-x86_64", outcome))
    return make_run(records, verdicts, distros=tuple(make_distro(place) for place in places))


RELEASE_PYTHONS = (
    *(f"cp3{minor}-cp3{minor}" for minor in range(8, 16)),
    "cp314-cp314t",
    "cp315-cp315t",
    "pp311-pypy311_pp73",
)
RELEASE_ARCHS = ("aarch64", "armv7l", "i686", "loongarch64", "ppc64le", "riscv64", "s390x", "x86_64")


def make_release_run(distros: int) -> RunRecord:
    """A release of 90 wheels for eight architectures, each tried with its Python on each distro."""
    places = [f"{('debian', 'ubuntu', 'fedora')[i % 3]}-{10 + i}" for i in range(distros)]
    pairs = [(python, arch) for python in RELEASE_PYTHONS for arch in RELEASE_ARCHS]
    pairs += [("cp37-cp37m", arch) for arch in RELEASE_ARCHS[:2]]
    records, verdicts = [], []
    for python, arch in pairs:
        record = make_wheel_record(f"demo-1.0.0-{python}-manylinux_2_28_{arch}.whl")
        records.append(record)
        verdicts.append(make_verdict(record, "audit"))
        tag = python.partition("-")[0]
        verdicts += [make_verdict(record, f"{place}-{tag}-{arch}") for place in places]
    return make_run(records, verdicts, distros=tuple(make_distro(place) for place in places))


# Text as it comes from wheels and from imported code: anything, with a liking for what breaks things.
hostile_text = st.text(max_size=30) | st.sampled_from(
    [
        "\x1b[31mred\x1b[0m",
        "<script>alert(1)</script>",
        "]]>",
        "a\nb\r\n\tc",
        "\x00\x08\x7f\x9b",
        "\u202egnp.exe",
        "| pipe | `code` | <!-- -->",
        "::error::injected%0A",
        "\ud800 lone",
        "'\"&<>;",
    ]
)
_distros = st.sampled_from(sorted(_ROWS))
_findings = st.builds(
    Finding,
    code=st.from_regex(r"ML[1-9][0-9]{2}", fullmatch=True),
    name=st.sampled_from(["executable-stack", "missing-library", "crash"]),
    severity=st.sampled_from(Severity),
    message=hostile_text,
    evidence=st.lists(hostile_text, max_size=3).map(tuple),
    remedy=hostile_text,
)
_imports = st.builds(
    ImportOutcome,
    name=hostile_text,
    kind=st.sampled_from(ImportKind),
    status=st.sampled_from(ImportStatus),
    message=hostile_text,
    traceback=hostile_text,
    output=hostile_text,
    exit_code=st.none() | st.integers(0, 255),
    signal=st.none() | st.integers(1, 64),
    duration=st.floats(0, 1000),
    loaded=st.lists(
        st.builds(LoadedLibrary, path=hostile_text, from_wheel=st.booleans()), max_size=3
    ).map(tuple),
)
_installs = st.builds(
    InstallOutcome,
    ok=st.booleans(),
    pip_version=hostile_text,
    exit_code=st.integers(0, 255),
    output=hostile_text,
    duration=st.floats(0, 1000),
    installed=st.lists(st.tuples(hostile_text, hostile_text), max_size=2).map(tuple),
    changed=st.lists(hostile_text, max_size=2).map(tuple),
    compared=st.integers(0, 1000),
    differences=st.lists(
        st.builds(
            FileDifference,
            path=hostile_text,
            kind=st.sampled_from(DifferenceKind),
            shared=st.booleans(),
        ),
        max_size=2,
    ).map(tuple),
)


@st.composite
def _tries(draw: st.DrawFn, outcome: Outcome) -> Tries:
    """Counts that agree; a verdict that is portable has no tries that disagree."""
    count = draw(st.integers(1, 20))
    failed = 0 if outcome is Outcome.PORTABLE else draw(st.integers(0, count))
    earlier = draw(st.integers(0, 1000))
    earlier_failed = 0 if outcome is Outcome.PORTABLE else draw(st.integers(0, earlier))
    return Tries(
        count=count, failed=failed, known=count + earlier, known_failed=failed + earlier_failed
    )


@st.composite
def verdicts(draw: st.DrawFn, wheel: WheelRecord) -> Verdict:
    """A verdict on the wheel that agrees with itself, with hostile words in every place."""
    distro = draw(_distros)
    subject = draw(st.sampled_from(["audit", f"{distro}-cp311-x86_64", f"{distro}-cp39-x86_64"]))
    outcome = draw(st.sampled_from(Outcome))
    findings = draw(st.lists(_findings, max_size=2).map(tuple))
    if outcome is Outcome.PORTABLE:
        findings = tuple(f for f in findings if f.severity is not Severity.ERROR)
    seen = make_observation(
        f"{distro}-cp311-x86_64",
        imports=draw(st.lists(_imports, max_size=2).map(tuple)),
        install=draw(st.none() | _installs),
        started=draw(st.floats(0, 4e9)),
        remembered=draw(st.booleans()),
    )
    return make_verdict(
        wheel,
        subject,
        outcome,
        findings=findings,
        reason=draw(hostile_text),
        cause=draw(st.sampled_from(Cause)) if outcome is Outcome.NOT_PROVEN else None,
        ignored=draw(
            st.lists(st.builds(Ignored, finding=_findings, reason=hostile_text), max_size=1).map(tuple)
        ),
        observation=draw(st.none() | st.just(seen)),
        tries=draw(st.none() | _tries(outcome)),
    )


@st.composite
def runs(draw: st.DrawFn) -> RunRecord:
    """A run of up to three wheels, with every kind of part present at times."""
    names = [
        f"demo-1.{n}-cp311-cp311-manylinux_2_17_x86_64.whl" for n in range(draw(st.integers(0, 3)))
    ]
    records = [make_wheel_record(name) for name in names]
    found = [draw(verdicts(record)) for record in records for _ in range(draw(st.integers(0, 3)))]
    build = BuildRecord(
        project=draw(hostile_text),
        python="cp311",
        policy="manylinux2014",
        builder="zig",
        tools=(("zig", "0.17"), ("auditwheel", "6.8")),
        error=draw(hostile_text),
        log="/somewhere/build.log",
    )
    return make_run(
        records,
        found,
        builds=draw(st.sampled_from([(), (build,)])),
        shard=draw(st.sampled_from([None, ShardRecord(index=1, count=2, plan="abc")])),
        merged=draw(
            st.sampled_from(
                [
                    (),
                    (
                        MergedRecord(
                            sha256="0" * 64,
                            started=1.0,
                            tool_version="1",
                            engine="e",
                            engine_version="1",
                        ),
                    ),
                ]
            )
        ),
        pins=(("debian-12", "sha256:1"),),
    )
