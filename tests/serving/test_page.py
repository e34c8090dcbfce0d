"""The status page in a real browser, during a real contest."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cheroot")
pytest.importorskip("prometheus_client")
pytest.importorskip("watchdog")
pytest.importorskip("selenium")

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from tests.cli.conftest import make_volume, picture_of
from tests.cli.shell import Running, eventually
from volumelease.serving.server import Server
from volumelease.serving.site import Views

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="no Chromium: apt-get install chromium chromium-driver",
)

EVIL = "<img src=x onerror=document.title='broken'> & \"quotes\""
FLAGS = (
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


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    assert CHROMIUM is not None
    options.binary_location = CHROMIUM
    for flag in FLAGS:
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


def shows(browser: Any, where: str, words: str) -> Callable[[], bool]:
    def shown() -> bool:
        try:
            return words in browser.find_element(By.ID, where).text
        except StaleElementReferenceException:  # the page was just drawn anew
            return False

    return shown


def keep_a_picture(browser: Any, name: str, width: int, height: int = 1000) -> None:
    """For a person to look at, where somebody asked for it."""
    browser.set_window_size(width, height)
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        time.sleep(0.3)
        browser.save_screenshot(f"{folder}/{name}.png")


def test_a_contest_is_seen_on_the_page(tmp_path: Path, browser: Any) -> None:
    volume = make_volume(tmp_path / "volume", ttl=6.0)
    (volume / "models" / "llama-70b").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    where = f"http://127.0.0.1:{port}/"
    mine = {"RUNPOD_POD_ID": "ab12cd", "RUNPOD_ENDPOINT_ID": "sd-xl"}
    theirs = {"RUNPOD_POD_ID": "ef34", "RUNPOD_ENDPOINT_ID": "llm-chat"}
    path = volume / "models" / "llama-70b"
    with (
        Running("exporter", volume, "--listen", f"127.0.0.1:{port}", env=ROOTS),
        Running("hold", path, "--reason", EVIL, "--", "sleep", "90", env=mine) as holder,
    ):
        eventually(lambda: picture_of(volume).holders())
        with Running("hold", path, "--", "true", env=theirs) as waiter:
            eventually(lambda: picture_of(volume).waiters())
            eventually(lambda: answers(where), 20)
            browser.get(where)
            eventually(shows(browser, "leases", "models/llama-70b"), 20)
            eventually(shows(browser, "leases", "worker ab12cd of sd-xl"))
            eventually(shows(browser, "leases", EVIL))  # as it was written
            eventually(shows(browser, "waiting", "worker ef34 of llm-chat"))
            eventually(shows(browser, "detection", "directories"), 20)
            (volume / "models" / "stray.bin").write_bytes(b"nobody's")
            eventually(shows(browser, "violations", "stray.bin"), 30)
            eventually(shows(browser, "violations", "local"))
            look_over(browser)
            holder.signal(signal.SIGTERM)
            eventually(lambda: waiter.process.poll() == 0, 20)
            eventually(shows(browser, "leases", "Nobody holds a lease"), 20)
    eventually(lambda: "bad" in browser.find_element(By.ID, "state").get_attribute("class"), 20)
    refused = "ERR_CONNECTION_REFUSED"  # of the server that is gone by now
    said = [line["message"] for line in browser.get_log("browser")]
    assert not [line for line in said if refused not in line]
    assert browser.title != "broken"


VOLUMES = ({"id": "aa", "root": "/first"}, {"id": "bb", "root": "/second"})


def status_of(volume: str) -> dict[str, Any]:
    """What a daemon that serves two volumes says of one of them."""
    one = VOLUMES[volume == "bb"]
    return {
        "schema": 1,
        "volume": {**one, "fstype": "fuse.mfs", "source": "mfs#master:9421"},
        "volumes": list(VOLUMES),
        "authority": "volume",
        "bell": "fcntl",
        "leases": [],
        "waiting": [],
        "violations": [],
        "violations_24h": 0,
        "enforcement": "python",
        "limit": "as told",
        "detection": {"running": False, "roots": [], "trouble": ""},
    }


def lease_of(name: str, held_seconds: float) -> dict[str, Any]:
    return {
        "paths": [f"/first/{name}"],
        "mode": "exclusive",
        "token": f"1.{name}",
        "held_seconds": held_seconds,
        "pid": 1,
        "host": "node",
    }


def test_a_look_leaves_the_elements_where_they_are(browser: Any) -> None:
    """What is focused or selected stays so, and a click that a look falls into counts."""
    held = ["b"]
    begun = time.monotonic()

    def status(volume: str) -> dict[str, Any]:
        seconds = time.monotonic() - begun
        return {**status_of(volume), "leases": [lease_of(name, seconds) for name in held]}

    server = Server("127.0.0.1:0", Views(lambda _: ("", b""), status, lambda _: {}, lambda: ""))
    server.start()
    try:
        browser.get(server.url)
        eventually(shows(browser, "leases", "b"), 20)
        button = browser.find_element(By.CSS_SELECTOR, "#leases button")
        since = since_shown(browser)
        browser.execute_script("getSelection().selectAllChildren(arguments[0])", button)
        eventually(lambda: since_shown(browser) != since)
        assert browser.execute_script("return getSelection().toString()") == "b"
        browser.execute_script("arguments[0].focus()", button)
        held[:] = ["a", "b", "c"]
        eventually(lambda: names_shown(browser) == ["a", "b", "c"], 20)
        assert browser.switch_to.active_element == button
        held[:] = ["b", "d"]
        eventually(lambda: names_shown(browser) == ["b", "d"], 20)
        assert browser.switch_to.active_element == button
        held.clear()
        eventually(shows(browser, "leases", "Nobody holds a lease"), 20)
        assert not browser.get_log("browser")
    finally:
        server.close()


def since_shown(browser: Any) -> str:
    """In one step: that part is replaced when it changes."""
    return str(browser.execute_script("return document.querySelector('#leases .since').innerText"))


def names_shown(browser: Any) -> list[str]:
    script = "return [...document.querySelectorAll('#leases button')].map((one) => one.innerText)"
    return list(browser.execute_script(script))


def test_of_several_volumes_one_is_chosen(browser: Any) -> None:
    views = Views(lambda _: ("", b""), status_of, lambda _: {}, lambda: "")
    server = Server("127.0.0.1:0", views)
    server.start()
    try:
        browser.get(server.url)
        eventually(shows(browser, "root", "/first"), 20)
        choice = Select(browser.find_element(By.ID, "volume"))
        assert [option.text for option in choice.options] == ["/first", "/second"]
        keep_a_picture(browser, "several-volumes", 1280)
        keep_a_picture(browser, "several-volumes-narrow", 390)
        choice.select_by_visible_text("/second")
        eventually(shows(browser, "root", "/second"), 20)
        time.sleep(2.5)
        assert browser.find_element(By.ID, "root").text == "/second", "a refresh keeps the choice"
        assert not browser.get_log("browser")
    finally:
        server.close()


ROOTS = {"VOLUMELEASE_ROOTS": "models"}


def answers(where: str) -> bool:
    try:
        with urllib.request.urlopen(where + "readyz", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def look_over(browser: Any) -> None:
    """Two widths, both colours, the keyboard alone."""
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        for width in (1280, 390):
            browser.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": width, "height": 1100, "deviceScaleFactor": 1, "mobile": width < 500},
            )
            keep_a_picture(browser, f"{scheme}-{width}", width)
            script = "return document.documentElement.scrollWidth - window.innerWidth"
            assert browser.execute_script(script) <= 0, "nothing sticks out"
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    body = browser.find_element(By.TAG_NAME, "body")
    body.send_keys("/")
    assert browser.switch_to.active_element.get_attribute("id") == "filter"
    browser.switch_to.active_element.send_keys("no such thing")
    eventually(shows(browser, "leases", "Nobody holds a lease"))
    browser.switch_to.active_element.send_keys(Keys.ESCAPE)
    eventually(shows(browser, "leases", "llama-70b"))
    button = browser.find_element(By.CSS_SELECTOR, "#leases button")
    button.send_keys(Keys.ENTER)
    eventually(shows(browser, "history", "ab12cd"))
    for _ in range(3):
        time.sleep(0.8)
        assert browser.switch_to.active_element == button, "a refresh takes no focus away"
    browser.find_element(By.ID, "past-close").click()
