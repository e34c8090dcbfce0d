"""One session of the daemon, as clients use it: whose request is whose, and who is told what.

What touches the volume runs in threads of the volume's crews. What tells of a loss does not: it
runs in whichever thread found the loss.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from volumelease.authorities.volume.layout import Layout
from volumelease.errors import LeaseError, LeaseViolation, PublishFailed
from volumelease.leases.hosting import Hosting
from volumelease.model import (
    Acquire,
    Answer,
    Cancel,
    Claim,
    Discard,
    Downgrade,
    Draft,
    Ended,
    Granted,
    Inspect,
    Lost,
    Prepare,
    Prepared,
    Publish,
    Question,
    Release,
    Waiting,
)
from volumelease.paths.locate import VolumeRoot
from volumelease.wire.questions import encode_holder, encode_token

from .clients import Held, Made, User
from .crews import Crews
from .page import Page
from .watching import Watch

NOT_YOURS: Final = "this process does not hold that lease"
NAMELESS: Final = "~"
"""Begins the key of a request that its client gave none; a beginning that no client's key has."""

GONE: Final = "the client has gone"


class Desk:
    """What clients ask one hosted session, and what it tells them."""

    def __init__(
        self,
        hosted: Hosting[Any],
        root: VolumeRoot,
        page: Page,
        slot: int,
        crews: Crews,
        still_there: Callable[[tuple[tuple[str, Claim], ...]], bool],
    ) -> None:
        self.hosted = hosted
        self.root = root
        self.volume: str = hosted.session.identity.id
        self.session: str = hosted.session.name
        self.slot = slot
        self.crews = crews
        self.layout = Layout.of(root.real_root, hosted.session.identity)
        self._page = page
        self._still_there = still_there
        self._tokens: dict[int, User] = {}
        self.unheard: list[Watch] = []
        """Of news that could not be looked at: that is tried again soon."""
        timing = hosted.session.timing
        hosted.watch_seconds = min(1.0, timing.beat_interval / 4)
        self._stop = hosted.on_change(self.show)
        self.show()

    def show(self) -> None:
        """Bring the page up to date, and see again to what could not be done."""
        self.show_deadline()
        unheard, self.unheard = self.unheard, []
        for watch in unheard:
            watch.set()
        self.crews.rouse()

    def show_deadline(self) -> None:
        """Never later than the session's own."""
        if self.hosted.alive():
            self._page.show(self.slot, self.hosted.session.pulse.deadline)
        else:
            self._page.lose(self.slot)

    def about(self) -> dict[str, Any]:
        timing = self.hosted.session.timing
        return {
            "volume": self.volume,
            "session": self.session,
            "root": self.root.root,
            "ttl": timing.ttl,
            "margin": timing.margin,
            "cache": timing.cache,
            "page": self._page.path,
            "slot": self.slot,
            "tag": self._page.tag(self.slot),
            "seconds": round(self.hosted.remaining_seconds(), 3),
        }

    # ---- questions

    def ask(self, user: User, question: Question, key: str = "") -> Answer:
        """Answer one question of that client. Errors: those of ``Session.ask``."""
        match question:
            case Acquire():
                return self.acquire(user, question, key)
            case Release(token) | Cancel(token):
                if self._let_go(user, token) is None:
                    return Ended()
                return self.hosted.ask(question)
            case Inspect(token) | Downgrade(token) | Prepare(token):
                if (self.volume, token) not in user.held:
                    return Lost(self.hosted.loss_of(token) or NOT_YOURS)
                if isinstance(question, Prepare):
                    return self._prepare(user, question)
                answer = self.hosted.ask(question)
                self._note(user, token, answer)
                return answer
            case Publish(draft):
                return self._publish(user, draft)
            case Discard(draft, back_to):
                return self._discard(user, draft, back_to)
            case other:
                raise AssertionError(other)

    def acquire(
        self,
        user: User,
        question: Acquire,
        key: str,
        paths: tuple[tuple[str, Claim], ...] = (),
    ) -> Answer:
        """As ``ask``; ``paths``: what the claims were called, if they are to be looked at again
        once the lease is granted."""
        owner = sys.intern(f"{user.owner}:{question.owner[:64]}")
        question = question._replace(owner=owner, client=user.facts)
        held = Held(question, key, paths)
        at = (self.volume, key)
        with user.lock:
            if user.gone or at in user.given_back:
                raise LeaseViolation(GONE, advice="Connect again, and ask anew")
            if at in user.asking:
                raise LeaseViolation(f"the key {key!r} is in use", advice="Use another one")
            user.asking[at] = question
        try:
            answer = self.hosted.ask(question)
        except BaseException:
            with user.lock:
                del user.asking[at]
            self.hosted.give_up(question)
            held.refuse(self.hosted.tally)
            raise
        with user.lock:
            wanted = user.asking.pop(at) is not None and not user.gone
            if isinstance(answer, Granted | Waiting) and wanted:
                if isinstance(answer, Granted):
                    held.grant(self.hosted.tally)
                self._tokens[answer.token] = user
                user.held[(self.volume, answer.token)] = held
        if not isinstance(answer, Granted | Waiting):
            return answer
        if not wanted:
            self.hosted.ask(Cancel(answer.token))
            return Ended()
        self._watch(user, answer.token)
        return self._settled(user, answer)

    def give_back(self, user: User, key: str) -> Answer:
        """Undo what the request of that key got or may yet get."""
        at = (self.volume, key)
        with user.lock:
            asking = user.asking.get(at)
            if at in user.asking:
                user.asking[at] = None
            tokens = [
                token
                for (volume, token), held in user.held.items()
                if volume == self.volume and held.key == key
            ]
            if not tokens and at not in user.asking:
                user.never(*at)
        if asking is not None:
            self.hosted.give_up(asking)
        for token in tokens:
            if self._let_go(user, token) is not None:
                self.hosted.ask(Cancel(token))
        return Ended()

    def _settled(self, user: User, answer: Granted | Waiting) -> Answer:
        if isinstance(answer, Waiting):
            return answer
        held = user.held.get((self.volume, answer.token))
        if held is None or not held.paths or self._still_there(held.paths):
            return answer
        self._let_go(user, answer.token)
        self.hosted.ask(Cancel(answer.token))
        return Lost("a path led elsewhere when it was granted; ask again", broken=True)

    def _note(self, user: User, token: int, answer: Answer) -> None:
        held = user.held.get((self.volume, token))
        if held is not None and isinstance(answer, Granted):
            held.grant(self.hosted.tally)

    def _let_go(self, user: User, token: int) -> Held | None:
        """None, and nothing happens, if that is not the user's: whoever has it must go on
        hearing of its loss."""
        with user.lock:
            held = user.held.pop((self.volume, token), None)
        if held is not None:
            self.hosted.room.leave(token)
            self._tokens.pop(token, None)
            held.end(self.hosted.tally, self.hosted.loss_of(token))
        return held

    def look(self, do: str, claim: Claim) -> dict[str, Any]:
        """The answer to ``who_holds`` or ``progress``. Errors: those of ``Hosting``."""
        if do == "who_holds":
            holder = self.hosted.who_holds(claim)
            return {"is": "held", "holder": None if holder is None else encode_holder(holder)}
        contents = self.hosted.under_way(claim)
        if contents is None:
            return {"is": "progress", "files": None, "bytes": None}
        return {"is": "progress", "files": contents.files, "bytes": contents.bytes}

    # ---- drafts

    def _prepare(self, user: User, question: Prepare) -> Answer:
        answer = self.hosted.ask(question)
        if isinstance(answer, Prepared):
            kept = question.resume or bool(question.source)
            made = Made(self.volume, answer.draft, kept, inherited=False)
            with user.lock:
                gone = user.gone
                if not gone:
                    user.drafts[answer.draft.unique] = made
                    held = user.held.get((self.volume, question.token))
                    if held is not None:
                        held.drafts.add(answer.draft.unique)
            if gone:
                self.hosted.ask(Discard(answer.draft, question.source))
                return Lost(GONE)
        return answer

    def _own(self, user: User, draft: Draft) -> Made | None:
        made = user.drafts.get(draft.unique)
        return made if made is not None and made.draft == draft else None

    def _publish(self, user: User, draft: Draft) -> Answer:
        loss = self.hosted.loss_of(draft.token) or NOT_YOURS
        with user.lock:  # who buries the client must see that it is published, or this its end
            if not self._own(user, draft) or (self.volume, draft.token) not in user.held:
                return Lost(loss)
            if draft.unique in user.publishing:
                what = f"the draft {draft.path} is being published already"
                raise LeaseViolation(what, advice="Wait for its answer", path=draft.path)
            user.publishing.add(draft.unique)
        tally, scope = self.hosted.tally, self.hosted.tally.scope((draft.target,))
        try:
            answer = self.hosted.ask(Publish(draft))
        except PublishFailed:
            tally.count("publish_refused_total", scope)
            raise
        finally:
            with user.lock:
                user.publishing.discard(draft.unique)
        done = isinstance(answer, Ended)
        tally.count("publishes_total" if done else "publish_refused_total", scope)
        if done:
            with user.lock:
                user.drafts.pop(draft.unique, None)
        return answer

    def _discard(self, user: User, draft: Draft, back_to: str) -> Answer:
        """What may be public, or become it, is left alone: it is cleared away with the session if
        it is nobody's then."""
        made = self._own(user, draft)
        with user.lock:
            if made is None or made.inherited or draft.unique in user.publishing:
                return Ended()
            del user.drafts[draft.unique]
        return self.hosted.ask(Discard(draft, back_to))

    # ---- news

    def _watch(self, user: User, token: int) -> None:
        """Hear of that request from now on, and of what happened since it was answered."""
        watch = Watch(self, user, token)
        self.hosted.room.enter(token, watch)
        held = user.held.get((self.volume, token))
        if held is None:
            self.hosted.room.leave(token)
        elif held.granted:
            if self.hosted.loss_of(token):
                watch.set()
        elif not self.hosted.still_waits(token):
            watch.set()

    def settled_after_wait(self, user: User, held: Held, token: int) -> Answer:
        """How a request that waited stands now; its client is told if it is granted. Errors: those
        of ``ask``."""
        answer = self.hosted.ask(Inspect(token))
        if isinstance(answer, Granted):
            held.grant(self.hosted.tally)
            answer = self._settled(user, answer)
            if isinstance(answer, Granted):
                user.tell("granted", self.event(token, shared=not answer.exclusive))
        return answer

    def event(self, token: int, **about: object) -> dict[str, object]:
        return {"volume": self.volume, "token": encode_token(token), **about}

    # ---- clients that come and go

    def adopt(self, user: User, token: int, acquire: Acquire, granted: bool) -> None:
        """A request that an earlier daemon made for that client."""
        held = Held(acquire, "", ())
        held.granted = granted
        held.adopted = True
        self._tokens[token] = user
        with user.lock:
            user.held[(self.volume, token)] = held
        self._watch(user, token)

    def forsake(self, user: User) -> None:
        """Give back what an earlier daemon made for that client and it has not claimed: by its
        page it has lost that long enough ago."""
        for token in user.tokens(self.volume):
            with user.lock:
                held = user.held.get((self.volume, token))
                if held is None or not held.adopted or self._let_go(user, token) is None:
                    continue
            with suppress(LeaseError):  # a beat gives back the rest
                self.hosted.ask(Cancel(token))

    @property
    def grace_seconds(self) -> float:
        """As long as passes between a holder's deadline and another one's first moment."""
        timing = self.hosted.session.timing
        return float(timing.margin + timing.cache)

    def alarm(self) -> None:
        """A client that lives may lose something without having said so: whoever looks at the
        page asks again."""
        self._page.alarm(self.slot)

    def cancel(self, user: User, token: int) -> None:
        """Give back what is that client's. Errors: those of ``ask``; a beat gives it back then."""
        if self._let_go(user, token) is not None:
            self.hosted.ask(Cancel(token))

    def users(self) -> set[User]:
        return set(self._tokens.values())

    def in_use(self) -> bool:
        """Whether a client has, or waits for, anything in it."""
        return bool(self._tokens)

    def close(self) -> None:
        """The session is over: whoever still has something of it is told so."""
        self._stop()
        self._page.lose(self.slot)
        self.alarm()
        for token, user in list(self._tokens.items()):
            reason = self.hosted.loss_of(token) or "the session was closed"
            if self._let_go(user, token) is not None:
                user.tell("lost", self.event(token, reason=reason))
