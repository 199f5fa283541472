"""The HTML page in a real browser: Debian's chromium, without a display."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright
from run_records import (
    EXECUTABLE_STACK,
    make_large_run,
    make_observation,
    make_release_run,
    make_run,
    make_verdict,
    make_wheel_record,
)

from pytest_manylinux.model.observation import ImportKind, ImportOutcome, ImportStatus
from pytest_manylinux.model.run import RunRecord, WheelRecord
from pytest_manylinux.model.verdict import Cause, Outcome, Verdict
from pytest_manylinux.report.diff import History
from pytest_manylinux.report.page.view import FIRST, write_html

pytestmark = pytest.mark.browser

DESKTOP = (1280, 900)
PHONE = (390, 844)
SHAPES = pytest.mark.parametrize(
    ("size", "scheme"),
    [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light"), (PHONE, "dark")],
    ids=["desktop-light", "desktop-dark", "phone-light", "phone-dark"],
)
HOSTILE = [
    "</script><script>document.title = 'forged'</script>",
    "<img src=x onerror=\"document.title='forged'\">",
    '"><svg onload=document.title=`forged`>',
    "{{ 7*7 }} ${7*7} <!-- --> &lt;b&gt;",
    "\u202egnp.exe\x1b[31m\x00",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    assert program, "these tests want a browser: apt-get install chromium"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


class Visit:
    """A page opened from a file, and all that it complained of or asked for."""

    def __init__(self, browser: Browser, path: Path, **options: object) -> None:
        self.page: Page = browser.new_page(**options)  # type: ignore[arg-type]
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def shown(self) -> list[str]:
        """Labels of the wheels whose rows are shown."""
        return self.page.locator("#matrix-table tbody tr:visible .wheel").all_inner_texts()


def sample_run() -> RunRecord:
    """Four wheels on six distros, every outcome among them, and a project that was never built."""
    record = make_large_run(4, 6)
    wheel = record.wheels[1]
    hanging = make_observation(
        "debian-10-cp311-x86_64",
        imports=(
            ImportOutcome(
                name="demo",
                kind=ImportKind.TOP_LEVEL,
                status=ImportStatus.RAISED,
                traceback="Traceback (most recent call last):\nImportError: cannot enable stack",
            ),
        ),
    )
    subjects = [v.subject for v in record.verdicts if v.wheel == wheel.file]
    verdicts = [v for v in record.verdicts if v.wheel != wheel.file]
    outcomes = [Outcome.PORTABLE, *Outcome, Outcome.PORTABLE, Outcome.PORTABLE]
    verdicts += [make_verdict(wheel, s, o) for s, o in zip(subjects, outcomes, strict=True)]
    verdicts = [replace(v, observation=hanging) if v.errors else v for v in verdicts]
    return replace(record, verdicts=(*verdicts, _unbuilt("broken_project"), _unbuilt("")))


def _unbuilt(name: str) -> Verdict:
    return Verdict(
        outcome=Outcome.NOT_PROVEN,
        subject="trial[no-target]",
        wheel=name,
        wheel_sha256="",
        cause=Cause.NO_TARGET,
        reason="none of the chosen distros has a Python for it",
    )


def _nights(record: RunRecord, count: int) -> History:
    days = [replace(record, started=record.started - 86_400 * n) for n in range(count, 0, -1)]
    return History(tuple(days))


@pytest.fixture
def report(tmp_path: Path) -> Path:
    record = sample_run()
    path = tmp_path / "report.html"
    write_html(record, path, history=_nights(record, 30))
    return path


def test_nothing_is_loaded_and_nothing_complains(browser: Browser, report: Path) -> None:
    visit = Visit(browser, report)
    visit.page.locator(".m-n").first.click()
    visit.page.locator("#close").click()
    assert visit.requests == [report.as_uri()]
    assert visit.complaints == []


def test_the_wheel_filter_hides_rows_and_says_how_many_are_left(browser: Browser, report: Path) -> None:
    visit = Visit(browser, report)
    assert len(visit.shown()) == 6
    visit.page.fill("#filter-wheel", "package_0-1.2")
    expect(visit.page.locator("#shown")).to_have_text("1 of 6 wheels")
    assert [label.split()[:2] for label in visit.shown()] == [["package_0", "1.2.0"]]


def test_the_verdict_filter_keeps_rows_that_have_it(browser: Browser, report: Path) -> None:
    visit = Visit(browser, report)
    for letter in "pne":
        visit.page.uncheck(f'input[name="verdict"][value="{letter}"]')
    labels = visit.shown()
    assert "broken_project" in labels
    assert any("1.1.0" in label for label in labels)
    assert len(labels) == visit.page.locator("tbody tr:has(.m-u)").count()


def test_the_distro_filter_hides_columns_and_keeps_family_headings_true(
    browser: Browser, report: Path
) -> None:
    visit = Visit(browser, report)
    page = visit.page
    before = page.locator("thead .heads th:visible").all_inner_texts()
    page.click("details.distros summary")
    page.click("#no-distros")
    expect(page.locator("#shown")).to_have_text("0 of 6 wheels")
    page.get_by_label("debian-10", exact=True).check()
    expect(page.locator("#distro-count")).to_have_text("1 of 7")
    assert page.locator("thead .heads th:visible").all_inner_texts() == [
        "wheel",
        "debian-10\nglibc 2.34",
    ]
    assert page.locator("thead .families th:visible").count() == 1
    marks = page.locator("tbody tr:visible td:visible .m")
    assert marks.count() == 6  # one for each wheel; of those never built, that nothing was proven
    assert page.locator("tbody tr:visible td:visible .m-u").count() == 2
    page.click("#all-distros")
    assert page.locator("thead .heads th:visible").all_inner_texts() == before


def test_the_finding_filter_marks_the_cells_that_have_it(browser: Browser, report: Path) -> None:
    visit = Visit(browser, report)
    visit.page.select_option("#filter-finding", "executable-stack")
    bright = visit.page.locator("tbody tr:visible td:not(.faint) .m:visible")
    assert bright.count() == visit.page.locator('.m[data-f~="executable-stack"]').count() > 0
    assert "broken_project" not in visit.shown()
    visit.page.click("#reset")
    expect(visit.page.locator("#shown")).to_have_text("6 of 6 wheels")
    assert visit.page.locator(".faint").count() == 0


def test_a_cell_shows_evidence_traceback_remedy_libraries_and_nights(
    browser: Browser, report: Path
) -> None:
    page = Visit(browser, report).page
    page.locator(".m-n").first.click()
    dialog = page.locator("dialog")
    expect(dialog).to_be_visible()
    for words in (
        "not portable",
        "ML107 executable-stack",
        EXECUTABLE_STACK.evidence[0],
        f"Remedy: {EXECUTABLE_STACK.remedy}",
        "ImportError: cannot enable stack",
        "Successfully installed demo",
        "The last 30 nights",
    ):
        expect(dialog).to_contain_text(words)
    assert dialog.locator(".strip li").count() == 30


def test_a_passing_cell_shows_what_was_loaded(browser: Browser, report: Path) -> None:
    page = Visit(browser, report).page
    page.locator('tr:has(button[title^="package_0-1.0.0"]) td:nth-of-type(2) .m-p').click()
    page.get_by_text("libraries loaded from the distro").click()
    libraries = page.locator("dialog .libraries")
    libraries.wait_for()
    assert libraries.text_content() == "/usr/lib/libc.so.6"


def test_a_wheel_shows_its_facts_and_its_reach(browser: Browser, report: Path) -> None:
    page = Visit(browser, report).page
    page.locator("button.wheel", has_text="package_0 1.0.0").click()
    dialog = page.locator("dialog")
    expect(dialog).to_contain_text("SHA-256")
    assert dialog.locator(".reach tbody tr").count() == 6
    expect(dialog.locator(".reach-summary")).to_contain_text("The name promises glibc 2.17")


def test_keys_alone_reach_every_mark(browser: Browser, report: Path) -> None:
    page = Visit(browser, report).page
    assert page.locator('.m[tabindex="0"]').count() == 1
    page.locator('.m[tabindex="0"]').focus()
    first = page.evaluate("document.activeElement.getAttribute('aria-label')")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    second = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert first != second
    assert page.locator('.m[tabindex="0"]').count() == 1
    page.keyboard.press("Enter")
    expect(page.locator("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog")).to_be_hidden()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == second
    for _ in range(50):
        page.keyboard.press("ArrowRight")  # stops at the edge
    assert "m" in page.evaluate("document.activeElement.className").split()


def test_the_current_mark_moves_when_a_filter_hides_it(browser: Browser, report: Path) -> None:
    page = Visit(browser, report).page
    page.fill("#filter-wheel", "package_1")
    expect(page.locator("#shown")).to_have_text("1 of 6 wheels")
    assert page.locator('.m[tabindex="0"]:visible').count() == 1


@SHAPES
def test_axe_finds_nothing(browser: Browser, report: Path, size: tuple[int, int], scheme: str) -> None:
    visit = Visit(browser, report, viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    page = visit.page
    for details in page.locator("main details:not(.distros)").all():
        details.evaluate("element => element.open = true")
    assert _violations(page) == []
    page.click("details.distros summary")
    assert _violations(page) == []
    page.locator(".m-n").first.click()
    assert _violations(page) == []
    page.locator("#close").click()
    page.locator("button.wheel").first.click()
    assert _violations(page) == []


def _violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found]


@SHAPES
def test_the_page_is_never_wider_than_the_screen(
    browser: Browser, report: Path, size: tuple[int, int], scheme: str
) -> None:
    visit = Visit(browser, report, viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    for details in visit.page.locator("main details:not(.distros)").all():
        details.evaluate("element => element.open = true")
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_it_can_be_read_without_scripts(browser: Browser, report: Path) -> None:
    page = Visit(browser, report, java_script_enabled=False).page
    expect(page.locator("#filters")).to_be_hidden()
    assert page.locator("tbody tr:visible .m").count() > 20
    page.locator(".failure summary").first.click()
    expect(page.locator(".failure").first).to_contain_text("Remedy")


def test_on_paper_everything_is_open(browser: Browser, report: Path) -> None:
    page = Visit(browser, report).page
    page.emulate_media(media="print")
    expect(page.locator("#filters")).to_be_hidden()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".failure:not([open])").count() == 0
    expect(page.locator(".failure pre").first).to_be_visible()
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.locator(".failure:not([open])").count() > 0


def _hostile_run() -> RunRecord:
    finding = replace(
        EXECUTABLE_STACK,
        message=HOSTILE[0],
        evidence=tuple(HOSTILE),
        remedy=HOSTILE[1],
        name=HOSTILE[2],
    )
    wheel: WheelRecord = make_wheel_record("demo-1.0-cp311-cp311-manylinux1_x86_64.whl")
    bad = make_verdict(
        wheel,
        "debian-12-cp311-x86_64",
        Outcome.NOT_PORTABLE,
        findings=(finding,),
        reason=HOSTILE[3],
        observation=make_observation(
            "debian-12-cp311-x86_64",
            python=HOSTILE[1],
            imports=(
                ImportOutcome(
                    name=HOSTILE[0],
                    kind=ImportKind.TOP_LEVEL,
                    status=ImportStatus.RAISED,
                    traceback="\n".join(HOSTILE),
                ),
            ),
        ),
    )
    return make_run([wheel], [bad, *(_unbuilt(name) for name in HOSTILE)])


def test_hostile_words_stay_words(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "hostile.html"
    write_html(_hostile_run(), path)
    visit = Visit(browser, path)
    page = visit.page
    for button in page.locator("#matrix-table button").all():
        button.click()
        page.locator("#close").click()
    assert page.title().startswith("Portability of wheels")
    assert page.locator("img").count() == 0
    assert page.locator("body script:not([type])").count() == 1
    assert visit.complaints == []
    page.locator(".m-n").click()
    expect(page.locator("dialog pre").first).to_contain_text("</script><script>document.title")
    assert not re.search("[\x00\x1b\u202e]", path.read_text())


def test_scripts_that_get_in_anyway_are_refused(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_html(sample_run(), path)
    text = path.read_text()
    forged = "<script>document.title = 'forged'</script><img src='http://127.0.0.1:9/x.png'>"
    path.write_text(text.replace("</main>", f"{forged}</main>"))
    visit = Visit(browser, path)
    assert visit.page.title() != "forged"
    assert visit.page.evaluate("document.querySelector('img').naturalWidth") == 0
    assert any("Content Security Policy" in words for words in visit.complaints)


def test_a_run_without_verdicts_is_a_page_too(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "empty.html"
    write_html(make_run(), path)
    visit = Visit(browser, path)
    expect(visit.page.locator("main")).to_contain_text("There are no verdicts in this run.")
    assert visit.complaints == []


def test_a_releases_name_is_over_its_rows_as_long_as_one_is_shown(
    browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "release.html"
    write_html(make_release_run(4), path)
    visit = Visit(browser, path)
    heading = visit.page.locator("tr.release")
    expect(heading).to_have_text("demo 1.0.0")
    assert len(set(visit.shown())) == 90
    visit.page.fill("#filter-wheel", "demo 1.0.0 cp310")
    expect(visit.page.locator("#shown")).to_have_text("8 of 90 wheels")
    expect(heading).to_be_visible()
    visit.page.fill("#filter-wheel", "nothing")
    expect(heading).to_be_hidden()
    visit.page.fill("#filter-wheel", "")
    assert _violations(visit.page) == []
    assert visit.complaints == []


def test_two_hundred_wheels_on_twenty_distros_open_and_filter(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "large.html"
    record = make_large_run(200, 20)
    write_html(record, path)
    visit = Visit(browser, path)
    assert len(visit.shown()) == 200
    visit.page.fill("#filter-wheel", "package_7-")
    expect(visit.page.locator("#shown")).to_have_text("3 of 200 wheels")
    data = json.loads(visit.page.locator("#data").text_content() or "")
    assert len(data["cells"]) == len(record.verdicts)


def test_rows_beyond_the_first_screens_follow_by_themselves(browser: Browser, tmp_path: Path) -> None:
    write_html(make_large_run(FIRST + 40, 2), tmp_path / "page.html")
    assert len(re.findall(r'class="[^"]*\blater"', (tmp_path / "page.html").read_text())) >= 40
    visit = Visit(browser, tmp_path / "page.html", viewport={"width": 1280, "height": 900})
    last = visit.page.locator("#matrix-table tbody tr").last
    expect(last).to_be_visible()
    expect(visit.page.locator("#shown")).to_have_text(f"{FIRST + 40} of {FIRST + 40} wheels")
    assert visit.complaints == []


def test_a_filter_finds_rows_that_were_not_drawn_yet(browser: Browser, tmp_path: Path) -> None:
    write_html(make_large_run(FIRST + 40, 2), tmp_path / "page.html")
    page = browser.new_page()
    page.add_init_script("window.requestIdleCallback = () => {}")
    page.goto((tmp_path / "page.html").as_uri())
    last = page.locator("#matrix-table tbody tr").last
    expect(last).to_be_hidden()
    page.locator("#filter-wheel").fill(last.locator(".wheel").get_attribute("title") or "")
    expect(last).to_be_visible()
    assert page.locator("#matrix-table tbody tr:visible[data-w]").count() == 1
    page.close()


TAKE_TURNS = """async () => {
  for (let frame = 0; frame < 20; frame += 1) {
    await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    while (turns.length) turns.shift()();
  }
}"""


def test_rows_that_a_filter_brings_back_follow_by_themselves(browser: Browser, tmp_path: Path) -> None:
    """The first of them at once, so that the page answers, the others when nothing else is to do."""
    count = 2 * FIRST + 40
    write_html(make_large_run(count, 2), tmp_path / "page.html")
    page = browser.new_page()
    page.add_init_script("window.turns = []; window.requestIdleCallback = (work) => turns.push(work)")
    page.goto((tmp_path / "page.html").as_uri())
    shown = page.locator("#matrix-table tbody tr[data-w]:visible")
    expect(shown).to_have_count(FIRST)
    page.evaluate(TAKE_TURNS)
    expect(shown).to_have_count(count)
    page.locator("#filter-wheel").fill("nothing of the kind")
    expect(shown).to_have_count(0)
    page.locator("#reset").click()
    expect(shown).to_have_count(FIRST)
    expect(page.locator("#shown")).to_have_text(f"{count} of {count} wheels")
    page.evaluate(TAKE_TURNS)
    expect(shown).to_have_count(count)
    page.close()


def test_keys_reach_a_row_that_was_not_drawn_yet(browser: Browser, tmp_path: Path) -> None:
    write_html(make_large_run(FIRST + 40, 2), tmp_path / "page.html")
    page = browser.new_page()
    page.add_init_script("window.requestIdleCallback = () => {}")
    page.goto((tmp_path / "page.html").as_uri())
    rows = page.locator("#matrix-table tbody tr[data-w]")
    expect(rows.nth(FIRST)).to_be_hidden()
    rows.nth(FIRST - 1).locator(".m").first.focus()
    page.keyboard.press("ArrowDown")
    expect(rows.nth(FIRST)).to_be_visible()
    expect(rows.nth(FIRST).locator(".m").first).to_be_focused()
    page.close()


def test_each_reach_is_there_when_it_is_opened_printed_or_read_without_scripts(
    browser: Browser, tmp_path: Path
) -> None:
    """All but the first are text to the browser until then; they hold the same as the first."""
    write_html(make_large_run(60, 4), tmp_path / "page.html")
    for scripted in (True, False):
        context = browser.new_context(java_script_enabled=scripted)
        page = context.new_page()
        page.goto((tmp_path / "page.html").as_uri())
        groups = page.locator(".reach-group")
        assert groups.count() > 3
        assert page.locator("table.reach").count() == (1 if scripted else groups.count())
        second = groups.nth(1)
        second.locator("summary").click()
        expect(second.locator("table.reach tbody tr")).to_have_count(4)
        expect(second.locator("table.reach")).to_be_visible()
        if scripted:
            page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        expect(page.locator("table.reach")).to_have_count(groups.count())
        assert page.locator("noscript").count() == 0 or not scripted
        context.close()


@pytest.mark.parametrize("scripted", [True, False])
def test_nothing_is_missing_without_scripts_or_on_paper(
    browser: Browser,
    tmp_path: Path,
    scripted: bool,  # noqa: FBT001
) -> None:
    write_html(make_large_run(FIRST + 40, 2), tmp_path / "page.html")
    context = browser.new_context(java_script_enabled=scripted)
    page = context.new_page()
    page.add_init_script("window.requestIdleCallback = () => {}")
    page.goto((tmp_path / "page.html").as_uri())
    if scripted:
        page.emulate_media(media="print")
    assert page.locator("#matrix-table tbody tr[data-w]:visible").count() == FIRST + 40
    context.close()
