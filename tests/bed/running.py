"""What runs inside a ``with`` block."""

from __future__ import annotations

from types import TracebackType
from typing import Self


class Running:
    """Begins with the block and ends with it, however it ends."""

    def begin(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()
