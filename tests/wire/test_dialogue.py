"""Both ends of the daemon's socket, back to back, without a socket."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volumelease.errors import AuthorityUnreachable, LeaseError, VolumeFull
from volumelease.model import (
    Acquire,
    Answer,
    Busy,
    Cancel,
    Claim,
    Deadlocked,
    Discard,
    Downgrade,
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
    Release,
    Waiting,
)
from volumelease.wire import questions
from volumelease.wire.dialogue import (
    MOST_ANSWER_BYTES,
    MOST_BYTES,
    MOST_UNDER_WAY,
    MOST_WRONG,
    Answered,
    Asked,
    ClientSide,
    FromClient,
    Greeted,
    ProtocolError,
    Refused,
    ServerSide,
    Told,
    Welcome,
    Working,
    Wrong,
)
from volumelease.wire.fields import Malformed

HOLDER = Holder("s", 7, ("a/b",), True, True, 1.5, "e", "w", "h", 3, "because")
DRAFT = Draft(2**60, Claim("ä", "ä"), "u", "/v/u")
QUESTIONS: tuple[Question, ...] = (
    Acquire((Claim("a", "a"), Claim("b", "B")), True, "o", False, "why"),
    Acquire((Claim("", ""),), False, "o"),
    Inspect(1),
    Cancel(2),
    Release(2**62),
    Downgrade(4),
    Prepare(5, Claim("a", "a"), True, "/v/x"),
    Publish(DRAFT),
    Discard(DRAFT, "/v/x\udce4"),
)
ANSWERS: tuple[Answer, ...] = (
    Granted(1, False),
    Waiting(2, (HOLDER,)),
    Busy((HOLDER, HOLDER)),
    Deadlocked((1, 2), ()),
    Ended(),
    Prepared(DRAFT, True),
    Lost("so", True),
)


def pair() -> tuple[ClientSide, ServerSide]:
    client, server = ClientSide(), ServerSide()
    (greeted,) = server.receive(client.hello("test", events=True))
    assert greeted == Greeted(1, "test", True)
    (welcome,) = client.receive(server.welcome(1, {"server": "x"}))
    assert welcome == Welcome(1, {"version": 1, "server": "x"})
    return client, server


def wrongs(events: Iterable[FromClient]) -> list[Wrong]:
    return [event for event in events if isinstance(event, Wrong)]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: type(q).__name__)
def test_a_question_arrives_as_it_was_asked(question: Question) -> None:
    client, server = pair()
    number, data = client.ask(*questions.encode_question(question))
    (asked,) = server.receive(data)
    assert isinstance(asked, Asked)
    assert asked.id == number
    assert questions.decode_question(asked.do, asked.fields) == question


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda a: type(a).__name__)
def test_an_answer_arrives_as_it_was_given(answer: Answer) -> None:
    client, server = pair()
    number, data = client.ask("inspect", {"token": "1"})
    server.receive(data)
    (heard,) = client.receive(server.answer(number, questions.encode_answer(answer)))
    assert isinstance(heard, Answered)
    assert questions.decode_answer(heard.answer) == answer


def test_errors_keep_their_kind_and_facts() -> None:
    client, server = pair()
    number, data = client.ask("inspect", {"token": "1"})
    server.receive(data)
    (heard,) = client.receive(server.refuse(number, VolumeFull("full", root="/v", odd=object())))
    assert isinstance(heard, Refused)
    assert type(heard.error) is VolumeFull
    assert heard.error.facts == {"root": "/v"}
    assert heard.error.what == "full"
    (heard,) = client.receive(server.refuse(number, ZeroDivisionError("oh")))
    assert isinstance(heard, Refused)
    assert type(heard.error) is LeaseError
    (heard,) = client.receive(server.refuse(number, AuthorityUnreachable("no", seconds=1.5)))
    assert isinstance(heard, Refused)
    assert heard.error.facts["seconds"] == 1.5


def test_messages_may_arrive_in_pieces_and_together() -> None:
    client, server = ClientSide(), ServerSide()
    data = client.hello("t", events=False) + client.ask("a", {})[1] + client.ask("b", {})[1]
    events = [event for byte in data for event in server.receive(bytes([byte]))]
    assert [type(event) for event in events] == [Greeted, Asked, Asked]
    both = server.working(1) + server.tell("lost", {"token": "4"})
    assert client.receive(both) == [Working(1), Told("lost", {"event": "lost", "token": "4"})]


@pytest.mark.parametrize(
    "first",
    [
        b"{}",
        b"[]",
        b"hello",
        b'{"hello":{"versions":[2],"name":"x"}}',
        b'{"hello":{"versions":[true]}}',
        b'{"hello":{"versions":1}}',
        b'{"hello":1}',
        b'{"id":1,"do":"acquire"}',
        b"\xff\xfe",
    ],
)
def test_who_does_not_greet_is_told_why_and_heard_no_more(first: bytes) -> None:
    server = ServerSide()
    (wrong,) = server.receive(first + b"\n" + b'{"hello":{"versions":[1]}}\n')
    assert isinstance(wrong, Wrong)
    assert wrong.last
    (heard,) = ClientSide().receive(wrong.reply)
    assert isinstance(heard, Refused)
    assert server.receive(b'{"hello":{"versions":[1]}}\n') == []


def test_both_versions_are_named_when_none_is_common() -> None:
    (wrong,) = ServerSide().receive(b'{"hello":{"versions":[7,8]}}\n')
    assert isinstance(wrong, Wrong)
    assert b"speaks 1, and you [7, 8]" in wrong.reply


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b'{"do":"release"}',
        b'{"id":true,"do":"release"}',
        b'{"id":-1,"do":"release"}',
        b'{"id":99999999999999999,"do":"release"}',
        b'{"id":1}',
        b'{"id":1,"do":7}',
        b'{"id":1,"do":"x",' + b'"a":' + b"[" * 500 + b"]" * 500 + b"}",
        b"\x00\xff",
    ],
)
def test_what_is_wrong_later_is_answered_and_the_next_message_is_heard(line: bytes) -> None:
    client, server = pair()
    (wrong, asked) = server.receive(line + b"\n" + client.ask("inspect", {"token": "1"})[1])
    assert isinstance(wrong, Wrong)
    assert not wrong.last
    assert isinstance(asked, Asked)
    assert isinstance(client.receive(wrong.reply)[0], Refused)


def test_too_long_a_line_ends_the_connection_before_it_is_complete() -> None:
    _, server = pair()
    assert server.receive(b"x" * (MOST_BYTES - 1)) == []
    (wrong,) = server.receive(b"x")
    assert isinstance(wrong, Wrong)
    assert wrong.last


def test_an_id_is_free_again_after_its_reply() -> None:
    _, server = pair()
    assert not wrongs(server.receive(b'{"id":1,"do":"x"}\n'))
    assert wrongs(server.receive(b'{"id":1,"do":"x"}\n'))
    server.answer(1, {})
    assert not wrongs(server.receive(b'{"id":1,"do":"x"}\n'))


def test_requests_under_way_are_bounded() -> None:
    _, server = pair()
    lines = [b'{"id":%d,"do":"x"}\n' % number for number in range(MOST_UNDER_WAY + 1)]
    assert len(wrongs(server.receive(b"".join(lines)))) == 1


def test_who_goes_on_talking_nonsense_is_not_heard_for_ever() -> None:
    _, server = pair()
    found = wrongs(server.receive(b"nonsense\n" * (MOST_WRONG + 10)))
    assert len(found) == MOST_WRONG
    assert found[-1].last


def test_a_request_that_the_daemon_would_not_read_is_not_sent() -> None:
    client, _ = pair()
    with pytest.raises(ProtocolError, match="fewer paths"):
        client.ask("acquire", {"claims": [["x" * MOST_BYTES]]})


@given(st.lists(st.binary(max_size=300), max_size=30))
def test_whatever_arrives_becomes_events_and_never_an_exception(pieces: list[bytes]) -> None:
    _, server = pair()
    for piece in pieces:
        for event in server.receive(piece):
            assert isinstance(event, Greeted | Asked | Wrong)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
_NAMES = st.sampled_from(["claims", "token", "draft", "target", "owner", "wait", "user", "source"])


@given(
    st.sampled_from(["acquire", "inspect", "prepare", "publish", "discard", "nothing"]),
    st.dictionaries(_NAMES, _VALUES),
)
def test_wrong_fields_make_no_question(do: str, fields: dict[str, object]) -> None:
    try:
        question = questions.decode_question(do, fields)
    except Malformed:
        return
    assert question is None or questions.encode_question(question)[0] == do


def test_those_in_the_way_are_told_in_an_answer_that_can_be_read() -> None:
    longest = tuple(f"{number:05d}" + "\u00e9" * 2045 for number in range(32))
    ahead = (HOLDER._replace(paths=longest),) * 40
    told = questions.encode_answer(Waiting(7, ahead))
    assert len(ServerSide().answer(1, told)) < MOST_ANSWER_BYTES
    answer = questions.decode_answer(told)
    assert isinstance(answer, Waiting)
    assert len(answer.ahead) == 32
    assert all(holder.paths[0] == longest[0] for holder in answer.ahead)
    assert questions.decode_answer(questions.encode_answer(Waiting(7, (HOLDER,) * 3))) == Waiting(
        7, (HOLDER,) * 3
    )
