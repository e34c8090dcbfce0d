"""The part of the report on leases: what they cost here, and whether locks leave this host."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from . import report_plots as plots
from .document import Result
from .report_words import digits, duration, plural, rate, size

ONE_PERCENT = 0.01


def cards(results: Sequence[Result]) -> list[str]:
    """For the beginning of the page."""
    found = []
    for lease in _about(results, "shares"):
        from_size = lease["under_one_percent_from_bytes"]
        text = "more than 1 % of the work at every size that was looked at"
        if from_size:
            text = f"under 1 % of the work from units of {size(from_size)} on"
        found.append(
            '<div class="card"><span>A lease, taken and given back</span>'
            f"<b>{duration(lease['cost_seconds'])}</b><span>{escape(text)}</span></div>"
        )
    for lease in _about(results, "local_only"):
        if lease["local_only"]:
            found.append(
                '<div class="card verdict bad"><span>File locks on this mount</span>'
                "<strong>LOCAL ONLY</strong><span>They never leave this host, and exclude nobody "
                "on another one. Leases do.</span></div>"
            )
    return found


def section(results: Sequence[Result]) -> str:
    """All of it; nothing where leases were not measured."""
    parts = [*map(_shares, _about(results, "shares")), _times(results), _writers(results)]
    parts += map(_locks, _about(results, "local_only"))
    content = "".join(parts)
    return f"<section><h2>What leases cost here</h2>{content}</section>" if content else ""


def _about(results: Sequence[Result], field: str) -> list[dict[str, Any]]:
    return [lease for result in results if field in (lease := result.get("lease") or {})]


def _shares(lease: dict[str, Any]) -> str:
    points = [(float(one["unit_bytes"]), one["share"]) for one in lease["shares"]]
    most = [(float(one["unit_bytes"]), one["at_most"]) for one in lease["shares"]]
    lines = [
        plots.Line("at the median", points, dots=True),
        plots.Line("at the worst end of both intervals", most),
    ]
    across = plots.log_sizes(x for x, _ in points)
    up = plots.log_shares([y for _, y in (*points, *most)] + [ONE_PERCENT])
    told = (
        f"Share of the work that one lease costs ({duration(lease['cost_seconds'])}), where each "
        f"unit of that size is written at {rate(lease['work_mb_per_s'])}. The dashed line is 1 %."
    )
    drawn = plots.field(lines, across, up, told, mark=ONE_PERCENT)
    return f"<figure><figcaption>{escape(told)}</figcaption>{drawn}</figure>"


def _times(results: Sequence[Result]) -> str:
    """Percentiles of acquiring, releasing, handing over."""
    rows = [
        (words, lease[field])
        for field, words in (
            ("acquire_us", "Acquire, nobody else wants it"),
            ("release_us", "Release"),
            ("hand_off_us", "Hand-off, from release to the next holder"),
        )
        for lease in _about(results, field)
    ]
    if not rows:
        return ""
    heads = ("p50", "p95", "p99", "p999", "max")
    names = "".join(
        f"<th>{name.replace('p999', 'p99.9').replace('max', 'slowest')}" for name in heads
    )
    body = "".join(
        f'<tr><th scope="row">{words}'
        + "".join(f'<td class="number">{duration(one[key] / 1e6)}' for key in heads)
        + f'<td class="number">{one["count"]:,}</tr>'
        for words, one in rows
    )
    return (
        '<div class="scroll" tabindex="0"><table><thead><tr><th>Of one lease'
        f"{names}<th>Times</tr></thead>{body}</table></div>"
    )


def _writers(results: Sequence[Result]) -> str:
    known = [r for r in results if r["scenario"] == "lease-cost" and r["median_mb_per_s"]]
    if not known:
        return ""
    values = [r["median_mb_per_s"] or 0.0 for r in known]
    axis = plots.rates([*values, *(r["ci95_mb_per_s"][1] for r in known if r["ci95_mb_per_s"])])
    rows = []
    for jobs in sorted({r["jobs"] for r in known}):
        rows.append(f"<h3>{plural(jobs, 'writer')}</h3>")
        rows += [_writers_row(axis, r) for r in known if r["jobs"] == jobs]
    about = "The same writes, in turns, with no lease, a lease a file, and one lease for all files."
    return f'<p class="quiet">{about}</p>{plots.scale(axis)}{"".join(rows)}'


def _writers_row(axis: plots.Axis, result: Result) -> str:
    value = result["median_mb_per_s"] or 0.0
    low, high = result["ci95_mb_per_s"] or (value, value)
    words = result.get("variant", "")
    ratio = (result.get("lease") or {}).get("of_no_lease")
    more = f", {digits(ratio * 100)} %" if ratio is not None else ""
    strip = plots.bar(axis, value, low, high, "plain", f"{words}: {rate(value)}{more}")
    return (
        f'<div class="row"><span class="label">{escape(words)}</span>{strip}'
        f'<span class="value">{rate(value)}{more}</span></div>'
    )


def _locks(lease: dict[str, Any]) -> str:
    tone = "bad" if lease["local_only"] else "plain"
    return f'<p class="notice {tone}"><b>File locks:</b> {escape(lease["told"])}</p>'
