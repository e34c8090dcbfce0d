"""What a fuzz target is: decoders, each with texts that the real encoders made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

CORPUS: Final = Path(__file__).parent / "corpus"
"""Findings, one file each: what once broke the promise of a decoder, kept as a test."""


@dataclass(frozen=True)
class Decoder:
    """``check`` must come back for every input, whatever it is: it swallows the errors that the
    decoder documents, and lets every other one out. ``seeds`` are what the real encoders write."""

    name: str
    check: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


@dataclass(frozen=True)
class Target:
    """Some decoders that are fuzzed together. The first byte of an input chooses the decoder."""

    name: str
    make: Callable[[], Iterable[Decoder]]

    @cached_property
    def decoders(self) -> tuple[Decoder, ...]:
        return tuple(self.make())

    def run(self, data: bytes) -> None:
        """Errors: whatever breaks the promise of the decoder."""
        if data:
            self.decoders[data[0] % len(self.decoders)].check(data[1:])

    def seeds(self) -> list[bytes]:
        return [
            bytes([number]) + seed
            for number, decoder in enumerate(self.decoders)
            for seed in decoder.seeds
        ]

    def findings(self) -> list[Path]:
        return sorted((CORPUS / self.name).glob("*"))

    def keep(self, data: bytes) -> Path:
        """Keep a finding. Its name says which decoder it is for: the number may change."""
        decoder = self.decoders[data[0] % len(self.decoders)].name
        digest = hashlib.sha256(data[1:]).hexdigest()[:12]
        place = CORPUS / self.name / f"{decoder}-{digest}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data[1:])
        return place

    def replay(self, finding: Path) -> None:
        """Errors: as ``run``."""
        name = finding.name.rpartition("-")[0]
        next(one for one in self.decoders if one.name == name).check(finding.read_bytes())


def text_of(data: bytes) -> str:
    """As names and the targets of symlinks are read."""
    return data.decode("utf-8", "surrogateescape")


def written(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def either(
    decode: Callable[[str], object], *documented: type[Exception]
) -> Callable[[bytes], None]:
    """The check of a decoder that gives a value, or raises what it documents."""

    def check(data: bytes) -> None:
        with suppress(*documented):
            decode(text_of(data))

    return check
