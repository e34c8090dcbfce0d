"""What a wheel and an sdist hold, and what they say of themselves."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import volumelease

from .building import ROOT, Built


def names_in_wheel(built: Built) -> set[str]:
    with zipfile.ZipFile(built.wheel) as wheel:
        return set(wheel.namelist())


def test_the_wheel_holds_the_package_and_nothing_else(built: Built) -> None:
    names = names_in_wheel(built)
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"volumelease", f"volumelease-{volumelease.__version__}.dist-info"}
    package = {name for name in names if name.startswith("volumelease/")}
    source = ROOT / "src"
    there = {
        str(path.relative_to(source))
        for path in (source / "volumelease").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert package == there
    assert {"volumelease/py.typed", "volumelease/serving/page/page.html"} <= package
    assert "volumelease/authorities/redis/scripts/acquire.lua" in package


def test_the_sdist_holds_what_its_readme_shows(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"README.md", "LICENSE", "pyproject.toml", "CHANGELOG.md", "PROTOCOL.md"} <= names
    assert {"docs/pictures/demo.svg", "docs/pictures/page.png", "docs/quickstart.md"} <= names
    assert not [name for name in names if name.startswith((".venv", "build/", ".git/"))]


def test_the_metadata_is_what_an_index_accepts(built: Built) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", built.wheel, built.sdist],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_metadata_says_what_it_is(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        folder = f"volumelease-{volumelease.__version__}.dist-info"
        metadata = Parser().parsestr(wheel.read(f"{folder}/METADATA").decode())
        assert f"{folder}/licenses/LICENSE" in wheel.namelist()
    assert metadata["Version"] == volumelease.__version__
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    needed = {line for line in metadata.get_all("Requires-Dist") or [] if "extra ==" not in line}
    assert {line.partition(">")[0] for line in needed} == {"click", "filelock", "rich"}
    extras = set(metadata.get_all("Provides-Extra") or [])
    assert {"redis", "metrics", "watch", "platform"} <= extras


def test_the_changelog_knows_the_version_or_what_comes() -> None:
    text = Path(ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]" in text or f"## [{volumelease.__version__}]" in text
