"""Wheel, sdist and environments to install them into."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
NOBODY: Final = 65534
NO_NETWORK: Final = (
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "Network is unreachable",
    "Name or service not known",
    "Read timed out",
)
"""What pip says where no index can be reached; anything else is a fault of ours."""


@dataclass(frozen=True, slots=True)
class Built:
    wheel: Path
    sdist: Path


@dataclass(frozen=True, slots=True)
class Environment:
    """A fresh virtual environment."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def program(self) -> Path:
        return self.folder / "bin" / "volumelease"

    def pip(self, *words: str) -> subprocess.CompletedProcess[str]:
        """By the tests' pip: one in each environment costs seconds, and is nobody's question."""
        python = ["--python", str(self.python), "--disable-pip-version-check"]
        return subprocess.run(
            [sys.executable, "-m", "pip", *python, *words],
            capture_output=True,
            text=True,
            check=False,
        )

    def install(self, *what: str) -> None:
        result = self.pip("install", "-q", *what)
        said = result.stdout + result.stderr
        if result.returncode and any(sign in said for sign in NO_NETWORK):
            pytest.skip("no package index can be reached from here, and the package needs click")
        assert result.returncode == 0, said


def build(folder: Path) -> Built:
    """As ``python -m build`` does for a release: the wheel from the sdist. Without an environment
    of its own, for hatchling is here."""
    result = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Built(wheel, sdist)


def make_environment(folder: Path, python: Path | None = None) -> Environment:
    command = [str(python or sys.executable), "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return Environment(folder)


def pythons() -> dict[str, Path]:
    """Every Python here that the package is for, by its version, one of each."""
    found: dict[str, Path] = {}
    for path in candidates():
        version = version_of(path)
        if version >= (3, 11):
            found.setdefault(".".join(map(str, version)), path)
    return found


def candidates() -> Iterator[Path]:
    """A name on the PATH may belong to a version that isn't there (pyenv), so others come too."""
    yield Path(sys.executable).resolve()
    yield from (Path(p) for n in range(11, 20) if (p := shutil.which(f"python3.{n}")))
    yield from sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob(PYENV))
    yield Path("/usr/bin/python3")


PYENV: Final = "versions/3.[1-9][0-9]*/bin/python3"


def version_of(python: Path) -> tuple[int, ...]:
    """(0,) for one that can't make environments, or isn't there."""
    probe = "import ensurepip, sys, venv; print(*sys.version_info[:2])"
    try:
        said = subprocess.run(
            [python, "-I", "-c", probe], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return (0,)
    return tuple(map(int, said.split()))


def bare(command: Sequence[str | Path], **more: str) -> subprocess.CompletedProcess[str]:
    """Run with nothing in the environment: no HOME, no settings, and no PATH but the system's."""
    env: Mapping[str, str] = {"PATH": "/usr/local/bin:/usr/bin:/bin", **more}
    return subprocess.run(
        command, cwd="/", env=env, capture_output=True, text=True, timeout=60, check=False
    )
