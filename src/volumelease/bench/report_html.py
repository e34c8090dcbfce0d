"""The report as one HTML page, made from the JSON document alone: ``volumelease bench --html``.

It loads nothing, runs nothing, and can be sent by mail. The verdict comes first, then what stands
out, then the plots; every figure has its unit. Light and dark, from 360 pixels of width on.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Final

from . import report_cards as cards
from . import report_lease as leases
from . import report_plots as plots
from .believed import loads
from .document import Document, Latency, Repeat, Result
from .report_cards import HEADLINES
from .report_words import (
    FLAGS,
    VERDICTS,
    digits,
    duration,
    interval,
    name,
    operations,
    plural,
    rate,
    share,
    size,
    title,
    tone,
    way,
)
from .surroundings import local_disk
from .verdicts import BANDS

_EDGES: Final = tuple(sorted(edge for edge, _ in BANDS if edge))
SWEEP: Final = 3
"""So many sizes of a block make a line."""
_MODELS: Final = ("7B", "13B", "70B")


def report(document: Document) -> str:
    """The whole page. Limit: of a document of schema 1; fields that it lacks are left out."""
    directory = document["mount"]["directory"]
    parts = [
        _head(document),
        cards.section(document["results"]),
        _stands_out(document),
        _throughput(document["results"]),
        _over_time(document["results"]),
        _blocks(document["results"]),
        _models(document["results"]),
        leases.section(document["results"]),
        _latencies(document["results"]),
        _everything(document["results"]),
        _conditions(document),
    ]
    style = files(__package__).joinpath("report.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>What {escape(directory)} gives</title><style>{style}</style></head>\n"
        f"<body>{''.join(parts)}</body></html>\n"
    )


# ---- the beginning


def _head(document: Document) -> str:
    mount, around = document["mount"], document["environment"]
    facts = f"{mount['fstype']} from {mount['source']}, measured {around['started_utc']}"
    facts += f" in {duration(around['seconds'])} by volumelease {around['version']}"
    return (
        '<header><div class="wide"><h1>What this mount gives '
        f"<span>{escape(mount['directory'])}</span></h1>"
        f'<p class="quiet">{escape(facts)}</p>{_partial(document)}{_local(document)}</div></header>'
        '<main class="wide">'
    )


def _partial(document: Document) -> str:
    if not document["partial"]:
        return ""
    why = document.get("reason", "it was interrupted")
    return f'<p class="notice bad"><b>Partial.</b> This run did not end: {escape(why)}</p>'


def _local(document: Document) -> str:
    said = local_disk(document["mount"])
    return f'<p class="notice bad"><b>No volume:</b> {escape(said)}.</p>' if said else ""


def _stands_out(document: Document) -> str:
    """What the run itself says, then each flag once, with what it means and where it was seen."""
    results = document["results"]
    top = local_disk(document["mount"])
    notes = [note for note in document.get("notes", []) if note != top]
    items = [f"<li><b>{escape(note)}</b></li>" for note in notes]
    for flag, means in FLAGS.items():
        where = [name(result) for result in results if flag in result["flags"]]
        if where:
            shown = "; ".join(where[:4]) + (f" and {len(where) - 4} more" if where[4:] else "")
            items.append(
                f"<li><b>{escape(flag)}</b> {escape(means)}"
                f'<span class="quiet">{escape(shown)}</span></li>'
            )
    failures = [(name(r), r["failed"]) for r in results if r.get("failed")]
    items += [
        f'<li><b>failed</b> {escape(why)}<span class="quiet">{escape(where)}</span></li>'
        for where, why in failures
    ]
    return _section("What stands out", f'<ul class="flags">{"".join(items)}</ul>') if items else ""


# ---- plots


def _throughput(results: Sequence[Result]) -> str:
    swept = {r["scenario"] for group in _sweeps(results).values() for r in group}
    known = [r for r in results if r["median_mb_per_s"] and r["scenario"] not in swept]
    known = [r for r in known if not r.get("lease") and not r.get("cold_start_seconds")]
    if not known:
        return ""
    ends = [value for r in known for value in _ends(r)]
    axis = plots.log_rates([*ends, 20.0, _EDGES[2]], _EDGES)
    rows = []
    for scenario in dict.fromkeys(r["scenario"] for r in known):
        rows.append(f"<h3>{escape(title(scenario))}</h3>")
        rows += [_rate_row(axis, r) for r in known if r["scenario"] == scenario]
    about = (
        "Median and 95 % interval of the repeats, on a scale that grows by factors. The lines are "
        "the edges of the verdicts."
    )
    return _section("Throughput", f"{_about(about)}{plots.scale(axis)}{''.join(rows)}")


def _ends(result: Result) -> tuple[float, ...]:
    value = result["median_mb_per_s"]
    return (value or 0.0, *(result["ci95_mb_per_s"] or ()))


def _rate_row(axis: plots.Axis, result: Result) -> str:
    value, low, high = (*_ends(result), 0.0, 0.0)[:3]
    verdict = result["verdict"]
    told = f"{name(result)}: {rate(value)}, {interval(result['ci95_mb_per_s'])}"
    strip = plots.bar(axis, value, low or value, high or value, tone(verdict), told)
    return row(way(result), strip, rate(value), _pill(verdict))


def row(label: str, strip: str, value: str, more: str = "") -> str:
    """One line of a list of bars; label above the bar where there is little room."""
    return (
        f'<div class="row"><span class="label">{escape(label)}</span>{strip}'
        f'<span class="value">{value}{more}</span></div>'
    )


def _pill(verdict: str) -> str:
    return f'<span class="pill {tone(verdict)}">{escape(verdict)}</span>' if verdict else ""


def _over_time(results: Sequence[Result]) -> str:
    shown = [r for r in results if r["scenario"] in HEADLINES and _sampled(r)]
    fields = [_samples_of(result) for result in shown]
    about = (
        "Each line is one repeat, a sample every quarter of a second. A speed that falls was "
        "credit; the value is taken from where it is steady."
    )
    content = f'{_about(about)}<div class="fields">{"".join(fields)}</div>'
    return _section("Speed over time", content) if fields else ""


def _sampled(result: Result) -> list[Repeat]:
    return [r for r in result.get("repeats", []) if len(r["samples_mb_per_s"]) > 1]


def _samples_of(result: Result) -> str:
    repeats = _sampled(result)
    values = [value for repeat in repeats for value in repeat["samples_mb_per_s"]]
    longest = max(len(repeat["samples_mb_per_s"]) for repeat in repeats)
    across, up = plots.seconds(longest * 0.25), plots.rates(values)
    lines = [
        plots.Line(
            "", [((at + 1) * 0.25, value) for at, value in enumerate(repeat["samples_mb_per_s"])]
        )
        for repeat in repeats
    ]
    burst = result["burst_ratio"] or 1.0
    more = f", the fastest sample {digits(burst)} times the value" if burst >= 1.1 else ""
    told = f"{name(result)}: {plural(len(repeats), 'repeat')}{more}"
    drawn = plots.field(lines, across, up, told)
    return f"<figure><figcaption>{escape(told)}</figcaption>{drawn}</figure>"


def _blocks(results: Sequence[Result]) -> str:
    """Throughput over the size of a block, where a scenario has several."""
    lines = [
        plots.Line(text, sorted((float(r["block_bytes"]), _ends(r)[0]) for r in group), dots=True)
        for text, group in _sweeps(results).items()
    ]
    if not lines:
        return ""
    across = plots.log_sizes(x for line in lines for x, _ in line.points)
    up = plots.log_rates(y for line in lines for _, y in line.points)
    about = "Throughput over the size of one read or write. Both scales grow by factors."
    drawn = plots.field(lines, across, up, about)
    return _section("Block size", f"{_about(about)}<figure>{drawn}</figure>")


def _sweeps(results: Sequence[Result]) -> dict[str, list[Result]]:
    groups: dict[str, list[Result]] = {}
    for result in results:
        if result["median_mb_per_s"] and result["block_bytes"]:
            words = [title(result["scenario"])]
            words += [result["variant"]] if result.get("variant") else []
            words += [plural(result["jobs"], "job"), "direct" if result["direct"] else "buffered"]
            groups.setdefault(", ".join(words), []).append(result)
    return {
        text: group
        for text, group in groups.items()
        if len({r["block_bytes"] for r in group}) >= SWEEP
    }


def _models(results: Sequence[Result]) -> str:
    known = loads(results)
    if not known:
        return ""
    slowest = [r["cold_start_seconds"].get("70B", 0.0) for r in known]
    axis = plots.Axis(0.0, max(slowest) or 1.0, False, ((0.0, ""),))
    rows = []
    for result, last in zip(known, slowest, strict=True):
        times = [
            f"{model} {duration(result['cold_start_seconds'][model])}"
            for model in _MODELS
            if model in result["cold_start_seconds"]
        ]
        told = f"{name(result)}: {', '.join(times)}"
        strip = plots.bar(axis, last, last, last, "plain", told)
        rows.append(row(way(result), strip, "<br>".join(times)))
    about = (
        "Seconds until the weights are in memory, from a volume that has nothing cached: computed "
        "from the measured speed, for models at 16 bit. The bar is that of 70B."
    )
    return _section("Cold model load", f"{_about(about)}{''.join(rows)}")


def _latencies(results: Sequence[Result]) -> str:
    known = [(r, r["latency_us"]) for r in results if r.get("latency_us", {}).get("count")]
    if not known:
        return ""
    axis = plots.log_seconds(v / 1e6 for _, one in known for v in (one["p50"], one["max"]))
    rows = [
        row(
            name(result),
            plots.spread(axis, one["p50"] / 1e6, one["p99"] / 1e6, one["max"] / 1e6, _spoken(one)),
            f"{_us(one['p50'])}, p99 {_us(one['p99'])}",
        )
        for result, one in known
    ]
    about = (
        "One operation: the dot is the median, the thick line goes to p99, the thin to the slowest."
    )
    return _section("Latency", f"{_about(about)}{plots.scale(axis)}{''.join(rows)}")


def _us(microseconds: float) -> str:
    return duration(microseconds / 1e6)


def _spoken(one: Latency) -> str:
    told = {"p50": one["p50"], "p95": one["p95"], "p99": one["p99"], "p99.9": one["p999"]}
    words = [f"{key} {_us(value)}" for key, value in told.items()]
    return ", ".join([*words, f"slowest {_us(one['max'])}"])


# ---- tables


def _everything(results: Sequence[Result]) -> str:
    head = "<tr><th>Measurement<th>Median<th>95 % interval<th>Operations<th>p50<th>p99<th>fsync"
    head += "<th>Verdict<th>Flags</tr>"
    body = "".join(_line(result) for result in results)
    table = f'<div class="scroll" tabindex="0"><table><thead>{head}</thead>{body}</table></div>'
    return _section("All results", table)


def _line(result: Result) -> str:
    value, per_s = result["median_mb_per_s"], result.get("median_ops_per_s")
    one = result.get("latency_us")
    cells = [
        rate(value) if value is not None else "",
        interval(result["ci95_mb_per_s"]),
        operations(per_s) if per_s else "",
        _us(one["p50"]) if one else "",
        _us(one["p99"]) if one else "",
        duration(result["fsync_seconds"]) if result.get("fsync_seconds") else "",
    ]
    numbers = "".join(f'<td class="number">{cell}' for cell in cells)
    notes = [*result["flags"], *(f"{n} x {count}" for n, count in result.get("errors", {}).items())]
    return (
        f'<tr><th scope="row">{escape(name(result))}{numbers}<td>{_pill(result["verdict"])}'
        f"<td>{escape(', '.join(notes))}</tr>"
    )


def _conditions(document: Document) -> str:
    around, mount = document["environment"], document["mount"]
    facts = {
        "Mount": f"{mount['mount_point']}, {mount['fstype']} from {mount['source']}",
        "Mount options": ",".join([*mount["options"], *mount["super_options"]]),
        "Space": f"{size(mount['free_bytes'])} free of {size(mount['total_bytes'])}",
        "Machine": f"{around['cpu']}, {plural(around['cores'], 'core')}, "
        f"{size(around['memory_bytes'])} of memory, load {around['load_average']:.2f}",
        "System": f"{around['kernel']} on {around['machine']}, Python {around['python']}",
        "Engine": f"{around['engine']} {around['engine_version']}",
        "The generator itself, on memory": "; ".join(
            f"{plural(one['jobs'], 'job')} of {size(one['block_bytes'])}: writes "
            f"{rate(one['write_mb_per_s'])}, reads {rate(one['read_mb_per_s'])}"
            for one in around["generator"]
        ),
        "Seed": document.get("seed", ""),
        "To repeat it": " ".join(around["command"]),
    }
    terms = "".join(
        f"<dt>{term}</dt><dd>{escape(text)}</dd>" for term, text in facts.items() if text.strip()
    )
    content = f'{_cross_check(document)}<dl class="facts">{terms}</dl>'
    return f"{_section('Conditions', content)}<footer>{_bands()}</footer></main>"


def _cross_check(document: Document) -> str:
    checks = document.get("cross_check", [])
    items = "".join(
        f"<li>{escape(title(one['scenario']))}, {plural(one['jobs'], 'job')}, "
        f"{size(one['block_bytes'])}: {share(one['ratio'])} of fio"
        f"{' (differs by more than 10 %)' if one['differs'] else ''}</li>"
        for one in checks
    )
    return f"<h3>Against fio, alternating</h3><ul>{items}</ul>" if items else ""


def _bands() -> str:
    words = "; ".join(f"{verdict}: {means}" for verdict, (_, means) in VERDICTS.items())
    return f'<p class="quiet">Megabytes are decimal. Verdicts: {escape(words)}.</p>'


def _section(heading: str, content: str) -> str:
    return f"<section><h2>{escape(heading)}</h2>{content}</section>"


def _about(text: str) -> str:
    return f'<p class="quiet">{escape(text)}</p>'
