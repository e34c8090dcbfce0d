"""What this process has of a session that a daemon hosts, for when it must say so to another."""

from __future__ import annotations

import os
import threading
from typing import Any, Final

from volumelease.model import (
    Acquire,
    Answer,
    Cancel,
    Discard,
    Draft,
    Ended,
    Granted,
    Inspect,
    Prepared,
    Publish,
    Question,
    Release,
    Waiting,
)
from volumelease.wire.dialogue import MOST_BYTES
from volumelease.wire.fields import encode
from volumelease.wire.questions import encode_draft, encode_token

PAGE_BYTES: Final = MOST_BYTES - 1024
"""Of a message, for what is named in it; what else it says takes a few hundred."""


class Belongings:
    """Thread-safe. ``losses``: tokens that are this process's no longer, and why."""

    def __init__(self) -> None:
        self.held: set[int] = set()
        self.waiting: set[int] = set()
        self.news: set[int] = set()
        """Waiting tokens of which an event told, which can come before the answer that names them:
        they are to be looked at."""
        self.losses: dict[int, str] = {}
        self._drafts: dict[str, Draft] = {}
        self._unsure: set[str] = set()
        self._keys: dict[int, tuple[Acquire, str]] = {}
        self._tokens: dict[int, int] = {}
        """Which question (its id) got which token, for as long as the token is there."""
        self._begins = f"{os.urandom(8).hex()}-"
        """Of every key: a process can have several of these, one after the other or at once."""
        self._numbers = 0
        self._lock = threading.RLock()

    def asking(self, question: Question) -> str:
        """It is about to be asked. Returns the key of a request, "" of anything else."""
        with self._lock:
            if isinstance(question, Publish):
                self._unsure.add(question.draft.unique)
            if isinstance(question, Inspect):  # what is told from here on is looked at again
                self.news.discard(question.token)
            if not isinstance(question, Acquire):
                return ""
            self._numbers += 1
            key = f"{self._begins}{self._numbers}"
            self._keys[id(question)] = (question, key)
            return key

    def is_unsure(self, draft: Draft) -> bool:
        """Whether nobody knows if that draft was published: then it is left alone."""
        return draft.unique in self._unsure

    def refused(self, question: Question) -> None:
        """The session answered with an error: it knows what became of a draft."""
        if isinstance(question, Publish):
            self._unsure.discard(question.draft.unique)

    def answered(self, question: Question, answer: Answer) -> None:
        with self._lock:
            if isinstance(answer, Waiting):
                self.waiting.add(answer.token)
            elif isinstance(answer, Granted):
                self.waiting.discard(answer.token)
                self.held.add(answer.token)
            elif isinstance(answer, Prepared):
                self._drafts[answer.draft.unique] = answer.draft
            if isinstance(question, Publish):
                self._unsure.discard(question.draft.unique)
                if isinstance(answer, Ended):
                    self._drafts.pop(question.draft.unique, None)
            elif isinstance(question, Discard):
                self._drafts.pop(question.draft.unique, None)
            elif isinstance(question, Acquire):
                if isinstance(answer, Waiting | Granted):
                    self._tokens[answer.token] = id(question)
                else:
                    self._keys.pop(id(question), None)

    def left(self, question: Question) -> None:
        """It was let go of, whatever was answered."""
        if isinstance(question, Release | Cancel):
            token = question.token
            with self._lock:
                self.held.discard(token)
                self.waiting.discard(token)
                self.news.discard(token)
                self.losses.pop(token, None)
                self._keys.pop(self._tokens.pop(token, 0), None)

    def undo(self, acquire: Acquire) -> tuple[int | None, str]:
        """What that question got: a token; or, if it has no answer yet, its key. It is forgotten
        here."""
        with self._lock:
            _, key = self._keys.pop(id(acquire), (None, ""))
            for token, asked in self._tokens.items():
                if asked == id(acquire):
                    return token, ""
        return None, key

    def as_pages(self) -> list[dict[str, Any]]:
        """All of it, for a daemon that went on with the session: the fields of one ``reclaim``, or
        of several if one message can't carry it. A draft that no message can carry is left out;
        it could not be published either."""
        with self._lock:
            parts = [("tokens", encode_token(token)) for token in self.held | self.waiting]
            drafts = [("drafts", encode_draft(draft)) for draft in self._drafts.values()]
        pages: list[dict[str, Any]] = []
        room = 0
        for name, part in [*parts, *drafts]:
            size = len(encode({"": part}))
            if size > PAGE_BYTES:
                continue
            if size > room:
                pages.append({"tokens": [], "drafts": []})
                room = PAGE_BYTES
            pages[-1][name].append(part)
            room -= size
        for number, page in enumerate(pages[:-1]):
            page |= {"page": number, "more": True}
        if len(pages) > 1:
            pages[-1]["page"] = len(pages) - 1
        return pages or [{"tokens": [], "drafts": []}]

    def keep(self, tokens: set[int]) -> None:
        """That daemon has these of what was claimed."""
        with self._lock:
            for token in (self.held | self.waiting) - tokens:
                self.losses.setdefault(token, "the daemon that came back does not have it")
