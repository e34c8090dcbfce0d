"""Taking over what a dead writer left of a draft."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from volumelease.effects import CopyTree, LookAt, ProveDeath, RemoveTree, Rename, Steps, Symlink
from volumelease.wire.drafts import DraftOwner, encode_owner

from .insisting import move, refusal

OWNER: Final = ".owner"
TAKEN: Final = ".taken"
DISCARD_SECONDS: Final = 3600.0


def take_over(root: str, left: str, owner: DraftOwner, stage: str) -> Steps[bool]:
    """Have what lies at ``left`` at ``stage``. Its writer's late writes reach what it had open,
    so the bytes are copied, unless its process is provably gone: then no write of it is on the
    way.

    Returns whether it was there. Errors: as ``refusal``; then it lies where it was, for the next
    one. Limit: who is killed meanwhile, or can't move it back, leaves it at ``.taken``, to be
    cleared away.
    """
    taken = stage + TAKEN
    whole: tuple[str, ...] = (taken,)
    try:
        if not (yield from move(root, left, taken)):
            return False  # another session took it, or swept it away
        if (yield from _all_dead(owner)):
            whole = (taken, stage)
            yield from move(root, taken, stage)
            return True
        yield CopyTree(taken, stage)
        whole = (stage,)
        with suppress(OSError):
            yield RemoveTree(taken, DISCARD_SECONDS)
    except GeneratorExit:
        raise
    except BaseException as error:
        yield from _put_back(whole, left, owner, stage)
        if isinstance(error, OSError):
            raise refusal(root, "copy what a dead writer left", error) from error
        raise
    return True


def _put_back(whole: tuple[str, ...], left: str, owner: DraftOwner, stage: str) -> Steps[None]:
    """Errors: none."""
    with suppress(OSError):  # while nothing lay there, whoever clears up may have taken it away
        yield Symlink(encode_owner(owner), left + OWNER)
    for place in whole:
        if (yield from _moved(place, left)):
            break
    else:
        return
    with suppress(OSError):  # what was copied of it is not offered to anybody
        yield Rename(stage, stage + TAKEN)
    with suppress(OSError):
        yield RemoveTree(stage + TAKEN, DISCARD_SECONDS)


def _moved(source: str, target: str) -> Steps[bool]:
    """Tried once, for somebody may have interrupted this."""
    try:
        yield Rename(source, target)
    except OSError:
        try:
            yield LookAt(target)
        except OSError:
            return False
    return True


def _all_dead(owner: DraftOwner) -> Steps[bool]:
    """Whether nothing that wrote this draft can write any more."""
    session = owner.facts.process
    dead: bool = yield ProveDeath(session)
    if dead and owner.client is not None:
        pid, start_time = owner.client
        dead = yield ProveDeath(session._replace(pid=pid, start_time=start_time))
    return dead
