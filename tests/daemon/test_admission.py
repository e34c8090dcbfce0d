"""Many connections: none takes what the others need."""

from __future__ import annotations

import resource
import socket
from pathlib import Path

import pytest

from volumelease.client.connecting import HungUp, Line
from volumelease.daemon import admission

from .inside import Inside, surroundings
from .outside import Scene
from .test_garbage import HELLO


def closed(client: socket.socket) -> bool:
    client.settimeout(5)
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def connected(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    return client


def test_a_process_that_connects_without_end_leaves_room_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = admission.Admission.__init__

    def few(one: admission.Admission) -> None:
        real(one)
        one.most = 12

    monkeypatch.setattr(admission.Admission, "__init__", few)
    with Scene(tmp_path) as scene:
        inside = Inside(scene.socket, surroundings(scene.root))
        with Line(str(scene.socket), events=False) as line:
            others = [connected(scene.socket) for _ in range(20)]
            assert all(closed(one) for one in others[5:])
            with pytest.raises(HungUp):
                Line(str(scene.socket), events=False)
            assert line.ask("ping", {})["is"] == "pong"
            assert scene.client("hold").wait_for("token")["session"] == "HostedByDaemon"
            for one in others:
                one.close()
            assert line.ask("ping", {})["is"] == "pong"
            with Line(str(scene.socket), events=False) as another:
                assert another.ask("ping", {})["is"] == "pong"
        inside.end()


def test_who_says_no_hello_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "HELLO_SECONDS", 0.3)
    with Scene(tmp_path) as scene:
        inside = Inside(scene.socket, surroundings(scene.root))
        with connected(scene.socket) as silent, connected(scene.socket) as polite:
            polite.sendall(HELLO)
            assert polite.recv(65_536)
            assert closed(silent)
            polite.sendall(b'{"id":1,"do":"ping"}\n')
            assert b"pong" in polite.recv(65_536)
        inside.end()


def test_a_daemon_has_as_many_descriptors_as_it_may(tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with Scene(tmp_path) as scene:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
        try:
            daemon = scene.start()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE) == (hard, hard)
