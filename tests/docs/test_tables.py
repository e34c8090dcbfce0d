"""Figures on a page are drawn from benchmarks/results; nobody types them."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.tables import PAGE, tables, with_tables


def test_the_page_shows_what_was_measured() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == with_tables(page, tables()), "make it again: python -m benchmarks.tables"


def test_a_table_has_ratios_and_conditions(tmp_path: Path) -> None:
    figures = {"volumelease": 400.0, "other": 1_200.0}
    document = {
        "title": "acquire",
        "where": "MooseFS",
        "environment": {
            "python": "3.11.7",
            "kernel": "6.1.0-1",
            "cpus": 2,
            "load": 0.25,
            "command": "python -m benchmarks",
            "commit": "abc",
        },
        "results": {n: {"p50_us": p, "p99_us": 2 * p, "n": 50} for n, p in figures.items()},
    }
    (tmp_path / "acquire.json").write_text(json.dumps(document))
    text = tables(tmp_path)
    assert "| volumelease | 400 µs | 800 µs | 1.00 |" in text
    assert "| other | 1.2 ms | 2.4 ms | 3.00 |" in text
    assert "50 calls each" in text
    assert "load 0.2, Linux 6.1.0, Python 3.11.7, commit abc: `python -m benchmarks`" in text
