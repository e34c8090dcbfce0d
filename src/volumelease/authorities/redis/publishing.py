"""Publishing under a Redis: checked, then renamed.

The draft is complete and on the volume before; then Redis is asked whether the lease is live, and
right after its answer comes the one rename that makes the draft public. Promise: readers see the
old or the new, whole, and a holder that knows of its loss, or is told of it by the check, publishes
nothing. Limit: the rename is not sealed by the check. A holder that stops between the two (a
paused process, a call that hangs) can publish late, on top of its successor's; only an authority
that lives on the volume can prevent that.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from volumelease.authorities.volume.collecting import Collector
from volumelease.authorities.volume.drafts import DRAFT, LINK, REPLACED, Drafts, Sealed
from volumelease.authorities.volume.insisting import (
    FORBIDDEN,
    FULL,
    TRIES,
    is_there,
    pause,
    refusal,
    unlink,
)
from volumelease.authorities.volume.layout import CONTROL, Layout
from volumelease.authorities.volume.tried import Tried
from volumelease.clock import Clock
from volumelease.core.table import Pending
from volumelease.effects import ReadLink, Rename, Steps, Symlink
from volumelease.errors import AuthorityUnreachable, LeaseError, PublishFailed
from volumelease.model import (
    Acquire,
    Answer,
    Discard,
    Draft,
    Ended,
    Lost,
    Prepare,
    Publish,
)

from .calling import text

if TYPE_CHECKING:
    from .session import RedisSession

_SHAPE: Final = frozenset(
    {errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST, errno.ENAMETOOLONG}
)


class Members:
    """Who is there by the table in Redis, as drafts have to know it."""

    pending: Mapping[int, Pending] = {}

    def __init__(self, session: RedisSession) -> None:
        self._session = session
        self.layout = Layout.of(session.root, session.identity)
        self.sessions: Collection[str] = ()

    @property
    def table(self) -> Members:
        return self

    @property
    def holdings(self) -> Mapping[int, Acquire]:
        wanted = self._session.requests.wanted
        return {token: mine.acquire for token, mine in wanted.items()}

    def catch_up(self) -> Steps[None]:
        """Errors: those of a call; ``AuthorityUnreachable`` during a grace, when whoever is
        missing may only not have named itself yet."""
        reply = yield from self._session.calls.once("names")
        grace, names = reply.rest
        if grace:
            raise AuthorityUnreachable(
                "the Redis forgot who is there, and they are just telling it again",
                advice="Try again after the volume's ttl",
                root=self.layout.root,
                seconds=0.0,
            )
        self.sessions = frozenset(text(name) for name in names)


class Publishing:
    """The publishes of one session."""

    def __init__(self, session: RedisSession, clock: Clock, unique: Callable[[], str]) -> None:
        self._session = session
        self._clock = clock
        self._members = Members(session)
        self.layout = self._members.layout
        facts = session.facts
        self._boot_id = facts.process.boot_id or session.name
        self.drafts = Drafts(session.name, facts, self._members, clock, unique)
        self.collector = Collector(session.name, self._members, clock, self._boot_id)
        self._tried = Tried()

    def answer(self, question: Prepare | Publish | Discard) -> Steps[Answer]:
        """Errors: those of ``Drafts``, ``PublishFailed``, ``AuthorityUnreachable``."""
        match question:
            case Prepare(token):
                loss = self._session.loss_of(token)
                return Lost(loss) if loss else (yield from self.drafts.prepare(question))
            case Publish(draft):
                return (yield from self._publish(draft))
            case Discard(draft, back_to):
                if draft.unique not in self._tried:
                    yield from self.drafts.discard(draft, back_to)
                return Ended()

    def _publish(self, draft: Draft) -> Steps[Answer]:
        loss = self._session.loss_of(draft.token)
        if loss:
            return Lost(loss)
        try:
            contents = yield from self.drafts.sync(draft)
            loss = self._session.loss_of(draft.token)
            if loss:  # before the place is touched, which may be another holder's by now
                return Lost(loss)
            sealed = yield from self.drafts.seal(draft, contents)
        except LeaseError:
            loss = self._session.loss_of(draft.token)
            if loss:  # others have cleared away what a session that is over wrote
                return Lost(loss)
            raise
        return (yield from self._replace(draft, sealed))

    def _replace(self, draft: Draft, sealed: Sealed) -> Steps[Answer]:
        root, place = self.layout.root, self.layout.public(draft.target.path)
        source = f"{self.layout.base}/{sealed.source}"
        before = yield from self._version_at(place)
        trouble: OSError | None = None
        for number in range(TRIES):
            loss = yield from self._check(draft.token)
            if loss:
                return Lost(loss)
            self._tried.add(draft.unique)
            try:
                yield Rename(source, place)
                break
            except OSError as error:
                trouble = error.with_traceback(None)
            if not (yield from is_there(root, source)):
                break  # done: its answer was lost, and it was sent again
            self._refuse(draft, trouble, place)
            yield pause(number)
        else:
            raise AuthorityUnreachable(
                f"{place} could not be replaced: {trouble}", root=root, seconds=0.0
            )
        yield from self._replaced(draft, sealed, before)
        return Ended()

    def _refuse(self, draft: Draft, trouble: OSError, place: str) -> None:
        """Errors: what can't get better; the draft was not moved."""
        if trouble.errno in FORBIDDEN | FULL:
            self._tried.discard(draft.unique)
            raise refusal(self.layout.root, f"replace {place}", trouble)
        if trouble.errno in _SHAPE:
            self._tried.discard(draft.unique)
            raise PublishFailed(
                f"{place} could not be replaced: {trouble.strerror}",
                advice="Make room there, and publish it again",
                path=place,
                kept=None,
            )

    def _check(self, token: int) -> Steps[str]:
        """Why nothing may be published under that lease, or "": by the Redis, now."""
        session = self._session
        mine = session.requests.wanted.get(token)
        loss = session.loss_of(token)
        if loss or mine is None:
            return loss or "the lease was broken"
        reply = yield from session.calls.insist(
            session.alive, session.timing.beat_interval, "look", 0, mine.number
        )
        standing = text(reply.rest[1][1])
        if standing != "granted":
            session.requests.lose(mine, "the lease was broken")
        elif not mine.exclusive:
            return "the lease is shared by now"
        return session.loss_of(token)

    def _replaced(self, draft: Draft, sealed: Sealed, before: str) -> Steps[None]:
        """The draft is public: it is no draft any more, and the version before it may go when its
        readers had time."""
        if sealed.source.endswith(LINK):
            yield from unlink(self.layout.root, self.layout.version(draft.unique) + DRAFT)
        if before and before != draft.unique:
            mark = f"{self.layout.version(before)}{REPLACED}{self._boot_id}"
            with suppress(OSError):
                yield Symlink(repr(self._clock.boottime()), mark)
        yield from self.drafts.tidy(draft.unique)

    def _version_at(self, place: str) -> Steps[str]:
        try:
            target: str = yield ReadLink(place)
        except OSError:
            return ""
        folder, _, unique = target.rpartition("/versions/")
        return unique if folder.endswith(f"{CONTROL}/{self.layout.identity_id}") else ""
