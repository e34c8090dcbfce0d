"""The blocks of code in README and docs, and how each is run.

Every ``python`` and ``sh`` block runs in a process of its own, in an empty folder, on a real local
volume that stands where the block says ``/runpod-volume``. Comments right in front of a block,
which nobody sees who reads the page, say what else it needs:

    <!-- not run: why -->          it is not run, and this is the reason
    <!-- long: why -->             it runs with the long tests
    <!-- goes on -->               its last command never ends; ``after`` runs while it does
    <!-- exporter -->              an exporter of that volume serves on 127.0.0.1:9110
    <!-- exits N -->               the code that it ends with, if not 0
    <!-- before: ... -->           code in front of it, in its language: names that it uses
    <!-- after: ... -->            code behind it: what must be so then
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
FENCE: Final = re.compile(
    r"(?P<marks>(?:^ *<!--(?:(?!-->).)*-->\s*?\n)*)"
    r"^(?P<indent> *)```(?P<language>[\w+-]*)[^\n]*\n(?P<code>.*?)^ *```",
    re.MULTILINE | re.DOTALL,
)
MARK: Final = re.compile(
    r"<!-- *(?P<name>not run|long|goes on|exporter|exits|before|after)(?:: ?| (?=\d)| *(?=-->))"
    r"(?P<text>.*?)-->",
    re.DOTALL,
)
SHELLS: Final = {"bash", "shell", "zsh", "console", "shell-session"}


@dataclass(frozen=True, slots=True)
class Block:
    """One block; ``place`` is ``page:line`` of its first line."""

    place: str
    language: str
    code: str
    not_run: str = ""
    long: str = ""
    before: str = ""
    after: str = ""
    goes_on: bool = False
    exporter: bool = False
    exits: int = 0


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]


def runnable() -> list[Block]:
    """All blocks that are run, or say why not."""
    return [block for page in pages() for block in blocks_of(page) if block.language in RUN]


RUN: Final = {"python", "sh"}


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    name = page.relative_to(ROOT) if page.is_relative_to(ROOT) else page.name
    return [
        Block(
            place=f"{name}:{text.count(chr(10), 0, match.start('code')) + 1}",
            language=match["language"].lower(),
            code=textwrap.dedent(match["code"]),
            **marks_of(match["marks"]),
        )
        for match in FENCE.finditer(text)
    ]


def marks_of(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for match in MARK.finditer(text):
        name, said = match["name"].replace(" ", "_"), match["text"]
        match name:
            case "goes_on" | "exporter":
                found[name] = True
            case "exits":
                found[name] = int(said)
            case "before" | "after":
                found[name] = textwrap.dedent(said.lstrip("\n")).rstrip() + "\n"
            case _:
                assert said.strip(), f"<!-- {match['name']} --> needs a reason"
                found[name] = said.strip()
    return found
