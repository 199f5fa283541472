"""What the CI pages offer for pasting: it fits the published schemas, parses, and runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from ci_pages import BLOCK, HOW_TO, blocks
from run_records import make_run, make_verdict, make_wheel
from wheels import build_wheel

from pytest_manylinux.artifacts import read_artifact
from pytest_manylinux.cli import build_parser
from pytest_manylinux.config.options import OPTIONS, REPORTS, SWITCHES
from pytest_manylinux.model.run import record_wheel
from pytest_manylinux.model.verdict import Outcome
from pytest_manylinux.report.proof import write_proof

ROOT = Path(__file__).parents[2]
PAGES = [
    *(HOW_TO / f"{name}.md" for name in ("github-actions", "gitlab-ci", "jenkins", "cron", "pre-push")),
    ROOT / "docs" / "reference" / "gate.md",
    ROOT / "docs" / "reference" / "proof.md",
]
BIN = Path(sys.executable).parent


def commands(page: Path) -> list[list[str]]:
    """Every `pytest-manylinux` command line on the page, as words."""
    text = "\n".join(match["text"] for match in BLOCK.finditer(page.read_text(encoding="utf-8")))
    text = text.replace("\\\n", " ")
    found = re.findall(
        r"(?:^|[ /'])(pytest-manylinux (?:gate|upload|proof|diff)\b[^|&;>\n']*)", text, re.MULTILINE
    )
    return [shlex.split(re.sub(r"\$\{\{.*?\}\}|\[|\]", "1", line)) for line in found]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_on_the_pages_are_ones_that_exist(page: Path) -> None:
    found = commands(page)
    for words in found:
        build_parser().parse_args(words[1:])
    assert found


@pytest.mark.parametrize("page", [*PAGES, ROOT / "action.yml"], ids=lambda page: page.stem)
def test_flags_on_the_pages_are_ones_that_exist(page: Path) -> None:
    known = {option.flag for option in (*OPTIONS, *REPORTS, *SWITCHES)} | {"--manylinux"}
    named = set(re.findall(r"--manylinux[a-z-]*", page.read_text(encoding="utf-8")))
    assert named - known == set()


def check_schema(schema: str, file: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("number", range(3))
def test_workflows_fit_the_schema_of_github(tmp_path: Path, number: int) -> None:
    workflow = tmp_path / "workflow.yml"
    workflow.write_text(blocks(HOW_TO / "github-actions.md", "yaml")[number])
    check_schema("vendor.github-workflows", workflow)


def test_the_pipeline_fits_the_schema_of_gitlab(tmp_path: Path) -> None:
    pipeline = tmp_path / ".gitlab-ci.yml"
    (text,) = blocks(HOW_TO / "gitlab-ci.md", "yaml")
    pipeline.write_text(text)
    check_schema("vendor.gitlab-ci", pipeline)


def test_the_action_fits_the_schema_of_github() -> None:
    check_schema("vendor.github-actions", ROOT / "action.yml")


def script(text: str, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def run(*command: object, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("GIT_", "PYTEST_"))}
    environment = {**kept, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **variables}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_action_hands_its_inputs_to_pytest(tmp_path: Path) -> None:
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    step = re.search(r"- name: Prove\n.*?run: \|\n(?P<lines>(?: {8}.*\n)+)", text, re.DOTALL)
    assert step is not None
    script('#!/bin/sh\nprintf "%s\\n" "$@" >arguments\n', tmp_path / "temp/pytest-manylinux/bin/python")
    done = run(
        "bash",
        "-eo",
        "pipefail",
        "-c",
        re.sub(r"^ {8}", "", step["lines"], flags=re.MULTILINE),
        cwd=tmp_path,
        RUNNER_TEMP=str(tmp_path / "temp"),
        GITHUB_OUTPUT=str(tmp_path / "output"),
        PATHS="dist other/*.whl",
        DISTROS="debian-12,debian-13",
        ENGINE="docker",
        REPORTS="my reports",
        GATE="true",
        OPTIONS="-x -q",
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "output").read_text() == "proof=my reports/proof.json\n"
    assert (tmp_path / "arguments").read_text().splitlines() == [
        "-m",
        "pytest",
        "--manylinux",
        "dist",
        "other/*.whl",
        "--manylinux-engine=docker",
        "--manylinux-proof=my reports/proof.json",
        "--manylinux-html=my reports/portability.html",
        "--manylinux-markdown=my reports/portability.md",
        "--junitxml=my reports/junit.xml",
        "-x",
        "-q",
        "--manylinux-distros=debian-12,debian-13",
        "--manylinux-gate",
    ]


def prove(folder: Path, proof: Path, outcome: Outcome = Outcome.PORTABLE, **changes: object) -> None:
    """A wheel in `folder` and a proof of it, as a run would leave them."""
    path = build_wheel(folder, {"demo.py": ""})
    wheel = replace(make_wheel(path.name), sha256=read_artifact(path).sha256)
    record = record_wheel(wheel, f"dist/{path.name}")
    verdicts = [make_verdict(record, "audit"), make_verdict(record, "debian-12-cp311-x86_64", outcome)]
    write_proof(make_run([record], verdicts, **changes), proof)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A git repository with the hook from the page, a remote, and one commit."""
    remote, here = tmp_path / "remote.git", tmp_path / "clone"
    assert run("git", "init", "-q", "--bare", remote, cwd=tmp_path).returncode == 0
    assert run("git", "clone", "-q", remote, here, cwd=tmp_path).returncode == 0
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.invalid"]
    assert run("git", *identity, "commit", "-q", "--allow-empty", "-m", "one", cwd=here).returncode == 0
    (text,) = blocks(HOW_TO / "pre-push.md", "sh")
    script(text, here / ".git" / "hooks" / "pre-push")
    return here


def test_the_hook_lets_branches_pass(clone: Path) -> None:
    assert run("git", "push", "-q", "origin", "HEAD", cwd=clone).returncode == 0


@pytest.mark.parametrize(
    ("outcome", "passes"), [(Outcome.PORTABLE, True), (Outcome.NOT_PORTABLE, False), (None, False)]
)
def test_the_hook_holds_tags_back_that_are_not_proven(
    clone: Path,
    outcome: Outcome | None,
    passes: bool,  # noqa: FBT001
) -> None:
    if outcome is None:
        build_wheel(clone / "dist", {"demo.py": ""})
    else:
        prove(clone / "dist", clone / "reports" / "proof.json", outcome)
    run("git", "tag", "v1.0", cwd=clone)
    done = run("git", "push", "-q", "origin", "v1.0", cwd=clone)
    assert (done.returncode == 0) is passes, done.stdout + done.stderr
    listed = run("git", "ls-remote", "--tags", "origin", cwd=clone).stdout
    assert ("v1.0" in listed) is passes


@pytest.fixture
def nightly(tmp_path: Path) -> Path:
    """The script from the page, and a pytest that copies tonight's proof into the history."""
    (text,) = blocks(HOW_TO / "cron.md", "sh")
    fake = """#!/bin/sh
for argument; do
  case "$argument" in --manylinux-history=*) nights=${argument#*=} ;; esac
done
[ ! -e usage ] || { echo 'a wrong setting'; exit 4; }
cp tonight.json "$nights/proof-$(ls "$nights" | wc -l).json"
exit "$(cat status)"
"""
    script(fake, tmp_path / "bin" / "pytest")
    (tmp_path / "status").write_text("0")
    return script(text, tmp_path / "night.sh")


def night(nightly: Path) -> subprocess.CompletedProcess[str]:
    folder = nightly.parent
    path = f"{folder / 'bin'}{os.pathsep}{BIN}{os.pathsep}{os.environ['PATH']}"
    return run(nightly, folder / "dist", folder / "home", cwd=folder, PATH=path)


def test_the_nightly_script_speaks_of_new_failures_only(nightly: Path) -> None:
    folder = nightly.parent
    prove(folder / "dist", folder / "tonight.json")
    for _ in range(2):
        quiet = night(nightly)
        assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    prove(folder / "dist", folder / "tonight.json", Outcome.NOT_PORTABLE)
    (folder / "status").write_text("1")
    loud = night(nightly)
    assert loud.returncode == 1
    assert loud.stdout.startswith("newly failing (1)\n")
    again = night(nightly)
    assert (again.returncode, again.stdout) == (0, "")


def test_the_nightly_script_tells_of_a_run_that_did_not_happen(nightly: Path) -> None:
    (nightly.parent / "usage").touch()
    done = night(nightly)
    assert (done.returncode, done.stdout) == (4, "a wrong setting\n")
