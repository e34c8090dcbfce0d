"""Publishing: decide in the log, then make visible by one rename that anybody can repeat.

1. The draft is complete and on the volume before anything is decided (``drafts``).
2. ``publish`` is committed: THE decision. It is void if the lease is not live at that index.
3. The draft is renamed to its public name, and ``published`` committed.

Between 2 and 3 anything may happen to the writer. So whoever is granted a lease first applies what
is decided and not applied under its paths, in the order of the log, and so does whoever applies a
later publish. A rename can be repeated because its source exists once: the late rename of a writer
that was cut off finds it gone.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from volumelease.authorities.answers import SessionOver
from volumelease.clock import Clock
from volumelease.core import records
from volumelease.core.publishes import due
from volumelease.core.records import SessionFacts
from volumelease.core.table import Pending
from volumelease.effects import HardLink, ReadLink, Rename, Steps, Symlink
from volumelease.errors import AuthorityUnreachable, LeaseError, PublishFailed
from volumelease.model import Answer, Draft, Ended, Lost

from .collecting import Collector
from .committer import Committer
from .drafts import DRAFT, LINK, OLD, REPLACED, WAS, Drafts, unique_of
from .insisting import FORBIDDEN, FULL, MISSING, TRIES, is_there, pause, refusal, unlink
from .layout import CONTROL, Layout
from .replica import Replica
from .tried import Tried

_SHAPE: Final = frozenset(
    {errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST, errno.ENAMETOOLONG, errno.ENOENT}
)
"""What only the place can be blamed for: it will not get better. ENOENT with the source still
there: the directory above the place is gone."""


class Publishing:
    """The publishes that one session decides, and those of others that it finds unapplied."""

    def __init__(
        self,
        name: str,
        facts: SessionFacts,
        replica: Replica,
        committer: Committer,
        clock: Clock,
        unique: Callable[[], str],
        loss_of: Callable[[int], str],
    ) -> None:
        self._boot_id = facts.process.boot_id or name
        self.drafts = Drafts(name, facts, replica, clock, unique)
        self.collector = Collector(name, replica, clock, self._boot_id)
        self._replica = replica
        self._committer = committer
        self.layout: Layout = replica.layout
        self._root = replica.layout.root
        self._clock = clock
        self.loss_of = loss_of
        self._tried = Tried()
        self._visible: set[str] = set()
        """Own drafts that were tried, and whose rename this session saw succeed."""

    def take_over(self) -> None:
        """What a predecessor of this session had decided is not to be discarded."""
        for one in self._replica.table.pending.values():
            self._tried.add(unique_of(one.source))

    def publish(self, draft: Draft) -> Steps[Answer]:
        """Make a draft visible. ``Lost`` if the lease was not live: then nothing changed.

        Errors: ``PublishFailed`` when the place can't take it, ``AuthorityUnreachable`` when it
        is unknown or decided and not visible yet, and those of ``Drafts.seal``.
        """
        loss = self.loss_of(draft.token)
        if loss:
            return Lost(loss)
        try:
            contents = yield from self.drafts.sync(draft)
            loss = self.loss_of(draft.token)
            if loss:  # before the place is touched, which may be another holder's by now
                return Lost(loss)
            sealed = yield from self.drafts.seal(draft, contents)
        except LeaseError:
            # Of a session that is over, others have cleared away what it wrote.
            loss = self.loss_of(draft.token)
            if loss:
                return Lost(loss)
            raise
        return (yield from self.decide(draft, sealed.source))

    def decide(self, draft: Draft, source: str) -> Steps[Answer]:
        """Have the rename of ``source`` (below the control directory) decided, and do it. Errors:
        as ``publish``."""
        yield from self.settle([draft.target.key])
        record = records.Publish(draft.token, source, draft.target)
        self._tried.add(draft.unique)
        done = yield from self._committer.commit(lambda: record)
        assert done is not None
        if done.void:
            self._tried.discard(draft.unique)
            void = done.outcome.void if done.outcome is not None else "the lease is not live"
            return Lost(self.loss_of(draft.token) or void)
        try:
            yield from self.settle([draft.target.key])
        except SessionOver:
            if draft.unique not in self._visible:
                return Lost(
                    "the session was lost right after the publish was decided; whoever gets "
                    "these paths next makes it visible first"
                )
        if draft.unique in self._visible:
            self._visible.discard(draft.unique)
        elif (yield from is_there(self._root, self.layout.audit(draft.unique))):
            raise self._failed(draft)
        return Ended()

    def discard(self, draft: Draft, back_to: str = "") -> Steps[None]:
        """Remove a draft, or move it ``back_to`` where it came from, unless its publish was tried
        and is not known to be void (``Tried``). If it never lands, the draft is cleared away when
        this session is over. Errors: none."""
        if draft.unique not in self._tried:
            yield from self.drafts.discard(draft, back_to)

    def _failed(self, draft: Draft) -> PublishFailed:
        place = self.layout.public(draft.target.path)
        version = self.layout.version(draft.unique)
        kept = self.layout.audit(draft.unique)
        return PublishFailed(
            f"{place} could not be replaced: a directory stands there, or the one above it is gone",
            advice=f"The draft is kept: {kept} (of a directory: {version}). Make room, and publish "
            "it again",
            path=place,
            kept=kept,
        )

    # ---- applying

    def settle(self, keys: Iterable[str]) -> Steps[None]:
        """Apply what is decided and not applied under ``keys``, in the order of the log.

        Errors: ``VolumeFull``, ``VolumeUnsuitable``, ``AuthorityUnreachable``: this session's
        trouble; another one may be able to. Those of a commit.
        """
        keys = tuple(keys)
        while self._replica.table.pending:
            todo = due(self._replica.table.pending, keys)
            if not todo:
                return
            yield from self._apply(todo[0])

    def settle_token(self, token: int) -> Steps[None]:
        """The same for what was decided under one lease."""
        pending = self._replica.table.pending
        keys = [one.target.key for one in pending.values() if one.token == token]
        yield from self.settle(keys)

    def unapplied(self, token: int) -> bool:
        pending = self._replica.table.pending
        return bool(pending) and any(one.token == token for one in pending.values())

    def _apply(self, one: Pending) -> Steps[None]:
        failure = yield from self._make_visible(one)
        record = records.Published(one.publish, failure)
        replica = self._replica  # whose table a snapshot can replace meanwhile
        yield from self._committer.commit(
            lambda: record if one.publish in replica.table.pending else None, urgent=True
        )
        if not failure:
            yield from self.drafts.tidy(unique_of(one.source))

    def _make_visible(self, one: Pending) -> Steps[str]:
        """Rename the draft to its public name. Returns why it failed for good, or ""."""
        source, place = f"{self.layout.base}/{one.source}", self.layout.public(one.target.path)
        kept = self.layout.audit(unique_of(one.source))
        before = yield from self._keep_what_is_public(one, place)
        trouble: OSError | None = None
        for number in range(TRIES):
            try:
                yield Rename(source, place)
            except OSError as error:
                trouble = error.with_traceback(None)
            else:
                if unique_of(one.source) in self._tried:
                    self._visible.add(unique_of(one.source))
                yield from self._replaced(one, before)
                return ""
            if not (yield from is_there(self._root, source)):
                if (yield from is_there(self._root, kept)):
                    return "another session found that the place could not take it"
                yield from self._replaced(one, "")
                return ""
            if trouble.errno in FORBIDDEN | FULL:
                raise refusal(self._root, f"replace {place}", trouble)
            if trouble.errno in _SHAPE:
                failure = yield from self._give_up(source, kept, trouble)
                if failure:
                    return failure
            yield pause(number)
        raise AuthorityUnreachable(
            f"{place} is decided and not visible yet: {trouble}", root=self._root, seconds=0.0
        )

    def _give_up(self, source: str, kept: str, trouble: OSError) -> Steps[str]:
        """Take the source away first: as long as it is there, somebody may still apply it.
        Returns why the publish failed, or "" if it did not, or nobody knows yet."""
        try:
            yield Rename(source, kept)
        except OSError as error:
            if error.errno not in MISSING or not (yield from is_there(self._root, kept)):
                return ""
        if source.endswith(LINK):  # what was not published and is reported is kept
            yield from unlink(self._root, self.layout.version(kept.rpartition("/")[2]) + DRAFT)
        return f"the place could not take it: {trouble.strerror}"

    def _replaced(self, one: Pending, before: str) -> Steps[None]:
        """A version became public: it is no draft any more, and that is certain before anybody
        takes the publish for done, or it would be cleared away with its author's session. The one
        before may go when its readers had time."""
        unique = unique_of(one.source)
        if one.source.endswith(LINK):
            yield from unlink(self._root, self.layout.version(unique) + DRAFT)
        if before and before != unique:
            mark = f"{self.layout.version(before)}{REPLACED}{self._boot_id}"
            with suppress(OSError):
                yield Symlink(repr(self._clock.boottime()), mark)

    def _keep_what_is_public(self, one: Pending, place: str) -> Steps[str]:
        """Let what is about to be replaced live on for those who are on the way to it: a version
        by its mark, a file under a second name, which is marked before it exists. Returns the
        version that is public, "" for anything else."""
        try:
            target: str = yield ReadLink(place)
        except OSError as error:
            if error.errno == errno.EINVAL:  # no symlink
                kept = self.layout.version(unique_of(one.source)) + OLD
                with suppress(OSError):
                    yield Symlink(repr(self._clock.boottime()), f"{kept}{REPLACED}{self._boot_id}")
                    yield HardLink(place, kept + WAS)
            return ""
        return self._version_of(target)

    def version_at(self, place: str) -> Steps[str]:
        """The version that is public there, "" for anything else."""
        try:
            target: str = yield ReadLink(place)
        except OSError:
            return ""
        return self._version_of(target)

    def _version_of(self, target: str) -> str:
        folder, _, unique = target.rpartition("/versions/")
        return unique if folder.endswith(f"{CONTROL}/{self.layout.identity_id}") else ""
