"""How the leases of a volume move to another authority: drained, ended there, begun here.

One step of each way is THE decision, and everything before it is undone by leaving it. From the
log to a Redis it is the record ``moved``; from a Redis to a log, the end of its table, which names
the one log that may follow. After it no session of the old authority gets or keeps anything, and
the next identity is created exclusively: of several who finish a migration, however late, one does,
and it is the same one. The new authority begins with a grace, so whoever could not be told has lost
what it held before anything is granted.

Limit: a Redis that forgets its end (a restart without its data) between the look at it and the next
identity goes on for those who can't see the volume.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from volumelease.authorities.volume import founding
from volumelease.authorities.volume.layout import Layout
from volumelease.authorities.volume.listening import Nobody
from volumelease.authorities.volume.replica import Replica
from volumelease.core.records import FORMAT_VERSION
from volumelease.drivers.threads import Monitor, run_flow
from volumelease.errors import AuthorityMoved, AuthorityUnreachable, LeaseError, VolumeNotFound
from volumelease.model import Acquire, Claim, Release
from volumelease.wire.identity import Identity

from . import choosing
from .flows import SessionEnded, acquire
from .talking import Conversation

if TYPE_CHECKING:
    from volumelease.paths.locate import VolumeRoot

    from .choosing import Authority
    from .hosting import Hosting
    from .volumes import Volumes

_TRIES: Final = 5
_WHOLE: Final = (Claim("", ""),)


def migrate(
    root: VolumeRoot, authority: Authority, volumes: Volumes, timeout: float | None = None
) -> tuple[Identity, bool]:
    """Move the leases of that volume to ``authority``; finishes what was interrupted. Waits until
    nobody holds any, for ``timeout`` seconds. Returns its identity, and whether it was changed.

    Errors: ``VolumeNotFound``; ``LeaseTimeout`` while somebody holds something; those of either
    authority. Then all is as it was, or to be finished by the same call.
    """
    for _ in range(_TRIES):
        migration = _Migration(root, volumes, timeout)
        if migration.before.authority == authority:
            return migration.before, False
        try:
            successor = migration.to_redis() if authority == "redis" else migration.to_log()
        except _Overtaken:
            continue
        return migration.run(founding.succeed(root.real_root, successor)), True
    raise _restless(root)


class _Overtaken(Exception):
    """Somebody else has moved the leases meanwhile."""


class _Migration:
    def __init__(self, root: VolumeRoot, volumes: Volumes, timeout: float | None) -> None:
        self._root = root
        self._volumes = volumes
        self._timeout = timeout
        self._surroundings = volumes.surroundings
        self.run = Monitor(self._surroundings.performer).run
        found = self.run(founding.read_identity(root.real_root))
        if found is None:
            raise VolumeNotFound(
                f"{root.root} is no volume", advice=f"volumelease init {root.root}", path=root.root
            )
        self.before: Identity = found

    # ---- from the log to a Redis

    def to_redis(self) -> Identity:
        """The next identity, once the log has ended."""
        from .redis_hosting import must_carry

        settings = self._surroundings.settings
        choosing.require_url_to_move(self._root.root, "redis", settings)
        must_carry(self.before.id, self._root.real_root, settings)
        replica = Replica(
            Layout.of(self._root.real_root, self.before), self._surroundings.clock, Nobody()
        )
        for _ in range(_TRIES):
            self.run(replica.catch_up())
            if replica.table.moved:
                return self._successor("redis", "", replica.next_index)
            hosted, token = self._hold_all()
            if not hosted.run(hosted.session.move("redis")):
                self._let_go(hosted, token)
        raise _restless(self._root)

    # ---- from a Redis to a log

    def to_log(self) -> Identity:
        """The next identity, once the Redis has ended its table."""
        from volumelease.authorities.redis.moving import move

        from .redis_hosting import moved_on

        settings = self._surroundings.settings
        choosing.require_log(self._root)
        choosing.require_url_to_move(self._root.root, "volume", settings)
        for _ in range(_TRIES):
            incarnation, log = moved_on(self.before.id, self._root.real_root, settings)
            if log:
                return self._successor("volume", log, _last_of(incarnation))
            hosted, token = self._hold_all()
            incarnation, log = hosted.session.calls.incarnation, os.urandom(8).hex()
            layout = self._prepare(log, incarnation)
            elected, certain = hosted.run(move(hosted.session, incarnation, token, log))
            if certain and elected != log:
                self.run(founding.remove_tree(layout.trunk))
            if not elected:
                self._let_go(hosted, token)
        raise _restless(self._root)

    def _prepare(self, log: str, incarnation: int) -> Layout:
        layout = Layout(self._root.real_root, self.before.id, self.before.era + 1, log)
        self.run(founding.prepare_later_log(layout, _last_of(incarnation)))
        return layout

    # ---- both

    def _successor(self, authority: Authority, log: str, above: int) -> Identity:
        before = self.before
        created = round(self._surroundings.clock.wall(), 3)
        return Identity(
            FORMAT_VERSION, before.id, authority, before.ttl, created, before.era + 1, log, above
        )

    def _hold_all(self) -> tuple[Hosting[Any], int]:
        """A session that holds the whole volume, and its token."""
        for _ in range(_TRIES):
            try:
                hosted = self._volumes.session(self._root)
            except AuthorityMoved:
                raise _Overtaken from None
            if hosted.session.identity != self.before:
                raise _Overtaken
            talk = Conversation(self._surroundings.clock, None, hosted)
            question = Acquire(_WHOLE, exclusive=True, owner="migration", reason="migration")
            got = run_flow(acquire(question, self._root.root, talk.now(), self._timeout), talk)
            if not isinstance(got, SessionEnded):
                return hosted, got.token
        raise _restless(self._root)

    def _let_go(self, hosted: Hosting[Any], token: int) -> None:
        """So that workers go on. Errors: none; the ttl does it at the latest."""
        try:
            hosted.ask(Release(token))
        except LeaseError as error:
            self._surroundings.report(f"the release of {self._root.root} waits: {error}")


def _restless(root: VolumeRoot) -> AuthorityUnreachable:
    return AuthorityUnreachable(
        f"the leases of {root.root} could not be ended: the session was lost, or the Redis forgot, "
        f"{_TRIES} times",
        advice="See what it does (volumelease doctor), and migrate again",
        root=root.root,
        seconds=0.0,
    )


def _last_of(incarnation: int) -> int:
    """No token of that incarnation is larger."""
    from volumelease.authorities.redis.tokens import last_token_of

    return last_token_of(incarnation)
