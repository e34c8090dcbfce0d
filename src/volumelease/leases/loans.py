"""A lease lent to another task or thread of the same process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from volumelease.errors import LeaseLost

from .blocks import Block
from .lease import Lease
from .owners import Held

if TYPE_CHECKING:
    from types import TracebackType


class Loan:
    """What ``lease.lend()`` gives: a block for whoever enters it, under the same lease."""

    __slots__ = ("_blocks", "_lender")

    def __init__(self, lender: Lease) -> None:
        self._lender = lender
        self._blocks: list[Block] = []

    def __enter__(self) -> Lease:
        block = self._block()
        block.begin()
        self._blocks.append(block)
        return block.lease

    async def __aenter__(self) -> Lease:
        block = self._block()
        block.begin_on_loop()
        self._blocks.append(block)
        return block.lease

    def _block(self) -> Block:
        lender = self._lender
        lender.check()
        terms = lender._terms
        lent = lender._share(lender.paths, lender.mode, terms)
        if lent is None:
            raise LeaseLost(
                f"the block that lends {lender!r} is over",
                advice="Enter the loan before the lender's block ends",
                path=lender._shown(),
                token=lender.token,
                reason="the lender left",
            )
        owner = terms.volumes.owners.current()
        return Block(lent, owner, Held(terms.volume, terms.claims, lent))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._leave().leave(error)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._leave().leave_on_loop(error)

    def _leave(self) -> Block:
        """The block that this owner entered last."""
        owner = self._lender._terms.volumes.owners.current()
        mine = [block for block in self._blocks if block.owner is owner]
        last = mine[-1] if mine else self._blocks[-1]
        self._blocks.remove(last)
        return last
