"""The site: builds without a warning, has every page, and asks no other server for anything."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import pytest

from volumelease.settings import _CHECKS

from .blocks import ROOT

LOADED: Final = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("no mkdocs in this environment: make docs")
    folder = tmp_path_factory.mktemp("site")
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    said = result.stdout + result.stderr
    assert result.returncode == 0, said
    assert "WARNING" not in said
    return folder


def test_every_page_is_in_the_navigation() -> None:
    named = named_in_the_navigation()
    there = {path.name for path in ROOT.glob("docs/*.md")}
    assert named == there, "nav in mkdocs.yml and docs/ differ"


def named_in_the_navigation() -> set[str]:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    return set(re.findall(r": ([\w-]+\.md)$", text.partition("\n\n")[0], re.MULTILINE))


def test_the_papers_are_included_and_not_copied() -> None:
    for paper in (
        "ARCHITECTURE",
        "CHANGELOG",
        "CONTRIBUTING",
        "ENFORCEMENT",
        "METRICS",
        "PROTOCOL",
    ):
        page = (ROOT / "docs" / f"{paper.lower()}.md").read_text(encoding="utf-8")
        assert page == f'{{% include-markdown "../{paper}.md" %}}\n'


def test_it_builds_without_a_warning_and_shows_what_it_includes(site: Path) -> None:
    shown = {path.stem: path.read_text(encoding="utf-8") for path in site.glob("*.html")}
    assert "At most one live lease covers any path" in shown["index"]
    assert "volume_lease_acquire_duration_seconds" in shown["metrics"]
    assert "SO_PEERCRED" in shown["protocol"]
    assert 'class="doc doc-heading"' in shown["api"]
    for name in ("volume_lease", "populate", "LeaseTimeout", "MemoryVolume", "leased_cache"):
        assert f'id="volumelease.{name}"' in shown["api"] or f'.{name}"' in shown["api"], name
    for name in ("exporter", "hold", "doctor", "completion"):
        assert f"Usage: volumelease {name} [OPTIONS]" in shown["commands"]


def test_what_is_linked_of_the_repository_comes_along(site: Path) -> None:
    shown = site / "files/deploy/examples/lease.sh.txt"
    assert shown.read_bytes() == (ROOT / "deploy/examples/lease.sh").read_bytes()
    assert 'href="files/deploy/examples/lease.sh.txt"' in (site / "protocol.html").read_text()


class Loads(HTMLParser):
    """What a page makes a browser load by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in LOADED:
            self.found.append(values.get(LOADED[tag]) or "")
        if tag == "link" and values.get("rel") not in ("canonical", "next", "prev", "edit"):
            self.found.append(values.get("href") or "")


def test_it_asks_no_other_server(site: Path) -> None:
    loaded = []
    for path in site.rglob("*.html"):
        parser = Loads()
        parser.feed(path.read_text(encoding="utf-8"))
        loaded += [(path.name, what) for what in parser.found]
    assert len(loaded) > 100
    assert not [pair for pair in loaded if re.match(r"(https?:)?//", pair[1])]
    for path in [*site.rglob("*.css"), *site.rglob("*.svg")]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(url\(|@import|href=)[\"' ]*https?:", text), path


def test_every_setting_is_described() -> None:
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    described = set(re.findall(r"`VOLUMELEASE_([A-Z_]+)`", page))
    passed_on = {"TOKEN", "PATHS", "MODE", "DRAFT", "CONFIG"}
    assert described - passed_on == {name.upper() for name in _CHECKS}
