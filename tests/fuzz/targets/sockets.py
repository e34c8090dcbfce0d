"""What comes over the daemon's socket, at both ends, and what lies on its page."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from tests.fuzz.target import Decoder, Target
from volumelease.client.deadlines import Belief
from volumelease.clock import SystemClock
from volumelease.errors import DaemonUnavailable, LeaseDeadlock, LeaseError, LeaseViolation
from volumelease.model import (
    Acquire,
    Answer,
    Busy,
    Claim,
    Deadlocked,
    Discard,
    Draft,
    Ended,
    Granted,
    Holder,
    Inspect,
    Lost,
    Prepare,
    Prepared,
    Publish,
    Question,
    Waiting,
)
from volumelease.wire import faults, questions, slots
from volumelease.wire.dialogue import (
    Asked,
    ClientSide,
    FromClient,
    ProtocolError,
    Refused,
    ServerSide,
    Wrong,
)
from volumelease.wire.fields import Malformed, decode_object

DRAFT = Draft(7, Claim("a", "a"), "ab" * 8, "/v/.volumelease/ab/stage/cd")
HOLDER = Holder("ab" * 8, 7, ("a",), True, True, 1.5, "e", "w", "h", 17, "why", False)
QUESTIONS: tuple[Question, ...] = (
    Acquire((Claim("a\udcff", "a\udcff"), Claim("é", "e")), True, "main", True, "why"),
    Inspect(7),
    Prepare(7, Claim("a", "a"), True, "x"),
    Publish(DRAFT),
    Discard(DRAFT, "/v/a"),
)
ANSWERS: tuple[Answer, ...] = (
    *(Granted(7, True), Waiting(7, (HOLDER,)), Busy((HOLDER,)), Deadlocked((1, 2), (HOLDER,))),
    *(Ended(), Prepared(DRAFT, True), Lost("no beat was answered", True)),
)


def _fields_of(data: bytes) -> dict[str, Any]:
    """As a message is read. Errors: ``Malformed``."""
    try:
        return decode_object(data.decode("ascii"))
    except UnicodeDecodeError:
        raise Malformed("not ASCII") from None


def _server(data: bytes) -> None:
    """A client says anything, in any pieces: an event each time, and the same in one piece."""
    whole, cut = ServerSide(), ServerSide()
    at_once = whole.receive(data)
    pieces = [cut.receive(data[at : at + 7]) for at in range(0, len(data), 7)]
    assert list(itertools.chain(*pieces)) == at_once
    assert whole.over == cut.over
    for event in at_once:
        if isinstance(event, Wrong):
            (said,) = ClientSide().receive(event.reply)
            assert isinstance(said, Refused)
            assert said.error.advice
        elif isinstance(event, Asked):
            _question_of(event.do, event.fields)
    _is_no_end(at_once)


def _is_no_end(events: list[FromClient]) -> None:
    last = [event for event in events if isinstance(event, Wrong) and event.last]
    assert len(last) <= 1, "a connection that is over goes on"
    assert not last or events[-1] is last[0]


def _question_of(do: str, fields: dict[str, Any]) -> None:
    try:
        question = questions.decode_question(do, fields)
    except Malformed:
        return
    if question is not None:
        again = questions.encode_question(question)
        assert questions.decode_question(*again) == question


def _question(data: bytes) -> None:
    with suppress(Malformed):
        fields = _fields_of(data)
        do = fields.pop("do", "")
        if isinstance(do, str):
            _question_of(do, fields)


def _client(data: bytes) -> None:
    """A daemon says anything."""
    side = ClientSide()
    with suppress(ProtocolError):
        for event in side.receive(data):
            if isinstance(event, Refused):
                str(event.error)


def _answer(data: bytes) -> None:
    with suppress(Malformed):
        found = questions.decode_answer(_fields_of(data))
        assert questions.decode_answer(questions.encode_answer(found)) == found


def _fault(data: bytes) -> None:
    """An error from the daemon is one of ours, whose text can be shown."""
    import pickle

    with suppress(Malformed):
        found = faults.decode_error(_fields_of(data))
        assert isinstance(found, LeaseError)
        again = pickle.loads(pickle.dumps(found))
        assert str(again) == str(found)
        assert faults.decode_error(faults.encode_error(found)).facts == found.facts


@cache
def _page() -> str:
    place = Path(tempfile.mkdtemp(prefix="volumelease-fuzz-")) / "page"
    place.write_bytes(b"\0" * slots.PAGE_BYTES)
    return str(place)


def _about(data: bytes) -> None:
    """What a daemon says of a session: believed, or refused."""
    with suppress(Malformed, DaemonUnavailable):
        about = _fields_of(data)
        if about.get("page") == "@page":
            about["page"] = _page()
        belief = Belief(about, SystemClock())
        belief.loss()
        assert belief.remaining_seconds() >= 0
        assert belief.last_seconds >= 0
        belief.in_doubt()


def _line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode()


def decoders() -> Iterator[Decoder]:
    hello = _line({"hello": {"versions": [1], "name": "x", "events": True}})
    asked = []
    for number, question in enumerate(QUESTIONS):
        do, fields = questions.encode_question(question)
        asked.append(_line({"id": number, "do": do, **fields}))
    yield Decoder("server", _server, (b"\n".join([hello, *asked, b""]), hello))
    yield Decoder("question", _question, tuple(asked))
    yield Decoder("client", _client, (_daemon_says(),))
    answers = map(questions.encode_answer, ANSWERS)
    yield Decoder("answer", _answer, tuple(map(_line, answers)))
    errors = (
        LeaseDeadlock("a cycle", path="/v/a", holder="h", cycle="1"),
        LeaseViolation("no lease", path="/v/a", holder=None, since=1.5),
        ProtocolError("what", advice="do"),
        ValueError("x"),
    )
    yield Decoder("fault", _fault, tuple(_line(faults.encode_error(one)) for one in errors))
    about = {"page": "@page", "slot": 3, "tag": 77, "ttl": 15.0, "cache": 1.0, "margin": 3.0}
    about |= {"volume": "ab", "session": "cd"}
    yield Decoder("about", _about, (_line(about),))


def _daemon_says() -> bytes:
    side = ServerSide()
    told: Callable[..., bytes] = side.tell
    return b"".join(
        (
            side.welcome(1, {"daemon": "ab", "boottime": 1.5}),
            side.working(1),
            *(side.answer(n, questions.encode_answer(one)) for n, one in enumerate(ANSWERS)),
            side.refuse(9, LeaseDeadlock("a cycle", path="/v/a", holder="h", cycle="1")),
            told("lost", {"volume": "ab", "token": "7", "reason": "x"}),
        )
    )


TARGET = Target("sockets", decoders)
