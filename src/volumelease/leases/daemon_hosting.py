"""A session that a daemon hosts, as the leases of this process see it.

The daemon beats; this process reads the session's deadline from a page that both have mapped. A
daemon that dies moves no deadline: this process goes on until then, and its leases go on if a new
daemon resumed the same session. It never changes over to a session of its own in between.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from volumelease.client.connecting import HungUp, Line, Redial, connect
from volumelease.client.deadlines import Belief
from volumelease.clock import Clock
from volumelease.drivers.threads import Performer
from volumelease.effects import Contents
from volumelease.errors import AuthorityUnreachable, DaemonUnavailable, LeaseError
from volumelease.model import (
    Acquire,
    Answer,
    Cancel,
    Claim,
    Discard,
    Ended,
    GiveBack,
    Granted,
    Holder,
    Inspect,
    Lost,
    Publish,
    Question,
    Release,
    Waiting,
)
from volumelease.tallies import Tally
from volumelease.wire.dialogue import Told
from volumelease.wire.entries import encode_claims
from volumelease.wire.fields import Malformed, take
from volumelease.wire.questions import (
    decode_answer,
    decode_holder,
    encode_question,
    encode_token,
    take_token,
)

from .belongings import Belongings
from .hosting import GIVE_BACK_SECONDS, Hosting
from .inquiry import Inquiry
from .presence import Presence, let_lapse

_WATCH_SECONDS: Final = 0.5
_VIEWS: Final = itertools.count(1)


class HostedByDaemon(Hosting[Any]):
    """One session of the daemon at ``path``, for the volume at ``root`` that this process sees to
    have the id ``volume``. Thread-safe."""

    def __init__(
        self,
        path: str,
        root: str,
        volume: str,
        clock: Clock,
        performer: Performer,
        report: Callable[[str], None],
        tally: Tally | None = None,
    ) -> None:
        super().__init__(clock, performer, report, None, tally)
        self._path = path
        self._root = root
        self.volume = volume
        self._daemon = Presence(path, self._loss)
        self._lost = ""
        self._mine = Belongings()
        self._inquiry = Inquiry(self._mine, self.ask, self._start, self._news.set)
        self._watcher = 0
        self._view = next(_VIEWS)
        """Part of each owner's name: what a lost view of the same session left is to be waited
        for, and is nothing that an owner of this one has."""
        self._tail = -1
        self._returns = 0
        """How often what this process has was claimed from a daemon."""
        self._about: dict[str, Any] = {}
        self._belief: Belief | None = None
        self._closed = False

    # ---- life

    def open(self) -> None:
        """Attach to the daemon. Errors: ``DaemonUnavailable``; those of the daemon's session."""
        line = connect(self._path, events=True)
        try:
            about = line.attach(self._root, self.volume)
            take(about, "session", str)
            self._belief = Belief(about, self.clock)
        except BaseException as error:
            line.close()
            if isinstance(error, HungUp | Malformed):
                raise self._away(str(error)) from None
            raise
        self._about = about
        self._daemon.arrived(line)
        self._start(self._listen, "volumelease-daemon")
        self._start(self._watch, "volumelease-watch")

    def close(self, seconds: float = GIVE_BACK_SECONDS) -> None:
        """Give back everything: the daemon sees that the last connection is closed."""
        del seconds
        self._on_change.clear()
        self._closed = True
        if self.pid == os.getpid():
            with suppress(LeaseError):  # a daemon that is stopped sees the end of the connections
                for token in list(self._mine.held | self._mine.waiting):
                    self.ask(Cancel(token))
        self._lose("the session was closed")
        if self.pid == os.getpid():
            self._daemon.leave()

    def _lose(self, reason: str) -> None:
        if not self._lost:
            self._lost = reason
        self._daemon.look_up()
        self._wake(None)

    def alive(self) -> bool:
        return not self._loss()

    @property
    def over(self) -> bool:
        return bool(self._lost) or self.pid != os.getpid()

    def _loss(self) -> str:
        if not self._lost:
            belief = self._belief
            loss = "it was never open" if belief is None else belief.loss()
            if loss:
                self._lose(loss)
        return self._lost

    def loss_of(self, token: int) -> str:
        if self.pid != os.getpid():
            return "it belongs to the process that this one was forked from"
        loss = self._loss()
        if loss:
            return loss
        belief = self._belief
        assert belief is not None
        if belief.in_doubt():
            if threading.get_ident() == self._watcher:
                self._inquiry.aside(belief)
            else:
                self._inquiry.now(belief)
            if belief.in_doubt() and not belief.sure_seconds():
                self._mine.losses.setdefault(token, "nobody said in time whether it is still held")
        return self._mine.losses.get(token, "")

    def remaining_seconds(self) -> float:
        if self._loss():
            return 0.0
        assert self._belief is not None
        return self._belief.remaining_seconds()

    def last_seconds(self) -> float:
        belief = self._belief
        return 0.0 if belief is None else belief.last_seconds

    def _watch(self) -> None:
        self._watcher = threading.get_ident()
        while True:
            alive = self.alive()
            left = self._tell_listeners()
            if not alive:
                self._room.wake(None)
            self._do(*left)  # before the next: it can be what ends this process in time
            if not alive:
                if not self._closed and self.pid == os.getpid():
                    seconds, ttl = 2 * self.last_seconds(), float(self._about["ttl"])
                    let_lapse(self._path, self._named, self._mine, seconds, ttl)
                self._daemon.leave()
                return
            self._news.wait(min(self._seconds_left() + 0.001, _WATCH_SECONDS))
            self._news.clear()

    def _seconds_left(self) -> float:
        """Until something that is held may be lost, as far as the page says."""
        left, belief = self.remaining_seconds(), self._belief
        sure = belief.sure_seconds() if belief is not None and belief.in_doubt() else 0.0
        return min(left, sure or left)

    # ---- events

    def _listen(self) -> None:
        line = self._daemon.events
        assert line is not None
        while not self._lost:
            try:
                told = line.listen()
            except (HungUp, LeaseError):
                line.close()
                if not self._closed:
                    self._come_back()
                line = self._daemon.events or line
                continue
            if told is not None:
                self._heard(told)
        line.close()

    def _heard(self, told: Told) -> None:
        with suppress(Malformed):
            if told.about.get("volume") != self.volume:
                return
            token = take_token(told.about)
            if told.event == "lost":
                self._mine.losses[token] = take(told.about, "reason", str)
            self._mine.news.add(token)  # and waits: a daemon that comes now must hear of it
            self._wake(token)

    def _come_back(self) -> None:
        """Find a daemon that went on with the session, before its deadline."""
        self._daemon.gone()
        while not self._loss():
            with suppress(LeaseError, HungUp, OSError, Malformed):
                line = connect(self._path, events=True, seconds=min(1.0, self.remaining_seconds()))
                self._daemon.lines.drop()  # not before: who has no connection left has left
                try:
                    self._reclaim(line)
                except BaseException:
                    line.close()
                    raise
                return
            if not self._loss():
                threading.Event().wait(0.05)

    def _reclaim(self, line: Line) -> None:
        """Errors: those of ``Line``."""
        self._returns += 1  # first: what is noted after the next line is claimed by nobody
        pages = self._mine.as_pages()
        session = self._about["session"]
        about = line.attach(self._root, self.volume)
        if take(about, "session", str) != session:
            self._lose("the daemon ended, and a new one could not go on with its session")
            line.close()
            return
        belief = Belief(about, self.clock)
        kept: set[int] = set()
        for page in pages:
            if self._loss():
                raise HungUp(self._lost)
            answer = line.ask("reclaim", {"volume": self.volume, "session": session, **page})
            kept |= {take_token({"token": token}) for token in take(answer, "tokens", list)}
        self._mine.keep(kept)
        if not self._loss():  # the old page decides until here: what is lost stays lost
            self._belief = belief
        self._daemon.arrived(line)
        self._wake(None)

    # ---- questions

    def still_waits(self, token: int) -> bool:
        mine = self._mine
        heard = token in mine.news or token in mine.losses
        return token in mine.waiting and not heard and not self._loss()

    def ask(self, question: Question) -> Answer:
        """Errors: those of the daemon's session; ``DaemonUnavailable`` if it does not answer."""
        if isinstance(question, GiveBack):
            return self._give_back(question.acquire)
        if isinstance(question, Discard) and self._mine.is_unsure(question.draft):
            return Ended()
        key = self._mine.asking(question)
        returns = self._returns
        try:
            answer = self._asked(question, key)
        except LeaseError as error:
            if not isinstance(error, DaemonUnavailable):
                self._mine.refused(question)
            elif isinstance(question, Release | Cancel) and not self._closed:
                self._say_again("cancel", {"token": encode_token(question.token)})
            raise
        finally:
            if not self._lost:  # else nobody was told, and what it had is given back with the rest
                self._mine.left(question)
        self._mine.answered(question, answer)
        if self._returns != returns and isinstance(answer, Granted | Waiting):
            return self._confirmed(answer)
        return answer

    def _say_again(self, do: str, fields: dict[str, Any]) -> None:
        with suppress(RuntimeError):
            self._start(
                lambda: self._daemon.say_again(do, {**self._named, **fields}),
                "volumelease-give-back",
            )

    @property
    def _named(self) -> dict[str, Any]:
        return {"volume": self.volume, "session": self._about["session"]}

    def _confirmed(self, answer: Granted | Waiting) -> Answer:
        """Of an answer of before a reclaim, that may not have named it."""
        try:
            now = self.ask(Inspect(answer.token))
        except AuthorityUnreachable as error:
            now = Lost(f"nobody says whether it is still held: {error}")
        if isinstance(now, Lost):
            self._mine.losses.setdefault(answer.token, now.reason)
        return now

    def _asked(self, question: Question, key: str) -> Answer:
        do, fields = encode_question(question)
        fields |= self._named
        if key:
            fields["key"] = key
            fields["owner"] = f"{self._view}/{fields['owner']}"
        redial = Redial()
        while True:
            loss = self._loss()
            if loss:
                return Lost(loss)
            try:
                source = self._daemon.ask(do, fields)
                self._tail = take(source, "tail", int, self._tail)
                return decode_answer(source)
            except HungUp as error:
                if isinstance(question, Publish):
                    raise self._away(
                        "it ended while it published; whether that is visible, only the path says"
                    ) from None
                if not redial.again():
                    raise self._away(f"it hangs up again and again: {error}") from None
                if isinstance(question, Acquire):  # what that one gets is given back
                    fields["key"] = self._mine.asking(question)
            except Malformed as error:
                raise self._away(f"it answered what no answer is: {error}") from None

    def _give_back(self, acquire: Acquire) -> Answer:
        token, key = self._mine.undo(acquire)
        if token is not None:
            return self.ask(Cancel(token))
        if key and not self._loss():
            try:
                self._daemon.ask("give_back", {"volume": self.volume, "key": key})
            except HungUp:
                pass  # a new daemon gives back what is not claimed
            except DaemonUnavailable:
                self._say_again("give_back", {"key": key})
                raise
        return Ended()

    def give_up(self, question: Acquire) -> None:
        def give_back() -> None:
            with suppress(LeaseError):
                self._give_back(question)

        with suppress(RuntimeError):
            self._start(give_back, "volumelease-give-back")

    def tail(self) -> int:
        return self._tail

    def who_holds(self, claim: Claim) -> Holder | None:
        fields = {"volume": self.volume, "target": encode_claims((claim,))}
        try:
            holder = self._daemon.ask("who_holds", fields).get("holder")
            return decode_holder(holder) if isinstance(holder, dict) else None
        except (HungUp, Malformed) as error:
            raise self._away(str(error)) from None

    def is_own(self, holder: Holder) -> bool:
        return holder.session == self._about["session"] and holder.pid == os.getpid()

    def under_way(self, claim: Claim) -> Contents | None:
        fields = {"volume": self.volume, "target": encode_claims((claim,))}
        try:
            found = self._daemon.ask("progress", fields)
        except HungUp as error:
            raise self._away(str(error)) from None
        files, size = found.get("files"), found.get("bytes")
        return Contents(files, size) if isinstance(files, int) and isinstance(size, int) else None

    def _away(self, why: str) -> DaemonUnavailable:
        return DaemonUnavailable(
            f"the daemon at {self._path} has gone: {why}",
            socket=self._path,
            root=None,
            seconds=0.0,
        )
