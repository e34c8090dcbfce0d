"""The counts of a fleet whose leases a Redis keeps."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("redis")

from tests.bed.redis import RedisServer
from tests.cli.shell import eventually
from volumelease.authorities.redis.fleet import REMEMBERED_SECONDS, RedisFleet, Reports
from volumelease.authorities.volume.fleet import MANY
from volumelease.authorities.volume.reports import FOLD_BEATS
from volumelease.clock import SystemClock
from volumelease.drivers.files import Files
from volumelease.drivers.threads import Monitor
from volumelease.leases.asking import volume_lease
from volumelease.leases.gauges import gauges_of
from volumelease.leases.redis_hosting import scripts_on
from volumelease.leases.volumes import Surroundings, Volumes
from volumelease.paths.locate import locate
from volumelease.settings import Settings
from volumelease.tallies import Tally


def worker(settings: Settings) -> Volumes:
    return Volumes(Surroundings.of_this_process()._replace(settings=settings))


def test_what_ended_sessions_counted_is_folded_in_one_step(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    settings = Settings(redis_url=redis_server.url, authority="redis")
    root = locate(tmp_path, explicit=str(tmp_path))
    first = worker(settings)
    identity = first.found(root, ready=True, ttl=3.0)
    for _ in range(3):
        with volume_lease(tmp_path / "a", volumes=first):
            gauges = gauges_of(first.session(root))
            assert gauges["held", "other"] == 1
            assert gauges["authority_up", "redis"] == 1
    first.close()
    second = worker(settings)
    with volume_lease(tmp_path / "a", volumes=second):
        scripts = scripts_on(settings, str(tmp_path), Files())
        fleet, run = RedisFleet(identity.id, SystemClock()), Monitor(scripts).run

        def acquired() -> float:
            counts = run(fleet.read()).counts.values
            key = ("acquire_duration_seconds", "other", "acquired")
            return sum(counts[key][:-1]) if key in counts else 0.0

        before = time.monotonic()
        eventually(lambda: acquired() == 4, 10)
        assert time.monotonic() - before < 10
        assert run(fleet.fold()) == 1
        assert run(fleet.fold()) == 0, "the other one lives"
        assert acquired() == 4
    second.close()
    assert run(fleet.fold()) == 1
    assert acquired() == 4
    scripts.close()


def test_who_came_into_the_sum_long_ago_is_forgotten_and_no_sum_is_a_session(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    settings = Settings(redis_url=redis_server.url, authority="redis")
    root = locate(tmp_path, explicit=str(tmp_path))
    members = worker(settings)
    identity = members.found(root, ready=True, ttl=3.0)
    scripts = scripts_on(settings, str(tmp_path), Files())
    clock = Later()
    fleet, run = RedisFleet(identity.id, clock), Monitor(scripts).run
    for _ in range(3):
        with volume_lease(tmp_path / "a", volumes=members):
            pass
        members.close()
        run(fleet.fold())
        members = worker(settings)
    told = run(fleet.read())
    assert (told.live, told.ended) == (0, 3)
    clock.seconds = REMEMBERED_SECONDS - 60
    assert run(fleet.fold()) == 0
    assert run(fleet.read()) == told
    clock.seconds = REMEMBERED_SECONDS + 60
    assert run(fleet.fold()) == 0
    later = run(fleet.read())
    assert (later.live, later.ended) == (0, 0)
    assert later.counts == told.counts
    scripts.close()


def test_reports_are_folded_where_there_is_no_exporter(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    """Else each worker that there ever was would leave one more in the memory of the Redis."""
    settings = Settings(redis_url=redis_server.url, authority="redis")
    root = locate(tmp_path, explicit=str(tmp_path))
    member = worker(settings)
    identity = member.found(root, ready=True, ttl=3.0)
    hosted: Any = member.session(root)
    scripts = scripts_on(settings, str(tmp_path), Files())
    fleet, run = RedisFleet(identity.id, SystemClock()), Monitor(scripts).run

    def others(many: int) -> int:
        """That many sessions end; the reports once this one has beaten often enough."""
        for _ in range(many):
            tally = Tally()
            tally.acquired_in(0.1)
            run(fleet.leave(tally))
        reports = Reports(identity.id, hosted.session.calls, Tally(), SystemClock())
        for _ in range(2 * FOLD_BEATS):
            reports.note_beat(time.monotonic(), counted=True, lost="")
            hosted.run(reports.chore())
        return run(fleet.read()).live

    assert others(MANY - 2) >= MANY - 2, "not many yet"
    assert others(2) <= 1
    assert run(fleet.read()).ended >= MANY
    assert others(3) >= 3, "of those that came since then there are few"
    member.close()
    scripts.close()


class Later(SystemClock):
    seconds = 0.0

    def wall(self) -> float:
        return super().wall() + self.seconds
