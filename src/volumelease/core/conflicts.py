"""Which requests stand in each other's way.

An exclusive claim on P conflicts with every claim on P, on an ancestor or on a descendant of P; a
shared one with the exclusive claims there. ``/a`` is not above ``/ab``: paths are compared by
components. The cost of a question grows with the depth of the path, never with the number of
leases: each node counts what lies on it and below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_Tokens = dict[int, int]
"""Token -> how many claims of that request; in ascending order of tokens."""


def ancestors(key: str) -> Iterator[str]:
    """The proper ancestors of ``key``, nearest first, ending with ``""`` (the whole volume)."""
    while key:
        key = key.rpartition("/")[0]
        yield key


def overlaps(one: str, other: str) -> bool:
    """Whether one of the two subtrees contains the other."""
    if one == other or not one or not other:
        return True
    return one.startswith(other + "/") or other.startswith(one + "/")


def covers(upper: str, lower: str) -> bool:
    """Whether ``lower`` lies in the subtree of ``upper``."""
    return not upper or upper == lower or lower.startswith(upper + "/")


class _Node:
    __slots__ = ("below_exclusive", "below_shared", "exclusive", "shared")

    def __init__(self) -> None:
        self.exclusive: _Tokens = {}
        self.shared: _Tokens = {}
        self.below_exclusive: _Tokens = {}
        self.below_shared: _Tokens = {}

    def empty(self) -> bool:
        return not (self.exclusive or self.shared or self.below_exclusive or self.below_shared)


class ConflictIndex:
    """All claims of all requests, granted or waiting, by path."""

    __slots__ = ("_nodes",)

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def add(self, token: int, keys: Iterable[str], exclusive: bool) -> None:
        for key in keys:
            node = self._node(key)
            _insert(node.exclusive if exclusive else node.shared, token)
            for above in ancestors(key):
                node = self._node(above)
                _insert(node.below_exclusive if exclusive else node.below_shared, token)

    def remove(self, token: int, keys: Iterable[str], exclusive: bool) -> None:
        for key in keys:
            node = self._nodes[key]
            _withdraw(node.exclusive if exclusive else node.shared, token)
            self._prune(key, node)
            for above in ancestors(key):
                node = self._nodes[above]
                _withdraw(node.below_exclusive if exclusive else node.below_shared, token)
                self._prune(above, node)

    def blocked(self, token: int, keys: Iterable[str], exclusive: bool) -> bool:
        """Whether any older request is in the way of this one."""
        return any(
            next(iter(tokens)) < token
            for key in keys
            for tokens in self._in_the_way(key, exclusive)
        )

    def blockers(self, token: int, keys: Iterable[str], exclusive: bool) -> set[int]:
        """Every older request in the way of this one."""
        found: set[int] = set()
        for key in keys:
            for tokens in self._in_the_way(key, exclusive):
                for other in tokens:
                    if other >= token:
                        break
                    found.add(other)
        return found

    def affected(self, token: int, keys: Iterable[str], exclusive: bool) -> set[int]:
        """Every younger request that this one may have blocked."""
        return {
            other
            for key in keys
            for tokens in self._in_the_way(key, exclusive)
            for other in tokens
            if other > token
        }

    def _in_the_way(self, key: str, exclusive: bool) -> Iterator[_Tokens]:
        node = self._nodes.get(key)
        if node is not None:
            if node.exclusive:
                yield node.exclusive
            if node.below_exclusive:
                yield node.below_exclusive
            if exclusive and node.shared:
                yield node.shared
            if exclusive and node.below_shared:
                yield node.below_shared
        for above in ancestors(key):
            node = self._nodes.get(above)
            if node is not None:
                if node.exclusive:
                    yield node.exclusive
                if exclusive and node.shared:
                    yield node.shared

    def _node(self, key: str) -> _Node:
        node = self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = _Node()
        return node

    def _prune(self, key: str, node: _Node) -> None:
        if node.empty():
            del self._nodes[key]


def _insert(tokens: _Tokens, token: int) -> None:
    if token in tokens:
        tokens[token] += 1
        return
    last = next(reversed(tokens), -1)
    tokens[token] = 1
    if token < last:  # only a downgrade moves an old token: keep the order that blocked() needs
        ordered = sorted(tokens.items())
        tokens.clear()
        tokens.update(ordered)


def _withdraw(tokens: _Tokens, token: int) -> None:
    tokens[token] -= 1
    if not tokens[token]:
        del tokens[token]
