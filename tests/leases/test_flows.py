"""A lease operation, step by step, without anybody who performs it."""

from __future__ import annotations

from typing import Any

import pytest

from volumelease.leases.flows import SessionEnded, acquire
from volumelease.model import (
    Acquire,
    Answer,
    Ask,
    Cancel,
    Claim,
    Ended,
    GiveBack,
    Inspect,
    Lost,
    Resumed,
    Waiting,
)

QUESTION = Acquire((Claim("a", "a"),), True, "me")
BROKEN = Lost("the lease is being broken", broken=True)


def asked(*answers: Answer) -> tuple[list[Any], Any]:
    """What an acquire asks when it gets these answers, and what it comes to."""
    flow = acquire(QUESTION, "a", 0.0, None)
    replies, questions = list(answers), []
    step = next(flow)
    try:
        while True:
            if isinstance(step, Ask):
                questions.append(step.question)
                step = flow.send(Resumed(0.0, replies.pop(0)))
            else:
                step = flow.send(Resumed(0.0))
    except StopIteration as finished:
        return questions, finished.value


@pytest.mark.parametrize(
    ("answers", "questions"),
    [
        ((BROKEN, Ended()), [QUESTION, GiveBack(QUESTION)]),
        ((Waiting(7, ()), BROKEN, Ended()), [QUESTION, Inspect(7), Cancel(7)]),
    ],
    ids=["at once", "after waiting"],
)
def test_what_was_broken_before_its_grant_was_known_is_given_back(
    answers: tuple[Answer, ...], questions: list[Any]
) -> None:
    """Else the next request of the same owner waits behind it, or is told of a deadlock."""
    assert asked(*answers) == (questions, SessionEnded(BROKEN.reason))


def test_of_a_lost_session_nothing_is_given_back() -> None:
    """It ended with the session, and asking about it could hang."""
    assert asked(Lost("no beat")) == ([QUESTION], SessionEnded("no beat"))
