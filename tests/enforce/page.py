"""The table of ENFORCEMENT.md, made from the probes. ``python -m tests.enforce.page`` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .probes import PROBES, Place

PAGE: Final = Path(__file__).parents[2] / "ENFORCEMENT.md"
_BEGIN: Final = "<!-- made by tests/enforce/page.py from tests/enforce/probes.py -->\n"
_END: Final = "<!-- end -->\n"
_TITLES: Final[dict[Place, str]] = {
    "unleased": "Elsewhere on the volume",
    "leased": "Beneath the lease",
    "read": "Reads",
    "off": "Off the volume",
}


def table() -> str:
    lines = []
    for place, title in _TITLES.items():
        lines += [f"| {title} | none | `python` | `landlock` |", "|---|---|---|---|"]
        for probe in PROBES:
            if probe.place == place:
                python, landlock = map(_shown, (probe.python, probe.landlock))
                lines.append(f"| {probe.name} | allowed | {python} | {landlock} |")
        lines.append("")
    return "\n".join(lines)


def _shown(verdict: str) -> str:
    return f"**{verdict}**" if verdict == "denied" else verdict


def with_table(page: str) -> str:
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    assert begin, "the page lost the mark of its table"
    assert end, "the page lost the mark of its table's end"
    return f"{before}{_BEGIN}{table()}{_END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
