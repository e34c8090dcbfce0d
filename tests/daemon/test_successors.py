"""A daemon that goes on with what another one left, on volumes that hang or with what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

import pytest

from tests.volume.fleet import ROOT
from volumelease import LeaseTimeout, volume_lease
from volumelease.client.connecting import Line, connect
from volumelease.daemon import bequest
from volumelease.daemon.page import Page
from volumelease.daemon.reception import Reception
from volumelease.host import this_process
from volumelease.leases.hosting import HostedSession
from volumelease.leases.ringing import ALL_BELLS
from volumelease.leases.volumes import Volumes
from volumelease.paths.locate import locate
from volumelease.wire.questions import encode_token

from .inside import Inside, surroundings
from .outside import Scene
from .test_burials import free
from .test_desks import wait_until

TTL: Final = 6.0


def killed(folder: Path, names: str) -> list[Path]:
    """What a daemon left that was killed while this process had a lease on each of its volumes."""
    roots = [folder / name for name in names]
    for root in roots:
        root.mkdir()
        around = surroundings(root, TTL)
        Volumes(around).found(locate(root, explicit=str(root)), ready=True)
    told = {k: v for k, v in os.environ.items() if not k.startswith("VOLUMELEASE_")}
    told |= {"VOLUMELEASE_SOCKET": str(socket_in(folder)), "PYTHONPATH": str(ROOT / "src")}
    daemon = subprocess.Popen([sys.executable, "-m", "volumelease", "daemon"], env=told)
    while not socket_in(folder).exists():
        time.sleep(0.01)
    line: Line = connect(str(socket_in(folder)), events=False)
    for root in roots:
        assert line.ask("acquire", {"paths": [str(root / "a")]})["is"] == "granted"
    daemon.kill()
    daemon.wait()
    line.close()
    return roots


def socket_in(folder: Path) -> Path:
    return folder / "run" / "daemon.sock"


def successor(folder: Path) -> Inside:
    around = surroundings(folder, TTL)
    settings = around.settings._replace(volume=None)
    return Inside(socket_in(folder), around._replace(settings=settings))


def test_a_volume_that_hangs_does_not_keep_a_successor_from_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung, well = killed(tmp_path, "xy")
    real = HostedSession.resume
    answers = threading.Event()

    def resume(hosted: HostedSession, predecessor: Any, until: float) -> None:
        real(hosted, predecessor, until)
        if hosted.session.layout.root == str(hung):
            answers.wait(60)

    monkeypatch.setattr(HostedSession, "resume", resume)
    until = until_of(tmp_path, hung)
    began = time.monotonic()
    inside = successor(tmp_path)
    assert time.monotonic() - began < 8.0
    desks = inside.daemon.server.reception.all_desks()
    assert [desk.root.root for desk in desks] == [str(well)]
    assert not free(well, 0.0, TTL)
    answers.set()  # too late: nobody can come back to it
    wait_until(lambda: any("too late" in line for line in inside.said))
    free_when_nobody_believes_in_it(hung, until)
    inside.end()


def until_of(folder: Path, root: Path) -> float:
    """Up to when (boottime) clients of the daemon that was killed believe in what they have."""
    left = bequest.read(str(socket_in(folder)) + ".sessions")
    assert left is not None
    (slot,) = [one.slot for one in left.sessions if one.root == str(root)]
    return Page(str(socket_in(folder)) + ".page").deadline(slot)


def free_when_nobody_believes_in_it(root: Path, until: float) -> None:
    assert free(root, 3 * TTL, TTL)
    assert time.clock_gettime(time.CLOCK_BOOTTIME) > until


def test_who_connects_and_leaves_before_it_claims_keeps_what_it_believes_in(
    tmp_path: Path,
) -> None:
    """Another part of the same process, which has nothing there, or a reclaim that failed."""
    (root,) = killed(tmp_path, "x")
    inside = successor(tmp_path)
    (desk,) = inside.daemon.server.reception.all_desks()
    connect(str(socket_in(tmp_path)), events=False).close()
    assert not free(root, 1.0, TTL)
    tokens = [encode_token(token) for user in desk.users() for token in user.tokens(desk.volume)]
    claim = {"volume": desk.volume, "session": desk.session, "tokens": tokens, "drafts": []}
    with connect(str(socket_in(tmp_path)), events=False) as line:
        assert line.ask("reclaim", claim)["tokens"] == tokens != []
    assert free(root, 5.0, TTL)  # now it has left
    inside.end()


def test_a_session_that_is_taken_over_by_half_ends_when_nobody_believes_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take_over(reception: Reception, *about: Any) -> None:
        raise ValueError("a client that makes no sense")

    (root,) = killed(tmp_path, "x")
    until = until_of(tmp_path, root)
    monkeypatch.setattr(Reception, "_take_over", take_over)
    inside = successor(tmp_path)
    free_when_nobody_believes_in_it(root, until)
    assert not inside.daemon.server.reception.all_desks()
    assert any("makes no sense" in line for line in inside.said)
    inside.end()


def test_the_session_of_a_container_that_is_started_again_is_not_gone_on_with(
    tmp_path: Path,
) -> None:
    """Whoever saw its lock taken says at any moment now that it is over. All its users are dead,
    whatever the new container finds in its place."""
    with Scene(tmp_path, ttl=30.0) as scene:
        container = scene.client("keep_the_container", socket=str(scene.socket))
        container.wait_for("listening")
        with connect(str(scene.socket), events=False) as line:
            assert line.ask("acquire", {"paths": [str(scene.root / "a")]})["is"] == "granted"
            before = line.ask("attach", {"path": str(scene.root)})["session"]
            seeing = Volumes(surroundings(scene.root, 30.0)._replace(bells=ALL_BELLS))
            with pytest.raises(LeaseTimeout):  # meanwhile it sees the lock
                volume_lease(scene.root / "a", timeout=1, volumes=seeing).__enter__()
            container.process.kill()
            container.process.wait()
        inside = Inside(scene.socket, surroundings(scene.root, 30.0))
        with connect(str(scene.socket), events=False) as line:
            assert line.ask("attach", {"path": str(scene.root)})["session"] != before
        assert any("its container is gone" in said for said in inside.said)
        with volume_lease(scene.root / "a", timeout=10, volumes=seeing):
            pass  # by the lock: the ttl is far away
        seeing.close()
        inside.end()


def test_a_bequest_with_a_slot_that_no_page_has_is_none(tmp_path: Path) -> None:
    path = str(tmp_path / "sessions")
    left = bequest.Left(str(tmp_path), "v", "s", 7)
    bequest.write(path, bequest.Bequest(this_process(), (left,)))
    assert bequest.read(path) is not None
    bequest.write(path, bequest.Bequest(this_process(), (left._replace(slot=100_000),)))
    assert bequest.read(path) is None
