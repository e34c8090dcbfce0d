"""Files and functions stay small: a ratchet that only turns one way.

What is longer than the limits stands in the tables below with its length. A length there may
shrink and never grow, and an entry that is no longer needed must go.
"""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).parents[2] / "src"

FILE_LINES: Final = 400
FUNCTION_LINES: Final = 40
MEDIAN_FUNCTION_LINES: Final = 8
P90_FUNCTION_LINES: Final = 30

LONGER_FILES: Final[dict[str, int]] = {}
LONGER_FUNCTIONS: Final[dict[str, int]] = {}

NAMES_THAT_SAY_NOTHING: Final = {"common", "helpers", "manager", "misc", "utils"}


def test_files_stay_small() -> None:
    lengths = {
        str(path.relative_to(SOURCE)): len(path.read_text().splitlines()) for path in modules()
    }
    problems = ratchet(lengths, FILE_LINES, LONGER_FILES, "LONGER_FILES")
    assert not problems, "\n".join(
        [*problems, "Split a file where a reader would look for its second half."]
    )


def test_functions_stay_small() -> None:
    problems = ratchet(function_lengths(), FUNCTION_LINES, LONGER_FUNCTIONS, "LONGER_FUNCTIONS")
    assert not problems, "\n".join(
        [*problems, "Name the steps of a long function and make them functions."]
    )


def test_most_functions_are_a_few_lines() -> None:
    lengths = sorted(function_lengths().values())
    assert statistics.median(lengths) <= MEDIAN_FUNCTION_LINES
    assert lengths[int(len(lengths) * 0.9)] <= P90_FUNCTION_LINES


def test_a_module_is_named_for_what_it_does() -> None:
    nameless = [path for path in modules() if NAMES_THAT_SAY_NOTHING & set(path.stem.split("_"))]
    assert not nameless, "name them in the words of the design"


def test_the_ratchet_only_turns_one_way() -> None:
    assert not ratchet({"a": 40, "b": 50}, 40, {"b": 50}, "TABLE")
    assert "is 41 lines" in ratchet({"a": 41}, 40, {}, "TABLE")[0]
    assert "grew" in ratchet({"b": 51}, 40, {"b": 50}, "TABLE")[0]
    assert "write 49" in ratchet({"b": 49}, 40, {"b": 50}, "TABLE")[0]
    assert "remove" in ratchet({"b": 40}, 40, {"b": 50}, "TABLE")[0]
    assert "remove" in ratchet({}, 40, {"b": 50}, "TABLE")[0]


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def ratchet(lengths: dict[str, int], limit: int, longer: dict[str, int], table: str) -> list[str]:
    """What to do, one line for each length that isn't where it should be."""
    problems = []
    for name, length in lengths.items():
        if name not in longer and length > limit:
            problems.append(f"{name} is {length} lines, the limit is {limit}")
        elif name in longer and length > longer[name]:
            problems.append(f"{name} grew from {longer[name]} to {length} lines")
        elif name in longer and limit < length < longer[name]:
            problems.append(f"{name} shrank: write {length} into {table}")
    for name in longer:
        if lengths.get(name, 0) <= limit:
            problems.append(f"{name} keeps the limit or is gone: remove it from {table}")
    return problems


def function_lengths() -> dict[str, int]:
    return {
        f"{path.relative_to(SOURCE)}:{name}": length
        for path in modules()
        for name, length in functions(ast.parse(path.read_text()), "")
    }


def functions(parent: ast.AST, prefix: str) -> Iterator[tuple[str, int]]:
    """Every function with its qualified name and its lines, docstring not counted."""
    for node in ast.iter_child_nodes(parent):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield prefix + name, code_lines(node)
                yield from functions(node, f"{prefix}{name}.")
            case ast.ClassDef(name=name):
                yield from functions(node, f"{prefix}{name}.")
            case _:
                yield from functions(node, prefix)


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno is not None
    whole = function.end_lineno - function.lineno + 1
    match function.body[0]:
        case ast.Expr(ast.Constant(str()), end_lineno=int(end)) as docstring:
            return whole - (end - docstring.lineno + 1)
        case _:
            return whole
