"""Running the command line as its users do: as a program."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

ROOT: Final = Path(__file__).parents[2]
NOTHING: Final[Mapping[str, str]] = {}


def environment(more: Mapping[str, str] = NOTHING) -> dict[str, str]:
    """This process's environment without settings of ours, with the package importable."""
    found = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("VOLUMELEASE_", "RUNPOD_"))
    }
    path = [str(ROOT / "src"), *found.get("PYTHONPATH", "").split(os.pathsep)]
    return {**found, "PYTHONPATH": os.pathsep.join(filter(None, path)), **more}


def command_line(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "volumelease", *map(str, arguments)]


def run(
    *arguments: str | Path,
    cwd: Path | None = None,
    stdin: str = "",
    seconds: float = 30.0,
    env: Mapping[str, str] = NOTHING,
) -> subprocess.CompletedProcess[str]:
    """Run ``volumelease`` with these arguments; ``env`` is added to its environment."""
    return subprocess.run(
        command_line(*arguments),
        cwd=cwd,
        input=stdin,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def error_of(result: subprocess.CompletedProcess[str]) -> tuple[str, str]:
    """What an error said, and what to do about it: it must be these two lines and no more."""
    lines = result.stderr.splitlines()
    assert len(lines) == 2, result.stderr
    assert lines[0].startswith("error: "), result.stderr
    assert lines[1].startswith("try: "), result.stderr
    return lines[0].removeprefix("error: "), lines[1].removeprefix("try: ")


class Running:
    """``with Running("hold", ...) as hold:`` a command that goes on; it is ended at the end.

    It has a session of its own, so no terminal, like a container's process.
    """

    def __init__(
        self,
        *arguments: str | Path,
        prefix: Sequence[str] = (),
        cwd: Path | None = None,
        env: Mapping[str, str] = NOTHING,
    ) -> None:
        self.process = subprocess.Popen(
            [*prefix, *command_line(*arguments)],
            cwd=cwd,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def finish(self, seconds: float = 15.0) -> tuple[int, str, str]:
        """(exit code, stdout, stderr) once it has ended."""
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, err

    def child(self, name: str) -> int:
        """The pid of its child of that name."""
        (pid,) = [pid for pid in children_of(self.pid) if name_of(pid) == name]
        return pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.communicate()


class Terminal:
    """``with Terminal("status", ...) as terminal:`` a command that a person runs: on a terminal of
    its own, in the foreground."""

    def __init__(self, *arguments: str | Path, words: Sequence[str] = ()) -> None:
        """``words`` is a command line of another program."""
        self.said = b""
        words = list(words) or command_line(*arguments)
        env = environment({"COLUMNS": "120", "TERM": "xterm"})
        self._ended: int | None = None
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            try:
                os.execvpe(words[0], words, env)
            finally:
                os._exit(99)

    def press(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def hang_up(self) -> None:
        """As when a connection breaks."""
        os.close(self._terminal)
        self._terminal = -1

    def wait_for(self, words: str, seconds: float = 15.0) -> None:
        """Until it has said this."""
        eventually(lambda: self._hear() and words.encode() in self.said, seconds)

    def finish(self, seconds: float = 30.0) -> int:
        """Its exit code, once it has ended."""
        eventually(lambda: self._hear() and self._poll() is not None, seconds)
        assert self._ended is not None
        return os.waitstatus_to_exitcode(self._ended)

    def _hear(self) -> bool:
        while self._terminal >= 0 and select.select([self._terminal], [], [], 0)[0]:
            try:
                self.said += os.read(self._terminal, 65536)
            except OSError:  # its last writer is gone
                break
        return True

    def _poll(self) -> int | None:
        if self._ended is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._ended = status if pid else None
        return self._ended

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        if self._terminal >= 0:
            os.close(self._terminal)


def children_of(pid: int) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                fields = Path("/proc", name, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(name))
    return found


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def state_of(pid: int) -> str:
    """The letter of its state, see proc(5); "" when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def runs(pid: int) -> bool:
    """Whether that process exists and is no zombie."""
    return state_of(pid) not in ("", "Z")


def eventually(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """The first true answer of ``condition``."""
    until = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.01)
