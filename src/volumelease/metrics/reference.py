"""METRICS.md, from the catalogue: ``python -m volumelease.metrics.reference > METRICS.md``."""

from __future__ import annotations

from volumelease.tallies import METRICS, PREFIX, Metric

from .exposition import labels_of

_HEAD = """\
# Metrics

Every worker's daemon serves them for its own container, and `volumelease exporter` for the whole
fleet, on `/metrics`. This page is made from the code (`volumelease.tallies`); a test compares them.

Labels have closed sets of values, so the number of series does not grow with use; none is ever a
path, a host, a process, a token or a session. `scope` is one of `VOLUMELEASE_ROOTS`, or `other`;
`volume` is the identity of the volume. Every label set is there from the first scrape, at 0.

Counters and histograms of a fleet are sums over all sessions there ever were; gauges of leases are
of the whole volume at the exporter, and of its own container at a daemon. A daemon that serves
several volumes adds them up, or tells the worst of them (`authority_up`, the oldest lease).

| metric | type | labels | meaning |
|---|---|---|---|
"""

_TAIL = """
`deploy/prometheus/volumelease.rules.yml` has alerts on them, with tests for `promtool test rules`;
`deploy/grafana` has a dashboard of them all.
"""


def page() -> str:
    lines = [f"| `{PREFIX}build_info` | gauge | `version` | The version |"]
    lines += [_line(metric) for metric in METRICS]
    return _HEAD + "\n".join(lines) + "\n" + _TAIL


def _line(metric: Metric) -> str:
    sets = dict(metric.labels)
    labels = [
        f"`{name}`" + (f" = {', '.join(sets[name])}" if name in sets else "")
        for name in labels_of(metric)
    ]
    help_ = metric.help
    return f"| `{PREFIX}{metric.name}` | {metric.kind} | {'; '.join(labels)} | {help_} |"


if __name__ == "__main__":
    import sys

    sys.stdout.write(page())
