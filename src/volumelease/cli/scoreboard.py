"""The demo on a terminal: who holds, who waits, and what happened lately."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from .competition import Audience, Competition, boottime

_STYLES: Final = {
    "holds": "bold green",
    "stays": "bold green",
    "waits": "yellow",
    "killed": "red",
    "lost": "red",
}
_LINES: Final = 8
_REFRESH_SECONDS: Final = 0.05


@contextmanager
def scoreboard() -> Iterator[Audience]:
    said: deque[str] = deque(maxlen=_LINES)
    shown_at = 0.0
    with Live(auto_refresh=False, transient=False) as live:

        def show(competition: Competition, text: str) -> None:
            nonlocal shown_at
            now = boottime()
            if text:
                said.append(f"{now - competition.started:6.2f} s  {text}")
            if now - shown_at >= _REFRESH_SECONDS:
                shown_at = now
                live.update(_picture(competition, said), refresh=True)

        yield show


def _picture(competition: Competition, said: deque[str]) -> Group:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("worker", "endpoint", "mount", "state", "for", "grants"):
        table.add_column(column)
    now = boottime()
    for worker in competition.workers:
        style = _STYLES.get(worker.state, "")
        table.add_row(
            worker.name,
            worker.endpoint,
            Text(competition.mounts[worker.mount].rpartition("/")[0]),
            Text(worker.state, style=style),
            f"{now - worker.since:.1f} s",
            str(worker.grants),
        )
    return Group(table, Text("\n".join(said), style="dim"))
