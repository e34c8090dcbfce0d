"""The public names are the contract with users: they're added to, never renamed."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

SOURCE: Final = Path(__file__).parents[2] / "src"

PROMISED: Final = {
    "AuthorityUnreachable",
    "DaemonUnavailable",
    "Lease",
    "LeaseDeadlock",
    "LeaseError",
    "LeaseLost",
    "LeaseTimeout",
    "LeaseViolation",
    "SettingsMismatch",
    "VolumeNotFound",
    "populate",
    "volume_lease",
}
NOT_YET: Final[set[str]] = set()
"""Promised names that can't be imported yet. It only shrinks."""
ADDED: Final[set[str]] = {
    "AuthorityUnsuitable",
    "EnforcementMissing",
    "LogDamaged",
    "PathInvalid",
    "PublishFailed",
    "SettingsInvalid",
    "VolumeFull",
    "VolumeUnsuitable",
}
"""Public names beyond the first promise. It only grows."""

HEAVY: Final = {
    "asyncio",
    "click",
    "concurrent.futures",
    "email",
    "http",
    "importlib.metadata",
    "logging",
    "msgspec",
    "multiprocessing",
    "prometheus_client",
    "redis",
    "rich",
    "socket",
    "ssl",
    "subprocess",
    "unittest",
    "urllib.request",
    "watchdog",
}
"""What costs milliseconds to import and isn't needed for the first lease."""


@pytest.fixture
def volumelease() -> ModuleType:
    """The package itself, as its users import it."""
    if not (SOURCE / "volumelease/__init__.py").exists():
        pytest.skip("volumelease/__init__.py is not written yet")
    return importlib.import_module("volumelease")


def test_the_public_names_are_the_promised_ones(volumelease: ModuleType) -> None:
    public = set(volumelease.__all__)
    assert len(volumelease.__all__) == len(public)
    assert public == (PROMISED - NOT_YET) | ADDED, (
        "a name that is new goes into ADDED; a promised one that arrived leaves NOT_YET; "
        "one that went missing breaks somebody's program"
    )
    assert {name for name in public if not hasattr(volumelease, name)} == set()


def test_every_public_name_says_what_it_promises(volumelease: ModuleType) -> None:
    silent = []
    for name in volumelease.__all__:
        value = getattr(volumelease, name)
        silent += [name] * (not documented(value))
        if inspect.isclass(value):
            silent += [f"{name}.{member}" for member in silent_members(value)]
    assert not silent, "write docstrings: the promise, then its limit"


def documented(value: object) -> bool:
    """A docstring of its own: one inherited from a base or from ``object`` doesn't count."""
    if inspect.isclass(value):
        return bool(vars(value).get("__doc__"))
    return bool(getattr(value, "__doc__", None))


def silent_members(kind: type) -> list[str]:
    return [
        name
        for name, member in vars(kind).items()
        if not name.startswith("_")
        and isinstance(member, property | staticmethod | classmethod | type(documented))
        and not member.__doc__
    ]


@pytest.mark.parametrize(
    "statement", ["import volumelease", "from volumelease import *"], ids=["import", "every-name"]
)
def test_importing_stays_light(statement: str) -> None:
    if not (SOURCE / "volumelease/__init__.py").exists():
        pytest.skip("volumelease/__init__.py is not written yet")
    probe = (
        f"import sys; sys.path.insert(0, {str(SOURCE)!r}); before = set(sys.modules)\n"
        f"{statement}\n"
        "print(*sorted(set(sys.modules) - before), sep='\\n')"
    )
    # Isolated and without site-packages: what starts the interpreter up must not hide an import,
    # and the library must work with nothing else installed.
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", probe],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    heavy = HEAVY & set(result.stdout.split())
    assert not heavy, f"{statement} imports {sorted(heavy)}: import them where they're first used"
