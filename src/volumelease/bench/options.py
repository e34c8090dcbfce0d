"""How a benchmark is to run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

MEBIBYTE: Final = 1 << 20
Pace = Literal["quick", "normal", "full"]


@dataclass(frozen=True, slots=True)
class Options:
    """``repeats`` of each measurement; ``repeat_seconds`` is the longest that one may take to
    become steady; ``total_seconds`` of the whole run (None: what it needs). ``budget_bytes``:
    space that it may take on the volume at any time. ``jobs``: the N of "N jobs"."""

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

    @property
    def file_bytes(self) -> int:
        """The largest file of one job, a multiple of 4 MiB."""
        most = min(self.budget_bytes // (2 * self.jobs), 1024 * MEBIBYTE)
        return max(4 * MEBIBYTE, most // (4 * MEBIBYTE) * (4 * MEBIBYTE))


def quick() -> Options:
    """At most a minute, on a mount that answers."""
    return Options(
        "quick", repeats=3, repeat_seconds=3.0, total_seconds=55.0, budget_bytes=1024 * MEBIBYTE
    )


def full() -> Options:
    """As sure as it gets."""
    return Options("full", repeats=9, repeat_seconds=30.0, budget_bytes=16384 * MEBIBYTE)
