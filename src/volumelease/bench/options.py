"""How a benchmark is to run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

MEBIBYTE: Final = 1 << 20
Pace = Literal["quick", "normal", "full"]


@dataclass(frozen=True, slots=True)
class Options:
    """``repeats`` of each measurement; ``repeat_seconds`` is the longest that one may take to
    become steady; ``total_seconds`` of the whole run (None: what it needs), beside which a
    cross-check takes its own time. ``budget_bytes``: space that it may take on the volume at any
    time. ``jobs``: the N of "N jobs"."""

    pace: Pace = "normal"
    scenarios: tuple[str, ...] = ()
    repeats: int = 5
    repeat_seconds: float = 8.0
    total_seconds: float | None = None
    budget_bytes: int = 4096 * MEBIBYTE
    jobs: int = 8
    engine: Literal["builtin", "fio"] = "builtin"
    cross_check: bool = False
    local: bool = False
    """The disk of this machine may be measured: nobody takes it for a volume then."""

    def file_bytes(self, number: int) -> int:
        """The largest file of a job, a multiple of 4 MiB: together half of the budget, and half
        of that the first one's, which works alone most often."""
        half = self.budget_bytes // 2
        share = half // 2 // (1 if number == 0 else max(1, self.jobs - 1))
        return max(1, min(share, _LARGEST_FILE) // _UNIT) * _UNIT

    @property
    def least_bytes(self) -> int:
        """The space without which nothing can be measured."""
        return 2 * (2 * self.jobs + 8) * _UNIT

    @property
    def files_bytes(self) -> int:
        """What the files of all jobs may take together."""
        return sum(map(self.file_bytes, range(self.jobs)))


_UNIT: Final = 4 * MEBIBYTE
_LARGEST_FILE: Final = 4096 * MEBIBYTE


def quick() -> Options:
    """At most a minute, on a mount that answers. Limit: what is under way when the time is over is
    brought to its end; at 50 ms a request that and removing took 2 s more (measured)."""
    return Options(
        "quick", repeats=3, repeat_seconds=3.0, total_seconds=52.0, budget_bytes=1024 * MEBIBYTE
    )


def full() -> Options:
    """As sure as it gets."""
    return Options("full", repeats=9, repeat_seconds=30.0, budget_bytes=16384 * MEBIBYTE)


def parse_size(text: str) -> int | None:
    """Bytes of ``256M`` (binary units: 1M is 1,048,576); None when it is no size."""
    number, unit = (text[:-1], text[-1:].upper()) if text[-1:].isalpha() else (text, "")
    if unit not in _SHIFTS or not number.isascii() or not number.isdigit():
        return None
    return int(number) << _SHIFTS[unit]


_SHIFTS: Final = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
