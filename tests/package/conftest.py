"""One build and one clean install for all tests here."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .building import Built, Environment, build, make_environment


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """One that another user can read: those of pytest are the tester's own."""
    folder = Path(tempfile.mkdtemp(prefix="volumelease-package-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def installed(built: Built, open_folder: Path) -> Environment:
    """The wheel with no extras, and nothing else."""
    environment = make_environment(open_folder / "none")
    environment.install(str(built.wheel))
    return environment
