"""The cards at the beginning of the report: the verdicts, a cold load, what leases cost."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from . import report_lease as leases
from .believed import best, doubts, loads
from .document import Result
from .report_words import GAP, VERDICTS, duration, interval, rate, title, tone, way

HEADLINES: Final = ("sequential-read", "sequential-write")
_MODEL: Final = "70B"


def section(results: Sequence[Result]) -> str:
    """All of them."""
    found = [_card(first) for name in HEADLINES if (first := best(results, name)) is not None]
    found += [card for card in (_load(results),) if card]
    found += leases.cards(results)
    if not found:
        found = ['<div class="card"><span>Nothing was measured to the end.</span></div>']
    return f'<section class="cards" aria-label="Verdict">{"".join(found)}</section>'


def _card(result: Result) -> str:
    verdict, value = result["verdict"], result["median_mb_per_s"]
    assert value is not None
    _, means = VERDICTS.get(verdict, ("plain", "no band fits"))
    return (
        f'<div class="card verdict {tone(verdict)}"><span>{escape(title(result["scenario"]))}, '
        f"{escape(way(result))}</span><strong>{escape(verdict or 'no verdict')}</strong>"
        f"<b>{rate(value)}</b>"
        f"<span>95{GAP}%: {interval(result['ci95_mb_per_s'])}</span><span>{escape(means)}</span>"
        "</div>"
    )


def _load(results: Sequence[Result]) -> str:
    known = [r for r in loads(results) if r["cold_start_seconds"].get(_MODEL)]
    if not known:
        return ""
    best_one = min(known, key=_seconds)
    worst = max(known, key=_seconds)
    text = f"{way(best_one)}; {duration(_seconds(worst))} with {way(worst)}"
    if doubted := doubts(best_one):
        text += f"; {', '.join(doubted)}"
    return (
        f'<div class="card"><span>Cold load of a {_MODEL} model at 16 bit</span>'
        f"<b>{duration(_seconds(best_one))}</b><span>{escape(text)}</span></div>"
    )


def _seconds(result: Result) -> float:
    return result["cold_start_seconds"][_MODEL]
