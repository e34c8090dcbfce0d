"""What the short scripts decide by themselves, on a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from volumelease.authorities import redis as authority
from volumelease.drivers.files import Files
from volumelease.drivers.scripts import Scripts
from volumelease.effects import CallScript

GENERAL = b"unknown"
"""What is replied where the general rules would decide: no short script says that itself."""


class Glances:
    """Performs ``CallScript`` as the scripts below do, whose short ones are tried alone before.
    ``taken`` says of each call for which there is one whether it replied."""

    def __init__(self, scripts: Scripts) -> None:
        assert authority.__file__ is not None
        folder = Path(authority.__file__).parent / "scripts/quick"
        texts = {
            path.stem: f"{path.read_text(encoding='utf-8')}\nreturn {{'{GENERAL.decode()}'}}"
            for path in folder.glob("*.lua")
        }
        self._names = frozenset(texts)
        self._scripts = scripts
        self._short = Scripts(scripts._connect, texts, scripts._translate, Files())
        self.taken: list[tuple[str, bool]] = []

    def perform(self, effect: Any) -> Any:
        if type(effect) is CallScript and effect.script in self._names:
            reply = self._short.perform(effect)
            self.taken.append((effect.script, reply != [GENERAL]))
            if reply != [GENERAL]:
                return reply
        return self._scripts.perform(effect)

    def close(self) -> None:
        self._short.close()
        self._scripts.close()
