"""What mkdocs does besides: on the site, links to files of the repository lead somewhere too.

Pages link as a reader of the repository needs it (``../METRICS.md``). Here the papers of the top
level become their pages, and what else is linked (an example, a rule file) comes along as text.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

ROOT: Final = Path(__file__).parents[2]
PAPERS: Final = {
    "README.md": "index.md",
    "BENCHMARK.md": "benchmark-results.md",
    "deploy/README.md": "deploying.md",
    **{
        f"{name.upper()}.md": f"{name}.md"
        for name in (
            "architecture",
            "changelog",
            "contributing",
            "enforcement",
            "metrics",
            "protocol",
        )
    },
}
LINK: Final = re.compile(r"(?P<text>!?\[[^]]*\])\((?P<path>\.\./[^)#\s]*)(?P<anchor>#[^)\s]*)?\)")
FROM_THE_TOP: Final = re.compile(r"\]\((?P<path>(?!\w+:|#|/)[^)#\s]+)")


def on_files(files: Any, config: Any) -> Any:
    """What pages link to besides pages becomes part of the site."""
    for name in sorted(linked_files()):
        files.append(File.generated(config, shown_at(name), content=(ROOT / name).read_bytes()))
    return files


def linked_files() -> set[str]:
    found = set()
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for match in FROM_THE_TOP.finditer(page.read_text(encoding="utf-8")):
            target = (page.parent / match["path"]).resolve()
            if target.is_file() and target.is_relative_to(ROOT):
                found.add(str(target.relative_to(ROOT)))
    return {name for name in found if name not in PAPERS and not name.startswith("docs/")}


def shown_at(name: str) -> str:
    """As text, so that a browser shows it, and a page of the repository is no page of the site."""
    return f"files/{name}.txt"


@event_priority(-100)  # type: ignore[untyped-decorator] # where mkdocs is not installed
def on_page_markdown(markdown: str, **_: Any) -> str:
    """After other files were included, with their links turned."""
    return LINK.sub(replacement, markdown)


def replacement(match: re.Match[str]) -> str:
    name, anchor = match["path"].removeprefix("../"), match["anchor"] or ""
    if name.startswith("docs/"):
        return f"{match['text']}({name.removeprefix('docs/')}{anchor})"
    if name in PAPERS:
        return f"{match['text']}({PAPERS[name]}{anchor})"
    if (ROOT / name).is_dir():
        return match["text"].removeprefix("[").removesuffix("]")
    return f"{match['text']}({shown_at(name)}{anchor})"
