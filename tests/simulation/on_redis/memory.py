"""What a Redis keeps: the commands that the product's scripts use, on keys in memory.

Everything is bytes, as on the wire. ``test_memory`` compares every command with a real server.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeAlias

Value: TypeAlias = "dict[bytes, Any]"
"""Of a hash: fields and values; of a set: members and None; of a sorted set: members and scores."""

Reply: TypeAlias = "bytes | int | list[bytes | None] | None"
Arguments: TypeAlias = "tuple[bytes, ...]"

NEED_MEMORY: Final = frozenset((b"HSET", b"HINCRBY", b"ZADD", b"SADD"))
"""What a full server refuses (``denyoom``)."""

WRITES: Final = NEED_MEMORY | {b"DEL", b"HDEL", b"ZREM", b"SREM", b"ZREMRANGEBYSCORE"}


class Memory:
    """The keys of one server. ``remembers``: writes of the last ``JOURNAL_SECONDS`` can be undone,
    as a server does that comes back with a lost tail."""

    JOURNAL_SECONDS: Final = 2.5

    def __init__(self, now: Callable[[], float], *, remembers: bool) -> None:
        self.keys: dict[bytes, Value] = {}
        self.writes = 0
        """How many writes there were: equal numbers mean equal keys."""
        self._now = now
        self._remembers = remembers
        self._journal: deque[tuple[float, bytes, Value | None]] = deque()
        self._commands: dict[bytes, Callable[..., Reply]] = {
            name.removeprefix("_do_").upper().encode(): getattr(self, name)
            for name in dir(self)
            if name.startswith("_do_")
        }

    def perform(self, command: bytes, key: bytes, *arguments: bytes) -> Reply:
        if command in WRITES:
            self.writes += 1
            if self._remembers:
                for one in (key, *arguments) if command == b"DEL" else (key,):
                    self._remember(one)
            reply = self._commands[command](key, *arguments)
            if key in self.keys and not self.keys[key]:
                del self.keys[key]
            return reply
        return self._commands[command](key, *arguments)

    def flush(self) -> None:
        """Forget everything, and how to undo it."""
        self.keys = {}
        self.writes += 1
        self._journal.clear()

    def forget(self, seconds: float) -> int:
        """Undo the writes of the last ``seconds``. Returns how many they were."""
        count = 0
        while self._journal and self._journal[-1][0] >= self._now() - seconds:
            _, key, before = self._journal.pop()
            count += 1
            if before is None:
                self.keys.pop(key, None)
            else:
                self.keys[key] = before
        self.writes += 1
        return count

    def _remember(self, key: bytes) -> None:
        now, known = self._now(), self.keys.get(key)
        self._journal.append((now, key, None if known is None else dict(known)))
        while self._journal[0][0] < now - self.JOURNAL_SECONDS:
            self._journal.popleft()

    def _at(self, key: bytes) -> Value:
        return self.keys.get(key) or {}

    def _made(self, key: bytes) -> Value:
        return self.keys.setdefault(key, {})

    # ---- keys

    def _do_del(self, *keys: bytes) -> int:
        return sum(self.keys.pop(key, None) is not None for key in keys)

    def _do_exists(self, *keys: bytes) -> int:
        return sum(key in self.keys for key in keys)

    # ---- hashes

    def _do_hget(self, key: bytes, field: bytes) -> Reply:
        found: bytes | None = self._at(key).get(field)
        return found

    def _do_hmget(self, key: bytes, *fields: bytes) -> Reply:
        known = self._at(key)
        return [known.get(field) for field in fields]

    def _do_hset(self, key: bytes, *pairs: bytes) -> int:
        known = self._made(key)
        before = len(known)
        known.update(zip(pairs[::2], pairs[1::2], strict=True))
        return len(known) - before

    def _do_hdel(self, key: bytes, *fields: bytes) -> int:
        return self._removed(key, fields)

    def _do_hincrby(self, key: bytes, field: bytes, by: bytes) -> int:
        known = self._made(key)
        value = int(known.get(field, 0)) + int(by)
        known[field] = b"%d" % value
        return value

    def _do_hexists(self, key: bytes, field: bytes) -> int:
        return int(field in self._at(key))

    def _do_hlen(self, key: bytes) -> int:
        return len(self._at(key))

    def _do_hkeys(self, key: bytes) -> Reply:
        return list(self._at(key))

    def _do_hvals(self, key: bytes) -> Reply:
        return list(self._at(key).values())

    def _do_hgetall(self, key: bytes) -> Reply:
        return [part for pair in self._at(key).items() for part in pair]

    # ---- sets

    def _do_sadd(self, key: bytes, *members: bytes) -> int:
        known = self._made(key)
        before = len(known)
        known.update(dict.fromkeys(members))
        return len(known) - before

    def _do_srem(self, key: bytes, *members: bytes) -> int:
        return self._removed(key, members)

    def _do_smembers(self, key: bytes) -> Reply:
        return list(self._at(key))

    def _do_scard(self, key: bytes) -> int:
        return len(self._at(key))

    # ---- sorted sets

    def _do_zadd(self, key: bytes, *pairs: bytes) -> int:
        known = self._made(key)
        before = len(known)
        for score, member in zip(pairs[::2], pairs[1::2], strict=True):
            known[member] = float(score)
        return len(known) - before

    def _do_zrem(self, key: bytes, *members: bytes) -> int:
        return self._removed(key, members)

    def _do_zscore(self, key: bytes, member: bytes) -> Reply:
        score = self._at(key).get(member)
        return None if score is None else b"%.17g" % score

    def _do_zrange(self, key: bytes, first: bytes, last: bytes) -> Reply:
        members = self._in_order(key)
        end = int(last)
        return list(members[int(first) : len(members) if end == -1 else end + 1])

    def _do_zrangebylex(self, key: bytes, low: bytes, high: bytes, *limit: bytes) -> Reply:
        found = [one for one in self._in_order(key) if _above(one, low) and _below(one, high)]
        if limit:
            offset, count = int(limit[1]), int(limit[2])
            found = found[offset:] if count < 0 else found[offset : offset + count]
        return list(found)

    def _do_zremrangebyscore(self, key: bytes, low: bytes, high: bytes) -> int:
        known = self._at(key)
        gone = [member for member, score in known.items() if _within(score, low, high)]
        return self._removed(key, gone)

    def _in_order(self, key: bytes) -> list[bytes]:
        known = self._at(key)
        return sorted(known, key=lambda member: (known[member], member))

    def _removed(self, key: bytes, members: Any) -> int:
        known = self._at(key)
        return sum(known.pop(member, self) is not self for member in members)


def _above(member: bytes, low: bytes) -> bool:
    if low in (b"-", b"+"):
        return low == b"-"
    return member >= low[1:] if low[:1] == b"[" else member > low[1:]


def _below(member: bytes, high: bytes) -> bool:
    if high in (b"-", b"+"):
        return high == b"+"
    return member <= high[1:] if high[:1] == b"[" else member < high[1:]


def _within(score: float, low: bytes, high: bytes) -> bool:
    above = score > float(low[1:]) if low[:1] == b"(" else score >= float(low)
    return above and (score < float(high[1:]) if high[:1] == b"(" else score <= float(high))
