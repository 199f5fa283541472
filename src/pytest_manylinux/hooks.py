"""The hooks of a run with `--manylinux`; registered only then."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from _pytest.junitxml import LogXML, xml_key  # what pytest's own record_testsuite_property uses

from pytest_manylinux.config.merge import merge
from pytest_manylinux.diagnose.check_registry import added_checks
from pytest_manylinux.errors import ExitCode, InternalError, ManylinuxError, UsageError
from pytest_manylinux.escape import plain, plain_line
from pytest_manylinux.host.shutdown import end_in_order
from pytest_manylinux.host.tempdirs import temporary_folder
from pytest_manylinux.model.run import RunRecord
from pytest_manylinux.nodes import (
    CONTEXT,
    PortabilityItem,
    TrialItem,
    artifact_node,
    folder_node,
)
from pytest_manylinux.report.junit import (
    InnerCase,
    SharedProperties,
    case_name,
    case_output,
    class_name,
    describe_case,
    inner_cases,
    suite_properties,
)
from pytest_manylinux.report.shards import parse_shard, shard_record
from pytest_manylinux.run.collection import Context, read_layers
from pytest_manylinux.run.extensions import gather
from pytest_manylinux.run.header import header_lines
from pytest_manylinux.run.hints import nothing_notes
from pytest_manylinux.run.monorepo import is_output, projects_of_root
from pytest_manylinux.run.progress import Lines, Live
from pytest_manylinux.run.record import ItemRecord, load_item_record
from pytest_manylinux.run.reports import (
    divide,
    gate_words,
    image_notes,
    outputs_of,
    speak_to_forge,
    untargeted_notes,
)
from pytest_manylinux.run.session import Run
from pytest_manylinux.run.strangers import (
    Links,
    check_kinds,
    check_there,
    folder_of_table,
    given_paths,
)
from pytest_manylinux.run.tasks import Overview
from pytest_manylinux.run.tracebacks import foreseen, guarded, tell

SHARED = "manylinux_shared"  # pytest-xdist's workers find their common folder under this
ENTRY = "manylinux_entry"  # the attribute of a test report that carries an item's entry
GROUP = "manylinux_group"  # and of the path of its project or wheel
REMEMBERED = "manylinux_remembered"  # and whether an earlier run saw what it rests on

TestStatus: TypeAlias = tuple[str, str, str | tuple[str, Mapping[str, bool]]]  # pytest's own form


def activate(config: pytest.Config) -> None:
    """Make the run's context and register its hooks; a wrong setting is a usage error."""
    try:
        with foreseen("the start of the session"):
            hooks = Hooks(config)
            config.pluginmanager.register(hooks, "manylinux-run")
            config.pluginmanager.register(hooks.lines, "manylinux-lines")
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error
    except ManylinuxError as error:
        pytest.exit(str(error), returncode=error.exit_code)
    config.add_cleanup(end_in_order())


def inner_reports(outer: str, case: InnerCase) -> Iterator[pytest.TestReport]:
    """A test that ran inside of a trial, as pytest reports its own: the call, then the teardown."""
    nodeid = f"{outer}::{case.class_name}::{case.name}"
    where = (nodeid, None, case.name)
    words = case.words
    failed = case.status in {"failed", "error"}
    yield pytest.TestReport(
        nodeid=nodeid,
        location=where,
        keywords={},
        outcome="failed" if failed else "skipped" if case.status == "skipped" else "passed",
        longrepr=words if failed else (nodeid, 0, words) if case.status == "skipped" else None,
        when="setup" if case.status == "error" else "call",
        duration=case.duration,
    )
    yield pytest.TestReport(
        nodeid=nodeid,
        location=where,
        keywords={},
        outcome="passed",
        longrepr=None,
        when="teardown",
    )


def _split_selection(config: pytest.Config) -> dict[Path, set[str]]:
    """Take `FOLDER::item` arguments apart: pytest itself knows names inside files only.

    Leaves the folders in `config.args`; gives the names asked for by folder.
    """
    chosen: dict[Path, set[str]] = {}
    for position, argument in enumerate(config.args):
        base, separator, name = argument.partition("::")
        folder = config.invocation_params.dir / base
        if separator and folder.is_dir():
            config.args[position] = base
            chosen.setdefault(folder.resolve(), set()).add(name)
    return chosen


def _shared_folder(config: pytest.Config, stack: ExitStack) -> Path | None:
    """The folder that all processes of one pytest-xdist run share; None outside of one.

    The controller makes it, for as long as `stack` is open: it asks questions too, in the header.
    """
    given = getattr(config, "workerinput", None)
    if given is not None:
        return Path(given[SHARED]) if SHARED in given else None
    if config.getoption("dist", "no") == "no":
        return None
    return stack.enter_context(temporary_folder())


class Hooks:
    """One object per run, holding its context."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.is_worker = hasattr(config, "workerinput")
        self.record: RunRecord | None = None
        self.notes: list[str] = []
        self.nothing: list[str] = []
        self.live = Live()
        self.lines = Lines(config, lambda report: GROUP in vars(report))
        self.annotations: Sequence[str] = ()
        self._properties = SharedProperties()
        self.outputs = outputs_of(config.getoption, config.invocation_params.dir)
        self.shard = self._parsed_shard()
        self.common = ExitStack()
        self.common_folder = _shared_folder(config, self.common)
        self.selection = _split_selection(config)
        here = config.invocation_params.dir
        bare = config.args_source is not pytest.Config.ArgsSource.ARGS
        with_tests = bool(config.getoption("manylinux_with_tests"))
        if bare:
            config.args[:] = [os.fspath(config.rootpath)]
        elif not (with_tests or config.option.pyargs):
            check_kinds(config.args, here)
        self.links = Links(given_paths(config.args, here), with_tests=with_tests)
        own = folder_of_table(config, bare=bare)
        extensions = gather(config)
        layers = read_layers(root=own, options=vars(config.option), environment=os.environ)
        settings = merge(layers)
        self.run = Run(
            settings=settings,
            root=config.rootpath,
            own=own,
            here=here,
            show=self._show,
            watch=self._watch,
            shared=self.common_folder,
            fresh=config.getoption("manylinux_fresh"),
            rebuild=config.getoption("manylinux_rebuild"),
            extensions=extensions,
        )
        with added_checks(extensions.checks):
            self.run.check(settings)
        if not (bare or with_tests or config.option.pyargs):
            check_there(config.args, here)
        alone = projects_of_root(config.rootpath, settings) if bare else frozenset()
        self.context = Context(run=self.run, layers=layers, alone=alone, with_tests=with_tests)
        self.context.goes_on = not config.option.collectonly
        config.stash[CONTEXT] = self.context
        self.common.enter_context(added_checks(extensions.checks))

    def _parsed_shard(self) -> tuple[int, int] | None:
        text = self.config.getoption("manylinux_shard")
        return None if text is None else parse_shard(text)

    @pytest.hookimpl(optionalhook=True)
    @guarded
    def pytest_configure_node(self, node: Any) -> None:  # noqa: ANN401 - pytest-xdist's, untyped
        """Give pytest-xdist's workers a folder in common, so that each wheel is built once."""
        if self.common_folder is not None:
            node.workerinput[SHARED] = str(self.common_folder)

    def _show(self, line: str) -> None:
        reporter = self.config.pluginmanager.getplugin("terminalreporter")
        if reporter is None or reporter.verbosity < 0 or self.is_worker:
            return
        capture = self.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            self.live.clear()
            reporter.ensure_newline()
            reporter.write_line(f"  {plain(line)}", cyan=True)
            reporter.flush()  # a log that is followed shows it now, not when its buffer is full

    def _watch(self, look: Callable[[], Overview] | None) -> None:
        """Draw what is at work, on a terminal that takes control sequences; None: take it away."""
        reporter = self.config.pluginmanager.getplugin("terminalreporter")
        if reporter is None or reporter.verbosity < 0 or self.is_worker:
            return
        if reporter.isatty and reporter.hasmarkup:
            capture = self.config.pluginmanager.getplugin("capturemanager")
            with capture.global_and_fixture_disabled() if capture else nullcontext():
                self.live.show(look, reporter._tw)  # noqa: SLF001 - the terminal that pytest writes to

    @guarded
    def pytest_report_header(self) -> list[str]:
        """Engine, builder, policy and distros, and whatever else is not a default."""
        lines = header_lines(self.run, ask_engine=not self.config.option.collectonly)
        return [plain_line(line) for line in lines]

    @pytest.hookimpl(tryfirst=True)
    @guarded
    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Follow no link out of the tree or to a folder, and do not try what was built here."""
        if collection_path in self.context.alone or self.context.leads_on(collection_path):
            return False  # whatever pytest's norecursedirs says of a folder's name
        ours = collection_path == self.run.wheelhouse or is_output(collection_path, self.run.settings)
        return True if ours or self.links.leaves_out(collection_path) else None

    @pytest.hookimpl(tryfirst=True)
    @guarded
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Collect project folders as projects; others as plain folders, never as Python packages."""
        return folder_node(parent, path)

    @guarded
    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Collect wheels and sdists."""
        return artifact_node(parent, file_path)

    @guarded
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep what was asked for as `FOLDER::item`, and of that this shard's part."""
        if not items and not self.context.collect_errors:
            self.nothing = nothing_notes(config.args)
        dropped = [item for item in items if not self._is_selected(item)]
        if self.shard is not None:
            dropped += self._other_shards(self.shard, [i for i in items if i not in dropped])
        if dropped:
            left_out = set(dropped)
            items[:] = [item for item in items if item not in left_out]
            config.hook.pytest_deselected(items=dropped)
        self.context.take_members()
        self._put_in_order(items)

    def _put_in_order(self, items: list[pytest.Item]) -> None:
        """A project's items after those of projects that it requires; others stay where they are."""
        ours = [item for item in items if isinstance(item, PortabilityItem)]
        order = self.context.in_order(dict.fromkeys(item.path for item in ours))
        ranks = {path: rank for rank, path in enumerate(order)}
        inorder = iter(sorted(ours, key=lambda item: ranks[item.path]))
        items[:] = [next(inorder) if isinstance(item, PortabilityItem) else item for item in items]

    def _is_selected(self, item: pytest.Item) -> bool:
        folder = item.parent.path.resolve() if item.parent else item.path
        names = self.selection.get(folder)
        return names is None or item.name in names

    def _other_shards(self, shard: tuple[int, int], items: list[pytest.Item]) -> list[pytest.Item]:
        """Items of projects and wheels that other shards do; ordinary tests go by their files."""
        groups = {item: self.context.shown(item.path) for item in items}
        parts = divide(groups.values(), self.outputs.weights(), shard[1])
        self.context.shard = shard_record(shard[0], parts)
        return [item for item, group in groups.items() if group not in parts[shard[0] - 1]]

    @pytest.hookimpl(tryfirst=True)
    @guarded
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Start the work of all chosen items at once; a worker starts what it is handed."""
        if session.testsfailed or session.config.option.collectonly or self.is_worker:
            return
        self.context.flow.usual = self.outputs.usual()
        items = [item for item in session.items if isinstance(item, PortabilityItem)]
        self.lines.begin([item.nodeid for item in items], session.items[0].nodeid if items else "")
        first = next((n for n, item in enumerate(items) if isinstance(item, TrialItem)), len(items))
        self.run.tasks.begin(
            [item.start for item in items[: first + 1]], [item.start for item in items[first + 1 :]]
        )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add what an item found to its report."""
        report = yield
        if not isinstance(item, PortabilityItem):
            return report
        vars(report)[GROUP] = self.context.shown(item.path)
        if call.when == "call" and item.entry is not None:
            entry = item.entry
            vars(report)[ENTRY] = entry.dump() if self.is_worker else entry
            vars(report)[REMEMBERED] = entry.remembered
            item.entry = None  # the record has it from here on
            vars(report)["user_properties"] = item.user_properties
            if item.own_duration is not None:
                report.duration = item.own_duration
            if entry.skipped and isinstance(report.longrepr, tuple):  # where, and not in our source
                vars(report)["longrepr"] = (str(item.reportinfo()[0]), None, report.longrepr[2])
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(
        self, report: pytest.CollectReport | pytest.TestReport
    ) -> Generator[None, TestStatus, TestStatus]:
        """With -v, say which verdicts rest on what an earlier run saw."""
        status = yield
        word = status[2] if vars(report).get(REMEMBERED) else ""
        if isinstance(word, str) and word:
            return status[0], status[1], f"{word} (remembered)"
        return status

    @pytest.hookimpl(tryfirst=True)
    @guarded
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather the record from reports, so that it is whole under pytest-xdist as well.

        Before all others: pytest's own JUnit plugin keeps a name and class that are set already.
        """
        self.context.recorder.failed += report.failed
        # Taken from the report: pytest's terminal keeps all of them to the end.
        data = None if self.is_worker else vars(report).pop(ENTRY, None)
        entry = load_item_record(data) if isinstance(data, bytes) else data
        if entry is not None:
            self.context.recorder.add(entry)
            self._pass_on(report.nodeid, entry)
        junit = self.config.stash.get(xml_key, None)
        if junit is not None and GROUP in vars(report) and (report.when == "call" or report.failed):
            wheel, build = (entry.wheel, entry.build) if entry else (None, None)
            describe_case(
                self._properties.shared_by(junit.node_reporter(report)),
                prefix=junit.prefix or "",
                group=vars(report)[GROUP],
                name=case_name(report.nodeid, wheel, build),
                output=""
                if entry is None or (report.passed and not junit.log_passing_tests)
                else case_output(entry.verdict, entry.build),
            )
            if entry is not None:
                self._tell_inner(junit, report, entry)

    def _tell_inner(self, junit: LogXML, report: pytest.TestReport, entry: ItemRecord) -> None:
        """Have JUnit know of each test that ran inside of a trial."""
        cases = [] if entry.verdict is None else inner_cases(entry.verdict)
        for case in cases:
            for inner in inner_reports(report.nodeid, case):
                reporter = junit.node_reporter(inner)
                words = (junit.prefix or "", class_name(vars(report)[GROUP]), case.class_name)
                reporter.add_attribute("classname", ".".join(filter(None, words)))
                reporter.add_attribute("name", case.name)
                junit.pytest_runtest_logreport(inner)

    def _pass_on(self, nodeid: str, entry: ItemRecord) -> None:
        """Tell other plugins of a verdict."""
        if entry.verdict is not None and not self.is_worker:
            self.config.hook.pytest_manylinux_verdict(
                config=self.config, nodeid=nodeid, verdict=entry.verdict, wheel=entry.wheel
            )

    def _record(self) -> RunRecord:
        engine = ("", "")
        pins: tuple[tuple[str, str], ...] = ()
        if self.context.recorder.verdicts or self.context.recorder.builds:
            try:
                chosen = self.run.workspace.engine()
                engine = (chosen.name, chosen.version())
                pins = self.run.pins(self.run.settings)
            except ManylinuxError:
                pass  # the verdicts say so
        settings = self.run.settings
        return self.context.recorder.record(
            settings,
            engine=engine,
            pytest_version=pytest.__version__,
            distros=self.run.distros(settings),
            catalogue_version=self.run.catalogue.version,
            shard=self.context.shard,
            pins=pins,
        )

    @pytest.hookimpl(tryfirst=True)
    @guarded
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write what was asked for, and say by the exit code what kind of failure it was.

        Before all others: the JUnit file is written in this hook too.
        """
        recorder = self.context.recorder
        if not self.is_worker:
            if session.exitstatus == pytest.ExitCode.TESTS_FAILED and recorder.only_not_proven:
                session.exitstatus = ExitCode.NOT_PROVEN
            if session.exitstatus == pytest.ExitCode.OK and recorder.nothing_tried:
                session.exitstatus = ExitCode.NOT_PROVEN
                self.notes.append("nothing was tried: no chosen target takes any of the wheels")
            if session.exitstatus == pytest.ExitCode.INTERRUPTED and self.context.collect_errors:
                session.exitstatus = self.context.collect_errors[0].exit_code
            if recorder.verdicts or recorder.builds:
                try:
                    self._finish(session)
                except KeyboardInterrupt:
                    session.exitstatus = ExitCode.INTERRUPTED
                    self.notes.append("interrupted: not all reports were written")
        self.run.close()

    def _finish(self, session: pytest.Session) -> None:
        self.record = record = self._record()
        self._add_suite_properties(record)
        self.notes += self.context.left_out + untargeted_notes(record) + image_notes(record)
        try:
            self.notes += [
                f"wrote {path}" for path in self.outputs.write(record, self.run.workspace.facts)
            ]
            self.annotations = speak_to_forge(record, os.environ)
            if self.config.getoption("manylinux_gate"):
                code, lines = gate_words(self.run, record)
                self.notes += lines
                session.exitstatus = session.exitstatus or code
        except ManylinuxError as error:
            self.notes.append(str(error))
            session.exitstatus = session.exitstatus or error.exit_code

    def _add_suite_properties(self, record: RunRecord) -> None:
        junit = self.config.stash.get(xml_key, None)
        if junit is not None:
            for name, value in suite_properties(record):
                junit.add_global_property(name, value)

    @guarded
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show wheels down and distros across, a mark a cell."""
        for note in (*self.links.notes(), *self.nothing):
            terminalreporter.write_line(f"manylinux: {note}")
        if self.record is None:
            return
        from pytest_manylinux.report.terminal import (  # noqa: PLC0415 - loads slowly
            can_show_marks,
            matrix,
            warning_lines,
        )

        terminalreporter.section("portability")
        writer = terminalreporter._tw  # noqa: SLF001 - the width and colour that pytest settled on
        table = matrix(
            self.record,
            width=writer.fullwidth,
            color=writer.hasmarkup,
            unicode=can_show_marks(getattr(writer._file, "encoding", None)),  # noqa: SLF001 - the same
        )
        terminalreporter.write_line(table.rstrip("\n"))
        for line in warning_lines(self.record, verbosity=terminalreporter.verbosity):
            terminalreporter.write_line(line)
        for note in self.notes:
            terminalreporter.write_line(plain(f"manylinux: {note}"))
        for annotation in self.annotations:
            terminalreporter.write_line(annotation)

    def pytest_unconfigure(self) -> None:
        """Hold nothing beyond the session, however it ended."""
        try:
            with foreseen("the end of the session"):
                self.run.close()
                self.common.close()
        except InternalError as error:
            tell(error)
