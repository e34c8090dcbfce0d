"""What each request means: which volume, which question, in whose name."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from volumelease.drivers.crew import Crew, Job
from volumelease.errors import LeaseError, VolumeNotFound
from volumelease.leases.hosting import HostedSession, Hosting
from volumelease.leases.order import raised_question
from volumelease.leases.succeeding import resume
from volumelease.leases.volumes import VERSION, Volumes
from volumelease.model import (
    Acquire,
    Cancel,
    Claim,
    Client,
    Discard,
    Lost,
    Prepare,
    Publish,
    Question,
    Release,
)
from volumelease.paths.locate import VolumeRoot, locate
from volumelease.wire.dialogue import ProtocolError
from volumelease.wire.entries import decode_claims
from volumelease.wire.fields import Malformed, take, take_number
from volumelease.wire.questions import decode_question, encode_answer

from . import bequest
from .bequest import Bequest, Left
from .burial import is_left_alone
from .clients import User, find
from .connection import Request
from .crews import Crews
from .desk import NAMELESS, Desk
from .page import Page
from .returning import reclaim

Work = Callable[[], dict[str, Any]]

Opened = Callable[[VolumeRoot, Hosting[Any]], None]
"""Told of each session that the daemon hosts, in a thread of the volume's; must return at once."""

ANSWER_SECONDS: Final = 30.0
MOST_PATHS: Final = 256
_OTHERS_SECONDS: Final = 1.0
"""Since the last session was gone on with: its clients can't come back before all are."""


def nobody_asked(root: VolumeRoot, hosted: Hosting[Any]) -> None:
    """Nobody wants to know of sessions."""


class Reception:
    """The volumes of one daemon, and what is asked about them."""

    version = VERSION

    def __init__(
        self,
        volumes: Volumes,
        page: Page,
        will: str,
        *,
        ends_writers: bool = False,
        opened: Opened = nobody_asked,
    ) -> None:
        self._opened = opened
        self.ends_writers = ends_writers
        self._volumes = volumes
        self._page = page
        self._will = will
        self._desks: dict[str, Desk] = {}
        self._lock = threading.Lock()
        self._serves = False
        """Whether clients may have come, so that nothing is gone on with any more."""
        self._inherited: list[tuple[User, Desk, float]] = []
        self._old_users: dict[Client, User] = {}
        self._meeting = threading.Lock()
        self._crews: dict[str, Crews] = {}

    def all_desks(self) -> list[Desk]:
        return list(self._desks.values())

    # ---- volumes

    def _desk_at(self, path: str) -> Desk:
        """Errors: those of ``Volumes.session``."""
        root = self._volumes.find(path)[0]
        return self._desk_of(root)

    def _desk_of(self, root: VolumeRoot) -> Desk:
        while True:
            hosted = self._volumes.session(root)
            with self._lock:
                if hosted.over:  # another thread may have opened the next one's desk
                    continue
                desk = self._desks.get(hosted.session.identity.id)
                if desk is not None and desk.hosted is hosted:
                    return desk
                if desk is not None:
                    desk.close()
                desk = self._open(hosted, root, self._page.free_slot())
                self._write_will()
                return desk

    def _open(self, hosted: Any, root: VolumeRoot, slot: int) -> Desk:
        crews = Crews(self._volumes.crew_on(root))
        crews = self._crews.setdefault(root.real_root, crews)
        desk = Desk(hosted, root, self._page, slot, crews, self._still_there)
        self._desks[desk.volume] = desk
        self._opened(root, hosted)
        return desk

    def _write_will(self) -> None:
        """Before anybody hears of a session, for a successor must know of it."""
        left = tuple(
            Left(desk.root.real_root, desk.volume, desk.session, desk.slot)
            for desk in self._desks.values()
        )
        process = self._volumes.surroundings.process
        bequest.write(self._will, Bequest(process, left))

    def _still_there(self, paths: tuple[tuple[str, Claim], ...]) -> bool:
        try:
            return all(self._claim(path)[1] == claim for path, claim in paths)
        except LeaseError:
            return False

    def _claim(self, path: str) -> tuple[VolumeRoot, Claim]:
        if not path.startswith("/"):
            raise ProtocolError(f"{path!r} is no absolute path", advice="Name it from / on")
        root, where = self._volumes.find(path)
        return root, Claim(where.display, where.key)

    def _desk(self, fields: dict[str, Any]) -> Desk:
        """The one that is named; may be left out while there is one volume."""
        name = take(fields, "volume", str, "")
        desk = self._desks.get(name)
        if desk is None and not name and len(self._desks) == 1:
            desk = next(iter(self._desks.values()))
        if desk is None:
            raise ProtocolError(
                f"no volume {name!r} is in use here", advice="Say attach, or acquire, first"
            )
        return desk

    # ---- a predecessor's sessions

    def resume(self, left: Bequest, report: Callable[[str], None]) -> None:
        """Go on with the sessions of a daemon that is provably gone, where there is time. Each in
        a thread: once one is gone on with, a volume that hangs is not waited for much longer. What
        comes after this has returned is too late, for its clients are served by then."""
        # From here on this process can have something under way for them: who comes next must
        # have proof of its end, too.
        bequest.write(self._will, Bequest(self._volumes.surroundings.process, left.sessions))
        ended = threading.Semaphore(0)

        def go_on(one: Left) -> None:
            try:
                self._go_on(one, left, report)
            except Exception as error:  # noqa: BLE001 - of one volume; the others must not wait
                report(f"the session {one.session} of {one.root} ends: {error!r}")
            finally:
                ended.release()

        for one in left.sessions:
            threading.Thread(
                target=go_on, args=(one,), name="volumelease-resume", daemon=True
            ).start()
        longest = max((self.left_seconds(one) for one in left.sessions), default=0.0)
        until = time.monotonic() + max(0.0, longest) + 1.0
        for _ in left.sessions:
            if not ended.acquire(timeout=max(0.0, until - time.monotonic())):
                break
            if self._desks:
                until = min(until, time.monotonic() + _OTHERS_SECONDS)
        with self._lock:
            self._serves = True
            self._write_will()

    def _go_on(self, one: Left, left: Bequest, report: Callable[[str], None]) -> None:
        until = self._page.deadline(one.slot)
        root = locate(one.root, explicit=one.root)
        hosted = resume(self._volumes, root, one.volume, one.session, left.process, until)
        if hosted is None:
            return
        desk: Desk | None = None
        try:
            # Its clients go on believing in the old slot, which stands still, until they claim
            # what they have here; only that leads them to the new one.
            with self._lock:
                if self._serves:
                    raise LeaseError("the volume answered too late")
                desk = self._open(hosted, root, self._page.free_slot())
                self._take_over(desk, hosted, until)
        except BaseException:  # nobody would ever let go of what it holds
            if desk is not None:
                with self._lock:
                    self._desks.pop(desk.volume, None)
                desk.close()
            # Not closed: its clients believe in it until ``until``. It stands still instead.
            hosted.session.pulse.lose("its clients were not heard in time")
            raise
        report(f"went on with session {one.session} of {one.root}")

    def left_seconds(self, one: Left) -> float:
        """For how long the clients of that session still believe in it."""
        return self._page.deadline(one.slot) - time.clock_gettime(time.CLOCK_BOOTTIME)

    def close(self, seconds: float, *, everything: bool = False) -> None:
        """End the sessions that nobody uses. A session in use is left to a successor, with its
        deadline: a process can go on with what it holds until then, and nobody else can have
        it before. ``everything``: also one whose users are all dead."""
        for desk in self.all_desks():
            if not desk.in_use() or (everything and is_left_alone(desk)):
                desk.close()
                desk.hosted.close(seconds)

    def _take_over(self, desk: Desk, hosted: HostedSession, until: float) -> None:
        users = self._old_users
        heirs: dict[Client, User] = {}
        timing = hosted.session.timing
        for token, acquire, granted in hosted.requests_of_old():
            client = acquire.client or Client(0, 0)
            with self._meeting:
                user = users.get(client)
                if user is None:
                    user = users[client] = find(client) or User(client, -1, "")
            desk.adopt(user, token, acquire, granted)
            heirs[client] = user
        lapse = until + timing.margin + timing.cache
        self._inherited.extend((user, desk, lapse) for user in heirs.values())

    def inherited(self) -> Iterator[tuple[User, Desk, float]]:
        """The clients of a predecessor, what they have something of, and until when they may come
        back for it (boottime)."""
        while self._inherited:
            yield self._inherited.pop()

    # ---- requests

    def work_for(self, user: User, request: Request) -> tuple[Crew | None, Work]:
        """Where that request is done (None: where volumes are looked for, or in any thread if it is
        ``at_once``), and how. What is wrong with it comes out when it is done."""
        do, fields = request.asked.do, request.asked.fields
        try:
            request.seconds = self._seconds(fields)
            if do in ("ping", "status"):
                request.at_once = True
                return None, lambda: self._about_here(do)
            if do == "attach" or (do == "acquire" and "claims" not in fields):
                return self._crew_for(fields), lambda: self._at_the_door(user, request)
            desk = self._desk(fields)
            return desk.crews.of(do), self._at_the_desk(user, request, desk)
        except (Malformed, LeaseError) as error:
            trouble = _told(do, error)
            request.at_once = True

            def refuse() -> dict[str, Any]:
                raise trouble

            return None, refuse

    def _seconds(self, fields: dict[str, Any]) -> float | None:
        if fields.get("seconds") is None:
            return ANSWER_SECONDS
        seconds = take_number(fields, "seconds")
        if not 0 < seconds <= 3600:
            raise Malformed("seconds: more than 0, up to 3600")
        return seconds

    def _at_the_door(self, user: User, request: Request) -> dict[str, Any]:
        do, fields = request.asked.do, request.asked.fields
        try:
            if do == "attach":
                return {"is": "attached"} | self._desk_at(take(fields, "path", str)).about()
            return self._acquire_by_name(user, request)
        except Malformed as error:
            raise _told(do, error) from None

    def _crew_for(self, fields: dict[str, Any]) -> Crew | None:
        """That of the volume the path seems to be on, if one in use is: where volumes are looked
        for, those that hang may take all threads."""
        paths = fields.get("paths")
        path = paths[0] if isinstance(paths, list) and paths else fields.get("path")
        if not isinstance(path, str) or not path.startswith("/"):
            return None
        return self._volumes.crew_in_use(path)

    def _undo(self, desk: Desk, user: User, key: str) -> None:
        """Soon, and never in the threads of those who may hang."""
        desk.crews.aside.keep(Job(lambda: desk.give_back(user, key)))

    def _about_here(self, do: str) -> dict[str, Any]:
        if do == "ping":
            return {"is": "pong"}
        desks = [desk.about() for desk in self.all_desks()]
        return {"is": "status", "version": self.version, "volumes": desks}

    def _acquire_by_name(self, user: User, request: Request) -> dict[str, Any]:
        fields = request.asked.fields
        paths = take(fields, "paths", list)
        if not paths or len(paths) > MOST_PATHS or any(type(path) is not str for path in paths):
            raise Malformed(f"paths: 1 to {MOST_PATHS} absolute paths")
        found = [self._claim(path) for path in paths]
        root = found[0][0]
        if any(other.real_root != root.real_root for other, _ in found):
            raise VolumeNotFound(
                "the paths are on several volumes", advice="Take one lease for each volume"
            )
        desk = self._desk_of(root)
        claims = tuple(dict.fromkeys(claim for _, claim in found))
        named = tuple(zip(paths, (claim for _, claim in found), strict=True))
        question = decode_question("acquire", {**fields, "claims": [[*claim] for claim in claims]})
        assert isinstance(question, Acquire)
        key = _key(request)
        request.abandon = lambda: self._undo(desk, user, key)
        question = raised_question(question, self._volumes.surroundings.settings)
        answer = desk.acquire(user, question, key, named)
        return encode_answer(answer) | {"volume": desk.volume}

    def _at_the_desk(self, user: User, request: Request, desk: Desk) -> Work:
        do, fields = request.asked.do, request.asked.fields
        session = take(fields, "session", str, "")
        if session not in ("", desk.session):
            return lambda: encode_answer(Lost("the session is over, and this is another one"))
        question = decode_question(do, fields)
        if isinstance(question, Acquire):
            question = raised_question(question, self._volumes.surroundings.settings)
            return self._acquire(user, request, desk, question, anew=not session)
        if question is not None:
            if isinstance(question, Release | Cancel):  # given up before its turn, too
                token = question.token
                cancel = partial(desk.cancel, user, token)
                request.abandon = lambda: desk.crews.aside.keep(Job(cancel))
            if isinstance(question, Publish | Prepare | Discard):
                request.seconds = None  # as long as there is data; ``working`` says it goes on
            return lambda: _asked(desk, user, question)
        match do:
            case "give_back":
                key = _key(request)
                return lambda: encode_answer(desk.give_back(user, key))
            case "reclaim":
                take(fields, "session", str)
                return lambda: _reclaimed(desk, user, fields)
            case "who_holds" | "progress":
                (claim,) = decode_claims(fields, "target")
                return lambda: desk.look(do, claim)
            case _:
                raise ProtocolError(f"nothing is called {do[:40]!r}", advice="See PROTOCOL.md")

    def _acquire(
        self, user: User, request: Request, desk: Desk, question: Acquire, *, anew: bool
    ) -> Work:
        """``anew``: the client names no session, so if that one is over it means the next one, as
        it does when it asks by paths; else it would hear ``lost`` for ever."""
        key = _key(request)

        def undo() -> None:
            self._undo(self._desks.get(desk.volume, desk), user, key)

        def acquire() -> dict[str, Any]:
            now = self._desk_of(desk.root) if anew and desk.hosted.over else desk
            return _asked(now, user, question, key)

        request.abandon = undo
        return acquire


def _asked(desk: Desk, user: User, question: Question, key: str = "") -> dict[str, Any]:
    return encode_answer(desk.ask(user, question, key)) | {"tail": desk.hosted.tail()}


_NUMBERS: Final = itertools.count()


def _reclaimed(desk: Desk, user: User, fields: dict[str, Any]) -> dict[str, Any]:
    try:
        return reclaim(desk, user, fields)
    except Malformed as error:
        raise _told("reclaim", error) from None


def _key(request: Request) -> str:
    key = take(request.asked.fields, "key", str, "")[:64].lstrip(NAMELESS)
    return key or f"{NAMELESS}{next(_NUMBERS)}"


def _told(do: str, error: Malformed | LeaseError) -> LeaseError:
    if isinstance(error, LeaseError):
        return error
    return ProtocolError(f"{do[:40]!r} has a wrong or missing field: {error}"[:300])
