"""Where in the package errors are made: each module with each class of error that it makes."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from volumelease.errors import LeaseError

SOURCE: Final = Path(__file__).parents[2] / "src/volumelease"


def _trees() -> dict[str, ast.Module]:
    return {
        str(path.relative_to(SOURCE)): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(SOURCE.rglob("*.py"))
    }


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def classes() -> dict[str, str]:
    """The classes of our errors, and the module of each."""
    found, before = {"LeaseError": "errors.py"}, 0
    trees = _trees()
    while len(found) > before:
        before = len(found)
        for module, tree in trees.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef) and set(map(_name, node.bases)) & set(found):
                    found.setdefault(node.name, module)
    return found


def families() -> set[tuple[str, str]]:
    """(module, class) of every place that makes an error."""
    known = set(classes())
    found = {
        (module, _name(node.func))
        for module, tree in _trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _name(node.func) in known
    }
    return {(module, name) for module, name in found if module != "errors.py"}


@contextmanager
def made() -> Iterator[set[tuple[str, str]]]:
    """The families of the errors that this process makes meanwhile."""
    found: set[tuple[str, str]] = set()
    original: Any = LeaseError.__init__

    def recording(self: LeaseError, *arguments: Any, **facts: Any) -> None:
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_code.co_name == "__init__":
            if frame.f_locals.get("self") is not self:
                break
            frame = frame.f_back
        place = Path(frame.f_code.co_filename)
        if place.is_relative_to(SOURCE):
            found.add((str(place.relative_to(SOURCE)), type(self).__name__))
        original(self, *arguments, **facts)

    LeaseError.__init__ = recording  # type: ignore[method-assign] # for the time of the block
    try:
        yield found
    finally:
        LeaseError.__init__ = original  # type: ignore[method-assign] # as it was
