"""``python -m benchmarks.page``: writes ``benchmarks/results/README.md`` from the JSON beside it.

No figure on that page is typed. ``make check`` fails when it is not what this writes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).parent / "results"
PAGE: Final = RESULTS / "README.md"

HEAD: Final = """\
# Results

Made by `python -m benchmarks.page` from the JSON files beside it; don't edit. Contenders take turns
in one run, so ratios mean something and absolute times belong to that machine. p50 and p99 are of
*n* calls.
"""
PLACES: Final = {"local directory": "in a local directory", "MooseFS test bed": "on MooseFS"}


def main() -> None:
    PAGE.write_text(page(RESULTS), encoding="utf-8")
    print(f"wrote {PAGE}")


def page(folder: Path) -> str:
    """The page of all results in ``folder``, in the order of their files' names."""
    documents = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return "\n".join([HEAD, *(section(document) for document in documents)])


def section(document: dict[str, Any]) -> str:
    where = PLACES.get(document["where"], document["where"])
    lines = [f"## {document['title']}, {where}", "", *table(document["results"]), ""]
    judged = [*ratios(document["ratios"]), *limits(document.get("limits", []))]
    if judged:
        lines += [*judged, ""]
    lines += [conditions(document["environment"]), ""]
    return "\n".join(lines)


def table(results: dict[str, dict[str, float]]) -> list[str]:
    rows = ["| | p50 | p99 | n |", "|---|---:|---:|---:|"]
    for name, one in results.items():
        rows.append(f"| {name} | {shown(one['p50_us'])} | {shown(one['p99_us'])} | {one['n']} |")
    return rows


def ratios(found: list[dict[str, Any]]) -> list[str]:
    return [
        f"* {one['ours']} takes {one['ratio']:.2f} of {one['theirs']} "
        f"(goal: at most {one['goal']:g}), {word(one['ratio'] <= one['goal'])}"
        for one in found
    ]


def limits(found: list[dict[str, Any]]) -> list[str]:
    return [
        f"* {one['name']}: {'the slowest' if one['slowest'] else 'p50'} "
        f"{shown(one['measured_us'])} (goal: at most {shown(one['most_us'])}), "
        f"{word(one['measured_us'] <= one['most_us'])}"
        for one in found
    ]


def word(met: bool) -> str:
    return "met" if met else "**missed**"


def conditions(environment: dict[str, Any]) -> str:
    one = environment
    return (
        f"`{one['command']}` at {one['commit']}: Python {one['python']}, Linux {one['kernel']}, "
        f"{one['cpus']} CPUs, load {one['load']:.1f}."
    )


def shown(microseconds: float) -> str:
    """Three digits and the unit that suits them."""
    for size, unit in ((1e6, "s"), (1e3, "ms")):
        if microseconds >= size:
            return f"{digits(microseconds / size)} {unit}"
    return f"{digits(microseconds)} us"


def digits(value: float) -> str:
    return f"{value:.0f}" if value >= 99.95 else f"{value:.3g}"


if __name__ == "__main__":
    main()
