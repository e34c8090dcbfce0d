"""A call that hangs goes on with what was asked for, after the wait for it was interrupted."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

from volumelease.leases.asking import volume_lease
from volumelease.model import Acquire, Answer, Question

from .test_volume_lease import found, hosted


def test_who_was_interrupted_is_not_in_its_own_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes = found(tmp_path, ttl=30.0)
    with volume_lease(tmp_path / "z", volumes=volumes):
        pass
    one, real = hosted(volumes), hosted(volumes).ask
    main, asked, goes_on = threading.get_ident(), 0, threading.Event()

    def ask(question: Question) -> Answer:
        nonlocal asked
        first = isinstance(question, Acquire) and not asked
        asked += isinstance(question, Acquire)
        try:
            answer: Answer = real(question)
        finally:
            if asked > 1:
                goes_on.set()
        if first:
            signal.pthread_kill(main, signal.SIGINT)
            goes_on.wait(30)
        return answer

    monkeypatch.setattr(one, "ask", ask)
    with (
        pytest.raises(KeyboardInterrupt),
        volume_lease(tmp_path / "a", timeout=20, volumes=volumes),
    ):
        pass
    with volume_lease(tmp_path / "a", timeout=20, volumes=volumes):
        pass
    volumes.close()
