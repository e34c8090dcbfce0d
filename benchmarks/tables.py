"""The measured tables of docs/faq.md, made from benchmarks/results. ``python -m benchmarks.tables``
writes them; nobody types a figure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).parent / "results"
PAGE: Final = Path(__file__).parents[1] / "docs" / "faq.md"
BEGIN: Final = "<!-- made by python -m benchmarks.tables from benchmarks/results -->\n"
END: Final = "<!-- end -->\n"


def tables(folder: Path = RESULTS) -> str:
    """One table for each result, the same question on different mounts side by side in order."""
    documents = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return "\n".join(["", *map(table, documents)]) if documents else "\nNothing was measured yet.\n"


def table(document: dict[str, Any]) -> str:
    results = document["results"]
    ours = next(iter(results))
    lines = [
        f"**{document['title'].capitalize()}** ({document['where']})",
        "",
        "| | p50 | p99 | of the first line |",
        "|---|--:|--:|--:|",
    ]
    for name, figures in results.items():
        share = figures["p50_us"] / results[ours]["p50_us"]
        cells = (shown(figures["p50_us"]), shown(figures["p99_us"]), f"{share:.2f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", conditions(document), ""])


def shown(microseconds: float) -> str:
    if microseconds < 1000:
        return f"{microseconds:.0f} µs"
    return f"{microseconds / 1000:.1f} ms"


def conditions(document: dict[str, Any]) -> str:
    """Under which the figures are true."""
    where, calls = document["environment"], {r["n"] for r in document["results"].values()}
    return (
        f"{'/'.join(map(str, sorted(calls)))} calls each, taking turns; {where['cpus']} processors,"
        f" load {where['load']:.1f}, Linux {where['kernel'].partition('-')[0]},"
        f" Python {where['python']}, commit {where['commit']}: `{where['command']}`"
    )


def with_tables(page: str, text: str) -> str:
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, "the page lost the mark of its tables"
    assert end, "the page lost the mark of their end"
    return f"{before}{BEGIN}{text}{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(), tables()))
