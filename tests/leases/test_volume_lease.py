"""``volume_lease`` as its users meet it, on a local directory."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from volumelease import (
    Lease,
    LeaseDeadlock,
    LeaseLost,
    LeaseTimeout,
    PathInvalid,
    SettingsMismatch,
    VolumeNotFound,
    VolumeUnsuitable,
)
from volumelease.authorities.volume import segments, trail
from volumelease.drivers.files import Files
from volumelease.effects import Effect, Symlink
from volumelease.leases.asking import volume_lease
from volumelease.leases.volumes import Surroundings, Volumes
from volumelease.model import Answer, Question, Release
from volumelease.paths.locate import locate

SOURCE = Path(__file__).parents[2] / "src"


def found(root: Path, ttl: float = 3.0, **changes: Any) -> Volumes:
    surroundings = Surroundings.of_this_process()._replace(report=print, **changes)
    volumes = Volumes(surroundings)
    volumes.found(locate(root, explicit=str(root)), ready=True, ttl=ttl)
    return volumes


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[Volumes]:
    made = found(tmp_path)
    yield made
    made.close()


def hosted(volumes: Volumes) -> Any:
    (one,) = volumes._sessions.values()
    return one


def test_a_lease_says_what_it_is(volumes: Volumes, tmp_path: Path) -> None:
    with volume_lease(tmp_path / "a", volumes=volumes) as lease:
        assert isinstance(lease, Lease)
        assert lease.paths == (f"{tmp_path}/a",)
        assert lease.mode == "exclusive"
        assert isinstance(lease.token, int)
        assert 0 < lease.remaining <= 3
        assert not lease.lost
        lease.check()
    with pytest.raises(LeaseLost, match="released"):
        lease.check()
    assert lease.remaining == 0.0


def test_the_same_owner_enters_again_what_it_holds(volumes: Volumes, tmp_path: Path) -> None:
    with volume_lease(tmp_path / "a", volumes=volumes) as outer:
        with volume_lease(tmp_path / "a" / "b", shared=True, timeout=0, volumes=volumes) as inner:
            assert inner.token == outer.token
        outer.check()
        with volume_lease(tmp_path / "b", timeout=0, volumes=volumes) as other:
            assert other.token > outer.token


def test_an_upgrade_and_a_wider_path_are_refused_at_once(volumes: Volumes, tmp_path: Path) -> None:
    with volume_lease(tmp_path / "a", shared=True, volumes=volumes):
        with (
            pytest.raises(LeaseDeadlock, match="upgrade"),
            volume_lease(tmp_path / "a", volumes=volumes),
        ):
            pass
        with volume_lease(tmp_path / "a" / "b", shared=True, volumes=volumes):
            pass
    with (
        volume_lease(tmp_path / "a" / "b", volumes=volumes),
        pytest.raises(LeaseDeadlock),
        volume_lease(tmp_path, volumes=volumes),
    ):
        pass


def test_threads_exclude_each_other_like_hosts(volumes: Volumes, tmp_path: Path) -> None:
    def try_once() -> None:
        with pytest.raises(LeaseTimeout), volume_lease(tmp_path / "a", timeout=0, volumes=volumes):
            pass

    with volume_lease(tmp_path / "a", volumes=volumes):
        thread = threading.Thread(target=try_once)
        thread.start()
        thread.join()


def test_200_threads_lose_no_update(volumes: Volumes, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    shared_object = volume_lease(counter, volumes=volumes)

    def count() -> None:
        with shared_object:
            value = int(counter.read_text())
            time.sleep(0.001)
            counter.write_text(str(value + 1))

    threads = [threading.Thread(target=count) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.read_text() == "200"


def test_a_cycle_of_waits_gives_one_deadlock_within_a_second(
    volumes: Volumes, tmp_path: Path
) -> None:
    barrier = threading.Barrier(2)
    outcomes: list[str] = []

    def want(first: str, second: str) -> None:
        with volume_lease(tmp_path / first, volumes=volumes):
            barrier.wait()
            started = time.monotonic()
            try:
                with volume_lease(tmp_path / second, volumes=volumes):
                    outcomes.append("granted")
            except LeaseDeadlock:
                assert time.monotonic() - started < 1
                outcomes.append("deadlock")

    threads = [threading.Thread(target=want, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["deadlock", "granted"]


def test_it_decorates_functions(volumes: Volumes, tmp_path: Path) -> None:
    @volume_lease(tmp_path / "a", volumes=volumes)
    def double(value: int) -> int:
        """Twice."""
        with pytest.raises(LeaseTimeout):
            in_thread(lambda: volume_lease(tmp_path / "a", timeout=0, volumes=volumes).__enter__())
        return 2 * value

    assert double(4) == 8
    assert double.__doc__ == "Twice."


def in_thread(work: Any) -> None:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


def test_several_paths_are_one_lease_and_covered_ones_are_dropped(
    volumes: Volumes, tmp_path: Path
) -> None:
    with volume_lease(
        tmp_path / "b", tmp_path / "a", tmp_path / "a" / "x", volumes=volumes
    ) as lease:
        assert lease.paths == (f"{tmp_path}/a", f"{tmp_path}/b")


def test_scope_volume_raises_exclusive_leases_to_the_whole_volume(tmp_path: Path) -> None:
    settings = Surroundings.of_this_process().settings._replace(scope="volume")
    volumes = found(tmp_path, settings=settings)
    with volume_lease(tmp_path / "a", volumes=volumes) as lease:
        assert lease.paths == (str(tmp_path),)
    with volume_lease(tmp_path / "a", shared=True, volumes=volumes) as lease:
        assert lease.paths == (f"{tmp_path}/a",)
    volumes.close()


def test_downgrade_keeps_the_lease_and_lets_readers_in(volumes: Volumes, tmp_path: Path) -> None:
    with volume_lease(tmp_path / "a", volumes=volumes) as lease:
        lease.downgrade()
        assert lease.mode == "shared"
        with pytest.raises(LeaseDeadlock), volume_lease(tmp_path / "a", volumes=volumes):
            pass

        def read() -> None:
            with volume_lease(tmp_path / "a", shared=True, timeout=0, volumes=volumes):
                pass

        in_thread(read)


def test_a_release_inside_the_block_is_no_loss(volumes: Volumes, tmp_path: Path) -> None:
    with volume_lease(tmp_path / "a", volumes=volumes) as lease:
        lease.release()
        lease.release()


def test_the_end_of_a_block_whose_lease_was_lost_raises(volumes: Volumes, tmp_path: Path) -> None:
    told: list[Lease] = []

    def work() -> Lease:
        with volume_lease(tmp_path / "a", volumes=volumes) as lease:
            lease.on_lost(told.append)
            hosted(volumes).session.pulse.lose("as if it was cut off")
            leases.append(lease)
            return lease

    leases: list[Lease] = []
    with pytest.raises(LeaseLost) as caught:
        work()
    (lease,) = leases
    assert lease.lost
    assert caught.value.facts["token"] == lease.token
    assert told == [lease]
    with volume_lease(tmp_path / "b", volumes=volumes):  # a new session serves the next one
        pass


def test_an_error_of_the_body_is_not_hidden_by_the_loss(volumes: Volumes, tmp_path: Path) -> None:
    def work() -> None:
        with volume_lease(tmp_path / "a", volumes=volumes):
            hosted(volumes).session.pulse.lose("as if it was cut off")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        work()
    assert "was lost" in "".join(caught.value.__notes__)


def test_a_callback_that_ends_its_thread_keeps_nobody_from_hearing(
    volumes: Volumes, tmp_path: Path
) -> None:
    told: list[str] = []
    with (
        volume_lease(tmp_path / "a", on_lost="ignore", volumes=volumes) as first,
        volume_lease(tmp_path / "b", on_lost="ignore", volumes=volumes) as second,
    ):
        first.on_lost(lambda lost: sys.exit("this thread"))
        second.on_lost(lambda lost: told.append("second"))
        one = hosted(volumes)
        stop = one.on_change(lambda: sys.exit("and this one"))
        one._news.set()
        time.sleep(0.1)
        stop()
        one.session.pulse.lose("a test")
        one._news.set()
        until = time.monotonic() + 10
        while told != ["second"] and time.monotonic() < until:
            time.sleep(0.01)
        assert told == ["second"]


def test_a_callback_that_exits_at_the_end_of_a_block_ends_the_program_when_all_were_told(
    volumes: Volumes, tmp_path: Path
) -> None:
    told: list[Lease] = []
    lease = volume_lease(tmp_path / "a", on_lost="ignore", volumes=volumes)
    with pytest.raises(SystemExit, match="enough"), lease as held:
        held._callbacks += [(lambda lost: sys.exit("enough"), None), (told.append, None)]
        hosted(volumes).session.pulse.lose("a test")
    assert told == [held]


def test_a_release_that_is_interrupted_goes_on_and_is_in_nobodys_way(
    volumes: Volumes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with volume_lease(tmp_path / "z", volumes=volumes):
        pass
    one, real, times = hosted(volumes), hosted(volumes).ask, iter([KeyboardInterrupt])

    def ask(question: Question) -> Answer:
        if isinstance(question, Release) and (trouble := next(times, None)):
            raise trouble
        answer: Answer = real(question)
        return answer

    monkeypatch.setattr(one, "ask", ask)
    with pytest.raises(KeyboardInterrupt), volume_lease(tmp_path / "a", volumes=volumes):
        pass
    with volume_lease(tmp_path / "a", timeout=0.5, volumes=volumes):  # less than a beat
        pass


def test_on_lost_ignore_only_records(volumes: Volumes, tmp_path: Path) -> None:
    with volume_lease(tmp_path / "a", on_lost="ignore", volumes=volumes) as lease:
        hosted(volumes).session.pulse.lose("as if it was cut off")
    assert lease.lost


def test_a_deleted_control_directory_loses_the_lease(volumes: Volumes, tmp_path: Path) -> None:
    with volume_lease(tmp_path / "a", on_lost="ignore", volumes=volumes) as lease:
        (tmp_path / ".volumelease").rename(tmp_path / "gone")  # a beat can't fill it meanwhile
        until = time.monotonic() + 5
        while not lease.lost and time.monotonic() < until:
            time.sleep(0.02)
        assert lease.lost
        assert "is gone" in lease._loss  # the identity; or the log, where a beat was on its way


def test_a_new_log_grants_nothing_until_the_old_one_is_over(tmp_path: Path) -> None:
    volumes = Volumes(Surroundings.of_this_process()._replace(report=print))
    volumes.found(locate(tmp_path, explicit=str(tmp_path)), ready=False, ttl=2.0)
    started = time.monotonic()
    with volume_lease(tmp_path / "a", volumes=volumes):
        assert time.monotonic() - started >= 3.0
    volumes.close()


class SlowAtFirst:
    """A volume that takes longer over the first record than a session may."""

    def __init__(self, times: int) -> None:
        self.left = times
        self._files = Files()

    def perform(self, effect: Effect) -> Any:
        if isinstance(effect, Symlink) and effect.name.isdigit() and self.left:
            self.left -= 1
            self._files.perform(effect)
            time.sleep(2.0)
            raise OSError(errno.EIO, "the answer was lost")
        return self._files.perform(effect)


def test_a_session_that_was_not_open_in_time_is_followed_by_another(tmp_path: Path) -> None:
    found(tmp_path, ttl=2.0).close()
    said: list[str] = []
    here = Surroundings.of_this_process()._replace(report=said.append)
    volumes = Volumes(here._replace(performer=SlowAtFirst(times=1)))
    with volume_lease(tmp_path / "a", volumes=volumes) as lease:
        lease.check()
    assert said == ["no session could be opened: no beat was answered in time; try 2 of 5"]
    volumes.close()


@pytest.mark.parametrize("timeout", [-1, float("nan"), True])
def test_a_bad_timeout_names_the_ways_out(timeout: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 to try once"):
        volume_lease(tmp_path, timeout=timeout)


def test_bad_paths_are_refused_with_what_to_do(volumes: Volumes, tmp_path: Path) -> None:
    with pytest.raises(PathInvalid):
        volume_lease()
    for path in ("", "a\0b", tmp_path / ".volumelease" / "x"):
        with pytest.raises(PathInvalid) as caught, volume_lease(path, volumes=volumes):
            pass
        assert caught.value.advice
    with pytest.raises(VolumeNotFound), volume_lease("/proc/nowhere", volumes=volumes):
        pass


def test_a_control_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / ".volumelease").write_text("")
    with (
        pytest.raises(VolumeUnsuitable, match="volumelease"),
        volume_lease(tmp_path / "a", volumes=Volumes(Surroundings.of_this_process())),
    ):
        pass


def test_another_ttl_than_the_volume_has_is_an_error(tmp_path: Path) -> None:
    found(tmp_path)
    settings = Surroundings.of_this_process().settings._replace(ttl=9.0)
    volumes = Volumes(Surroundings.of_this_process()._replace(settings=settings))
    with (
        pytest.raises(SettingsMismatch, match="9 s"),
        volume_lease(tmp_path / "a", volumes=volumes),
    ):
        pass


def test_errors_survive_pickling(volumes: Volumes, tmp_path: Path) -> None:
    with (
        volume_lease(tmp_path / "a", reason="a test", volumes=volumes),
        pytest.raises(LeaseTimeout) as caught,
    ):
        in_thread(lambda: volume_lease(tmp_path / "a", timeout=0, volumes=volumes).__enter__())
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.facts == caught.value.facts
    assert "a test" in str(again)


def python(code: str, volume: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(volume)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )


def test_a_forked_child_owns_nothing_and_does_not_release(tmp_path: Path) -> None:
    found(tmp_path)
    done = python(
        """
        import os, sys
        from volumelease import *
        path = sys.argv[1] + "/a"
        with volume_lease(path) as lease:
            pid = os.fork()
            if pid == 0:
                try:
                    lease.check()
                except LeaseLost as error:
                    print("child:", error.reason, flush=True)
                try:
                    with volume_lease(path, timeout=0): print("two holders", flush=True)
                except LeaseTimeout:
                    print("child: excluded", flush=True)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
            lease.check()
            print("parent: held", flush=True)
        pid = os.fork()
        if pid == 0:
            with volume_lease(path, timeout=5): print("child: its own", flush=True)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "child: it belongs to the process that this one was forked from",
        "child: excluded",
        "parent: held",
        "child: its own",
    ]


def test_an_exit_without_the_end_of_the_block_frees_the_lease_at_once(tmp_path: Path) -> None:
    volumes = found(tmp_path, ttl=30.0)
    done = python(
        """
        import sys
        from volumelease import volume_lease
        volume_lease(sys.argv[1] + "/a").__enter__()
        """,
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    with volume_lease(tmp_path / "a", timeout=1, volumes=volumes):
        pass
    volumes.close()


def test_an_exit_while_a_lease_is_held_is_no_loss(tmp_path: Path) -> None:
    found(tmp_path, ttl=30.0)
    done = python(
        """
        import sys, time
        from volumelease import volume_lease
        from volumelease.leases.process import of_this_process
        lease = volume_lease(sys.argv[1] + "/a", on_lost="signal").__enter__()
        lease.on_lost(lambda lease: print("lost", flush=True))
        of_this_process().close()  # as at exit
        time.sleep(1.5)
        """,
        tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_on_lost_signal_ends_the_process(tmp_path: Path) -> None:
    found(tmp_path, ttl=2.0)
    done = python(
        """
        import os, signal, sys, time
        from volumelease import volume_lease
        os.environ["VOLUMELEASE_GUARD"] = "off"  # it would not let the log be moved away
        signal.signal(signal.SIGTERM, lambda *_: print("TERM", flush=True))
        with volume_lease(sys.argv[1] + "/a", on_lost="signal"):
            os.rename(sys.argv[1] + "/.volumelease", sys.argv[1] + "/gone")
            time.sleep(30)
        """,
        tmp_path,
    )
    assert done.stdout == "TERM\n"
    assert done.returncode == -signal.SIGKILL


def test_an_interrupt_while_waiting_gives_back(tmp_path: Path) -> None:
    volumes = found(tmp_path, ttl=30.0)
    with volume_lease(tmp_path / "a", volumes=volumes) as lease:
        done = python(
            """
            import os, signal, sys, threading, time
            from volumelease import volume_lease
            threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
            try:
                with volume_lease(sys.argv[1] + "/a"): pass
            except KeyboardInterrupt:
                print("interrupted", flush=True)
            """,
            tmp_path,
        )
        assert done.stdout == "interrupted\n", done.stderr
        lease.check()
    with volume_lease(tmp_path / "a", timeout=1, volumes=volumes):
        pass
    volumes.close()


def test_a_long_wait_says_once_who_is_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from volumelease.leases import flows

    monkeypatch.setattr(flows, "NOTICE_SECONDS", 0.1)
    said: list[str] = []
    volumes = found(tmp_path)
    volumes.surroundings = volumes.surroundings._replace(report=said.append)
    other = Volumes(volumes.surroundings)
    with (
        volume_lease(tmp_path / "a", reason="the nightly sync", volumes=other),
        pytest.raises(LeaseTimeout),
        volume_lease(tmp_path / "a" / "b", timeout=0.4, volumes=volumes),
    ):
        pass
    assert len(said) == 1
    assert "the nightly sync" in said[0]
    assert "held exclusively" in said[0]
    volumes.close()
    other.close()


def test_a_link_that_moved_during_the_wait_is_followed_to_where_it_leads_now(
    volumes: Volumes, tmp_path: Path
) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "v2").mkdir()
    (tmp_path / "current").symlink_to("v1")
    got: list[tuple[str, ...]] = []

    def wait() -> None:
        with volume_lease(tmp_path / "current", timeout=10, volumes=volumes) as lease:
            got.append(lease.paths)

    with volume_lease(tmp_path, volumes=volumes):
        thread = threading.Thread(target=wait)
        thread.start()
        until = time.monotonic() + 5
        while not hosted(volumes).session.waits and time.monotonic() < until:
            time.sleep(0.01)
        (tmp_path / "new").symlink_to("v2")
        (tmp_path / "new").rename(tmp_path / "current")
    thread.join()
    assert got == [(f"{tmp_path}/v2",)]


def test_sessions_that_are_short_settle_and_retire_segments_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (segments, trail):
        monkeypatch.setattr(module, "FORGET_SECONDS", 0.3)
    found(tmp_path)
    (home,) = [path for path in (tmp_path / ".volumelease").iterdir() if path.is_dir()]
    until = time.monotonic() + 20
    while time.monotonic() < until and not any((home / "retired").iterdir()):
        volumes = Volumes(Surroundings.of_this_process()._replace(report=print))
        for _ in range(60):
            with volume_lease(tmp_path / "a", volumes=volumes):
                pass
        volumes.close()
    assert any((home / "retired").iterdir())


def test_a_holder_that_is_waited_for_reads_of_it_before_it_lets_go(
    volumes: Volumes, tmp_path: Path
) -> None:
    """Or its release would first be tried where the request of the waiter stands."""
    other = found(tmp_path)
    with volume_lease(tmp_path / "a", volumes=volumes):
        session, misses = hosted(volumes).session, hosted(volumes).session.committer.misses
        with pytest.raises(LeaseTimeout):
            volume_lease(tmp_path / "a", timeout=0.05, volumes=other).__enter__()
        behind = hosted(other).session.replica.next_index
        assert session.replica.next_index < behind
        hosted(volumes).belfry.on_awaited()
        deadline = time.monotonic() + 5
        while session.replica.next_index < behind and time.monotonic() < deadline:
            time.sleep(0.005)
        assert session.replica.next_index == behind
    assert session.committer.misses == misses
    other.close()
