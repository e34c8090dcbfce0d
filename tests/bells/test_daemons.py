"""Where no thread can be had."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from volumelease.authorities.redis.addresses import address_of
from volumelease.authorities.redis.connecting import RedisWire
from volumelease.bells.bytelocks import ByteBell
from volumelease.bells.ears import Ear
from volumelease.bells.lockfile import LockFile
from volumelease.bells.pubsub import RedisBell
from volumelease.bells.turnstile import Turnstile

from .test_bytelocks import BOOT, HOLDER, WAITER


def test_without_threads_there_are_no_bells_and_nothing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    file = LockFile(str(tmp_path / "locks"), BOOT)
    file.open()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    bell = ByteBell(file, WAITER, Ear())
    bell.start()
    bell.ring()
    bell.arm((HOLDER,))
    assert not bell.armed((HOLDER,))
    redis = RedisBell(RedisWire(address_of("redis://127.0.0.1:1")), "v", WAITER, Ear())
    redis.start()
    redis.arm()
    assert not redis.armed
    turnstile = Turnstile(file)
    assert turnstile.enter(0)
    turnstile.leave()
