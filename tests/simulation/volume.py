"""The server of a simulated volume: one tree, every operation atomic, in the order of arrival.

What makes a volume hard to use lives in ``mount``: caches, lost answers, operations that land
late. Here live only its own faults: no room, a master that forgets, a deleted tree.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable
from typing import Final, Literal

from volumelease.effects import Contents

from .world import World

Kind = Literal["directory", "link", "file"]

JOURNAL_SECONDS: Final = 1.5
"""A master that crashes forgets at most this much."""

RESTART_SECONDS: Final = 0.06
"""A master that crashed answers nothing for at least this long."""


def failure(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class Node:
    """One inode. ``gone`` is a directory that was removed while somebody had it open."""

    __slots__ = ("content", "counter", "entries", "gone", "kind", "number", "target")

    def __init__(self, kind: Kind, number: int) -> None:
        self.kind = kind
        self.number = number
        self.entries: dict[str, Node] = {}
        self.target = ""
        self.counter = 0
        self.content = b""
        self.gone = False


class Server:
    """The tree below the root of the volume. Errors: ``OSError``, as the system calls."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._inodes = 0
        self._journal: deque[tuple[float, Callable[[], None]]] = deque()
        self.root = self.node("directory")
        self.free_inodes: int | None = None
        """How many more can be created; None: any number."""
        self.down_until = -1.0
        self.remembers = True
        """Whether operations need no undoing (spares the journal where nobody forgets)."""

    def node(self, kind: Kind) -> Node:
        self._inodes += 1
        return Node(kind, self._inodes)

    # ---- finding

    def directory(self, path: str) -> Node:
        node = self.root
        for name in path.split("/")[2:]:
            found = node.entries.get(name)
            if found is None:
                raise failure(errno.ENOENT)
            if found.kind != "directory":
                raise failure(errno.ENOTDIR)
            node = found
        return node

    # ---- reading

    def symlink_at(self, parent: Node, name: str) -> Node:
        node = self._existing(parent, name)
        if node.kind != "link":
            raise failure(errno.EINVAL)
        return node

    def names(self, node: Node) -> list[str]:
        if node.gone:
            raise failure(errno.ENOENT)
        return list(node.entries)

    def counter(self, parent: Node, name: str) -> int:
        return self._existing(parent, name).counter

    def content(self, parent: Node, name: str) -> bytes:
        node = self._existing(parent, name)
        if node.kind != "file":
            raise failure(errno.EISDIR)
        return node.content

    def kind(self, parent: Node, name: str) -> Kind:
        return self._existing(parent, name).kind

    def contents(self, parent: Node, name: str) -> Contents:
        top = self._existing(parent, name)
        todo, files, size = [top], 0, 0
        while todo:
            node = todo.pop()
            todo.extend(node.entries.values())
            files += node.kind == "file"
            size += len(node.content)
        return Contents(files, size, entries=len(top.entries))

    def _existing(self, parent: Node, name: str) -> Node:
        node = parent.entries.get(name)
        if node is None:
            raise failure(errno.ENOENT)
        return node

    # ---- changing

    def symlink(self, parent: Node, name: str, target: str) -> Node:
        node = self._create(parent, name, "link")
        node.target = target
        return node

    def make_directory(self, parent: Node, name: str) -> Node:
        return self._create(parent, name, "directory")

    def create_file(self, parent: Node, name: str) -> Node:
        node = self._create(parent, name, "file")
        node.counter = 1_700_000_000 + int(self._world.now)
        return node

    def write(self, parent: Node, name: str, content: bytes) -> None:
        """Limit: not journalled, a record is named once."""
        node = parent.entries.get(name) or self._create(parent, name, "file")
        node.content = content

    def write_new(self, parent: Node, name: str, content: bytes) -> None:
        """Its content comes with it, or up to a second later: others can find it empty."""
        node = self._create(parent, name, "file")
        if self._world.random.random() < 0.7:
            node.content = content
            return

        def complete() -> None:
            node.content = content

        self._world.after(self._world.random.random() ** 3, complete)

    def _create(self, parent: Node, name: str, kind: Kind) -> Node:
        if parent.gone:
            raise failure(errno.ENOENT)
        if name in parent.entries:
            raise failure(errno.EEXIST)
        self._pay(1)
        node = self.node(kind)
        parent.entries[name] = node
        self._remember(lambda: self._forget_node(parent, name, node))
        return node

    def set_counter(self, parent: Node, name: str, counter: int) -> None:
        node = self._existing(parent, name)
        before, node.counter = node.counter, counter

        def undo() -> None:
            node.counter = before

        self._remember(undo)

    def unlink(self, parent: Node, name: str) -> None:
        node = self._existing(parent, name)
        if node.kind == "directory":
            raise failure(errno.EISDIR)
        self._drop(parent, name, node)

    def remove_directory(self, parent: Node, name: str) -> None:
        node = self._existing(parent, name)
        if node.kind != "directory":
            raise failure(errno.ENOTDIR)
        if node.entries:
            raise failure(errno.ENOTEMPTY)
        node.gone = True
        self._drop(parent, name, node)

    def remove_all(self, parent: Node, name: str) -> None:
        """A whole tree at once; on a real volume others see it shrink."""
        node = self._existing(parent, name)
        for child in list(node.entries):
            self.remove_all(node, child)
        if node.kind == "directory":
            self.remove_directory(parent, name)
        else:
            self.unlink(parent, name)

    def link(self, source: tuple[Node, str], target: tuple[Node, str]) -> None:
        node = self._existing(*source)
        parent, name = target
        if node.kind == "directory":
            raise failure(errno.EPERM)
        if name in parent.entries:
            raise failure(errno.EEXIST)
        parent.entries[name] = node
        self._remember(lambda: self._forget_entry(parent, name, node))

    def copy(self, source: tuple[Node, str], target: tuple[Node, str]) -> None:
        node = self._existing(*source)
        new = self._create(*target, node.kind)
        new.target, new.content, new.counter = node.target, node.content, node.counter
        for name in list(node.entries):
            self.copy((node, name), (new, name))

    def _drop(self, parent: Node, name: str, node: Node) -> None:
        del parent.entries[name]
        self._pay(-1)

        def undo() -> None:
            node.gone = False
            parent.entries[name] = node

        self._remember(undo)

    def rename(self, source: tuple[Node, str], target: tuple[Node, str]) -> None:
        node = self._existing(*source)
        if target[0].gone:
            raise failure(errno.ENOENT)
        there = target[0].entries.get(target[1])
        if there is node:
            return
        if there is not None:
            if there.kind == "directory" and node.kind != "directory":
                raise failure(errno.EISDIR)
            if there.kind != "directory" and node.kind == "directory":
                raise failure(errno.ENOTDIR)
            if there.entries:
                raise failure(errno.ENOTEMPTY)
            there.gone = there.kind == "directory"
        del source[0].entries[source[1]]
        target[0].entries[target[1]] = node

        def undo() -> None:
            target[0].entries.pop(target[1], None)
            if there is not None:
                there.gone = False
                target[0].entries[target[1]] = there
            source[0].entries[source[1]] = node

        self._remember(undo)

    def _pay(self, inodes: int) -> None:
        if self.free_inodes is None:
            return
        if inodes > 0 and self.free_inodes < inodes:
            raise failure(errno.EDQUOT)
        self.free_inodes -= inodes

    # ---- faults

    def _remember(self, undo: Callable[[], None]) -> None:
        if self.remembers:
            return
        now = self._world.now
        self._journal.append((now, undo))
        while self._journal[0][0] < now - JOURNAL_SECONDS:
            self._journal.popleft()

    def _forget_entry(self, parent: Node, name: str, node: Node) -> None:
        node.gone = node.kind == "directory"
        parent.entries.pop(name, None)

    def _forget_node(self, parent: Node, name: str, node: Node) -> None:
        self._forget_entry(parent, name, node)
        self._inodes = node.number - 1  # the next one gets its number

    def forget(self, seconds: float) -> int:
        """Undo what happened in the last ``seconds``. Returns how many operations it were."""
        count = 0
        while self._journal and self._journal[-1][0] >= self._world.now - seconds:
            self._journal.pop()[1]()
            count += 1
        return count

    def targets(self) -> dict[int, str]:
        """Of every symlink, by the number of its inode."""
        todo, found = [self.root], {}
        while todo:
            node = todo.pop()
            todo.extend(node.entries.values())
            if node.kind == "link":
                found[node.number] = node.target
        return found

    def gives_again(self, number: int) -> bool:
        """Whether an inode that is yet to be made can get that number. Those of what was removed
        are not given again."""
        return number > self._inodes

    def delete_tree(self, name: str) -> None:
        """Remove everything below one name of the root."""
        node = self.root.entries.pop(name, None)
        todo = [] if node is None else [node]
        while todo:
            gone = todo.pop()
            gone.gone = gone.kind == "directory"
            todo.extend(gone.entries.values())
            gone.entries = {}
        self._journal.clear()
