"""``volumelease worker``: a container's entry point."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from tests.bed.container import Container
from tests.volume.fleet import ROOT
from volumelease import LeaseTimeout, volume_lease
from volumelease.daemon import bequest
from volumelease.host import this_process
from volumelease.leases.ringing import ALL_BELLS
from volumelease.leases.volumes import Volumes

from .inside import surroundings
from .outside import Scene, gone

Started = TypeVar("Started")

HOLDER = """
    import sys, time
    from volumelease import volume_lease
    with volume_lease({path!r}) as lease:
        print("token", lease.token, type(lease._hosted).__name__, flush=True)
        time.sleep(60)
"""


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with Scene(tmp_path) as made:
        yield made


def environment(scene: Scene) -> dict[str, str]:
    return {**os.environ, **scene.environment, "PYTHONPATH": str(ROOT / "src")}


def worker(*command: str, options: tuple[str, ...] = ()) -> list[str]:
    return [sys.executable, "-m", "volumelease", "worker", *options, "--", *command]


def python(text: str, **values: str) -> tuple[str, ...]:
    return (sys.executable, "-c", textwrap.dedent(text).format(**values))


def start(scene: Scene, *command: str, options: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        worker(*command, options=options),
        env=environment(scene),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -KILL $$", 137), (":", 0)])
def test_the_exit_code_is_that_of_the_command(scene: Scene, script: str, code: int) -> None:
    ended = start(scene, "sh", "-c", script)
    out, err = ended.communicate(timeout=20)
    assert ended.returncode == code, out + err
    assert not scene.socket.exists()


def test_a_command_that_is_not_there_is_told(scene: Scene) -> None:
    ended = start(scene, "no-such-program")
    _, err = ended.communicate(timeout=20)
    assert ended.returncode == 127
    assert "no-such-program can't be run" in err


def test_the_command_takes_its_leases_through_the_daemon_and_sigterm_frees_them(
    scene: Scene,
) -> None:
    running = start(scene, *python(HOLDER, path=str(scene.root / "a")))
    assert running.stdout is not None
    assert running.stdout.readline().split()[2] == "HostedByDaemon"
    began = time.monotonic()
    running.terminate()
    assert running.wait(10) == 128 + signal.SIGTERM
    assert time.monotonic() - began < 5.0
    with volume_lease(scene.root / "a", timeout=1, volumes=scene.volumes):
        pass
    running.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_that_comes_while_the_worker_starts_is_handed_on(
    scene: Scene, number: signal.Signals
) -> None:
    running = slow_to_start(scene, lambda: start(scene, "sleep", "60"))
    running.send_signal(number)
    _, err = running.communicate(timeout=20)
    assert running.returncode == 128 + number, err


@pytest.mark.bed
def test_the_first_process_of_a_container_hears_what_comes_while_it_starts(scene: Scene) -> None:
    with slow_to_start(scene, lambda: in_container(scene, *worker("sleep", "60"))) as container:
        os.kill(container.pid, signal.SIGTERM)
        assert container.process.wait(20) == 128 + signal.SIGTERM


def slow_to_start(scene: Scene, act: Callable[[], Started]) -> Started:
    """It waits a second for a daemon that seems to be ending, and that is this process; back when
    it has begun to."""
    scene.socket.parent.mkdir()
    bequest.write(f"{scene.socket}.sessions", bequest.Bequest(this_process(), ()))
    started = act()
    until = time.monotonic() + 20
    while not os.path.exists(f"{scene.socket}.lock"):
        assert time.monotonic() < until
        time.sleep(0.01)
    return started


REFUSED = """
    import signal
    from volumelease.cli.charge import Charge, serve
    from volumelease.daemon.doorway import Doorway, SocketTaken
    numbers = signal.SIGTERM, signal.SIGINT
    before = [signal.getsignal(number) for number in numbers]
    taken = Doorway({path!r})
    open({path!r}, "w").close()
    try:
        serve(Charge(("true",), 1.0, {{}}), {path!r})
    except SocketTaken:
        print([signal.getsignal(number) for number in numbers] == before)
        print(signal.set_wakeup_fd(-1))
"""


def test_a_worker_that_does_not_start_leaves_signals_as_they_were(scene: Scene) -> None:
    told = subprocess.run(
        python(REFUSED, path=str(scene.socket)),
        check=False,
        env=environment(scene),
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert told.stdout.split() == ["True", "-1"], told.stderr


def test_a_command_that_is_deaf_to_sigterm_is_killed_after_its_grace(scene: Scene) -> None:
    running = start(
        scene,
        "sh",
        "-c",
        "trap '' TERM; echo deaf; while :; do sleep 1; done",
        options=("--grace", "1"),
    )
    assert running.stdout is not None
    running.stdout.readline()
    began = time.monotonic()
    running.terminate()
    assert running.wait(20) == 137
    assert 0.9 < time.monotonic() - began < 5.0
    running.communicate()


def test_what_the_command_left_running_ends_with_it(scene: Scene) -> None:
    running = start(scene, "sh", "-c", "setsid sleep 60 >/dev/null 2>&1 & echo $!")
    assert running.stdout is not None
    orphan = int(running.stdout.readline())
    assert running.wait(20) == 0
    assert gone(orphan)
    running.communicate()


def test_the_command_dies_with_the_worker(scene: Scene) -> None:
    running = start(scene, "sh", "-c", "echo $$; exec sleep 60")
    assert running.stdout is not None
    command = int(running.stdout.readline())
    running.kill()
    running.wait()
    assert gone(command)
    running.communicate()


def test_a_client_from_outside_keeps_its_lease_when_the_command_has_ended(scene: Scene) -> None:
    """Until the deadline that it knows: it goes by that, and does not end with the worker."""
    running = start(scene, "sh", "-c", "echo; sleep 1.5")
    assert running.stdout is not None
    running.stdout.readline()
    outside = scene.client("hold")
    outside.wait_for("token")
    assert running.wait(10) == 0
    with pytest.raises(LeaseTimeout):
        volume_lease(scene.root / "a", timeout=0.5, volumes=scene.volumes).__enter__()
    running.communicate()


WRITING = """
    import os, time
    from volumelease import volume_lease
    with volume_lease({path!r}):
        child = os.fork()
        if child == 0:
            os.setsid()
            with open({path!r} + "/file", "w") as file:
                while True:
                    file.write("x")
                    file.flush()
                    time.sleep(0.01)
        time.sleep(0.3)
        print(child, flush=True)
        os._exit(0)
"""


def test_a_writer_that_a_dead_handler_left_is_ended_and_then_its_lease_is_free(
    scene: Scene,
) -> None:
    """The handler is a child of the command here, so that the worker goes on."""
    (scene.root / "a").mkdir()
    handler = python(WRITING, path=str(scene.root / "a"))
    running = start(scene, "sh", "-c", '"$@"; sleep 60', "sh", *handler)
    assert running.stdout is not None
    child = int(running.stdout.readline())
    with volume_lease(scene.root / "a", timeout=5, volumes=scene.volumes):
        assert gone(child, 0.1)
    running.terminate()
    running.communicate()


@pytest.mark.bed
def test_the_death_of_a_container_is_seen_from_outside(tmp_path: Path) -> None:
    """PID 1 dies and so does everything; who is in another namespace sees its lock free."""
    with Scene(tmp_path) as scene:
        lent = with_bells(scene)
        with running_in_container(scene) as container:
            assert container.process.stdout is not None
            assert container.process.stdout.readline().startswith("token")
            with pytest.raises(LeaseTimeout):
                volume_lease(scene.root / "a", timeout=1, volumes=lent).__enter__()
            assert takes_after(scene, lent, container.kill) < 2.0
        lent.close()


@pytest.mark.torture
@pytest.mark.bed
def test_a_daemon_that_is_not_the_first_process_proves_nothing_by_its_death(
    tmp_path: Path,
) -> None:
    with Scene(tmp_path, ttl=3.0) as scene:
        lent = with_bells(scene)
        with running_in_container(scene, "sh", "-c", '"$@"; :', "sh") as container:
            assert container.process.stdout is not None
            assert container.process.stdout.readline().startswith("token")
            assert takes_after(scene, lent, container.kill) > 2.0
        lent.close()


def with_bells(scene: Scene) -> Volumes:
    """An observer that hears bells, and so knows of locks."""
    return Volumes(surroundings(scene.root, scene.ttl)._replace(bells=ALL_BELLS))


def running_in_container(scene: Scene, *before: str) -> Container:
    return in_container(scene, *before, *worker(*python(HOLDER, path=str(scene.root / "a"))))


def in_container(scene: Scene, *command: str) -> Container:
    names = ("PYTHONPATH", "VOLUMELEASE_SOCKET", "VOLUMELEASE_VOLUME")
    told = environment(scene)
    return Container(["env", *(f"{name}={told[name]}" for name in names), *command])


def takes_after(scene: Scene, volumes: Volumes, act: Callable[[], None]) -> float:
    """How long after ``act`` one that waited has the lease."""
    acted: list[float] = []

    def do() -> None:
        acted.append(time.monotonic())
        act()

    timer = threading.Timer(1.0, do)
    timer.start()
    with volume_lease(scene.root / "a", timeout=30, volumes=volumes):
        taken = time.monotonic()
    timer.join()
    return taken - acted[0]
