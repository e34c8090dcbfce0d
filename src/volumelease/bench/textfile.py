"""A document as a textfile for Prometheus' node exporter, and as Markdown.

Units are base units there: bytes a second, seconds. Labels come from the scenarios; none is a
path or a host.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Final

from .believed import best
from .document import Document, Latency, Result
from .layout import block_name, way

_HELP: Final = {
    "throughput_bytes_per_second": "Median over repeats",
    "throughput_low_bytes_per_second": "Lower edge of the 95 % interval",
    "throughput_high_bytes_per_second": "Upper edge of the 95 % interval",
    "operations_per_second": "Median over repeats",
    "latency_seconds": "Of one operation, by quantile",
    "cold_start_seconds": "Until a model at 16 bit is loaded",
    "steady": "1: its samples became steady",
    "flagged": "1: something speaks against this result",
    "errors": "Operations that failed in this run",
}


def prometheus(document: Document) -> str:
    """The textfile. Results that failed have no samples in it."""
    lines: list[str] = []
    samples = [sample for result in document["results"] for sample in _samples(result)]
    for name, text in _HELP.items():
        own = [line for metric, line in samples if metric == name]
        if own:
            full = f"volume_bench_{name}"
            kind = "summary" if name == "latency_seconds" else "gauge"
            lines += [f"# HELP {full} {text}", f"# TYPE {full} {kind}", *own]
    for name, text, value in _of_the_run(document):
        full = f"volume_bench_{name}"
        lines += [f"# HELP {full} {text}", f"# TYPE {full} gauge", f"{full} {value}"]
    return "\n".join(lines) + "\n"


def _of_the_run(document: Document) -> Iterator[tuple[str, str, float]]:
    yield "partial", "1: the run was interrupted or failed", int(document["partial"])
    yield "duration_seconds", "How long the run took", document["environment"]["seconds"]


def _samples(result: Result) -> Iterator[tuple[str, str]]:
    if "failed" in result:
        return
    labels = {
        "scenario": result["scenario"],
        "variant": result.get("variant", ""),
        "jobs": str(result["jobs"]),
        "block_bytes": str(result["block_bytes"]),
        "direct": str(result["direct"]).lower(),
    }
    rate, interval = result["median_mb_per_s"], result["ci95_mb_per_s"]
    if rate is not None and interval is not None:
        yield _sample("throughput_bytes_per_second", labels, rate * 1e6)
        yield _sample("throughput_low_bytes_per_second", labels, interval[0] * 1e6)
        yield _sample("throughput_high_bytes_per_second", labels, interval[1] * 1e6)
    if "median_ops_per_s" in result:
        yield _sample("operations_per_second", labels, result["median_ops_per_s"])
    if "latency_us" in result:
        yield from _latency(result["latency_us"], labels)
    for model, seconds in result.get("cold_start_seconds", {}).items():
        yield _sample("cold_start_seconds", {**labels, "model": model}, seconds)
    yield _sample("steady", labels, int(result["steady"]))
    yield _sample("flagged", labels, int(bool(result["flags"])))
    yield _sample("errors", labels, sum(result.get("errors", {}).values()))


def _latency(found: Latency, labels: dict[str, str]) -> Iterator[tuple[str, str]]:
    """A summary. Its sum is that of a histogram, so it is exact to 3 %."""
    for quantile, value in (
        ("0.5", found["p50"]),
        ("0.95", found["p95"]),
        ("0.99", found["p99"]),
        ("0.999", found["p999"]),
        ("1", found["max"]),
    ):
        yield _sample("latency_seconds", {**labels, "quantile": quantile}, value / 1e6)
    total = sum(edge * count for edge, count in found.get("histogram", [])) / 1e9
    for suffix, value in (("sum", total), ("count", found["count"])):
        yield "latency_seconds", _sample(f"latency_seconds_{suffix}", labels, value)[1]


def _sample(name: str, labels: dict[str, str], value: float) -> tuple[str, str]:
    inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items() if text)
    return name, f"volume_bench_{name}{{{inside}}} {value:.12g}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


# ---- for people


def markdown(document: Document) -> str:
    """A page with the mount, what stands out, and a table of all results."""
    mount, here = document["mount"], document["environment"]
    lines = [
        f"# {_cell(mount['directory'])}: {headline(document)}",
        "",
        f"{_cell(mount['fstype'])} from `{_cell(mount['source'])}`, measured "
        f"{here['started_utc']} in {here['seconds']:.0f} s with volumelease {here['version']} on "
        f"{_cell(here['cpu'])} ({here['cores']} cores, load {here['load_average']:.1f}), Linux "
        f"{here['kernel']}, seed {document.get('seed', '')}.",
        "",
    ]
    if document["partial"]:
        lines += [f"**Partial**: {_cell(document.get('reason', ''))}.", ""]
    lines += [f"* {_cell(note)}" for note in document.get("notes", [])]
    lines += ["", "| what | how | rate | 95 % | an operation | verdict | flags |"]
    lines += ["|---|---|--:|--:|--:|---|---|"]
    lines += ["| " + " | ".join(map(_cell, row(result))) + " |" for result in document["results"]]
    return "\n".join(lines) + "\n"


def headline(document: Document) -> str:
    """The verdict on reading sequentially, which is what most workers wait for."""
    first = best(document["results"], "sequential-read")
    if first is None or not first["verdict"]:
        return "no verdict"
    low, high = first["ci95_mb_per_s"] or (0.0, 0.0)
    return f"{first['verdict']} ({figure(low)} to {figure(high)} MB/s)"


def row(result: Result) -> list[str]:
    """What, how, rate, interval, cost of an operation, verdict, flags: each in words."""
    what = " ".join(filter(None, (result["scenario"], result.get("variant", ""))))
    if "failed" in result:
        return [what, how(result), "", "", "", "failed", result["failed"]]
    return [
        what,
        how(result),
        rate_of(result),
        interval_of(result),
        operation_of(result),
        result["verdict"],
        ", ".join(result["flags"]),
    ]


def how(result: Result) -> str:
    """Jobs, block and way, where they mean something."""
    threads = result.get("threads", 1)
    return ", ".join(
        filter(
            None,
            (
                f"{result['jobs']} job{'s' * (result['jobs'] > 1)}",
                f"{threads} threads" if threads > 1 else "",
                block_name(result["block_bytes"]) if result["block_bytes"] else "",
                way(result["direct"]) if result["block_bytes"] else "",
            ),
        )
    )


def rate_of(result: Result) -> str:
    rate = result["median_mb_per_s"]
    if rate is not None:
        return f"{figure(rate)} MB/s"
    return f"{figure(result['median_ops_per_s'])}/s" if "median_ops_per_s" in result else ""


def interval_of(result: Result) -> str:
    interval = result["ci95_mb_per_s"] or result.get("ci95_ops_per_s")
    return f"{figure(interval[0])} to {figure(interval[1])}" if interval else ""


def operation_of(result: Result) -> str:
    """The median time of an operation."""
    if "latency_us" not in result:
        return ""
    micros = result["latency_us"]["p50"]
    return f"{figure(micros)} us" if micros < 1000 else f"{figure(micros / 1000)} ms"


def figure(value: float) -> str:
    """Three figures, in full: ``1,230``, ``12.3``."""
    if value <= 0 or not math.isfinite(value):
        return f"{value:g}"
    places = max(0, 2 - math.floor(math.log10(value)))
    rounded = round(value, 2 - math.floor(math.log10(value)))
    return f"{rounded:,.{min(places, 3)}f}"


def _cell(text: str) -> str:
    plain = "".join(c if c.isprintable() else "?" for c in text)
    return plain.replace("|", "\\|").replace("`", "'")


def lines_of(rows: Iterable[list[str]]) -> Iterator[str]:
    """Rows in columns of equal width, for a pipe."""
    table = list(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row_ in table:
        yield "  ".join(f"{cell:{w}}" for cell, w in zip(row_, widths, strict=True)).rstrip()
