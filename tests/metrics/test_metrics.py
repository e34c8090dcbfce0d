"""What Prometheus is told."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("prometheus_client")

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from volumelease.metrics.exposition import Metrics, Shown
from volumelease.metrics.reference import page
from volumelease.tallies import METRICS, Counts, Tally, ending_of, reason_of
from volumelease.wire.counts import decode_counts, encode_counts

ROOT = Path(__file__).parents[2]
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="no promtool: apt-get install prometheus"
)


def shown(counts: Counts | None = None) -> Shown:
    return Shown(counts or Counts(), {}, ("models", "other"), "0123abcd", "0.1.0")


def text_of(look: Shown) -> str:
    return Metrics(CollectorRegistry(), lambda: look).page()[1].decode()


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_every_label_set_is_there_before_anything_happened() -> None:
    found = samples(text_of(shown()))
    for metric in METRICS:
        name = f"volume_lease_{metric.name}"
        expected = len(list(metric.keys(("models", "other"))))
        if metric.kind == "histogram":
            expected *= len(metric.buckets) + 1
            name += "_bucket"
        assert sum(key[0] == name for key in found) == expected, name
        assert all(value == 0 for key, value in found.items() if key[0] == name)


def test_what_was_counted_before_a_scrape_is_shown_by_it() -> None:
    tally = Tally({"models": "models"})
    tally.count("publishes_total", "models")
    tally.note((("acquire_duration_seconds", "other", "acquired"), 0.002))
    tally.note((("acquire_duration_seconds", "other", "acquired"), 4000.0))
    found = samples(text_of(shown(tally.counts())))
    assert found["volume_lease_publishes_total", (("scope", "models"),)] == 1
    labels = (("outcome", "acquired"), ("scope", "other"))
    assert found["volume_lease_acquire_duration_seconds_count", labels] == 2
    assert found["volume_lease_acquire_duration_seconds_sum", labels] == pytest.approx(4000.002)
    bucket = ("volume_lease_acquire_duration_seconds_bucket", (("le", "0.0025"), *labels))
    assert found[bucket] == 1


def test_a_scope_that_is_not_configured_here_is_shown_as_other() -> None:
    counts = Counts({("publishes_total", "elsewhere"): [2.0], ("publishes_total", "other"): [1.0]})
    found = samples(text_of(shown(counts)))
    assert found["volume_lease_publishes_total", (("scope", "other"),)] == 3
    assert not any("elsewhere" in str(key) for key in found)


def test_counts_survive_being_written_down() -> None:
    tally = Tally()
    for metric in METRICS:
        for key in metric.keys(("models", "other")):
            if metric.kind != "gauge":
                tally.note((key, 1.5))
    counts = tally.counts()
    text = encode_counts(counts)
    assert decode_counts(text) == counts
    assert len(text) < 2500, "all that can be counted has to fit into one symlink"
    assert decode_counts("nonsense") is None
    assert decode_counts(text[:-8]) is None


def test_the_reference_says_what_the_code_does() -> None:
    made = "python -m volumelease.metrics.reference > METRICS.md"
    assert (ROOT / "METRICS.md").read_text() == page(), made


@pytest.mark.parametrize(
    ("loss", "reason", "ending"),
    [
        ("another session saw no beat of this one and ended it", "expired", "expired"),
        ("no beat was answered in time", "deadline", "lost"),
        ("the machine was suspended", "paused", "lost"),
        ("the lease is being broken by worker x: stuck", "broken", "broken"),
        ("the volume's identity is gone", "log", "lost"),
        ("who knows", "other", "lost"),
    ],
)
def test_the_words_of_a_loss_become_one_of_few_reasons(loss: str, reason: str, ending: str) -> None:
    assert (reason_of(loss), ending_of(loss)) == (reason, ending)


@needs_promtool
def test_promtool_finds_nothing_wrong_with_the_metrics() -> None:
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, "check", "metrics"],
        input=text_of(shown()),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stdout + done.stderr
