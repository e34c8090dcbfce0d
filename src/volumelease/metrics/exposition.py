"""The counts of a process or a fleet, as metrics.

``Metrics`` is a collector: it asks for the numbers when it is scraped. So nothing is counted twice,
a registry can be thrown away, and every label set is there from the first scrape, at 0: of a
counter that is born at 1, ``increase()`` never sees the step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, assert_never

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector, CollectorRegistry

from volumelease.tallies import METRICS, OTHER, PREFIX, Counts, Key, Metric


class Shown(NamedTuple):
    """What there is to show at one moment. ``scopes``: the configured roots and ``other``; what
    was counted under another name (by a worker with other settings) is shown as ``other``.
    ``others``: of the further volumes that this process uses."""

    counts: Counts
    gauges: Mapping[Key, float]
    scopes: tuple[str, ...]
    volume: str
    version: str
    others: tuple[Shown, ...] = ()


_WORST: Final[Mapping[str, Callable[[float, float], float]]] = {
    "oldest_hold_seconds": max,
    "oldest_wait_seconds": max,
    "ttl_seconds": max,
    "enforcement_level": max,
    "bell_up": min,
    "authority_up": min,
    "last_scan_timestamp_seconds": min,
    "clock_skew_seconds": lambda one, other: max(one, other, key=abs),
}
"""Of several volumes the worst is shown, where a sum says nothing."""


def together(all_: Sequence[Shown]) -> Shown:
    """What several volumes show where a metric does not tell them apart."""
    counts, gauges = Counts(), dict[Key, float]()
    for one in all_:
        counts.add(one.counts)
        for key, value in one.gauges.items():
            choose = _WORST.get(key[0], float.__add__)
            gauges[key] = choose(gauges[key], float(value)) if key in gauges else float(value)
    return all_[0]._replace(counts=counts, gauges=gauges, others=())


class Metrics(Collector):
    """Shows what ``look`` returns at each scrape. What it raises, the scrape raises."""

    def __init__(self, registry: CollectorRegistry, look: Callable[[], Shown]) -> None:
        self._look = look
        self._registry = registry
        registry.register(self)

    def describe(self) -> Iterator[Family]:
        """Nothing: to register must not scrape."""
        return iter(())

    def collect(self) -> Iterator[Family]:
        shown = self._look()
        apart = [one._replace(counts=within(one.counts, shown.scopes)) for one in _flat(shown)]
        merged = [together(apart)]
        build = GaugeMetricFamily(f"{PREFIX}build_info", "The version", labels=["version"])
        build.add_metric([shown.version], 1)
        yield build
        for metric in METRICS:
            yield _family(metric, apart if metric.volume else merged)

    def page(self, accept: str = "") -> tuple[str, bytes]:
        """The content type and the text of one scrape."""
        encode, content_type = choose_encoder(accept)
        text: bytes = encode(self._registry)
        return content_type, text


def within(counts: Counts, scopes: tuple[str, ...]) -> Counts:
    """The same, with every scope among ``scopes``: labels are a closed set."""
    found = Counts()
    scoped = {metric.name for metric in METRICS if metric.scope}
    for key, values in counts.values.items():
        name, *labels = key
        if name in scoped and labels and labels[0] not in scopes:
            labels[0] = OTHER
        found.add(Counts({(name, *labels): values}))
    return found


def labels_of(metric: Metric) -> list[str]:
    """The names of its labels, in their order."""
    names = ["volume"] if metric.volume else []
    names += ["scope"] if metric.scope else []
    return names + [name for name, _ in metric.labels]


def _flat(shown: Shown) -> list[Shown]:
    return [shown, *shown.others]


def _family(metric: Metric, sources: Sequence[Shown]) -> Family:
    """``sources``: each with its own volume as a label where the metric has that."""
    name, labels = PREFIX + metric.name, labels_of(metric)
    found: list[tuple[Shown, list[str], Key]] = [
        (one, [one.volume, *key[1:]] if metric.volume else list(key[1:]), key)
        for one in sources
        for key in metric.keys(one.scopes)
    ]
    match metric.kind:
        case "counter":
            counter = CounterMetricFamily(name.removesuffix("_total"), metric.help, labels=labels)
            for one, values, key in found:
                counter.add_metric(values, one.counts.values.get(key, [0.0])[0])
            return counter
        case "gauge":
            gauge = GaugeMetricFamily(name, metric.help, labels=labels)
            for one, values, key in found:
                gauge.add_metric(values, one.gauges.get(key, 0.0))
            return gauge
        case "histogram":
            histogram = HistogramMetricFamily(name, metric.help, labels=labels)
            for one, values, key in found:
                buckets, total = _buckets(metric, one.counts.values.get(key))
                histogram.add_metric(values, buckets=buckets, sum_value=total)
            return histogram
        case other:
            assert_never(other)


def _buckets(metric: Metric, values: list[float] | None) -> tuple[list[tuple[str, float]], float]:
    values = values or [0.0] * (len(metric.buckets) + 2)
    found, so_far = [], 0.0
    for bound, value in zip((*metric.buckets, math.inf), values[:-1], strict=True):
        so_far += value
        found.append(("+Inf" if bound == math.inf else str(bound), so_far))
    return found, values[-1]
