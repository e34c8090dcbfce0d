"""An exception out of a signal handler (Ctrl-C, a soft time limit) while a program of ``lease.run``
starts: the program never writes under a lease that was released."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest

from volumelease.enforce import landlock
from volumelease.leases import running
from volumelease.leases.asking import volume_lease
from volumelease.leases.volumes import Volumes

from .test_run import wait_until
from .test_volume_lease import found, hosted

CONFINEMENT: Final = landlock.Confinement
FORK_EXEC: Final[Any] = subprocess._fork_exec  # type: ignore[attr-defined]


class Interrupted(BaseException):
    """What the handler raises."""


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[Volumes]:
    made = found(tmp_path, ttl=10.0)
    (tmp_path / "a").mkdir()
    yield made
    made.close()


class Hangs:
    """A program that is kept between fork and exec, as by a volume that doesn't answer."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.number = folder / "number"
        self._gate = folder / "gate"
        os.mkfifo(self._gate)
        monkeypatch.setattr(landlock, "Confinement", self._made)

    def _made(self, ruleset: int) -> Callable[[], None]:
        confined = CONFINEMENT(ruleset)

        def hang() -> None:
            self.number.with_suffix(".new").write_text(str(os.getpid()))
            self.number.with_suffix(".new").rename(self.number)
            os.close(os.open(self._gate, os.O_RDONLY))
            confined()

        return hang

    def answers(self) -> None:
        """The program goes on, if there is one still."""
        try:
            os.close(os.open(self._gate, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:  # nobody waits there
            return

    def gone(self) -> bool:
        """Dead, reaped or not."""
        try:
            state = Path("/proc", self.number.read_text(), "stat").read_text()
        except OSError:
            return True
        return state.rpartition(") ")[2][0] in "ZX"


@pytest.fixture
def hangs(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hangs]:
    one = Hangs(tmp_path_factory.mktemp("aside"), monkeypatch)
    yield one
    if not one.gone():
        os.kill(int(one.number.read_text()), signal.SIGKILL)


def interrupt(*_: object) -> NoReturn:
    raise Interrupted


def starts_and_writes(volumes: Volumes, root: Path) -> None:
    """Run a program under a lease, and let go of it."""
    with volume_lease(root / "a", volumes=volumes) as lease:
        lease.run(["sh", "-c", "echo late > late"], cwd=root / "a")


def test_a_program_that_hangs_before_its_exec_is_killed_when_the_wait_for_it_is_interrupted(
    volumes: Volumes, tmp_path: Path, hangs: Hangs
) -> None:
    def interrupt_it() -> None:
        wait_until(hangs.number.exists)
        signal.pthread_kill(main, signal.SIGUSR1)

    main = threading.get_ident()
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        thread = threading.Thread(target=interrupt_it)
        thread.start()
        with pytest.raises(Interrupted):
            starts_and_writes(volumes, tmp_path)
        thread.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    went = hangs.gone()
    hangs.answers()
    wait_until(hangs.gone)
    assert not (tmp_path / "a" / "late").exists()
    assert went, "it lived on while others could have the lease"
    with pytest.raises(ChildProcessError):
        os.waitpid(int(hangs.number.read_text()), os.WNOHANG)


@pytest.mark.parametrize("said", [True, False], ids=["that said its number", "not begun"])
def test_a_program_whose_number_nobody_knows_does_not_go_on(
    volumes: Volumes, tmp_path: Path, hangs: Hangs, monkeypatch: pytest.MonkeyPatch, said: bool
) -> None:
    """The signal came during the fork: what it returned was never kept."""
    forked: list[int] = []

    def fork(*arguments: Any) -> NoReturn:
        forked.append(FORK_EXEC(*arguments))
        if said:
            wait_until(hangs.number.exists)
        raise Interrupted

    monkeypatch.setattr(subprocess, "_fork_exec", fork)
    with pytest.raises(Interrupted):
        starts_and_writes(volumes, tmp_path)
    state = Path(f"/proc/{forked[0]}/stat")
    wait_until(lambda: not state.exists() or state.read_text().rpartition(") ")[2][0] == "Z")
    assert not (tmp_path / "a" / "late").exists()
    if said:
        assert not state.exists(), "it was not reaped"


def test_a_program_that_was_called_off_can_not_begin() -> None:
    tether = running._Tether(None)
    tether.program = running._Program.__new__(running._Program)
    there = tether._there.dup()
    tether.end()
    tether._there = there
    with pytest.raises(BrokenPipeError):
        tether()
    there.close()


def test_an_interrupt_between_the_start_and_the_watch_ends_the_program(
    volumes: Volumes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    made = running._Watch.__init__

    def make(self: Any, lease: Any, share: Any, process: Any) -> NoReturn:
        made(self, lease, share, process)
        started.append(process)
        raise Interrupted

    monkeypatch.setattr(running._Watch, "__init__", make)
    with (
        pytest.raises(Interrupted),
        volume_lease(tmp_path / "a", volumes=volumes) as lease,
    ):
        lease.run(["sleep", "60"])
    assert started[0].returncode == -signal.SIGKILL


def test_an_interrupt_while_the_watch_is_told_of_changes_ends_the_program(
    volumes: Volumes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[Any] = []
    start = running._start

    def note(*arguments: Any) -> Any:
        began.append(start(*arguments))
        return began[0]

    monkeypatch.setattr(running, "_start", note)
    with (
        pytest.raises(Interrupted),
        volume_lease(tmp_path / "a", volumes=volumes) as lease,
    ):
        monkeypatch.setattr(hosted(volumes), "on_change", interrupt)
        lease.run(["sleep", "60"])
    assert began[0].returncode == -signal.SIGKILL
