"""Commands on a volume that stops answering: whoever ran them is told, and has the terminal."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.bed.moosefs import MooseFsBed
from tests.bed.redis import RedisServer
from tests.cli.conftest import picture_of
from tests.cli.shell import Running, eventually, run


@pytest.mark.bed
@pytest.mark.timeout(300)
def test_a_migration_ends_be_it_while_it_waits_for_a_holder(
    bed: MooseFsBed, shared_mounts: list[Path], redis_server: RedisServer, tmp_path: Path
) -> None:
    root = shared_mounts[0] / "volume"
    root.mkdir()
    env = {"VOLUMELEASE_REDIS_URL": redis_server.url}
    assert run("init", root, env=env).returncode == 0
    words = ("migrate", root, "--authority", "redis")
    elsewhere = shared_mounts[1] / "volume"
    with Running("hold", elsewhere / "a", "--", "sleep", "60") as holder:
        eventually(lambda: picture_of(elsewhere).holders(), 20)
        go = tmp_path / "go"
        # Started before: a fork of this process, which has read that volume, could wait for it too.
        waits_for_it = f'while [ ! -e {go} ]; do sleep 0.1; done; exec "$@"'
        with (
            Running(*words, env=env) as waits,
            Running(*words, env=env, prefix=["sh", "-c", waits_for_it, "sh"]) as comes,
        ):
            eventually(lambda: picture_of(elsewhere).waiters(), 20)
            bed.pause_master()
            try:
                time.sleep(1.5)  # no attribute is young enough any more
                go.touch()
                time.sleep(25.0)  # more than twice as long as a command waits for an answer
            finally:
                bed.resume_master()
            for one in (waits, comes):
                code, _, said = one.finish(30)
                assert code == 1
                assert "did not answer" in said
        holder.signal(signal.SIGTERM)
