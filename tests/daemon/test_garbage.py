"""Whatever is sent to the daemon: an error or a closed connection, and never a lease."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from volumelease import volume_lease
from volumelease.client.connecting import Line

from .outside import Scene

HELLO: Final = b'{"hello":{"versions":[1],"name":"x"}}\n'
WORDS: Final = (
    b'{"id":1,"do":"acquire","claims":[["a"]]}',
    b'{"id":2,"do":"acquire","paths":["/"]}',
    b'{"id":3,"do":"acquire","paths":[7]}',
    b'{"id":4,"do":"acquire","claims":[["../x"]],"wait":1}',
    b'{"id":5,"do":"release","token":"99999999999999999999999"}',
    b'{"id":6,"do":"release","token":5}',
    b'{"id":7,"do":"publish","draft":{"token":"1","target":[["a"]],"unique":"..","path":"/x"}}',
    b'{"id":8,"do":"prepare","token":"1","target":[["a"],["b"]]}',
    b'{"id":9,"do":"reclaim","session":"s","tokens":["1"],"drafts":[]}',
    b'{"id":10,"do":"attach","path":"relative"}',
    b'{"id":11,"do":"who_holds","target":[]}',
    b'{"id":12,"do":"inspect","token":"1","seconds":-1}',
    b'{"id":13,"do":"nothing at all"}',
    b'{"id":14,"do":"give_back","key":[]}',
    b'{"id":15,"do":"ping"}',
    b'{"id":"15","do":"ping"}',
    b"[1,2,3]",
    b"\x00\xff\xfe",
    b"{" * 50,
)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Scene(tmp_path) as made:
        made.start()
        yield made


def message(chance: random.Random) -> bytes:
    word = bytearray(chance.choice(WORDS))
    kind = chance.random()
    if kind < 0.3:  # broken
        for _ in range(chance.randrange(1, 4)):
            word[chance.randrange(len(word))] = chance.randrange(256)
    elif kind < 0.5:  # truncated
        del word[chance.randrange(len(word)) :]
    elif kind < 0.52:  # oversized
        return b"x" * 70_000 + b"\n"
    elif kind < 0.6:  # interleaved
        other = chance.choice(WORDS)
        cut = chance.randrange(len(word))
        return bytes(word[:cut]) + other + bytes(word[cut:]) + b"\n"
    return bytes(word) + b"\n"


def talk(path: Path, chance: random.Random, most: int) -> tuple[int, int]:
    """One connection. How many messages were sent, and how many bytes came back."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        if chance.random() < 0.95:
            client.sendall(HELLO)
        sent = heard = 0
        try:
            for _ in range(chance.randrange(1, most)):
                client.sendall(message(chance))
                sent += 1
            if chance.random() < 0.9:
                client.shutdown(socket.SHUT_WR)
                while data := client.recv(65_536):
                    heard += len(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
    return sent, heard


def used(pid: int) -> tuple[int, int, int]:
    """Resident KiB, descriptors, threads."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))
    return int(fields["VmRSS"].split()[0]), descriptors, int(fields["Threads"])


def storm(scene: Scene, messages: int, seed: int) -> None:
    chance = random.Random(seed)
    daemon = scene.daemons[0]
    with Line(str(scene.socket), events=False) as line:
        line.ask("attach", {"path": str(scene.root)})
    for _ in range(50):  # each is a client that leaves at its end
        talk(scene.socket, chance, 60)
    time.sleep(0.5)
    before = used(daemon.pid)
    sent = 0
    while sent < messages:
        sent += talk(scene.socket, chance, 60)[0]
    time.sleep(1.0)
    after = used(daemon.pid)
    assert daemon.poll() is None
    with Line(str(scene.socket), events=False) as line:
        assert line.ask("ping", {}) == {"is": "pong"}
    print(f"{sent} messages: KiB, descriptors, threads {before} -> {after}")
    assert after[0] - before[0] < 8_192
    assert after[1] <= before[1] + 5
    assert after[2] <= 60  # three crews, all at work
    with volume_lease(scene.root, timeout=5, volumes=scene.volumes):
        pass  # nothing is held


def test_garbage_gets_errors_and_no_lease(scene: Scene) -> None:
    storm(scene, 2_000, 1)


@pytest.mark.torture
@pytest.mark.timeout(900)
def test_two_hundred_thousand_messages_of_garbage(scene: Scene) -> None:
    storm(scene, 200_000, 2)


def test_every_wrong_message_gets_its_reply(scene: Scene) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(scene.socket))
        client.sendall(HELLO)
        file = client.makefile("rb")
        file.readline()
        for word in WORDS:
            client.sendall(word + b"\n")
            line = file.readline()
            assert line.startswith(b'{"id":'), word
            if b'"ping"' not in word and b'"claims":[["a"]]' not in word:
                assert b'"error"' in line or b'"is":"lost"' in line or b'"is":"ended"' in line, line
        file.close()
