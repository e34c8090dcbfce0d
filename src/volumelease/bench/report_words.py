"""What the report says in words: quantities with their units, and what each flag means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .document import Flag, Result

GAP: Final = "\N{NO-BREAK SPACE}"
MICRO: Final = "\N{MICRO SIGN}"
SIZES: Final = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def rate(mb_per_s: float) -> str:
    """Decimal megabytes a second; gigabytes from one on."""
    if mb_per_s >= 999.5:
        return f"{digits(mb_per_s / 1000)}{GAP}GB/s"
    return f"{digits(mb_per_s)}{GAP}MB/s"


def operations(per_s: float) -> str:
    """Operations a second."""
    return f"{per_s:,.0f}{GAP}op/s" if per_s >= 10 else f"{digits(per_s)}{GAP}op/s"


def size(count: float) -> str:
    """Binary units, as blocks and files are cut."""
    for unit, name in SIZES:
        if count >= unit:
            return f"{digits(count / unit)}{GAP}{name}"
    return f"{count:.0f}{GAP}B"


def duration(seconds: float) -> str:
    """From microseconds to hours, in the units that suit it."""
    for unit, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, f"{MICRO}s")):
        if seconds >= unit and seconds < 99.5:
            return f"{digits(seconds / unit)}{GAP}{name}"
    if seconds < 1e-6:
        return f"{digits(seconds * 1e6)}{GAP}{MICRO}s"
    whole, parts = round(seconds), ("min", "s")
    if whole >= 6000:
        whole, parts = round(seconds / 60), ("h", "min")
    large, small = divmod(whole, 60)
    return f"{large}{GAP}{parts[0]}" + (f"{GAP}{small}{GAP}{parts[1]}" if small else "")


def share(part: float) -> str:
    """Of a whole, in percent."""
    return f"{digits(part * 100)}{GAP}%"


def digits(value: float) -> str:
    """Three of them, without an exponent."""
    size = abs(value)
    if size >= 99.95:
        return f"{value:,.0f}"
    if size >= 9.995:
        return f"{value:.1f}".removesuffix(".0")
    if size >= 0.9995:
        return f"{value:.2f}".rstrip("0").removesuffix(".")
    return f"{value:.2g}" if size >= 1e-4 or not value else f"{value:.6f}".rstrip("0")


def plural(count: int, word: str) -> str:
    return f"{count}{GAP}{word}{'s' * (count != 1)}"


def way(result: Result) -> str:
    """How it was done: what tells it from the other results of its scenario."""
    words = [result["variant"]] if result.get("variant") else []
    words.append(plural(result["jobs"], "job"))
    if result.get("threads", 1) > 1:
        words.append(plural(result["threads"], "thread"))
    if result["block_bytes"]:
        words += [size(result["block_bytes"]), "direct" if result["direct"] else "buffered"]
    return ", ".join(words)


def name(result: Result) -> str:
    return f"{title(result['scenario'])}, {way(result)}"


def title(scenario: str) -> str:
    return scenario.replace("-", " ").capitalize()


VERDICTS: Final[dict[str, tuple[str, str]]] = {
    "below documented": ("bad", "below 200 MB/s, the least that is documented"),
    "typical": ("plain", "200 to 400 MB/s, what is documented as typical"),
    "above typical": ("good", "400 to 1,000 MB/s"),
    "fast": ("good", "1 to 5 GB/s"),
    "very fast": ("good", "5 to 9 GB/s"),
    "documented peak": ("good", "9 GB/s and more, the documented peak"),
    "inconclusive": (
        "warn",
        "the interval lies across the edge of a band, or the speed never became steady",
    ),
    "cache suspected": ("bad", "the data came out of memory: this is not the speed of the volume"),
    "not the volume": ("bad", "what was measured is not a network volume"),
}
"""The tone of each verdict, and what it means. On the whole 95 % interval, lower edges included."""

FLAGS: Final[dict[Flag, str]] = {
    "generator-bound": "The benchmark itself used more than 90 % of a core: the volume may be "
    "faster than shown.",
    "cache-suspected": "Data came out of memory, though it was asked from the volume.",
    "written-behind": "The client held written data back until the last fsync: its time counts.",
    "not-the-volume": "The directory is not on a network volume.",
    "local-disk": "A disk of this machine is mounted there, and no network volume.",
    "not-steady": "The speed did not become steady within the time limit: the value is of the "
    "second half of each run.",
    "burst": "It began faster than it goes on: credit for short bursts. A short test would have "
    "shown the burst.",
    "short": "Less was measured than planned, for lack of time or space.",
    "errors": "Calls on the volume failed.",
    "wrong-data": "What was read is not what was written. Don't use this volume before you know "
    "why.",
    "no-direct-io": "The mount refuses O_DIRECT: the page cache can't be kept out.",
    "answered-by-kernel": "The kernel answered from its cache, without asking the server.",
    "latency-bound": "Each request takes so long that one stream can't fill the link: many "
    "requests at once are much faster.",
    "stream-capped": "One stream gets less than the volume has: several at once get more.",
    "locks-local-only": "LOCAL ONLY: file locks never leave this host. They exclude nobody on "
    "another one.",
    "fio-differs": "fio measured something else, by more than 10 %.",
    "interrupted": "The run was interrupted during this measurement.",
    "few-repeats": "Fewer than three repeats: the interval says little.",
}


def tone(verdict: str) -> str:
    return VERDICTS.get(verdict, ("plain", ""))[0]


def interval(ci95_mb_per_s: Sequence[float] | None) -> str:
    """Both ends with one unit."""
    if ci95_mb_per_s is None:
        return ""
    low, high = ci95_mb_per_s
    if high >= 999.5:
        return f"{digits(low / 1000)} to {digits(high / 1000)}{GAP}GB/s"
    return f"{digits(low)} to {digits(high)}{GAP}MB/s"
