"""The counts of a process or a fleet, as metrics.

``Metrics`` is a collector: it asks for the numbers when it is scraped. So nothing is counted twice,
a registry can be thrown away, and every label set is there from the first scrape, at 0: of a
counter that is born at 1, ``increase()`` never sees the step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, assert_never

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
    was counted under another name (by a worker with other settings) is shown as ``other``."""

    counts: Counts
    gauges: Mapping[Key, float]
    scopes: tuple[str, ...]
    volume: str
    version: str


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
        counts = within(shown.counts, shown.scopes)
        build = GaugeMetricFamily(f"{PREFIX}build_info", "The version", labels=["version"])
        build.add_metric([shown.version], 1)
        yield build
        for metric in METRICS:
            yield _family(metric, shown, counts)

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


def _family(metric: Metric, shown: Shown, counts: Counts) -> Family:
    name, labels = PREFIX + metric.name, labels_of(metric)
    before = [shown.volume] if metric.volume else []
    match metric.kind:
        case "counter":
            counter = CounterMetricFamily(name.removesuffix("_total"), metric.help, labels=labels)
            for key in metric.keys(shown.scopes):
                counter.add_metric([*before, *key[1:]], counts.values.get(key, [0.0])[0])
            return counter
        case "gauge":
            gauge = GaugeMetricFamily(name, metric.help, labels=labels)
            for key in metric.keys(shown.scopes):
                gauge.add_metric([*before, *key[1:]], shown.gauges.get(key, 0.0))
            return gauge
        case "histogram":
            histogram = HistogramMetricFamily(name, metric.help, labels=labels)
            for key in metric.keys(shown.scopes):
                buckets, total = _buckets(metric, counts.values.get(key))
                histogram.add_metric([*before, *key[1:]], buckets=buckets, sum_value=total)
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
