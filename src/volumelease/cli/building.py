"""What ``populate`` does besides what ``hold`` does: the wait is told, and what the command made
is published once nothing of it runs any more."""

from __future__ import annotations

import shutil
import signal
import sys
from typing import Final, assert_never

from volumelease.errors import LeaseError, LeaseLost

from . import orders, speech
from .holding import FromKeeper, FromWarden, Holding, Signalled
from .keeper import unpacked
from .orders import Message
from .reins import Reins

_REMOVE_SECONDS: Final = 10.0
"""For a failed draft; what is left of it then, any session clears away."""

_HARMLESS: Final = frozenset({signal.SIGWINCH, signal.SIGUSR1, signal.SIGUSR2})


class Building(Holding):
    """One draft and the command that writes it."""

    release_seconds = _REMOVE_SECONDS

    def __init__(self, reins: Reins, path: str) -> None:
        super().__init__(reins)
        self._path = path
        self._line = _LiveLine()

    def run(self) -> int:
        """As ``Holding.run``; also those of ``Lease.stage``."""
        try:
            return super().run()
        finally:
            self._line.clear()

    def _heard_early(self, message: Message) -> int | None:
        """What the keeper reports before the command starts. Returns what to exit with."""
        if message.kind == orders.PRESENT:
            return 0
        if message.kind == orders.DRAFT:
            self._line.clear()
            self._warden.tell(orders.DRAFT, text=message.text)
        elif message.kind == orders.PROGRESS:
            self._line.show(message.text)
        return None

    def _say(self, text: str) -> None:
        self._line.clear()
        super()._say(text)

    def _run_command(self) -> int:
        code = super()._run_command()
        if code == 0:
            return self._publish()
        self._leave_draft = self._told_to_end
        return code

    def _publish(self) -> int:
        if self._loss:
            raise self._lost_before(self._loss)
        self._keeper.tell(orders.PUBLISH)
        while True:
            event = self._events.get()
            match event:
                case FromKeeper(Message(orders.PUBLISHED)):
                    return 0
                case FromKeeper(Message(orders.REFUSED, _, _, text)):
                    raise unpacked(text)
                case FromKeeper(Message(orders.LOST, _, _, reason)):
                    late = reason == orders.WHILE_PUBLISHING
                    raise self._lost_late(reason) if late else self._lost_before(reason)
                case FromKeeper(Message(orders.NOTE, _, _, text)):
                    self._say(text)
                case FromKeeper(None):
                    raise self._lost_late("the process that published it was killed")
                case Signalled(number) if number not in _HARMLESS:
                    self._say("ended while it published: all of it is visible, or nothing")
                    return 128 + number
                case FromKeeper() | FromWarden() | Signalled():
                    continue
                case other:
                    assert_never(other)

    def _lost_before(self, reason: str) -> LeaseError:
        return LeaseLost(
            f"{self._path} is not published: the lease (token {self._token}) was lost after the "
            f"command ended, {reason}",
            advice="Run it again",
            path=self._path,
            token=self._token,
            reason=reason,
        )

    def _lost_late(self, reason: str) -> LeaseError:
        return LeaseLost(
            f"{self._path} may be published or not: the lease (token {self._token}) was lost, "
            f"{reason}",
            advice="Run it again: it builds only if nothing was published",
            path=self._path,
            token=self._token,
            reason=reason,
        )


class _LiveLine:
    """The newest word about the wait: on a terminal in place of the one before, else a line of
    its own. On stderr, for stdout is the command's."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._shown = False

    def show(self, text: str) -> None:
        if not self._live:
            speech.note(text)
            return
        width = max(20, shutil.get_terminal_size().columns - 1)
        sys.stderr.write(f"\r\x1b[K{speech.one_line(text)[:width]}")
        sys.stderr.flush()
        self._shown = True

    def clear(self) -> None:
        if self._shown:
            self._shown = False
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
