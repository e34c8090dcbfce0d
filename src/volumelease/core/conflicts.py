"""Which requests stand in each other's way.

An exclusive claim on P conflicts with every claim on P, on an ancestor or on a descendant of P; a
shared one with the exclusive claims there. ``/a`` is not above ``/ab``: paths are compared by
components. The cost of a question grows with the depth of the path, never with the number of
leases: each node counts what lies on it and below it.
"""

from __future__ import annotations

from collections.abc import Iterable

_Tokens = dict[int, int]
"""Token -> how many claims of that request; in ascending order of tokens."""


def ancestors(key: str) -> tuple[str, ...]:
    """The proper ancestors of ``key``, nearest first, ending with ``""`` (the whole volume)."""
    found = []
    while key:
        key = key.rpartition("/")[0]
        found.append(key)
    return tuple(found)


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


class ConflictIndex:
    """All claims of all requests, granted or waiting, by path."""

    __slots__ = ("_nodes",)

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    # Every worker does all of this for every entry of the log, so nothing in here makes
    # a call that it can do without.

    def add(self, token: int, keys: Iterable[str], exclusive: bool) -> None:
        nodes = self._nodes
        for key in keys:
            node = nodes.get(key)
            if node is None:
                node = nodes[key] = _Node()
            _insert(node.exclusive if exclusive else node.shared, token)
            for above in ancestors(key):
                node = nodes.get(above)
                if node is None:
                    node = nodes[above] = _Node()
                _insert(node.below_exclusive if exclusive else node.below_shared, token)

    def remove(self, token: int, keys: Iterable[str], exclusive: bool) -> None:
        for key in keys:
            node = self._nodes[key]
            self._withdraw(key, node, node.exclusive if exclusive else node.shared, token)
            for above in ancestors(key):
                node = self._nodes[above]
                tokens = node.below_exclusive if exclusive else node.below_shared
                self._withdraw(above, node, tokens, token)

    def _withdraw(self, key: str, node: _Node, tokens: _Tokens, token: int) -> None:
        claims = tokens[token]
        if claims > 1:
            tokens[token] = claims - 1
            return
        del tokens[token]
        if not (node.exclusive or node.shared or node.below_exclusive or node.below_shared):
            del self._nodes[key]

    def blocked(self, token: int, keys: Iterable[str], exclusive: bool) -> bool:
        """Whether any older request is in the way of this one."""
        for key in keys:
            for tokens in self._in_the_way(key, exclusive):
                for oldest in tokens:
                    if oldest < token:
                        return True
                    break
        return False

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
        found: set[int] = set()
        for key in keys:
            for tokens in self._in_the_way(key, exclusive):
                for other in tokens:
                    if other > token:
                        found.add(other)
        return found

    def _in_the_way(self, key: str, exclusive: bool) -> list[_Tokens]:
        found = []
        nodes = self._nodes
        node = nodes.get(key)
        if node is not None:
            if node.exclusive:
                found.append(node.exclusive)
            if node.below_exclusive:
                found.append(node.below_exclusive)
            if exclusive and node.shared:
                found.append(node.shared)
            if exclusive and node.below_shared:
                found.append(node.below_shared)
        for above in ancestors(key):
            node = nodes.get(above)
            if node is not None:
                if node.exclusive:
                    found.append(node.exclusive)
                if exclusive and node.shared:
                    found.append(node.shared)
        return found


def _insert(tokens: _Tokens, token: int) -> None:
    if not tokens:
        tokens[token] = 1
        return
    if token in tokens:
        tokens[token] += 1
        return
    last = next(reversed(tokens))
    tokens[token] = 1
    if token < last:  # only a downgrade moves an old token: keep the order that blocked() needs
        ordered = sorted(tokens.items())
        tokens.clear()
        tokens.update(ordered)
