"""The rules of a Redis as authority, switched off one by one: each must be missed."""

from __future__ import annotations

from typing import Final

from tests.simulation.mutations import Mutant, Mutation, redis_scripts, redis_sessions


def _mutant(
    name: str, rule: str, mutation: Mutation, *troubles: str, budget: int = 60, rare: bool = False
) -> Mutant:
    return Mutant(
        f"redis-{name}", rule, mutation, troubles, budget=budget, rare=rare, authority="redis"
    )


REDIS_MUTANTS: Final = (
    _mutant(
        "no-grace",
        "a server that forgot grants nothing until everybody could name what it holds",
        redis_scripts.no_grace,
        "flush",
    ),
    _mutant(
        "founded-in-one-call",
        "a late copy of what founds a table ends no grace",
        redis_scripts.founded_in_one_call,
        "flush",
        "late",
        budget=200,
    ),
    _mutant(
        "granted-in-a-grace",
        "nothing new is granted in a grace",
        redis_scripts.granted_in_a_grace,
        "flush",
    ),
    _mutant(
        "grace-ended-at-once",
        "a grace is watched for a ttl before it ends",
        redis_sessions.grace_ended_at_once,
        "flush",
    ),
    _mutant(
        "restored-table-believed",
        "what a server has that was started again may be old",
        redis_scripts.restored_table_believed,
        "tail",
    ),
    _mutant(
        "restored-table-kept",
        "what a server has from before is removed",
        redis_scripts.restored_table_kept,
        "tail",
    ),
    _mutant(
        "known-by-its-run-id",
        "a master that was a replica in between is not the one from before",
        redis_scripts.known_by_its_run_id,
        "failover",
        budget=200,
    ),
    _mutant(
        "incarnation-by-the-clock",
        "an incarnation is larger than every one that anybody named",
        redis_scripts.incarnation_by_the_clock,
        "wall",
        "flush",
    ),
    _mutant(
        "older-incarnation-served",
        "who names another incarnation is refused",
        redis_scripts.older_incarnation_served,
        "flush",
    ),
    _mutant(
        "memory-by-its-number",
        "two memories that have one number are told apart",
        redis_sessions.memory_by_its_number,
        "flush",
        budget=200,
    ),
    _mutant(
        "forgetting-is-another-server",
        "a server that forgot more than its caller knows is told so, and is no other one",
        redis_sessions.forgetting_is_another_server,
        "flush",
        budget=800,
        rare=True,
    ),
    _mutant(
        "unknown-to-an-old-memory",
        "nobody is lost by a memory that is older than it looks",
        redis_scripts.unknown_to_an_old_memory,
        "tail",
        budget=200,
    ),
    _mutant(
        "reply-of-an-older-memory",
        "a reply from before the memory was lost says nothing",
        redis_sessions.reply_of_an_older_memory,
        "flush",
        budget=400,
        rare=True,
    ),
    _mutant(
        "reclaimed-at-any-time",
        "after a grace nothing is reclaimed",
        redis_scripts.reclaimed_at_any_time,
        "flush",
        "freeze",
        "late",
        budget=200,
    ),
    _mutant(
        "smaller-token-wins",
        "of two leases that conflict the larger token wins",
        redis_scripts.smaller_token_wins,
        "freeze",
        "flush",
        budget=1500,
        rare=True,
    ),
    _mutant(
        "reclaimed-beside-others",
        "what is reclaimed makes way, or has it made",
        redis_scripts.reclaimed_beside_others,
        "freeze",
        "flush",
        budget=600,
        rare=True,
    ),
    _mutant(
        "reclaimed-numbers-below-the-floor",
        "a number that came with a reclaim is remembered when it is finished",
        redis_scripts.reclaimed_numbers_below_the_floor,
        "flush",
        "late",
        "resend",
        budget=400,
    ),
    _mutant(
        "granted-by-an-old-memory",
        "a release lets nobody go ahead by a memory that is older than it looks",
        redis_scripts.granted_by_an_old_memory,
        "tail",
        budget=200,
    ),
    _mutant(
        "finished-numbers-granted",
        "a request that is finished is never granted",
        redis_scripts.finished_numbers_granted,
        "late",
        "resend",
    ),
    _mutant(
        "same-number-twice",
        "the same number is the same request",
        redis_scripts.same_number_twice,
        "lost",
    ),
    _mutant(
        "release-of-anybody",
        "a session lets go of its own requests only",
        redis_scripts.release_of_anybody,
    ),
    _mutant(
        "expire-without-comparing",
        "a session is ended only while its counter stands",
        redis_scripts.expire_without_comparing,
        "freeze",
        "late",
        budget=400,
    ),
    _mutant(
        "expiry-by-the-clock-of-the-server",
        "no clock of a server ends anybody",
        redis_scripts.expiry_by_the_clock_of_the_server,
        "wall",
    ),
    _mutant(
        "beats-need-memory",
        "a server whose memory is full goes on with what it has",
        redis_scripts.beats_need_memory,
        "full",
    ),
    _mutant("barging", "nobody passes a waiter that conflicts", redis_scripts.barging),
    _mutant(
        "half-a-request",
        "several paths are granted together or not at all",
        redis_scripts.half_a_request,
    ),
    _mutant(
        "no-grant-on-release",
        "who waited is granted when nothing is in its way any more",
        redis_scripts.no_grant_on_release,
    ),
    _mutant(
        "breaking-not-told",
        "a beat says that somebody did something to a session's requests",
        redis_scripts.breaking_not_told,
        "break",
    ),
    _mutant(
        "broken-without-a-watch",
        "a broken lease ends after its holder had the time to notice",
        redis_sessions.broken_without_a_watch,
        "break",
    ),
    _mutant(
        "nobody-ends-what-is-broken",
        "a breaker that is gone leaves no lease that is being broken for ever",
        redis_sessions.nobody_ends_what_is_broken,
        "break",
    ),
    _mutant(
        "counts-not-compared",
        "a beat says how many requests the server has of a session",
        redis_sessions.counts_not_compared,
        "garbage",
    ),
    _mutant(
        "nothing-given-back",
        "a request that nobody waits for is given back",
        redis_sessions.nothing_given_back,
        "cut",
        "pause",
        budget=200,
    ),
    _mutant(
        "abandoned-answers-kept",
        "what an interrupted call got, or may yet get, is given back",
        redis_sessions.abandoned_answers_kept,
        "interrupt",
        "slow",
    ),
    _mutant(
        "publish-not-checked",
        "before a draft is made public the server is asked",
        redis_sessions.publish_not_checked,
    ),
    _mutant(
        "another-volume-not-noticed",
        "a beat looks whether it still is this volume",
        redis_sessions.another_volume_not_noticed,
        "delete",
        "kill",
    ),
    _mutant(
        "death-across-namespaces",
        "a pid means something in its own pid namespace only",
        redis_sessions.death_across_namespaces,
    ),
    _mutant(
        "granted-beside-others-at-a-glance",
        "a glance looks above, below and at the path itself",
        redis_scripts.granted_beside_others_at_a_glance,
    ),
    _mutant(
        "granted-in-a-grace-at-a-glance",
        "no glance grants in a grace",
        redis_scripts.granted_in_a_grace_at_a_glance,
        "flush",
    ),
    _mutant(
        "granted-by-an-old-memory-at-a-glance",
        "no glance grants by a memory that is older than it looks",
        redis_scripts.granted_by_an_old_memory_at_a_glance,
        "tail",
        budget=200,
    ),
    _mutant(
        "finished-numbers-granted-at-a-glance",
        "no glance grants a request that is finished",
        redis_scripts.finished_numbers_granted_at_a_glance,
        "late",
        "resend",
    ),
    _mutant(
        "same-number-twice-at-a-glance",
        "the same number is the same request, at a glance too",
        redis_scripts.same_number_twice_at_a_glance,
        "lost",
    ),
    _mutant(
        "handed-over-beside-others-at-a-glance",
        "who is handed a lease at a glance has nobody in its way",
        redis_scripts.handed_over_beside_others_at_a_glance,
    ),
    _mutant(
        "nobody-is-next-at-a-glance",
        "a glance at who waits for the same path finds it",
        redis_scripts.nobody_is_next_at_a_glance,
    ),
)
