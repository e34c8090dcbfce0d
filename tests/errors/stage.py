"""What a provocation needs: a volume, settings, the command line."""

from __future__ import annotations

import contextlib
import io
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from volumelease.authorities.volume import founding
from volumelease.cli import program
from volumelease.drivers.files import Files
from volumelease.drivers.threads import Monitor
from volumelease.errors import LeaseError
from volumelease.leases.asking import volume_lease
from volumelease.leases.volumes import Surroundings, Volumes


@dataclass(frozen=True)
class Said:
    """What somebody was told: ``code`` of a command line, None where it was raised."""

    kind: str
    what: str
    advice: str
    code: int | None = None


class Stage:
    """One volume, fresh. ``volumes``: a worker there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "volume"
        self.root.mkdir()
        wanted = founding.Founding("ab" * 8, 15.0, time.time(), ready=True)
        Monitor(Files()).run(founding.found(str(self.root), wanted))
        self.plain = folder / "plain"
        self.plain.mkdir()
        self._members: list[Volumes] = []

    def worker(self, **settings: Any) -> Volumes:
        base = Surroundings.of_this_process()
        settings = {"socket": "", "guard": "off", **settings}
        changed = base.settings._replace(**settings)
        one = Volumes(base._replace(settings=changed, report=lambda text: None))
        self._members.append(one)
        return one

    def troubled(self, number: int, *kinds: type, below: str = "", **settings: Any) -> Volumes:
        """A worker whose calls of these kinds fail with that errno, as far as they are about
        what has ``below`` in its path."""
        one = self.worker(**settings)
        files = one.surroundings.performer

        class Troubled:
            def perform(self, effect: Any) -> Any:
                if isinstance(effect, kinds) and below in repr(effect):
                    raise OSError(number, os.strerror(number))
                return files.perform(effect)

        one.surroundings = one.surroundings._replace(performer=Troubled())
        return one

    def lease(self, *names: str, by: Volumes | None = None, **options: Any) -> volume_lease:
        paths = [self.root / name for name in names]
        return volume_lease(*paths, volumes=by or self.worker(), **options)

    def close(self) -> None:
        for member in self._members:
            member.close()

    # ---- what is told

    def command(self, *words: str | Path, **environment: str) -> Said:
        """Run the command line. Errors: ``AssertionError`` unless it says two lines."""
        err = io.StringIO()
        quiet = contextlib.redirect_stdout(io.StringIO())
        with _environment(environment), contextlib.redirect_stderr(err), quiet:
            code = program._run([str(word) for word in words])
        lines = err.getvalue().splitlines()
        assert len(lines) >= 2, f"{words} said {lines}"
        assert lines[-2].startswith("error: "), lines
        assert lines[-1].startswith("try: "), lines
        what, advice = lines[-2].removeprefix("error: "), lines[-1].removeprefix("try: ")
        return Said("", self._plain(what), self._plain(advice), code)

    def said(self, error: LeaseError) -> Said:
        return Said(type(error).__name__, self._plain(error.what), self._plain(error.advice))

    def _plain(self, text: str) -> str:
        """Without what is different each time, and on each machine."""
        text = text.replace(str(self.folder), "")
        text = re.sub(r"127\.0\.0\.1:\d+", "HOST:PORT", text)
        text = re.sub(r"\b[0-9a-f]{16,64}\b", "ID", text)
        text = re.sub(r"\bpid \d+|\bprocess \d+", "pid N", text)
        text = re.sub(r"\b\d+\.\d+ s\b", "N s", text)
        text = re.sub(r"\ba record of \d+ bytes", "a record of N bytes", text)  # a time is in it
        text = re.sub(r"since \d\d:\d\d(:\d\d)?( UTC)?|for \d+ s", "since TIME", text)
        text = re.sub(r"\('HOST', \d+\)|\('127.0.0.1', \d+\)", "HOST:PORT", text)
        text = text.replace(socket.gethostname(), "HOST")
        return re.sub(r"\s+", " ", text)


@contextmanager
def _environment(changes: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    for name in [name for name in before if name.startswith(("VOLUMELEASE_", "RUNPOD_"))]:
        del os.environ[name]
    os.environ.update({"VOLUMELEASE_SOCKET": "/nowhere/daemon.sock", **changes})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
