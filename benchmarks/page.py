"""How long the HTML page takes with 200 wheels on 20 distros, in a real browser without a display.

    python benchmarks/page.py [--wheels 200] [--distros 20] [--rounds 5]

It wants the test dependencies and Debian's chromium. Printed are medians: making the file, opening
it until everything is drawn, and each kind of filter from the input to the next frame (the filter
by name waits 60 ms for the next key, which is taken off); beside each what the page's own thread
spent of a processor, which alone says something on a busy machine.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from run_records import make_large_run

from pytest_manylinux.report.page.view import write_html

TYPING = 60  # ms that page.js waits for the next key
FRAME = "await new Promise(done => requestAnimationFrame(() => setTimeout(done)))"
OPENED = """async () => {
  await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  return performance.now();
}"""
FILTERS = {
    "filter by name": ("#filter-wheel", "element.value = 'package_7-'", "input"),
    "filter by finding": ("#filter-finding", "element.value = 'executable-stack'", "change"),
    "filter by verdict": ('input[name="verdict"][value="p"]', "element.checked = false", "change"),
    "filter by distro": ('input[name="distro"][value="5"]', "element.checked = false", "change"),
    "show all": ("#reset", "", "click"),
}


def filtered(page: Page, selector: str, change: str, event: str) -> float:
    """Milliseconds from the event until its result is drawn."""
    wait = f"await new Promise(done => setTimeout(done, {TYPING}));" if event == "input" else ""
    script = f"""async () => {{
      const element = document.querySelector({selector!r});
      const start = performance.now();
      {change};
      element.dispatchEvent(new Event({event!r}, {{bubbles: true}}));
      {wait} {FRAME};
      return performance.now() - start;
    }}"""
    return float(page.evaluate(script)) - (TYPING if wait else 0)


def spent(session: CDPSession) -> float:
    """Milliseconds of processor that the page's thread has used for its tasks so far."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(1000 * float(one["value"]) for one in metrics if one["name"] == "TaskDuration")


def visit(browser: Browser, path: Path) -> dict[str, tuple[float, float]]:
    """One opening of the page and one use of each filter: milliseconds by clock, of processor."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(path.as_uri())
    found = {"open": (float(page.evaluate(OPENED)), spent(session))}
    for name, (selector, change, event) in FILTERS.items():
        before = spent(session)
        took = filtered(page, selector, change, event)
        found[name] = (took, spent(session) - before)
    page.close()
    return found


def visits(path: Path, rounds: int) -> dict[str, tuple[float, float]]:
    """Medians of so many visits."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        found = [visit(browser, path) for _ in range(rounds)]
        browser.close()
    return {
        name: (statistics.median(clock), statistics.median(processor))
        for name in found[0]
        for clock, processor in [zip(*(one[name] for one in found), strict=True)]
    }


def main() -> int:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--wheels", type=int, default=200)
    parser.add_argument("--distros", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    record = make_large_run(options.wheels, options.distros)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "page.html")
        start = time.perf_counter()
        write_html(record, path)
        made = time.perf_counter() - start
        found = visits(path, options.rounds)
        size = path.stat().st_size / 1e6
    print(f"{len(record.verdicts)} verdicts: {size:.1f} MB, made in {made:.2f} s")
    for name, (clock, processor) in found.items():
        print(f"{name:18} {clock:6.0f} ms  {processor:6.0f} ms of processor")
    return 0


if __name__ == "__main__":
    sys.exit(main())
