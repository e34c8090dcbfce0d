"""The pictures of README: ``python -m tests.docs.pictures [demo] [page]``, a part of ``make
pictures``.

``demo.svg`` is what ``volumelease demo`` leaves on a terminal. ``page.png`` is the status page in
Chromium, while one worker holds a path, another waits, and somebody wrote without a lease.
"""

from __future__ import annotations

import io
import re
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from tests.cli.conftest import make_volume, picture_of
from tests.cli.shell import ROOT, Running, Terminal, eventually

PICTURES: Final = ROOT / "docs" / "pictures"
WIDTH: Final = 110
CURSOR_UP_OR_ERASE: Final = re.compile(r"\x1b\[(?:\d*A|2K)")
CURSOR_HIDDEN, CURSOR_SHOWN = "\x1b[?25l", "\x1b[?25h"
FONT_OF_ANOTHER_SERVER: Final = re.compile(r"@font-face \{[^}]*\}\s*")


def demo() -> None:
    """Run it, and keep what it leaves on the terminal."""
    with Terminal("demo") as terminal:
        code = terminal.finish(180)
    if code != 0:
        raise SystemExit(terminal.said.decode(errors="replace"))
    (PICTURES / "demo.svg").write_text(svg(left_on(terminal.said.decode())))


def left_on(said: str) -> str:
    """What stays of a terminal's output: each new frame erased the lines of the one before."""
    before, _, live = said.partition(CURSOR_HIDDEN)
    last = CURSOR_UP_OR_ERASE.split(live)[-1].replace(CURSOR_SHOWN, "")
    return "\n".join(["$ volumelease demo", *f"{before}\n{last}".replace("\r", "").splitlines()])


def svg(said: str) -> str:
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    for line in said.splitlines():
        console.print(Text.from_ansi(line.rstrip()))
    drawn = console.export_svg(title="volumelease demo", unique_id="demo")
    return FONT_OF_ANOTHER_SERVER.sub("", drawn).rstrip() + "\n"


def page() -> None:
    with tempfile.TemporaryDirectory() as folder, browser(Path(folder)) as chromium:
        contest(Path(folder), chromium)


def browser(folder: Path) -> Any:
    from selenium import webdriver

    from tests.serving.test_page import CHROMIUM, DRIVER, FLAGS

    if CHROMIUM is None or DRIVER is None:
        raise SystemExit("no Chromium: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"user-data-dir={folder / 'profile'}"):
        options.add_argument(f"--{flag}")
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))


def contest(folder: Path, chromium: Any) -> None:
    from selenium.webdriver.common.by import By

    volume = make_volume(folder / "runpod-volume", ttl=15.0)
    for name in ("models/llama-70b", "datasets/c4", "cache"):
        (volume / name).mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        where = f"127.0.0.1:{free.getsockname()[1]}"
    roots = {"VOLUMELEASE_ROOTS": "models,datasets"}
    with (
        Running("exporter", volume, "--listen", where, env=roots),
        holding(volume, "models/llama-70b", "sd-xl", "ab12cd", "fine-tune 41"),
        holding(volume, "datasets/c4", "embedder", "gh56ij", "reads shards", "--shared"),
        holding(volume, "models", "llm-chat", "ef34gh", "update all models"),
    ):
        eventually(lambda: len(picture_of(volume).holders()) == 2, 60)
        eventually(lambda: picture_of(volume).waiters(), 60)
        eventually(lambda: seen(chromium, where, "leases", "llama-70b"), 60)
        eventually(lambda: "directories" in chromium.find_element(By.ID, "detection").text, 60)
        (volume / "models" / "stray.bin").write_bytes(b"nobody's")
        eventually(lambda: "stray.bin" in chromium.find_element(By.ID, "violations").text, 90)
        chromium.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": 1180, "height": 900, "deviceScaleFactor": 1, "mobile": False},
        )
        chromium.save_screenshot(str(PICTURES / "page.png"))


def holding(
    volume: Path, name: str, endpoint: str, worker: str, reason: str, *options: str
) -> Running:
    env = {"RUNPOD_ENDPOINT_ID": endpoint, "RUNPOD_POD_ID": worker}
    command = Running(
        "hold", volume / name, "--reason", reason, *options, "--", "sleep", "600", env=env
    )
    eventually(lambda: reason in reasons(volume), 60)
    return command


def reasons(volume: Path) -> list[str]:
    picture = picture_of(volume)
    return [one.reason for one in [*picture.holders(), *(who for who, _ in picture.waiters())]]


def seen(chromium: Any, where: str, part: str, words: str) -> bool:
    from selenium.common.exceptions import WebDriverException
    from selenium.webdriver.common.by import By

    try:
        if where not in chromium.current_url:
            chromium.get(f"http://{where}/")
        return words in chromium.find_element(By.ID, part).text
    except WebDriverException:
        return False


def main(names: list[str]) -> None:
    for name in names or ["demo", "page"]:
        {"demo": demo, "page": page}[name]()
        print(f"made docs/pictures/{name}.{'svg' if name == 'demo' else 'png'}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    main(sys.argv[1:])
