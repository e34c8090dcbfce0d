"""Lua scripts that leave out a rule."""

from __future__ import annotations

from typing import Any

from tests.simulation.on_redis import server
from tests.simulation.on_redis.lua import texts

Mutated = list[tuple[Any, str, Any]]


def edited(*edits: tuple[str, str, str]) -> Mutated:
    """The scripts with other text: (name, what stands there, what stands there instead); ``*``
    for all scripts."""
    changed = dict(texts())
    for script, before, after in edits:
        names = list(changed) if script == "*" else [script]
        for name in names:
            assert before in changed[name], f"{name}.lua has no {before!r}"
            changed[name] = changed[name].replace(before, after)
    return [(server, "texts", lambda: changed)]


# ---- amnesia


def no_grace() -> Mutated:
    return edited(("*", "GRACE, NONCE = ARGV[2], ARGV[2]", "GRACE, NONCE = '', ARGV[2]"))


def founded_in_one_call() -> Mutated:
    return edited(
        (
            "found",
            "return {'founded', GRACE}",
            "redis.call('HSET', STATE, 'grace', '')\nreturn {'founded', ''}",
        )
    )


def restored_table_believed() -> Mutated:
    return edited(("*", "if (life and state[1] ~= life) or", "if"))


def restored_table_kept() -> Mutated:
    return edited(("*", "    drop()\n", ""))


def known_by_its_run_id() -> Mutated:
    return edited(
        ("*", "string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')\n    or ", "")
    )


def incarnation_by_the_clock() -> Mutated:
    return edited(
        ("*", "math.max(clock, stored + 1, named + 1, 1)", "math.max(clock, 1)"),
        ("*", "if named ~= INCARNATION and named ~= 0", "if named < INCARNATION and named ~= 0"),
    )


def older_incarnation_served() -> Mutated:
    return edited(("*", "if named ~= INCARNATION and named ~= 0 then return renewed() end", ""))


def reclaimed_at_any_time() -> Mutated:
    return edited(
        ("reclaim", "if GRACE == '' then return {'unknown'} end", ""),
        ("reclaim", "local over = GRACE == '' or", "local over ="),
    )


def smaller_token_wins() -> Mutated:
    return edited(
        ("reclaim", "if holds and rival > token", "if holds and rival < token"),
        ("reclaim", "(holds or rival < token)", "holds"),
    )


def reclaimed_beside_others() -> Mutated:
    return edited(("reclaim", "elseif makes_way(", "elseif true or makes_way("))


def reclaimed_numbers_below_the_floor() -> Mutated:
    return edited(("*", "and tonumber(number) >= me[3] then", "then"))


def granted_by_an_old_memory() -> Mutated:
    return edited(("release", "other = doubt()\n", ""))


def unknown_to_an_old_memory() -> Mutated:
    return edited(("release", "return doubt() or {'unknown'}", "return {'unknown'}"))


def granted_in_a_grace() -> Mutated:
    return edited(
        ("*", "if GRACE ~= '' then return end", ""),
        ("acquire", "if free and GRACE == '' then", "if free then"),
    )


# ---- requests


def finished_numbers_granted() -> Mutated:
    return edited(("acquire", "if finished(me, number) then return {'finished'} end", ""))


def same_number_twice() -> Mutated:
    return edited(("acquire", "if live then return standing(live) end", ""))


def release_of_anybody() -> Mutated:
    return edited(
        (
            "release",
            "local token = redis.call('HGET', P .. 'of:' .. ME, ARGV[5])",
            "local token\n"
            "for _, name in ipairs(redis.call('ZRANGE', P .. 'names', 0, -1)) do\n"
            "  token = token or redis.call('HGET', P .. 'of:' .. name, ARGV[5])\n"
            "end",
        )
    )


def expire_without_comparing() -> Mutated:
    return edited(("expire", "or (ARGV[6] ~= '' and counter ~= ARGV[6])", ""))


def barging() -> Mutated:
    return edited(("*", "not blocked(token, split(r[4]), r[3] == '1')", "true"))


def half_a_request() -> Mutated:
    return edited(
        ("acquire", "free = clear(keys, exclusive)", "free = clear({keys[1]}, exclusive)")
    )


def no_grant_on_release() -> Mutated:
    return edited(("release", "grant(candidates)\nreturn {'released'", "return {'released'"))


def breaking_not_told() -> Mutated:
    return edited(("break", "redis.call('HINCRBY', P .. 's:' .. r[1], 'touched', 1)", ""))


# ---- clocks


def expiry_by_the_clock_of_the_server() -> Mutated:
    """Whoever was not heard of for ten seconds of the server's clock is over."""
    beat = "redis.call('HSET', P .. 's:' .. ME, 'at', redis.call('TIME')[1])\nlocal ring = {}"
    return edited(
        ("beat", "local ring = {}", beat),
        (
            "look",
            "local standings, ",
            "for _, name in ipairs(redis.call('ZRANGE', P .. 'names', 0, -1)) do\n"
            "  local at = tonumber(redis.call('HGET', P .. 's:' .. name, 'at') or '0')\n"
            "  if at > 0 and tonumber(redis.call('TIME')[1]) - at > 10 then end_session(name) end\n"
            "end\n"
            "local standings, ",
        ),
    )


# ---- memory


def beats_need_memory() -> Mutated:
    return edited(("*", "if urgent then redis.call('DEL', BASE .. 'none') end", ""))


# ---- at a glance


def granted_beside_others_at_a_glance() -> Mutated:
    return edited(("acquire", "call('EXISTS', unpack(there)) == 0 then", "true then"))


def granted_in_a_grace_at_a_glance() -> Mutated:
    return edited(
        (
            "acquire",
            "== ARGV[1] and state[2] == '' and not state[5]",
            "== ARGV[1] and not state[5]",
        )
    )


def granted_by_an_old_memory_at_a_glance() -> Mutated:
    return edited(
        (
            "acquire",
            "    and state[3] == string.match(call('INFO', 'replication'), "
            "'master_replid:(%x+)')\n    and not string.find(key",
            "    and not string.find(key",
        )
    )


def finished_numbers_granted_at_a_glance() -> Mutated:
    return edited(
        ("acquire", "if floor and tonumber(number) >= tonumber(floor)\n", "if floor\n"),
        ("acquire", "and not call('ZSCORE', P .. 'fin:' .. me, number) then", "then"),
    )


def same_number_twice_at_a_glance() -> Mutated:
    return edited(("acquire", "and not call('HGET', P .. 'of:' .. me, number)\n", "\n"))


def handed_over_beside_others_at_a_glance() -> Mutated:
    return edited(
        ("release", "= #there < 500 and call('EXISTS', unpack(there)) == 0", "= true"),
    )


def nobody_is_next_at_a_glance() -> Mutated:
    return edited(("release", "alone, heir = line[1] == token, line[2]", "alone = true"))
