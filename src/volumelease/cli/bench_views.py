"""What a person sees of a benchmark: a line that moves while it runs, tables when it is over."""

from __future__ import annotations

import contextlib
import math
import os
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from volumelease.bench.believed import doubts, loads
from volumelease.bench.surroundings import local_disk
from volumelease.bench.textfile import (
    figure,
    headline,
    how,
    interval_of,
    lines_of,
    operation_of,
    rate_of,
    row,
)

from .speech import note, on_terminal, one_line, plural, say, seconds

if TYPE_CHECKING:
    from volumelease.bench.comparing import Comparison
    from volumelease.bench.document import Document, Result

BAR: Final = 12
_COLOURS: Final = {
    "below documented": "red",
    "inconclusive": "yellow",
    "cache suspected": "yellow",
    "not the volume": "yellow",
    "": "dim",
}


class Shown:
    """``with Shown() as progress:`` tells how a run goes on, on stderr: on a terminal a line that
    moves, else a line for each result. ``quiet``: nothing.

    No thread refreshes it: a run that forks processes has none beside it. A stderr that takes
    nothing any more (its terminal was hung up) ends no run.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        moves = not quiet and sys.stderr is not None and sys.stderr.isatty()
        self._live = self._make() if moves else None
        self._task = None if self._live is None else self._live.add_task("", rate="")

    @staticmethod
    def _make() -> Progress:
        return Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TextColumn("{task.fields[rate]}", style="cyan"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
        )

    def step(self, text: str) -> None:
        if self._live is not None and self._task is not None:
            self._live.update(self._task, description=text)
        self._show("")

    def rate(self, mb_per_s: float) -> None:
        self._show(f"{figure(mb_per_s)} MB/s")

    def result(self, result: Result) -> None:
        if self._live is None and not self._quiet:
            with contextlib.suppress(OSError):
                note(" ".join(filter(None, row(result))))

    def _show(self, rate: str) -> None:
        if self._live is not None and self._task is not None:
            with contextlib.suppress(OSError):
                self._live.update(self._task, rate=rate)
                self._live.refresh()

    def __enter__(self) -> Self:
        if self._live is not None:
            with contextlib.suppress(OSError):
                self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            with contextlib.suppress(OSError):
                self._live.stop()


# ---- a document


def show(document: Document) -> None:
    """The verdict, what stands out, and all results."""
    mount = document["mount"]
    say(f"{one_line(mount['directory'])}: {headline(document)}")
    say(f"{one_line(mount['fstype'])} from {one_line(mount['source'])}")
    top = local_disk(mount)
    if top:
        say(f"note: {one_line(top)}")
    for ceiling in document["environment"]["generator"]:
        writes, reads = figure(ceiling["write_mb_per_s"]), figure(ceiling["read_mb_per_s"])
        jobs = plural(ceiling["jobs"], "job")
        say(f"generator on memory, {jobs}: writes {writes} MB/s, reads {reads} MB/s")
    if on_terminal():
        Console().print(_results(document))
    else:
        for line in lines_of(map(row, document["results"]) if document["results"] else [[""]]):
            say(one_line(line))
    for model in _loads(document):
        say(model)
    for check in document.get("cross_check", []):
        jobs = plural(check["jobs"], "job")
        verdict = ": they differ" if check["differs"] else ""
        say(f"{check['scenario']}, {jobs}: {check['ratio']:.2f} of what fio does{verdict}")
    for text in document.get("notes", []):
        if text != top:
            say(f"note: {one_line(text)}")


def _results(document: Document) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("what", "rate", "95 %", "an operation", "", "verdict"):
        right = name in ("rate", "95 %", "an operation")
        table.add_column(name, justify="right" if right else "left")
    fastest = max((r["median_mb_per_s"] or 0.0 for r in document["results"]), default=0.0)
    for result in document["results"]:
        table.add_row(*_cells(result, fastest))
    return table


def _cells(result: Result, fastest: float) -> list[Text]:
    what = Text(" ".join(filter(None, (result["scenario"], result.get("variant", "")))))
    what.append(f"\n{how(result)}", style="dim")
    judged = Text(result["verdict"], style=_COLOURS.get(result["verdict"], "green"))
    if "failed" in result:
        judged = Text(f"failed: {one_line(result['failed'])}", style="red")
    elif result["flags"]:
        judged.append(f"\n{', '.join(result['flags'])}", style="dim")
    return [
        what,
        Text(rate_of(result)),
        Text(interval_of(result)),
        Text(operation_of(result)),
        Text(bar(result["median_mb_per_s"] or 0.0, fastest), style="cyan"),
        judged,
    ]


def bar(value: float, most: float) -> str:
    """A bar, on a scale of logarithms from 1 MB/s: volumes differ by factors."""
    if value <= 1 or most <= 1:
        return ""
    return "█" * max(1, round(BAR * math.log(value) / math.log(max(most, 2.0))))


def _loads(document: Document) -> list[str]:
    lines = []
    for result in loads(document["results"]):
        found = result["cold_start_seconds"]
        sizes = ", ".join(f"{name} {seconds(value)}" for name, value in found.items())
        said = ", ".join(["16 bit", *doubts(result)])
        lines.append(f"cold load by {result.get('variant', '')}: {sizes} ({said})")
    return lines


# ---- comparisons


def show_comparison(
    old: str,
    new: str,
    comparisons: list[Comparison],
    only: tuple[list[str], list[str]],
    left_out: list[tuple[str, str]],
) -> None:
    """Every ratio, with its interval and what it says; what only one of them has, and what both
    have and can't be compared."""
    say(f"{one_line(old)} to {one_line(new)}:")
    if not comparisons:
        say("  no result is in both, from the volume")
    rows = [
        [
            one.name,
            f"{figure(one.old)} to {figure(one.new)} {one.unit}",
            f"{one.ratio:.3f}",
            "" if math.isinf(one.high) else f"{one.low:.3f} to {one.high:.3f}",
            f"{one.change}: {one.note}" if one.note else one.change,
        ]
        for one in comparisons
    ]
    for line in lines_of(rows) if rows else ():
        say(f"  {one_line(line)}")
    for name, results in zip((old, new), only, strict=True):
        if results:
            say(f"  only in {one_line(name)}: {one_line(', '.join(results))}")
    for why in dict.fromkeys(why for _, why in left_out):
        names = ", ".join(name for name, reason in left_out if reason == why)
        say(f"  not compared ({why}): {one_line(names)}")


def show_ranking(ranking: list[tuple[str, float, str]]) -> None:
    """Which volume starts a worker first."""
    if not ranking:
        return
    say("a 7B model is loaded cold, in the best way of each:")
    for number, (name, taken, way) in enumerate(ranking, 1):
        what = way if taken == math.inf else f"{seconds(taken)} by {way}"
        say(f"  {number}. {one_line(os.path.basename(name))}: {what}")
