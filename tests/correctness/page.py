"""docs/correctness.md: two parts of it are made, between marks that say so."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from tests.fuzz.target import CORPUS
from tests.simulation import test_findings
from tests.simulation.setup import Case

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs/correctness.md"
RESULTS: Final = ROOT / "benchmarks/results/torture"
NOT_YET: Final = "not yet run"


def findings() -> Iterator[tuple[str, list[Case], str]]:
    """Each bug that the simulator found: its name, the cases that show it, what it was."""
    tree = ast.parse(Path(test_findings.__file__).read_text(encoding="utf-8"))
    for node, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            cases = getattr(test_findings, node.target.id)
            if isinstance(cases, list) and isinstance(after, ast.Expr):
                said = ast.literal_eval(after.value)
                yield node.target.id, cases, " ".join(said.split())


def found_by_simulation() -> str:
    lines = ["| what it was | the command that shows it |", "|---|---|"]
    for _, cases, said in findings():
        shown = f"`{cases[0].command()}`"
        more = f" and {len(cases) - 1} more" if len(cases) > 1 else ""
        lines.append(f"| {said.replace('|', '/')} | {shown}{more} |")
    return "\n".join(lines)


def found_by_fuzzing() -> str:
    kept = sorted(place.relative_to(CORPUS) for place in CORPUS.glob("*/*"))
    if not kept:
        return "No input is kept yet."
    return "\n".join(f"- `tests/fuzz/corpus/{place}`" for place in kept)


def figures(kind: str) -> str:
    """What runs of that kind left in ``benchmarks/results/torture``."""
    documents = [json.loads(path.read_text()) for path in sorted(RESULTS.glob(f"{kind}*.json"))]
    return "\n\n".join(map(_shown, documents)) or NOT_YET


def _shown(result: dict[str, Any]) -> str:
    """What it was and found, in words; how what was watched went on, as a table."""
    plain = {name: value for name, value in result.items() if isinstance(value, str | int | float)}
    head = ", ".join(f"{_words(name)} {value}" for name, value in plain.items())
    rows = [
        f"| {_words(name)} | {one['first_sum']:,.0f} | {one['last_sum']:,.0f} |"
        for name, one in result.get("figures", {}).items()
        if isinstance(one, dict) and {"first_sum", "last_sum"} <= one.keys()
    ]
    table = ["| of all workers | at first | at last |", "|---|---|---|", *rows] if rows else []
    return "\n".join([f"- {head}", *([""] if rows else []), *table])


def _words(name: str) -> str:
    return name.replace("_", " ")


PARTS: Final[dict[str, Callable[[], str]]] = {
    "simulation": found_by_simulation,
    "fuzzing": found_by_fuzzing,
    "torture": lambda: figures("torture"),
    "soak": lambda: figures("soak"),
}


def made(text: str) -> str:
    """The page with its made parts anew."""
    for name, make in PARTS.items():
        begin, end = f"<!-- made: {name} -->", f"<!-- end: {name} -->"
        assert text.count(begin) == text.count(end) == 1, f"one place for {name}"
        whole = f"{begin}\n\n{make()}\n\n{end}"
        before, after = text[: text.index(begin)], text[text.index(end) + len(end) :]
        text = before + whole + after
    return text
