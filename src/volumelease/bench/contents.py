"""What benchmark files hold: no page of it is constant, and none is there twice.

A hole is read at 122 GB/s, and constant data is stored once by what deduplicates or compresses
(both measured). So a file is random in periods of 4 MiB, and each page of 4 KiB begins with the
number of its period, the seed of the run and the round in which it was written. What a block
holds follows from its offset alone, so readers of any block size can check it.
"""

from __future__ import annotations

import random
from array import array
from typing import Final

from .buffers import buffer

PERIOD: Final = 4 << 20
PAGE: Final = 4096
_PAGES: Final = PERIOD // PAGE
_WORDS_A_PAGE: Final = PAGE // 8
_ROUND: Final = 0xFFFF << 32


class Contents:
    """The contents of one job's file; ``seed`` differs in each run, ``job`` in each file.

    ``view`` is one page-aligned period; ``turn_to`` makes it that of a place in the file.
    """

    def __init__(self, seed: str, job: str) -> None:
        self.view = buffer(PERIOD)
        self.view[:] = random.Random(f"{seed}:{job}").randbytes(PERIOD)
        self._stamps = self.view.cast("Q")[::_WORDS_A_PAGE]
        self._tag = (random.Random(f"{seed}:{job}:tag").getrandbits(16) | 1) << 48
        self.turn_to(0, 0)

    def turn_to(self, period: int, turn: int) -> None:
        """Make ``view`` the period of that number, written in that round."""
        stamp = self._tag | (turn & 0xFFFF) << 32 | period & 0xFFFFFFFF
        self._stamps[:] = memoryview(array("Q", [stamp]) * _PAGES)

    def turn_block_to(self, offset: int, turn: int, size: int) -> None:
        """The same for one block at that offset in the file: cheaper, when the next one is
        elsewhere."""
        stamp = self._tag | (turn & 0xFFFF) << 32 | (offset // PERIOD) & 0xFFFFFFFF
        first = offset % PERIOD // PAGE
        for page in range(first, first + max(1, size // PAGE)):
            self._stamps[page] = stamp

    def is_of(self, first_word: int, offset: int) -> bool:
        """Whether a page at that offset begins with this word, in whatever round."""
        return first_word & ~_ROUND == self._tag | (offset // PERIOD) & 0xFFFFFFFF

    def same(self, block: memoryview, offset: int) -> bool:
        """Whether a whole block, inside one period and of whole pages, is what was written."""
        (first,) = block[:8].cast("Q")
        if not self.is_of(first, offset):
            return False
        self.turn_to(offset // PERIOD, first >> 32 & 0xFFFF)
        at = offset % PERIOD
        return block == self.view[at : at + len(block)]
