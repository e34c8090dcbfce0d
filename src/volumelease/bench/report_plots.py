"""Plots in SVG that keep their shape at every width: lengths are shares of it, letters are not.

Letters are HTML, outside of the drawing, so they stay as large on a telephone as on a desk.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final, NamedTuple

from .report_words import duration, rate, size

WIDE_GAP: Final = 12.0
NARROW_GAP: Final = 19.0
"""Percent of the axis between two names: on a desk, and on a telephone."""
MOST_POINTS: Final = 400
"""Of one line; more are not seen, and a long run has many thousands."""


class Axis(NamedTuple):
    """From ``low`` to ``high``; ``ticks`` with what they are called."""

    low: float
    high: float
    log: bool
    ticks: tuple[tuple[float, str], ...]

    def at(self, value: float) -> float:
        """Its place, in percent of the axis; what is beyond an end is at that end."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(max(value, low / 10, 1e-12))
        return round(100 * min(1.0, max(0.0, (value - low) / (high - low or 1))), 3)


class Line(NamedTuple):
    """Points of one series, in order. Without a ``name`` it is one of many of a kind."""

    name: str
    points: Sequence[tuple[float, float]]
    dots: bool = False


# ---- axes


def log_rates(values: Iterable[float], edges: Sequence[float] = ()) -> Axis:
    """MB/s, from a whole power of ten to another; ``edges`` are ticks in the place of powers."""
    low, high = _decades(values)
    ticks = edges or [10.0**power for power in range(_power(low), _power(high) + 1)]
    return Axis(low, high, True, tuple((tick, rate(tick)) for tick in ticks if low <= tick <= high))


def log_seconds(values: Iterable[float]) -> Axis:
    low, high = _decades(values)
    powers = range(_power(low), _power(high) + 1)
    return Axis(low, high, True, tuple((10.0**power, duration(10.0**power)) for power in powers))


def log_sizes(values: Iterable[float]) -> Axis:
    known = sorted(set(values))
    step = max(1, math.ceil(len(known) / 6))
    ticks = tuple((value, size(value)) for value in known[::step])
    return Axis(known[0], max(known[-1], known[0] * 2), True, ticks)


def log_shares(values: Iterable[float]) -> Axis:
    low, high = _decades(values)
    powers = range(_power(low), _power(high) + 1)
    ticks = tuple((10.0**power, f"{10.0 ** (power + 2):g}\N{NO-BREAK SPACE}%") for power in powers)
    return Axis(low, high, True, ticks)


def rates(values: Iterable[float]) -> Axis:
    """MB/s from 0, to a round number."""
    high = _round(max(values, default=1.0))
    return Axis(0.0, high, False, tuple((high * n / 4, rate(high * n / 4)) for n in range(5)))


def seconds(high: float) -> Axis:
    high = float(max(math.ceil(high), 1))
    return Axis(
        0.0,
        high,
        False,
        tuple((high * n / 4, f"{high * n / 4:.3g}\N{NO-BREAK SPACE}s") for n in range(5)),
    )


def _decades(values: Iterable[float]) -> tuple[float, float]:
    positive = [value for value in values if value > 0] or [1.0]
    low = 10.0 ** math.floor(math.log10(min(positive)) + 1e-9)
    high = 10.0 ** math.ceil(math.log10(max(positive)) - 1e-9)
    return low, max(high, low * 10)


def _power(value: float) -> int:
    return round(math.log10(value))


def _round(value: float) -> float:
    if value <= 0:
        return 1.0
    step = 10.0 ** math.floor(math.log10(value))
    return next(step * times for times in (1, 2, 4, 6, 8, 10, 20) if step * times >= value)


# ---- one row of a list


def bar(axis: Axis, value: float, low: float, high: float, tone: str, told: str) -> str:
    """A bar with the whisker of its interval."""
    return _row(
        axis,
        f'<rect class="bar {tone}" x="0" y="6" height="12" width="{axis.at(value)}%" rx="2"/>'
        f'<line class="whisker" x1="{axis.at(low)}%" x2="{axis.at(high)}%" y1="12" y2="12"/>'
        f"{_tick(axis.at(low), 'whisker')}{_tick(axis.at(high), 'whisker')}",
        told,
    )


def spread(axis: Axis, middle: float, most: float, slowest: float, told: str) -> str:
    """From the median (a dot) to a high percentile (a thick line), and on to the slowest."""
    return _row(
        axis,
        f'<line class="thin" x1="{axis.at(most)}%" x2="{axis.at(slowest)}%" y1="12" y2="12"/>'
        f'<line class="thick" x1="{axis.at(middle)}%" x2="{axis.at(most)}%" y1="12" y2="12"/>'
        f'{_tick(axis.at(slowest), "thin")}<circle class="dot" cx="{axis.at(middle)}%" cy="12" '
        'r="5"/>',
        told,
    )


def _row(axis: Axis, shapes: str, told: str) -> str:
    grid = "".join(
        f'<line class="grid" x1="{axis.at(tick)}%" x2="{axis.at(tick)}%" y1="0" y2="24"/>'
        for tick, _ in axis.ticks
    )
    return (
        f'<svg class="strip" height="24" role="img" aria-label="{escape(told)}">'
        f"<title>{escape(told)}</title>{grid}{shapes}</svg>"
    )


def _tick(at: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{at}%" x2="{at}%" y1="7" y2="17"/>'


def scale(axis: Axis) -> str:
    """The names of the ticks, above a list of rows."""
    return f'<div class="scale" aria-hidden="true">{_names(axis, "left")}</div>'


def _names(axis: Axis, side: str) -> str:
    """Those that have room: some only where there is much of it."""
    shown, last, last_kept = "", -100.0, -100.0
    for tick, text in axis.ticks:
        at = axis.at(tick)
        crowded = side == "left" and at - last_kept < NARROW_GAP
        if side == "left" and at - last < WIDE_GAP:
            continue
        room = 5.0 if at < 3 else 0.0  # the first name lies to the right of its tick
        last, last_kept = at, last_kept if crowded else at + room
        kind = f"{_end(at)}{' roomy' * crowded}"
        shown += f'<span class="{kind}" style="{side}:{at}%">{escape(text)}</span>'
    return shown


def _end(at: float) -> str:
    return "first" if at < 3 else "last" if at > 97 else "between"


# ---- a field with lines


def field(lines: Sequence[Line], across: Axis, up: Axis, told: str, mark: float = 0.0) -> str:
    """Lines over a grid; ``mark`` is a value of the axis upwards that matters."""
    grid = [_stroke("grid", [(at, 0), (at, 100)]) for at in _places(across)]
    grid += [_stroke("grid", [(0, 100 - at), (100, 100 - at)]) for at in _places(up)]
    if mark:
        grid.append(_stroke("mark", [(0, 100 - up.at(mark)), (100, 100 - up.at(mark))]))
    drawn = "".join(_line(line, number, across, up) for number, line in enumerate(lines))
    return (
        f'<div class="field"><div class="up" aria-hidden="true">{_names(up, "bottom")}</div>'
        f'<svg viewBox="0 0 100 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(told)}"><title>{escape(told)}</title>{"".join(grid)}{drawn}</svg>'
        f'<div class="across" aria-hidden="true">{_names(across, "left")}</div></div>'
        f"{legend(lines)}"
    )


def _places(axis: Axis) -> list[float]:
    return [axis.at(tick) for tick, _ in axis.ticks]


def _line(line: Line, number: int, across: Axis, up: Axis) -> str:
    step = max(1, len(line.points) // MOST_POINTS)
    points = [(across.at(x), 100 - up.at(y)) for x, y in line.points[::step]]
    hue = f"s{number % 6}" if line.name else "s0"
    dots = "".join(_stroke(f"spot {hue}", [point, point]) for point in points)
    return _stroke(f"line {hue}", points) + (dots if line.dots or len(points) == 1 else "")


def _stroke(kind: str, points: Sequence[tuple[float, float]]) -> str:
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    return f'<polyline class="{kind}" points="{path}"/>'


def legend(lines: Sequence[Line]) -> str:
    """Which line is which; none for a line that is alone."""
    named = [(number, line) for number, line in enumerate(lines) if line.name]
    if len(named) < 2:
        return ""
    items = "".join(
        f'<li><i class="s{number % 6}"></i>{escape(line.name)}</li>' for number, line in named
    )
    return f'<ul class="legend">{items}</ul>'
