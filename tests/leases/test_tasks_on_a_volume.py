"""Asynchronous leases on a real directory: many at once, a volume that hangs, a loop that is
blocked, and a process that is interrupted."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from volumelease import AuthorityUnreachable, LeaseLost, LeaseTimeout, volume_lease
from volumelease.drivers.crew import MOST_THREADS
from volumelease.drivers.files import Files
from volumelease.effects import Effect, Symlink
from volumelease.leases import volumes as leases_volumes
from volumelease.leases.hosting import Hosting
from volumelease.leases.volumes import Surroundings, Volumes
from volumelease.paths.locate import locate

SOURCE = Path(__file__).parents[2] / "src"


def found(root: Path, ttl: float = 3.0, **changes: Any) -> Volumes:
    volumes = Volumes(Surroundings.of_this_process()._replace(report=print, **changes))
    volumes.found(locate(root, explicit=str(root)), ready=True, ttl=ttl)
    return volumes


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[Volumes]:
    made = found(tmp_path, ttl=15.0)
    yield made
    made.close()


def session(volumes: Volumes) -> Hosting[Any]:
    (one,) = volumes._sessions.values()
    return one


def left_behind(volumes: Volumes) -> list[int]:
    """Tokens of this process's session that somebody holds or asks for."""
    one = session(volumes).session
    return list(one.replica.table.tokens_of(one.name)) + list(one.requests.wanted)


def more_than(hanging: Hanging, kept: int) -> bool:
    return hanging.kept > kept


async def until(true: Callable[[], Any], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.002)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _calling() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "volumelease-call"}


_others: set[threading.Thread] = set()
"""Threads that earlier tests left: they end when what they belong to is collected."""


@pytest.fixture(autouse=True)
def _know_the_others() -> None:
    _others.clear()
    _others.update(_calling())


def waits() -> int:
    return len(_calling() - _others)


class Stalls:
    """The longest time for which the loop did nothing else."""

    def __init__(self) -> None:
        self.longest = 0.0

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        watching = asyncio.create_task(self._watch(), context=contextvars.Context())
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching

    async def _watch(self) -> None:
        before = time.monotonic()
        while True:
            await asyncio.sleep(0.001)
            now = time.monotonic()
            self.longest = max(self.longest, now - before)
            before = now


# ---- many at once


def test_a_thousand_waiters_half_of_them_cancelled(volumes: Volumes, tmp_path: Path) -> None:
    chance = random.Random(5)
    served: list[int] = []
    inside = 0
    crowd = 1000

    async def wait() -> None:
        nonlocal inside
        async with volume_lease(tmp_path / "a", volumes=volumes) as lease:
            inside += 1
            assert inside == 1
            served.append(lease.token)
            if not len(served) % 50:
                await asyncio.sleep(0.001)
            inside -= 1

    async def cancel(task: asyncio.Task[None]) -> None:
        await asyncio.sleep(chance.uniform(0, 6))
        task.cancel()

    async def main() -> None:
        async with volume_lease(tmp_path / "warm", volumes=volumes):
            before = descriptors()
        threads = 0
        holder = volume_lease(tmp_path / "a", volumes=volumes)
        stalls = Stalls()
        async with stalls.watched():
            await contextvars.Context().run(asyncio.create_task, holder.__aenter__())
            waiters = [asyncio.create_task(wait()) for _ in range(crowd)]
            cancels = [asyncio.create_task(cancel(task)) for task in waiters[::2]]
            await asyncio.sleep(3)
            threads = waits()
            holder._blocks.pop().lease.release()
            await asyncio.gather(*cancels)
            done = await asyncio.gather(*waiters, return_exceptions=True)
        assert threads <= 2 * MOST_THREADS
        assert served == sorted(served), "first come, first served"
        cancelled = sum(isinstance(each, asyncio.CancelledError) for each in done)
        assert len(served) >= crowd - cancelled
        assert sum(each is None for each in done) == crowd - cancelled
        assert cancelled > crowd / 5
        await until(lambda: not left_behind(volumes))
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert descriptors() <= before + 2
        assert not session(volumes).room._wakers
        print(f"cancelled {cancelled}, longest stall {stalls.longest * 1e3:.0f} ms")
        assert stalls.longest < 1.0

    asyncio.run(main())
    gc.collect()
    ends = time.monotonic() + 8
    while waits():  # idle ones end by themselves
        assert time.monotonic() < ends
        time.sleep(0.05)


# ---- a volume that hangs


class Hanging:
    """Performs effects; while it hangs, some block, before or after they were done."""

    def __init__(self) -> None:
        self._files = Files()
        self._free = threading.Event()
        self._free.set()
        self.which: Callable[[Effect], bool] = lambda effect: True
        self.after = False
        self.kept = 0

    def hang(self, which: Callable[[Effect], bool] = lambda effect: True) -> None:
        self.which = which
        self._free.clear()

    def heal(self) -> None:
        self._free.set()

    def perform(self, effect: Effect) -> Any:
        hangs = not self._free.is_set() and self.which(effect)
        answer = self._files.perform(effect) if self.after and hangs else None
        if hangs:
            self.kept += 1
            self._free.wait(60)
        return answer if self.after and hangs else self._files.perform(effect)


def by_waiters(effect: Effect) -> bool:
    """What the session's own threads do goes on: it must not be lost in these tests."""
    return threading.current_thread().name == "volumelease-call"


def test_a_volume_that_hangs_never_blocks_the_loop(tmp_path: Path) -> None:
    hanging = Hanging()
    volumes = found(tmp_path, ttl=15.0, performer=hanging)

    async def main() -> None:
        async with volume_lease(tmp_path / "warm", volumes=volumes):
            pass
        stalls = Stalls()
        async with stalls.watched():
            hanging.hang(by_waiters)
            tasks = [asyncio.create_task(take(number)) for number in range(100)]
            await until(lambda: hanging.kept)
            await asyncio.sleep(0.2)
            assert waits() <= 2 * MOST_THREADS
            started = time.monotonic()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            assert time.monotonic() - started < 2.5, "a cancellation waits a moment, no longer"
            assert all(task.cancelled() for task in tasks)
            hanging.heal()
            await until(lambda: not left_behind(volumes))
            async with volume_lease(tmp_path, timeout=5, volumes=volumes):
                pass
        print(f"longest stall {stalls.longest * 1e3:.0f} ms")
        assert stalls.longest < 0.5

    async def take(number: int) -> None:
        async with volume_lease(tmp_path / str(number), volumes=volumes):
            pass

    asyncio.run(main())
    volumes.close()


def test_who_set_a_timeout_is_told_that_the_volume_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases_volumes, "ANSWER_SECONDS", 0.2)
    hanging = Hanging()
    volumes = found(tmp_path, ttl=15.0, performer=hanging)

    async def main() -> None:
        async with volume_lease(tmp_path / "a", timeout=0.1, volumes=volumes):
            hanging.hang(by_waiters)
            with pytest.raises(AuthorityUnreachable, match="did not answer"):
                await asyncio.create_task(take())
            started = time.monotonic()
        assert time.monotonic() - started < 2, "nor does the end of a block wait for it"
        hanging.heal()
        await until(lambda: not left_behind(volumes))

    async def take() -> None:
        async with volume_lease(tmp_path / "b", timeout=0.1, volumes=volumes):
            pass

    asyncio.run(main())
    volumes.close()


def test_a_request_whose_call_hangs_after_it_landed_is_given_back_all_the_same(
    tmp_path: Path,
) -> None:
    hanging = Hanging()
    hanging.after = True
    volumes = found(tmp_path, ttl=2.0, performer=hanging)
    other = found(tmp_path, ttl=2.0)

    async def main() -> None:
        async with volume_lease(tmp_path / "warm", volumes=volumes):
            pass
        hanging.hang(lambda effect: by_waiters(effect) and isinstance(effect, Symlink))
        task = asyncio.create_task(take(volumes))
        await until(lambda: hanging.kept)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await take(other)  # while the call still hangs
        assert not session(volumes).session.pulse.lost
        hanging.heal()
        await until(lambda: not left_behind(volumes))

    async def take(volumes: Volumes) -> None:
        async with volume_lease(tmp_path / "a", timeout=10, volumes=volumes):
            pass

    asyncio.run(main())
    volumes.close()
    other.close()


def test_a_cancellation_at_the_end_of_a_block_releases_all_the_same(tmp_path: Path) -> None:
    hanging = Hanging()
    volumes = found(tmp_path, ttl=15.0, performer=hanging)

    async def work(inside: asyncio.Event, leave: asyncio.Event) -> None:
        async with volume_lease(tmp_path / "a", volumes=volumes):
            inside.set()
            await leave.wait()

    async def main() -> None:
        for cancellations in (1, 2):
            inside, leave = asyncio.Event(), asyncio.Event()
            task = asyncio.create_task(work(inside, leave))
            await inside.wait()
            kept = hanging.kept
            hanging.hang(by_waiters)
            leave.set()
            await until(partial(more_than, hanging, kept))
            started = time.monotonic()
            for _ in range(cancellations):
                task.cancel()
                await asyncio.sleep(0.01)
            with pytest.raises(asyncio.CancelledError):
                await task
            took = time.monotonic() - started
            assert took < 0.5 if cancellations > 1 else 0.5 < took < 2.5
            assert left_behind(volumes)
            hanging.heal()
            await until(lambda: not left_behind(volumes))

    asyncio.run(main())
    volumes.close()


# ---- real time


def test_a_loop_that_is_blocked_for_longer_than_the_ttl_keeps_its_lease(tmp_path: Path) -> None:
    volumes = found(tmp_path, ttl=2.0)
    other = found(tmp_path, ttl=2.0)

    def try_it() -> None:
        with pytest.raises(LeaseTimeout), volume_lease(tmp_path / "a", timeout=3.5, volumes=other):
            pass

    async def main() -> None:
        async with volume_lease(tmp_path / "a", volumes=volumes) as lease:
            thread = threading.Thread(target=try_it)
            thread.start()
            time.sleep(4.0)
            lease.check()
            thread.join()

    asyncio.run(main())
    volumes.close()
    other.close()


def test_a_loss_ends_waiting_tasks_and_interrupts_those_inside(tmp_path: Path) -> None:
    volumes = found(tmp_path, ttl=2.0)
    order: list[str] = []

    async def hold() -> None:
        async with volume_lease(tmp_path / "a", volumes=volumes):
            order.append("held")
            await asyncio.Event().wait()

    async def want() -> None:
        async with volume_lease(tmp_path / "a", volumes=volumes):  # with a new session
            order.append("granted")

    async def main() -> None:
        holding = asyncio.create_task(hold())
        await until(lambda: order)
        waiting = asyncio.create_task(want())
        await until(lambda: session(volumes).session.waits)
        session(volumes).session.pulse.lose("as if it was cut off")
        with pytest.raises(LeaseLost, match="cut off"):
            await holding
        await waiting

    asyncio.run(main())
    assert order == ["held", "granted"]
    volumes.close()


def python(code: str, volume: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(volume)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )


def test_ctrl_c_gives_back_what_is_held_and_what_waits(tmp_path: Path) -> None:
    volumes = found(tmp_path, ttl=30.0)
    with volume_lease(tmp_path / "b", volumes=volumes):
        done = python(
            """
            import asyncio, os, signal, sys, threading
            from volumelease import volume_lease
            async def main():
                async with volume_lease(sys.argv[1] + "/a"):
                    threading.Timer(1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
                    async with volume_lease(sys.argv[1] + "/b"): print("both", flush=True)
            try:
                asyncio.run(main())
            except KeyboardInterrupt:
                print("interrupted", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)  # nothing is tidied up from here on
            """,
            tmp_path,
        )
        assert done.stdout == "interrupted\n", done.stderr
        with volume_lease(tmp_path / "a", timeout=0, volumes=volumes):
            pass
    volumes.close()


def test_on_lost_signal_ends_a_process_whose_loop_is_blocked(tmp_path: Path) -> None:
    found(tmp_path, ttl=2.0)
    done = python(
        """
        import asyncio, os, signal, sys, time
        from volumelease import volume_lease
        os.environ["VOLUMELEASE_GUARD"] = "off"  # it would not let the log be moved away
        signal.signal(signal.SIGTERM, lambda *_: print("TERM", flush=True))
        async def main():
            async with volume_lease(sys.argv[1] + "/a", on_lost="signal"):
                os.rename(sys.argv[1] + "/.volumelease", sys.argv[1] + "/gone")
                time.sleep(30)
        asyncio.run(main())
        """,
        tmp_path,
    )
    assert done.stdout == "TERM\n"
    assert done.returncode == -signal.SIGKILL


def test_a_process_ends_while_the_volume_hangs(tmp_path: Path) -> None:
    found(tmp_path, ttl=2.0)
    started = time.monotonic()
    done = python(
        """
        import asyncio, sys, threading
        from volumelease import volume_lease
        from volumelease.drivers import files
        from volumelease.leases.volumes import Surroundings, Volumes
        class Hanging(files.Files):
            def perform(self, effect):
                if threading.current_thread().name == "volumelease-call" and hang:
                    threading.Event().wait()
                return super().perform(effect)
        hang = []
        volumes = Volumes(Surroundings.of_this_process()._replace(performer=Hanging()))
        async def main():
            async with volume_lease(sys.argv[1] + "/a", volumes=volumes): pass
            hang.append(1)
            async with asyncio.timeout(0.2):
                async with volume_lease(sys.argv[1] + "/a", volumes=volumes): pass
        try:
            asyncio.run(main())
        except TimeoutError:
            print("timeout", flush=True)
        """,
        tmp_path,
    )
    assert done.stdout == "timeout\n", done.stderr
    assert done.returncode == 0
    assert time.monotonic() - started < 10


# ---- between hosts


def test_tasks_of_two_hosts_lose_no_update(shared_mounts: list[Path]) -> None:
    homes = [found(shared_mounts[0], ttl=5.0)]
    homes.append(found(shared_mounts[1], ttl=5.0))
    (shared_mounts[0] / "counter").write_text("0")

    async def count(volumes: Volumes, mount: Path) -> None:
        async with volume_lease(mount / "counter", timeout=60, volumes=volumes):
            value = int(await asyncio.to_thread((mount / "counter").read_text))
            fresh = mount / f"fresh-{mount.parent.name}"
            await asyncio.to_thread(fresh.write_text, str(value + 1))
            await asyncio.to_thread(fresh.rename, mount / "counter")

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for volumes, mount in zip(homes, shared_mounts, strict=True):
                for _ in range(20):
                    group.create_task(count(volumes, mount))
        await until(lambda: not any(left_behind(volumes) for volumes in homes))

    asyncio.run(main())
    with volume_lease(shared_mounts[1] / "counter", volumes=homes[1]):
        assert (shared_mounts[1] / "counter").read_text() == "40"
    for volumes in homes:
        volumes.close()
