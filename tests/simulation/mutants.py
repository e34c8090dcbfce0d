"""The rules of the protocol, switched off one by one: each must be missed.

A mutant patches the product for the length of a run. Whoever adds a rule adds its mutant; one that
no checker finds means that a check, or a fault, is missing here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final
from unittest.mock import patch

from .mutations import (
    Mutant,
    commits,
    courtesies,
    forgetting,
    liveness,
    publishing,
    segmentation,
    succession,
    tables,
)
from .on_redis.mutants import REDIS_MUTANTS

__all__ = ["MUTANTS", "Mutant", "alive", "named"]

MUTANTS: Final[tuple[Mutant, ...]] = (
    Mutant(
        "bell-is-trusted",
        "who hears a bell looks at the log now and then all the same",
        courtesies.bell_is_trusted,
        ("kill",),
        budget=900,
    ),
    Mutant(
        "turnstile-without-a-bound",
        "nobody waits long for the turnstile",
        courtesies.turnstile_without_a_bound,
        ("kill", "interrupt"),
        budget=600,
        busy=True,
    ),
    Mutant(
        "beat-counts-from-its-answer",
        "a beat counts from when it was sent",
        liveness.beat_counts_from_its_answer,
        ("slow", "lost", "cut", "kill"),
        duels=5000,
    ),
    Mutant(
        "late-beat-revives",
        "a beat that is answered after the deadline revives nothing",
        liveness.late_beat_revives,
        ("stop", "cut", "slow"),
        duels=5_000,
    ),
    Mutant(
        "no-deadline",
        "a session without beats is lost at its deadline",
        liveness.no_deadline,
        ("cut", "slow"),
    ),
    Mutant(
        "deadline-on-monotonic",
        "the holder's clock counts suspension",
        liveness.deadline_on_monotonic,
        ("suspend",),
        300,
    ),
    Mutant(
        "no-margin",
        "the holder stops a margin before others start",
        liveness.no_margin,
        ("cut",),
        duels=20_000,
    ),
    Mutant(
        "no-cache-allowance",
        "an observer allows for attributes that are a second old",
        liveness.no_cache_allowance,
        ("cut", "slow", "kill"),
        duels=60_000,
    ),
    Mutant(
        "standstill-until-the-answer",
        "a counter was seen standing when it was asked for, not when the answer came",
        liveness.standstill_until_the_answer,
        ("stop", "cut", "slow", "stall"),
        duels=40000,
    ),
    Mutant(
        "clocks-of-two-hosts",
        "nobody compares clocks of two hosts",
        liveness.clocks_of_two_hosts,
        (),
    ),
    Mutant(
        "missing-heartbeat-is-death",
        "a missing heartbeat file counts as standing still",
        liveness.missing_heartbeat_is_death,
        ("garbage",),
    ),
    Mutant(
        "death-across-namespaces",
        "a pid means something in its own pid namespace only",
        liveness.death_across_namespaces,
        (),
    ),
    Mutant(
        "death-across-hosts",
        "a pid means something on its own machine only",
        liveness.death_across_hosts,
        (),
    ),
    Mutant(
        "pid-without-start-time",
        "a pid that was used again is another process",
        liveness.pid_without_start_time,
        ("kill",),
        200,
    ),
    Mutant(
        "broken-without-a-watch",
        "a broken lease ends after its holder had the time to notice",
        liveness.broken_without_a_watch,
        ("break",),
    ),
    Mutant(
        "nobody-ends-what-is-broken",
        "a breaker that is gone leaves no lease that is being broken for ever",
        liveness.nobody_ends_what_is_broken,
        ("break",),
    ),
    Mutant(
        "own-expiry-ignored",
        "a session that reads its own expiry is lost",
        liveness.own_expiry_ignored,
        ("freeze",),
    ),
    Mutant(
        "eexist-is-not-ours",
        "EEXIST may be the answer to one's own entry",
        commits.eexist_is_not_ours,
        ("resend",),
    ),
    Mutant(
        "success-only",
        "an error leaves the outcome unknown",
        commits.error_means_nothing_happened,
        ("lost", "late"),
    ),
    Mutant(
        "index-skipped",
        "an index is tried until it is taken",
        commits.index_skipped,
        ("error", "late"),
        100,
        busy=True,
    ),
    Mutant(
        "another-record-at-the-index",
        "after an error the same record is tried again",
        commits.another_record,
        ("lost", "late"),
    ),
    Mutant(
        "no-look-before-granting",
        "whose record it is decides, not what the call said",
        commits.apply_without_reading,
        ("resend",),
    ),
    Mutant(
        "known-a-while-ago",
        "the log is known only as of a question asked after that",
        commits.known_a_while_ago,
        (),
    ),
    Mutant(
        "the-end-of-another-segment",
        "the end of the log is looked for in the segment that is read",
        commits.the_end_of_another_segment,
        (),
    ),
    Mutant(
        "orphans-dropped",
        "a request that nobody waits for is given back",
        commits.orphans_dropped,
        ("interrupt", "slow"),
    ),
    Mutant(
        "abandoned-answers-kept",
        "what an interrupted call got, or may yet get, is given back",
        commits.abandoned_answers_kept,
        ("interrupt", "slow"),
        120,
    ),
    Mutant(
        "barging",
        "nobody passes a waiter that conflicts",
        tables.barging,
        (),
    ),
    Mutant(
        "half-a-request",
        "several paths are granted together or not at all",
        tables.half_a_request,
        (),
    ),
    Mutant(
        "release-of-anybody",
        "a session lets go of its own leases only",
        tables.release_of_anybody,
        ("garbage",),
    ),
    Mutant(
        "no-grant-on-release",
        "who waited is granted when nothing is in its way any more",
        tables.no_grant_on_release,
        (),
    ),
    Mutant(
        "grace-skipped",
        "a log made anew grants nothing until older leases are over",
        tables.grace_skipped,
        ("delete",),
    ),
    Mutant(
        "retire-the-newest",
        "only full segments are retired",
        segmentation.retire_the_newest,
        (),
    ),
    Mutant(
        "segments-by-rename",
        "the log elects the next segment, not a rename",
        segmentation.elected_by_rename,
        ("late", "slow", "resend", "stall"),
        300,
    ),
    Mutant(
        "draft-removed-by-path",
        "a losing draft is renamed away before it is deleted",
        segmentation.draft_removed_by_path,
        ("lost",),
        300,
        busy=True,
        workers=4,
    ),
    Mutant(
        "retired-deleted-at-once",
        "the entries of a retired segment stay for a while",
        segmentation.deleted_at_once,
        ("stall", "slow", "stop"),
        300,
    ),
    Mutant(
        "draft-named-by-its-token",
        "a draft has a name of its own, not its lease's",
        publishing.draft_named_by_its_token,
        ("resend", "late", "interrupt"),
        150,
        busy=True,
    ),
    Mutant(
        "released-unapplied",
        "a lease is released when what was published under it is visible",
        publishing.released_unapplied,
        (),
        120,
    ),
    Mutant(
        "used-before-applied",
        "a lease is used when everything decided before under its paths is visible",
        publishing.used_before_applied,
        ("kill", "slow", "stop"),
        200,
    ),
    Mutant(
        "newest-applied-first",
        "publishes are applied in the order in which they were decided",
        publishing.newest_applied_first,
        ("kill",),
    ),
    Mutant(
        "shown-before-decided",
        "nothing is visible before it is decided",
        publishing.shown_before_decided,
        ("kill", "slow", "cut"),
    ),
    Mutant(
        "cleared-while-written",
        "a draft whose session lives is not cleared away",
        publishing.cleared_while_written,
        (),
        200,
    ),
    Mutant(
        "cleared-while-unapplied",
        "what an unapplied publish names is not cleared away",
        publishing.cleared_while_unapplied,
        ("kill",),
        300,
    ),
    Mutant(
        "cleared-by-an-old-table",
        "whose draft it is, is asked of a table read after the draft was seen",
        publishing.cleared_by_an_old_table,
        ("kill",),
    ),
    Mutant(
        "moved-in-not-kept",
        "what was moved in and never published is kept",
        publishing.moved_in_not_kept,
        ("kill",),
        200,
        moves=True,
    ),
    Mutant(
        "moved-in-removed-as-a-tree",
        "what was moved in late is not removed with its directory",
        publishing.moved_in_removed_as_a_tree,
        ("kill", "late", "cut"),
        400,
        moves=True,
    ),
    Mutant(
        "replaced-deleted-at-once",
        "a replaced version stays for its readers",
        publishing.replaced_deleted_at_once,
        (),
    ),
    Mutant(
        "draft-mark-left",
        "what became public is no draft any more before its publish counts as done",
        publishing.draft_mark_left,
        ("error", "kill"),
        120,
    ),
    Mutant(
        "moved-before-marked",
        "a directory that is adopted is marked before it is moved away",
        publishing.moved_before_marked,
        ("kill",),
        200,
    ),
    Mutant(
        "moved-to-a-free-name",
        "what stands where an adopted directory is moved to keeps a link from being moved there",
        publishing.moved_to_a_free_name,
        ("late", "interrupt"),
        200,
    ),
    Mutant(
        "passage-left-open",
        "the way of an adopted directory is closed before the link to it is public",
        publishing.passage_left_open,
        ("late",),
        200,
    ),
    Mutant(
        "newest-segment-trusted",
        "whoever comes new starts from a segment that can't be forgotten",
        segmentation.newest_segment_trusted,
        ("forget", "kill"),
        200,
        busy=True,
        workers=4,
    ),
    Mutant(
        "mark-not-checked",
        "an entry whose author had read another history is void",
        forgetting.mark_not_checked,
        ("forget",),
        200,
    ),
    Mutant(
        "nothing-read-again",
        "a beat looks whether what was read still stands",
        forgetting.nothing_read_again,
        ("forget",),
        200,
    ),
    Mutant(
        "last-entry-alone",
        "a beat looks at everything since the last one, not at the last entry alone",
        forgetting.last_entry_alone,
        ("forget",),
        200,
    ),
    Mutant(
        "lengths-not-told",
        "a target that a mount remembers is found out by its length",
        forgetting.lengths_not_told,
        ("forget",),
        300,
    ),
    Mutant(
        "void-entries-counted",
        "a beat looks at the last entries that count, and at the void ones among them",
        forgetting.void_entries_counted,
        ("forget",),
        400,
        busy=True,
        workers=6,
        rare=True,
    ),
    Mutant(
        "settled-at-once",
        "a segment is settled when its election can't be forgotten any more",
        forgetting.settled_at_once,
        ("forget", "late"),
        200,
        busy=True,
        workers=4,
    ),
    Mutant(
        "draft-not-made-anew",
        "an elected draft that was forgotten is made anew by who needs it",
        forgetting.draft_not_made_anew,
        ("forget", "kill"),
        200,
        workers=4,
        rare=True,
    ),
    Mutant(
        "decided-and-discarded",
        "a draft whose publish may be decided is not discarded, whatever its writer was told",
        publishing.decided_and_discarded,
        ("lost", "interrupt"),
        rare=True,
    ),
    Mutant(
        "resumed-without-proof",
        "a session is gone on with when its process is provably gone with all it had under way",
        succession.resumed_without_proof,
        ("kill",),
        400,
        workers=2,
        daemons=True,
    ),
    Mutant(
        "death-of-a-daemon-is-proof",
        "the death of a process whose session another may go on with proves nothing",
        succession.death_is_proof,
        ("kill",),
        200,
        daemons=True,
    ),
    Mutant(
        "resumed-though-its-users-died",
        "nobody goes on with a session whose life lock proves that it is over",
        succession.whose_users_died,
        ("kill",),
        200,
        containers=True,
    ),
    Mutant(
        "resumed-after-the-deadline",
        "a successor's first beat counts before its predecessor's deadline",
        succession.after_the_deadline,
        ("kill",),
        duels=20_000,
    ),
    Mutant(
        "resumed-with-the-same-counter",
        "a successor's first beat moves the counter",
        succession.same_counter,
        ("kill",),
        duels=20_000,
    ),
    Mutant(
        "resumed-with-used-numbers",
        "a successor's records have numbers that its predecessor did not use",
        succession.used_numbers,
        ("kill",),
        100,
        daemons=True,
    ),
    *REDIS_MUTANTS,
)


def named(name: str) -> Mutant:
    for mutant in MUTANTS:
        if mutant.name == name:
            return mutant
    raise KeyError(f"no mutant {name!r}; there are {[mutant.name for mutant in MUTANTS]}")


@contextmanager
def alive(mutant: Mutant) -> Iterator[None]:
    """Run with that rule switched off."""
    patches = [patch.object(owner, name, value) for owner, name, value in mutant.mutation()]
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in reversed(patches):
            one.stop()
