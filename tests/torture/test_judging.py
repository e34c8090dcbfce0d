"""The judge can fail: what is planted in a history is found, and an honest one passes."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest

from volumelease.core import records
from volumelease.core.records import Entry, SessionFacts
from volumelease.core.table import Table
from volumelease.host import ProcessFacts
from volumelease.model import Claim
from volumelease.wire.entries import encode_entry
from volumelease.wire.snapshots import digest_of, encode_snapshot

from .judging import Teller, Terms, Verdict, judge
from .notes import Note

TERMS: Final = Terms("volume", 8.0, ("kill", "stop"), 16.0)
IDENTITY: Final = "id"


class History:
    """Two hosts ``a`` and ``b`` with one session each, which read everything at once."""

    def __init__(self) -> None:
        self.notes: dict[str, list[Note]] = {"a": [], "b": [], "torturer": []}
        self.at = 100.0
        self.index = 0
        self.readers = "ab"
        self._numbers = count(1)
        self._tables = {who: Table() for who in "ab"}
        for who in "ab":
            self.session(who, "loaded", next=0, snapshot=encode_snapshot(Table(), 0))
            self.note(who, "begins", pid=1)
        for who in "ab":
            facts = SessionFacts(ProcessFacts(who, "boot", 1, 7, 7))
            self.commit(who, records.Open(facts))
        self.commit("a", records.Ready())

    def note(self, who: str, kind: str, /, at: float | None = None, **facts: Any) -> None:
        self.at += 0.01
        self.notes[who].append({"at": self.at if at is None else at, "kind": kind, **facts})

    def session(self, who: str, kind: str, /, **facts: Any) -> None:
        log = f"{IDENTITY}/0"
        self.note(who, kind, session=f"s-{who}", log=log, identity=IDENTITY, **facts)

    def commit(self, who: str, body: Any, *, read_by: str = "") -> int:
        entry = Entry(f"s-{who}", next(self._numbers), 0.0, body)
        index, self.index = self.index, self.index + 1
        for reader in read_by or self.readers:
            self.apply(reader, index, entry)
        return index

    def apply(self, reader: str, index: int, entry: Entry) -> None:
        outcome = self._tables[reader].apply(index, entry)
        digest = digest_of(self._tables[reader])
        facts = {"index": index, "entry": encode_entry(entry), "void": outcome.void}
        self.session(reader, "applied", **facts, digest=digest)

    def request(self, who: str, path: str = "a") -> int:
        return self.commit(who, records.Request((Claim(path, path),), True, who))

    def believe(self, who: str, token: int, path: str = "a") -> None:
        self.note(who, "asked", paths=[path], exclusive=True)
        facts: Note = {"session": f"s-{who}", "token": str(token), "paths": [path]}
        self.note(who, "granted", **facts, exclusive=True)
        self.note(who, "good")

    def leave(self, who: str, token: int) -> None:
        self.note(who, "ended", lost=False)
        self.commit(who, records.Release(token))
        self.note(who, "released")

    def turn(self, who: str, path: str = "a") -> int:
        token = self.request(who, path)
        self.believe(who, token, path)
        self.leave(who, token)
        return token

    def publish(self, who: str, token: int, place: str, unique: str) -> None:
        source = f"stage/{unique}/{place.rpartition('/')[2]}"
        body = records.Publish(token, source, Claim(place, place))
        self.commit(who, records.Published(self.commit(who, body)))

    def saw(self, who: str, place: str, seen: str, published: str = "") -> None:
        self.note(who, "saw", place=place, seen=seen, published=published)
        self.note(who, "good")

    def end(self) -> None:
        self.note("torturer", "settled")
        for who in "ab":
            self.turn(who)
        self.note("torturer", "progressed")
        self.note("torturer", "finished")

    def judged(self, terms: Terms = TERMS) -> Verdict:
        return Teller(terms, self.notes).tell()

    def caught_by(self, checker: str, terms: Terms = TERMS) -> bool:
        violations = self.judged(terms).violations
        print(violations)
        return any(f": {checker}: " in violation for violation in violations)


@pytest.fixture
def history() -> History:
    return History()


def test_an_honest_history_passes(history: History) -> None:
    token = history.request("a")
    history.believe("a", token)
    history.publish("a", token, "a/f", "one")
    history.saw("a", "a/f", "one", published="one")
    history.leave("a", token)
    token = history.request("b")
    history.believe("b", token)
    history.saw("b", "a/f", "one")
    history.leave("b", token)
    history.note("b", "read", place="a/d", whole=True)
    history.end()
    verdict = history.judged()
    assert not verdict.violations
    assert (verdict.leases, verdict.publishes) == (4, 1)


def test_two_that_believe_in_one_path_are_caught(history: History) -> None:
    first = history.request("a")
    history.believe("a", first)
    history.commit("b", records.Expire("s-a", "seen dead"))
    history.believe("b", history.request("b"))
    history.note("a", "good")
    assert history.caught_by("exclusion")


def test_who_noticed_its_loss_before_the_next_began_is_no_overlap(history: History) -> None:
    first = history.request("a")
    history.believe("a", first)
    history.note("a", "noticed", alive=False)
    history.commit("b", records.Expire("s-a", "seen dead"))
    history.believe("b", history.request("b"))
    history.note("a", "lost", reason="no beat")
    assert not history.judged().violations


def test_a_publish_of_before_on_top_of_a_later_one_is_caught(history: History) -> None:
    for unique, who in (("one", "a"), ("two", "b")):
        token = history.request(who)
        history.believe(who, token)
        history.publish(who, token, "a/f", unique)
        history.saw(who, "a/f", unique, published=unique)
        history.leave(who, token)
    history.believe("a", history.request("a"))
    history.saw("a", "a/f", "one")
    assert history.caught_by("publishes")


def test_a_publish_that_was_decided_and_is_not_visible_to_the_next_is_caught(
    history: History,
) -> None:
    token = history.request("a")
    history.believe("a", token)
    history.publish("a", token, "a/f", "one")
    history.leave("a", token)
    history.believe("b", history.request("b"))
    history.saw("b", "a/f", "")
    assert history.caught_by("publishes")


@pytest.mark.parametrize("seen", ["torn", "stranger"])
def test_what_is_torn_or_was_decided_by_nobody_is_caught(history: History, seen: str) -> None:
    history.believe("a", history.request("a"))
    history.saw("a", "a/f", seen)
    assert history.caught_by("publishes")


def test_a_reader_that_found_half_of_a_directory_is_caught(history: History) -> None:
    history.note("a", "read", place="a/d", whole=False)
    assert history.caught_by("publishes")


def test_two_entries_at_one_index_are_caught(history: History) -> None:
    body = records.Request((Claim("a", "a"),), True, "a")
    history.commit("a", body, read_by="a")
    other = Entry("s-b", 99, 0.0, records.Request((Claim("b", "b"),), True, "b"))
    history.apply("b", history.index - 1, other)
    assert history.caught_by("one log")


def test_of_a_log_that_is_deleted_name_by_name_two_can_read_two_records(history: History) -> None:
    history.note("torturer", "deleted")
    body = records.Request((Claim("a", "a"),), True, "a")
    first = history.commit("a", body, read_by="a")
    other = Entry("s-b", 99, 0.0, records.Request((Claim("a", "a"),), True, "b"))
    history.apply("b", first, other)
    history.believe("a", first)
    history.believe("b", first)
    history.note("torturer", "deleted")
    for who in "ab":
        history.note(who, "noticed", alive=False)
    assert not history.judged().violations


def test_two_of_the_log_that_follows_a_deleted_one_are_caught_at_once(history: History) -> None:
    history.notes["old"] = []
    about = {"session": "s-old", "log": "old/0", "identity": "old"}
    snapshot = encode_snapshot(Table(), 0)
    history.note("old", "loaded", at=99.0, **about, next=0, snapshot=snapshot)
    history.note("torturer", "deleted", at=99.5)
    history.note("torturer", "deleted", at=99.6)
    first = history.request("a")
    history.believe("a", first)
    history.commit("b", records.Expire("s-a", "seen dead"))
    history.believe("b", history.request("b"))
    for who in "ab":
        history.note(who, "good")
    for who in "ab":
        history.note(who, "ended", lost=False)
    assert history.caught_by("exclusion")


def test_after_a_deletion_was_noticed_two_that_believe_are_caught(history: History) -> None:
    history.note("torturer", "deleted")
    history.note("torturer", "deleted")
    first = history.request("a")
    history.believe("a", first)
    history.commit("b", records.Expire("s-a", "seen dead"))
    history.believe("b", history.request("b"))
    history.at += TERMS.ttl * 1.1
    for who in "ab":
        history.note(who, "good")
    history.note("torturer", "finished")
    assert history.caught_by("exclusion")


def test_a_smaller_token_after_a_larger_one_is_caught(history: History) -> None:
    first, second = history.request("a"), history.request("b")
    history.believe("b", second)
    history.leave("b", second)
    history.believe("a", first)
    assert history.caught_by("token order")


def test_a_session_that_comes_back_is_caught(history: History) -> None:
    history.believe("a", history.request("a"))
    history.note("a", "noticed", alive=False)
    history.believe("a", history.request("a", "b"), "b")
    assert history.caught_by("latch")


def test_a_hand_that_a_daemons_page_told_too_little_may_attach_again(history: History) -> None:
    history.notes["hand"] = []
    history.note("hand", "begins", pid=2)
    for lost in (True, False):
        token = history.request("a")
        history.note("hand", "asked", paths=["a"], exclusive=True)
        facts: Note = {"session": "s-a", "token": str(token), "paths": ["a"]}
        history.note("hand", "granted", **facts, exclusive=True)
        history.note("hand", "good")
        if lost:
            history.note("hand", "noticed", alive=False)
        history.note("hand", "ended", lost=lost)
        history.commit("a", records.Release(token))
        history.note("hand", "released")
    assert not history.judged().violations


def test_a_beat_that_counts_without_what_was_known_is_caught(history: History) -> None:
    body = records.Request((Claim("a", "a"),), True, "a")
    history.commit("a", body, read_by="a")
    history.session("b", "beaten", knew=history.at + 0.001)
    assert history.caught_by("up to date")


def test_who_has_no_lease_in_time_after_the_last_fault_is_caught(history: History) -> None:
    history.note("torturer", "settled")
    history.turn("a")
    history.note("torturer", "progressed")
    assert history.caught_by("progress")


def test_who_was_killed_need_not_progress(history: History) -> None:
    history.note("torturer", "killed", who="b", how="fault")
    history.note("torturer", "settled")
    history.turn("a")
    history.note("torturer", "progressed")
    assert not history.judged().violations


def test_a_lease_that_nobody_wants_any_more_is_caught(history: History) -> None:
    history.turn("b")
    history.believe("a", history.request("a"))
    history.note("a", "released")
    history.note("torturer", "finished")
    assert history.caught_by("orphans")


def test_a_dead_session_that_nobody_ended_is_caught(history: History) -> None:
    history.turn("b")
    history.at += 30.0
    history.readers = "a"
    history.turn("a")
    history.note("torturer", "killed", who="b", how="fault")
    history.note("torturer", "finished")
    assert history.caught_by("progress")


def test_a_rename_that_no_server_allowed_is_caught(history: History) -> None:
    terms = TERMS._replace(authority="redis")
    draft = {"token": "7", "unique": "u", "place": "a/f", "number": 1, "loss": ""}
    history.session("a", "publishing", **draft)
    history.session("a", "checked", numbers=[1])
    history.session("a", "replacing", **draft)
    assert not history.judged(terms).violations
    history.session("b", "publishing", **draft)
    history.session("b", "replacing", **draft)
    assert history.caught_by("publishes", terms)


def test_notes_are_read_from_files(history: History, tmp_path: Path) -> None:
    history.end()
    for name, lines in history.notes.items():
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / f"{name}.notes").write_text(text + '{"cut off by a ki')
    verdict = judge(TERMS, tmp_path)
    assert not verdict.violations
    assert verdict.leases == 2
