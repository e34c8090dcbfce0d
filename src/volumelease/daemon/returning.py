"""A client of an earlier daemon comes back, and says what it has.

What it does not name is given back, so it has to be heard to its end first: a client that has more
than one message can carry names it in pages. They count together or not at all, for the leases of
a page that was not heard would be somebody else's while their client still believes in them.
"""

from __future__ import annotations

from typing import Any

from volumelease.model import Draft
from volumelease.wire.dialogue import ProtocolError
from volumelease.wire.fields import take, take_index, take_objects
from volumelease.wire.questions import decode_draft, encode_draft, encode_token, take_token

from .clients import Made, User
from .desk import Desk


def reclaim(desk: Desk, user: User, fields: dict[str, Any]) -> dict[str, Any]:
    """Answers which of the ``tokens`` and ``drafts`` of this page are really the client's own.
    Errors: ``Malformed``; ``ProtocolError`` for a page that does not follow the one before; those
    of ``Desk.ask``."""
    tokens = {take_token({"token": token}) for token in take(fields, "tokens", list)}
    drafts = [decode_draft(one) for one in take_objects(fields, "drafts")]
    page = take_index(fields, "page") if "page" in fields else 0
    named = _named(desk, user, page, tokens, more=take(fields, "more", bool, False))
    if named is not None:
        for token in user.tokens(desk.volume):
            held = user.held.get((desk.volume, token))
            if token not in named and held is not None and held.adopted:
                desk.cancel(user, token)
    kept = [one for one in user.tokens(desk.volume) if one in tokens and not _lost(desk, one)]
    return {
        "is": "reclaimed",
        "tokens": [encode_token(token) for token in kept],
        "drafts": [encode_draft(draft) for draft in drafts if _is_theirs(desk, user, draft)],
    }


def _named(desk: Desk, user: User, page: int, tokens: set[int], *, more: bool) -> set[int] | None:
    """All that was named, once it is all."""
    with user.lock:
        pages, named = user.naming.pop(desk.volume, (0, set[int]())) if page else (0, set[int]())
        if pages != page:
            raise ProtocolError(
                f"page {page} of a reclaim came, and {pages} was to come",
                advice="Begin again with page 0",
            )
        named |= tokens
        if more:
            user.naming[desk.volume] = (page + 1, named)
            return None
        for token in user.tokens(desk.volume):
            if token in named:
                user.held[(desk.volume, token)].adopted = False
    return named


def _lost(desk: Desk, token: int) -> bool:
    return bool(desk.hosted.loss_of(token))


def _is_theirs(desk: Desk, user: User, draft: Draft) -> bool:
    """Whether that draft lies where one of this session's does. Nobody knows whether it was
    published meanwhile."""
    name = draft.target.path.rpartition("/")[2]
    ours = draft.unique.startswith(f"{desk.session}-") and draft.unique.isascii()
    at = f"{desk.layout.stage(draft.unique)}/{name}"
    if ours and draft.path == at and "/" not in draft.unique:
        made = Made(desk.volume, draft, kept=False, inherited=True)
        user.drafts.setdefault(draft.unique, made)
    found = user.drafts.get(draft.unique)
    return found is not None and found.draft == draft
