"""All threads of a volume are busy, and who lost a lease hears of it all the same."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from volumelease.client.connecting import Line, connect
from volumelease.drivers.crew import MOST_THREADS, Job
from volumelease.drivers.files import Files
from volumelease.effects import Effect, SyncTree
from volumelease.leases.volumes import Volumes
from volumelease.model import Release
from volumelease.paths.locate import locate

from .inside import Daemons
from .test_desks import acquire, desk_of, owner_of, wait_until

TTL = 3.0


class LargeDrafts:
    """A volume on which bringing a draft onto it takes until ``go``."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.under_way = 0
        self._files = Files()

    def perform(self, effect: Effect) -> Any:
        if isinstance(effect, SyncTree):
            self.under_way += 1
            self.go.wait(30)
        return self._files.perform(effect)


@pytest.fixture
def slow() -> Iterator[LargeDrafts]:
    made = LargeDrafts()
    yield made
    made.go.set()


@pytest.fixture
def daemons(tmp_path: Path, slow: LargeDrafts) -> Iterator[Daemons]:
    with Daemons(tmp_path, ttl=TTL) as made:
        made._around = made._around._replace(performer=slow)
        yield made
        slow.go.set()


def break_lease(daemons: Daemons, token: int) -> None:
    """As ``volumelease break`` does, in a session of its own."""
    volumes = Volumes(daemons._around)
    hosted = volumes.session(locate(daemons.root, explicit=str(daemons.root)))
    assert hosted.run(hosted.session.breaking.begin(token, "stuck"))
    volumes.close()


def begin_to_publish(line: Line, path: str) -> None:
    token = line.ask("acquire", {"claims": [[path]]})["token"]
    draft = line.ask("prepare", {"token": token, "target": [[path]]})["draft"]
    Path(draft["path"]).write_text("large")
    _, data = line._side.ask("publish", {"draft": draft})
    line._send(data)


def test_clients_that_all_publish_at_once_hold_up_no_loss_and_nobody_else(
    daemons: Daemons, slow: LargeDrafts
) -> None:
    hosted = daemons.one_more()
    token = acquire(hosted).token
    with ExitStack() as stack:
        for number in range(MOST_THREADS):
            line = stack.enter_context(connect(hosted._path, events=False))
            begin_to_publish(line, f"p{number}")
        wait_until(lambda: slow.under_way == MOST_THREADS)
        break_lease(daemons, token)
        lost = threading.Event()
        hosted.on_change(lambda: lost.set() if hosted.loss_of(token) else None)
        assert lost.wait(TTL), "the holder believes in a lease that is being broken"
        assert hosted.alive()
        with connect(hosted._path, events=True) as line:
            first = line.ask("acquire", {"claims": [["b"]], "seconds": 3})
            assert first["is"] == "granted"
            second = line.ask("acquire", {"claims": [["b"]], "owner": "another", "seconds": 3})
            hosted.ask(Release(int(first["token"])))
            while (heard := line.listen()) is None or heard.event != "granted":
                pass
            assert heard.about["token"] == second["token"]
        slow.go.set()


def test_a_loss_is_on_the_page_before_the_deadline_moves_whatever_the_crews_do(
    daemons: Daemons,
) -> None:
    hosted = daemons.one_more()
    token = acquire(hosted).token
    desk, owner = desk_of(daemons), owner_of(daemons)
    told: list[str] = []
    owner.tell = lambda event, about: told.append(event)
    belief, pulse = hosted._belief, desk.hosted.session.pulse
    assert belief is not None
    before, go, show = belief.look().alarms, threading.Event(), pulse.moved
    unsaid: list[bool] = []

    def moved() -> None:
        unsaid.append(bool(desk.hosted.loss_of(token)) and belief.look().alarms == before)
        show()

    try:
        for crew in (desk.crews.short, desk.crews.long, desk.crews.aside):
            for _ in range(MOST_THREADS):
                crew.do(Job(go.wait))
        pulse.moved = moved
        break_lease(daemons, token)
        wait_until(lambda: told == ["lost"])
        beats = len(unsaid)
        wait_until(lambda: len(unsaid) > beats)
        assert not any(unsaid)
    finally:
        go.set()
