"""The HTML report: from the document alone, self-contained, and readable in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench.documents import EVIL, document, result
from volumelease.bench.report_html import report
from volumelease.bench.report_plots import Axis, log_rates, log_shares
from volumelease.bench.report_words import FLAGS, VERDICTS, duration, rate, size

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS_OF_CHROMIUM = (
    "headless",
    "no-sandbox",
    "disable-gpu",
    "disable-quic",
    "no-first-run",
    "disable-background-networking",
    "disable-component-update",
    "disable-sync",
    "disable-dev-shm-usage",
)


def text_of(page: str) -> str:
    return re.sub(r"<[^>]*>", " ", page.partition("</style>")[2])


def test_the_verdict_comes_first_with_its_interval_and_units() -> None:
    words = text_of(report(document()))
    first = words.index("fast")
    gap = "\N{NO-BREAK SPACE}"
    shown = re.sub(" +", " ", words[first:]).split(" ")
    assert shown[:4] == ["fast", f"1.31{gap}GB/s", f"95{gap}%:", "1.27"]
    assert first < words.index("What stands out") < words.index("Throughput")


def test_what_a_document_says_of_itself_does_not_become_markup() -> None:
    page = report(document())
    assert "<img" not in page
    assert EVIL.replace("&", "&amp;").replace("<", "&lt;")[:20] in page


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    page = report(document())
    assert not re.findall(r"(?i)<(script|link|img|iframe|object|embed)\b", page)
    assert not re.findall(r"(?i)\b(?:src|href|srcset|xlink:href)\s*=\s*[\"']", page)
    assert not re.findall(r"(?i)url\(|@import|https?://", page)


def test_a_document_read_back_from_its_json_makes_the_same_page() -> None:
    assert report(json.loads(json.dumps(document()))) == report(document())


def test_a_partial_run_says_so_before_anything_else() -> None:
    words = text_of(report(document(partial=True, reason="SIGTERM", results=[])))
    assert "Partial. This run did not end: SIGTERM" in re.sub(r"\s+", " ", words)
    assert "Nothing was measured to the end." in words


def test_a_document_with_the_required_fields_alone_is_shown() -> None:
    bare = document()
    for field in ("seed", "notes", "cross_check"):
        del bare[field]  # type: ignore[misc] # none of them is required
    bare["results"] = [result("sequential-read", 312.0, "typical"), result("metadata", None)]
    words = text_of(report(bare))
    assert "typical" in words
    assert "312" in words


def test_every_flag_and_every_verdict_has_words() -> None:
    from typing import get_args

    from volumelease.bench.document import Flag, Verdict

    assert set(FLAGS) == set(get_args(Flag))
    assert set(VERDICTS) | {""} == set(get_args(Verdict))


def test_quantities_have_the_unit_that_suits_them() -> None:
    plain = [
        duration(s).replace("\N{NO-BREAK SPACE}", " ") for s in (3e-6, 0.00054, 2.5, 875, 7260)
    ]
    assert plain == [
        "3 \N{MICRO SIGN}s",
        "540 \N{MICRO SIGN}s",
        "2.5 s",
        "14 min 35 s",
        "2 h 1 min",
    ]
    plain = [rate(r).replace("\N{NO-BREAK SPACE}", " ") for r in (9.96, 205.3, 999.6, 14_000)]
    assert plain == ["9.96 MB/s", "205 MB/s", "1 GB/s", "14 GB/s"]
    assert size(4 << 20) == "4\N{NO-BREAK SPACE}MiB"


def test_an_axis_puts_every_value_between_its_ends() -> None:
    axis = log_rates([121.0, 7038.0])
    assert axis.at(100.0) == 0
    assert axis.at(1000.0) == 50
    assert axis.at(1e9) == 100
    assert axis.at(0.0) == 0
    assert Axis(0.0, 0.0, False, ()).at(5.0) == 100
    assert [text for _, text in log_shares([0.0004, 0.3]).ticks][:2] == [
        "0.01\N{NO-BREAK SPACE}%",
        "0.1\N{NO-BREAK SPACE}%",
    ]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("no Chromium: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in FLAGS_OF_CHROMIUM:
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(executable_path=DRIVER)
    )
    yield driver
    driver.quit()


WIDTH = "return document.documentElement.scrollWidth"
SMALLEST = """
const letters = [...document.querySelectorAll('body *')].filter(
    e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()));
return Math.min(...letters.filter(e => e.getBoundingClientRect().width)
    .map(e => parseFloat(getComputedStyle(e).fontSize)));
"""
COLLIDING = """
const found = [];
for (const names of document.querySelectorAll('.scale, .across, .up')) {
    const boxes = [...names.children].map(e => [e.textContent, e.getBoundingClientRect()])
        .filter(([, box]) => box.width);
    boxes.forEach(([one, a], i) => boxes.slice(i + 1).forEach(([other, b]) => {
        if (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
            found.push(one + ' / ' + other);
    }));
}
return found;
"""
UNDRAWN = """
const empty = e => !e.querySelector('rect, circle, polyline');
return [...document.querySelectorAll('svg')].filter(
    e => e.getBoundingClientRect().width < 100 || empty(e)).length;
"""


def test_the_report_is_readable_at_two_widths_light_and_dark(tmp_path: Path, browser: Any) -> None:
    page = tmp_path / "report.html"
    page.write_text(report(document()), encoding="utf-8")
    browser.get(page.as_uri())
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        for width in (1280, 400):
            size = {"width": width, "height": 1600, "deviceScaleFactor": 1, "mobile": width < 500}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            assert browser.execute_script(WIDTH) <= width, "nothing sticks out"
            assert browser.execute_script(SMALLEST) >= 12, "letters of at least 12 pixels"
            assert browser.execute_script(COLLIDING) == []
            assert browser.execute_script(UNDRAWN) == 0
            keep_pictures(browser, f"report-{scheme}-{width}")
    assert browser.title.startswith("What /runpod-volume/"), "nothing in it ran"
    assert browser.get_log("browser") == []
    asked = [
        message["params"]["request"]["url"]
        for line in browser.get_log("performance")
        if (message := json.loads(line["message"])["message"])["method"]
        == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if url.startswith("http")] == []


def keep_pictures(browser: Any, name: str) -> None:
    """For a person to look at, where somebody asked for them."""
    if folder := os.environ.get("SCREENSHOTS"):
        for number in range(5):
            browser.execute_script(f"window.scrollTo(0, {number * 1600})")
            time.sleep(0.3)
            browser.save_screenshot(f"{folder}/{name}-{number}.png")
