"""Daemons that are killed, stopped, started again, and started twice."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.volume.fleet import ROOT
from volumelease import DaemonUnavailable, LeaseError, LeaseTimeout, volume_lease
from volumelease.client.connecting import connect
from volumelease.daemon.doorway import Doorway, SocketTaken
from volumelease.daemon.reception import Reception
from volumelease.leases import daemon_hosting
from volumelease.leases.volumes import Volumes
from volumelease.model import (
    Acquire,
    Answer,
    Claim,
    Ended,
    Granted,
    Lost,
    Prepare,
    Prepared,
    Publish,
    Release,
)
from volumelease.wire.questions import decode_answer

from .inside import Inside, surroundings
from .outside import Scene, gone


def test_a_new_daemon_goes_on_with_what_a_killed_one_hosted(tmp_path: Path) -> None:
    with Scene(tmp_path, ttl=3.0) as scene:
        first = scene.start()
        holder = scene.client("hold")
        token = holder.wait_for("token")["token"]
        waiter = scene.client("hold")
        first.kill()
        first.wait()
        scene.start()
        time.sleep(scene.ttl + 1)
        holder.tell_to_go_on()
        said = holder.wait_for("lost")
        assert said["lost"] is False
        assert said["token"] == token
        assert said["remaining"] > 0
        waiter.silent(0.1)
        holder.process.stdin.close()  # type: ignore[union-attr]
        assert waiter.wait_for("token")["token"] > token


def test_who_does_not_reclaim_believes_no_longer_than_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Scene(tmp_path, ttl=6.0) as scene:
        first = scene.start()
        hosted = scene.session()
        hosted.open()
        with connect(str(scene.socket), events=False) as line:
            before = line.ask("attach", {"path": str(scene.root)})
        monkeypatch.setattr(hosted, "_come_back", lambda: time.sleep(0.1))
        first.kill()
        first.wait()
        left = hosted.remaining_seconds()
        scene.start()
        with connect(str(scene.socket), events=False) as line:
            after = line.ask("attach", {"path": str(scene.root)})
        assert after["session"] == before["session"]
        assert after["slot"] != before["slot"]
        assert 0 < hosted.remaining_seconds() <= left
        hosted.close()


def test_an_answer_that_is_noted_after_the_reclaim_is_asked_about_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    came, noted = threading.Event(), threading.Event()

    def late(source: dict[str, Any]) -> Answer:
        if source["is"] == "granted":
            came.set()
            noted.wait(10)
        return decode_answer(source)

    monkeypatch.setattr(daemon_hosting, "decode_answer", late)
    with Scene(tmp_path, ttl=6.0) as scene:
        first = scene.start()
        hosted = scene.session()
        hosted.open()
        answers: list[Answer] = []
        question = Acquire((Claim("a", "a"),), True, "o", True, "")
        asker = threading.Thread(target=lambda: answers.append(hosted.ask(question)))
        asker.start()
        assert came.wait(10)
        first.kill()
        first.wait()
        scene.start()
        with volume_lease(scene.root / "a", timeout=10, volumes=scene.volumes):
            noted.set()
            asker.join()
            assert isinstance(answers[0], Lost)
        hosted.close()


def test_a_new_daemon_grants_what_was_waited_for_under_a_killed_one(tmp_path: Path) -> None:
    with Scene(tmp_path, ttl=60.0) as scene:
        first = scene.start()
        with volume_lease(scene.root / "a", volumes=scene.volumes):
            line = connect(str(scene.socket), events=True)
            waiting = line.ask("acquire", {"paths": [str(scene.root / "a")]})
            status = line.ask("status", {})["volumes"][0]
            first.kill()
            first.wait()
            scene.start()
            line.close()
            line = connect(str(scene.socket), events=True)
            mine = {"tokens": [waiting["token"]], "drafts": []}
            told = {"volume": waiting["volume"], "session": status["session"], **mine}
            assert line.ask("reclaim", told)["tokens"] == mine["tokens"]
        released = time.monotonic()
        news = line.listen()
        assert news is not None
        assert (news.event, news.about["token"]) == ("granted", waiting["token"])
        assert time.monotonic() - released < 5.0  # not by the next beat
        line.close()


def test_without_a_new_daemon_a_lease_is_lost_before_anybody_else_has_it(tmp_path: Path) -> None:
    with Scene(tmp_path, ttl=3.0) as scene:
        daemon = scene.start()
        holder = scene.client("hold")
        holder.wait_for("token")
        daemon.kill()
        killed = time.monotonic()
        with volume_lease(scene.root / "a", timeout=30, volumes=scene.volumes):
            waited = time.monotonic() - killed
            assert holder.has_said("told")
        assert waited > scene.ttl / 3


def test_a_daemon_that_is_stopped_answers_in_errors_and_its_clients_lose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("volumelease.client.connecting.SILENCE_SECONDS", 1.0)
    with Scene(tmp_path, ttl=6.0) as scene:
        daemon = scene.start()
        monkeypatch.setenv("VOLUMELEASE_SOCKET", str(scene.socket))
        around = surroundings(scene.root, 6.0)
        settings = around.settings._replace(socket=str(scene.socket))
        volumes = Volumes(around._replace(daemon=True, settings=settings))
        lease = volume_lease(scene.root / "a", volumes=volumes, on_lost="ignore").__enter__()
        stage = lease.stage()
        draft = stage.__enter__()
        draft.write_text("x")
        daemon.send_signal(signal.SIGSTOP)
        os.waitpid(daemon.pid, os.WUNTRACED)
        with pytest.raises(DaemonUnavailable, match="stopped"):
            volume_lease(scene.root / "b", volumes=volumes).__enter__()
        with pytest.raises(LeaseError):
            stage.__exit__(None, None, None)
        until = time.monotonic() + 10
        while not lease.lost and time.monotonic() < until:
            time.sleep(0.05)
        assert lease.lost
        daemon.send_signal(signal.SIGCONT)
        volumes.close()


def test_a_stopped_daemon_is_no_dead_one(tmp_path: Path) -> None:
    """Its lock is still held, so no other can take its place, or its sessions."""
    with Scene(tmp_path) as scene:
        scene.start().send_signal(signal.SIGSTOP)
        second = scene.start(wait=False)
        assert second.wait(20) == 1
        assert second.stderr is not None
        assert "another daemon serves" in second.stderr.read()


def test_a_graceful_end_frees_what_nobody_uses_and_keeps_what_is_used(tmp_path: Path) -> None:
    with Scene(tmp_path, ttl=2.5) as scene:
        daemon = scene.start()
        holder = scene.client("hold")
        token = holder.wait_for("token")["token"]
        daemon.terminate()
        assert daemon.wait(10) == 0
        assert not scene.socket.exists()
        scene.start()
        time.sleep(scene.ttl)
        holder.tell_to_go_on()
        assert holder.wait_for("lost") | {"remaining": 0} == {
            "lost": False,
            "token": token,
            "remaining": 0,
        }


def test_what_a_killed_socket_left_is_cleared_away(tmp_path: Path) -> None:
    path = tmp_path / "run" / "daemon.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    doorway = Doorway(str(path))
    listening = doorway.open()
    found = path.stat()
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600
    with pytest.raises(SocketTaken):
        Doorway(str(path))
    listening.close()
    doorway.close()
    assert not path.exists()


def test_no_daemon_begins_before_the_one_that_ends_has_closed_its_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = Inside(tmp_path / "s", surroundings(tmp_path))
    found: list[bool] = []
    successors: list[Doorway] = []
    waits = threading.Thread(target=lambda: successors.append(Doorway(str(inside.socket))))

    def close(*about: object, **more: object) -> None:
        del about, more
        assert not inside.socket.exists()
        waits.start()
        waits.join(0.5)
        found.append(waits.is_alive())

    monkeypatch.setattr(Reception, "close", close)
    inside.end()
    assert found == [True]
    waits.join(30)
    successors[0].leave()


def test_a_client_with_more_than_one_message_can_carry_comes_back_to_a_new_daemon(
    tmp_path: Path,
) -> None:
    with Scene(tmp_path) as scene, ExitStack() as stack:
        first = scene.start()
        hosted = scene.session()
        hosted.open()
        drafts = []
        for number in range(40):
            path = f"{number:03d}{'é' * 120}/{'ö' * 120}"  # the longest, and each letter an escape
            answer = hosted.ask(Acquire((Claim(path, path),), True, "o", True, ""))
            assert isinstance(answer, Granted)
            prepared = hosted.ask(Prepare(answer.token, Claim(path, path)))
            assert isinstance(prepared, Prepared)
            drafts.append(prepared.draft)
        assert len(hosted._mine.as_pages()) > 1
        first.kill()
        first.wait()
        scene.start()
        stack.callback(hosted.close)
        for draft in drafts:
            Path(draft.path).write_text("content")
            assert hosted.ask(Publish(draft)) == Ended()
            assert hosted.ask(Release(draft.token)) == Ended()


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "daemon.sock"
    path.write_text("precious")
    doorway = Doorway(str(path))
    with pytest.raises(LeaseError, match="no socket"):
        doorway.open()
    doorway.close()
    assert path.read_text() == "precious"


def test_a_socket_without_a_daemon_is_an_error_and_no_other_side(tmp_path: Path) -> None:
    with Scene(tmp_path) as scene:
        scene.start().kill()
        scene.daemons[0].wait()
        holder = scene.client("hold")
        said = holder.wait_for("error")
        assert said["error"] == "DaemonUnavailable"
        assert "remove the socket" in said["what"]
        os.unlink(scene.socket)
        assert scene.client("hold").wait_for("token")["session"] == "HostedSession"


def test_a_daemon_that_comes_later_is_used_by_new_processes_alone(tmp_path: Path) -> None:
    with Scene(tmp_path) as scene:
        early = scene.client("hold")
        assert early.wait_for("token")["session"] == "HostedSession"
        scene.start()
        late = scene.client("hold", "b")
        assert late.wait_for("token")["session"] == "HostedByDaemon"
        early.tell_to_go_on()
        assert early.wait_for("lost")["lost"] is False


def test_another_version_is_told_both_versions(tmp_path: Path) -> None:
    with Scene(tmp_path) as scene:
        scene.start()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(scene.socket))
            client.sendall(b'{"hello":{"versions":[9]}}\n')
            answer = client.recv(65_536)
            assert b"speaks 1, and you [9]" in answer
            assert client.recv(1) == b""


def test_the_daemon_ends_with_its_volume_unused(tmp_path: Path) -> None:
    with Scene(tmp_path) as scene:
        daemon = scene.start()
        line = connect(str(scene.socket), events=False)
        line.ask("attach", {"path": str(scene.root)})
        daemon.send_signal(signal.SIGINT)
        assert daemon.wait(10) == 0
        line.close()
        assert gone(daemon.pid)


def test_the_command_says_where_it_listens(tmp_path: Path) -> None:
    environment = {**os.environ, "VOLUMELEASE_SOCKET": str(tmp_path / ("x" * 120))}
    command = [sys.executable, "-m", "volumelease", "daemon"]
    ended = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=20, check=False
    )
    assert ended.returncode == 1
    assert "error: " in ended.stderr
    assert "try: set VOLUMELEASE_SOCKET to a shorter path" in ended.stderr


def test_a_lease_is_timed_out_by_who_waits_for_it(tmp_path: Path) -> None:
    with Scene(tmp_path) as scene:
        scene.start()
        scene.client("hold").wait_for("token")
        around = surroundings(scene.root)
        settings = around.settings._replace(socket=str(scene.socket))
        volumes = Volumes(around._replace(daemon=True, settings=settings))
        with pytest.raises(LeaseTimeout, match="is held exclusively"):
            volume_lease(scene.root / "a", timeout=0.2, volumes=volumes).__enter__()
        volumes.close()


def test_a_lease_that_is_broken_is_lost_by_its_client_and_its_session_lives(
    tmp_path: Path,
) -> None:
    with Scene(tmp_path, ttl=3.0) as scene:
        scene.start()
        holder, other = scene.client("hold"), scene.client("hold", "b")
        token = holder.wait_for("token")["token"]
        other.wait_for("token")
        words = ["break", str(scene.root / "a"), "--token", str(token), "--reason", "a trial"]
        subprocess.run(
            [sys.executable, "-m", "volumelease", *words],
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            check=True,
            capture_output=True,
            timeout=30,
        )
        assert holder.has_said("told")
        holder.tell_to_go_on()
        assert holder.wait_for("lost")["lost"] is True
        other.tell_to_go_on()
        assert other.wait_for("lost")["lost"] is False


@pytest.mark.torture
def test_a_client_that_did_not_come_back_in_time_is_told_by_the_page(tmp_path: Path) -> None:
    """It held the GIL while the daemon was restarted, for longer than anybody waits for it: the
    session goes on, and its page, but not this lease."""
    with Scene(tmp_path, ttl=5.0) as scene:
        first = scene.start()
        holder = scene.client("keep_the_gil", seconds=16)
        holder.wait_for("token")
        other = scene.client("hold", "b")
        other.wait_for("token")
        first.kill()
        first.wait()
        scene.start()
        with volume_lease(scene.root / "a", timeout=30, volumes=scene.volumes):
            assert holder.wait_for("lost", 30)["lost"] is True
        other.tell_to_go_on()
        assert other.wait_for("lost")["lost"] is False
