"""Another process at the same lock file: ``python -m tests.bells.neighbour PATH BOOT_ID``.

Each line of its input is an expression in terms of ``file``, ``bell(session)`` and ``turnstile``;
it answers each with one line, the value.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

ROOT: Final = Path(__file__).parents[2]


class Neighbour:
    """``with Neighbour(path) as other: other("file.take(7)")`` answers ``"True"``."""

    def __init__(self, path: Path, boot_id: str = "") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.bells.neighbour", str(path), boot_id],
            cwd=ROOT,
            env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, expression: str) -> str:
        self.tell(expression)
        return self.said()

    def tell(self, expression: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(expression + "\n")
        self.process.stdin.flush()

    def said(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def serve(path: str, boot_id: str) -> None:
    from volumelease.bells.bytelocks import ByteBell
    from volumelease.bells.ears import Ear
    from volumelease.bells.lockfile import lock_file
    from volumelease.bells.turnstile import Turnstile

    file = lock_file("volume", path, boot_id)
    file.open()
    ear = Ear()
    bells: dict[str, ByteBell] = {}

    def bell(session: str) -> ByteBell:
        return bells.setdefault(session, ByteBell(file, session, ear))

    names = {"file": file, "bell": bell, "ear": ear, "turnstile": Turnstile(file)}
    for line in sys.stdin:
        print(eval(line, names), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
