"""The folders are the layers, and imports point down: the contracts stand in pyproject.toml."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
LINT: Final = "from importlinter.cli import lint_imports_command; lint_imports_command()"

VALUES_FROM_BELOW: Final = {
    "volumelease.clock": {"Reading"},
    "volumelease.errors": None,
    "volumelease.host": {"ProcessFacts"},
    "volumelease.model": None,
}
"""What core and wire may take from the layers beneath: values, and never the thing that reads a
clock or a host. None stands for everything."""

needs_import_linter = pytest.mark.skipif(
    find_spec("importlinter") is None, reason="import-linter is not installed: make venv"
)


def lint_imports(checkout: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache", "--no-logo"],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout / "src"), "COLUMNS": "100"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@needs_import_linter
def test_imports_point_down() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@needs_import_linter
@pytest.mark.parametrize(
    ("module", "code", "contract"),
    [
        ("core/breach.py", "import time\n", "Core and wire decide"),
        ("wire/breach.py", "from threading import Lock\n", "Core and wire decide"),
        ("core/breach.py", "import volumelease.wire\n", "Imports point down"),
        ("clock.py", "import volumelease.core\n", "Imports point down"),
        ("core/breach.py", "import click\n", "Only the command line"),
        ("breach/__init__.py", "", "Imports point down"),
    ],
    ids=["clock", "threads", "core-to-wire", "upwards", "click", "no-layer"],
)
def test_a_breach_of_the_layers_is_found(
    tmp_path: Path, module: str, code: str, contract: str
) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "src", tmp_path / "src")
    breach = tmp_path / "src" / "volumelease" / module
    breach.parent.mkdir(exist_ok=True)
    breach.write_text(code)
    result = lint_imports(tmp_path)
    assert result.returncode != 0
    broken = [line for line in result.stdout.splitlines() if " BROKEN" in line]
    assert [line for line in broken if line.startswith(contract)], result.stdout + result.stderr


def test_core_and_wire_take_only_values_from_beneath() -> None:
    for layer in ("core", "wire"):
        for path in sorted((ROOT / "src/volumelease" / layer).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                for module, name in imported(node):
                    assert is_value(module, name), (
                        f"{path.relative_to(ROOT)} imports {name or module}: what decides may "
                        f"not read the world; take a value as a parameter"
                    )


def imported(node: ast.AST) -> list[tuple[str, str]]:
    """The absolute (module, name) pairs that an import statement names."""
    match node:
        case ast.Import(names):
            return [(alias.name, "") for alias in names]
        case ast.ImportFrom(module, names, 0):
            return [(module or "", alias.name) for alias in names]
        case _:
            return []


def is_value(module: str, name: str) -> bool:
    if module == "volumelease" or f"{module}.{name}" in VALUES_FROM_BELOW:
        return name in ("core", "wire")
    if module not in VALUES_FROM_BELOW:
        return True  # the contracts of pyproject.toml judge the rest
    allowed = VALUES_FROM_BELOW[module]
    return allowed is None or name in allowed
