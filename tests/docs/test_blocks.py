"""Documentation runs: every block of README and docs does what its page says, on a real volume."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Final

import pytest

from tests.bed.redis import RedisServer, missing_redis
from tests.cli.conftest import make_volume
from tests.cli.shell import Running, environment, eventually

from .blocks import ROOT, RUN, SHELLS, Block, blocks_of, pages, runnable

SHORT: Final = [block for block in runnable() if not block.not_run]
PORTS: Final = ("127.0.0.1:9109", "127.0.0.1:9110")
REDIS: Final = re.compile(r"redis://[\w.-]+(:\d+)?(/\d+)?")
FOR_REAL: Final = re.compile(r"(?<![\w/])(/runpod-volume|/workspace)(?=[/\s\"':;)\\]|$)")


class Stage:
    """An empty folder and a volume, where one block runs as if it were on a worker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.volume = make_volume(folder / "volume", ttl=3.0)
        self.here = folder / "here"
        self.here.mkdir()
        self._redis: RedisServer | None = None
        self._exporter: Running | None = None
        self._ports = dict(zip(PORTS, self._free_ports(), strict=True))

    @staticmethod
    def _free_ports() -> list[str]:
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in PORTS]
        found = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
        for one in sockets:
            one.close()
        return found

    def told(self, code: str) -> str:
        """The code with the places of this stage."""
        code = FOR_REAL.sub(str(self.volume), code)
        for shown, ours in self._ports.items():
            code = code.replace(shown, ours)
        return REDIS.sub(lambda _: self._redis_url(), code)

    def _redis_url(self) -> str:
        if self._redis is None:
            if reason := missing_redis():
                pytest.skip(reason)
            self._redis = RedisServer()
            self._redis.__enter__()
        return self._redis.url

    def _start_exporter(self) -> None:
        where = self._ports[PORTS[1]]
        self._exporter = Running(
            "exporter", self.volume, "--listen", where, env={"VOLUMELEASE_ROOTS": "models"}
        )
        eventually(lambda: answers(f"http://{where}/readyz"), 30)

    def close(self) -> None:
        if self._exporter is not None:
            self._exporter.__exit__(None, None, None)
        if self._redis is not None:
            self._redis.__exit__(None, None, None)

    def start(self, block: Block) -> subprocess.Popen[str]:
        if block.exporter:
            self._start_exporter()
        command = self._python(block) if block.language == "python" else self._sh(block)
        return subprocess.Popen(
            command,
            cwd=self.here,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _python(self, block: Block) -> list[str]:
        program = self.here / "program.py"
        program.write_text(self.told(f"{block.before}{block.code}{block.after}"))
        tests = re.search(r"^(async )?def test_", block.code, re.MULTILINE)
        runner = ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if tests else ["-W", "error"]
        return [sys.executable, *runner, str(program)]

    def _sh(self, block: Block) -> list[str]:
        after = "" if block.goes_on else block.after
        return ["sh", "-euc", self.told(f"{block.before}{block.code}\n{after}")]

    def afterwards(self, block: Block) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-euc", self.told(block.after)],
            cwd=self.here,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def _environment(self) -> dict[str, str]:
        programs = self.folder / "bin"
        if not programs.exists():
            programs.mkdir()
            for name in ("python", "python3"):
                self._program(programs / name, f'exec "{sys.executable}" "$@"')
            self._program(programs / "volumelease", f'exec "{sys.executable}" -m volumelease "$@"')
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        return environment(
            {
                "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
                "HOME": str(home),
                "TMPDIR": str(home),
                "VOLUMELEASE_SOCKET": str(self.folder / "d.sock"),
                "VOLUMELEASE_HTTP": self._ports[PORTS[0]],
                "RUNPOD_POD_ID": "ab12cd",
                "RUNPOD_ENDPOINT_ID": "sd-xl",
            }
        )

    @staticmethod
    def _program(path: Path, line: str) -> None:
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)


def answers(where: str) -> bool:
    try:
        with urllib.request.urlopen(where, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(block, id=block.place, marks=[pytest.mark.torture] if block.long else [])
        for block in SHORT
    ],
)
def test_a_block_runs_as_its_page_says(block: Block, tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    process = None
    try:
        process = stage.start(block)
        if block.goes_on:
            stays(stage, block, process)
        else:
            said, _ = process.communicate(timeout=100)
            assert process.returncode == block.exits, f"{block.place}\n{said}"
    finally:
        if process is not None:
            end(process)
        stage.close()


def stays(stage: Stage, block: Block, process: subprocess.Popen[str]) -> None:
    """Until what comes after it is true; it must still run then."""
    last: list[str] = []

    def true() -> bool:
        result = stage.afterwards(block)
        last[:] = [result.stdout + result.stderr]
        return result.returncode == 0

    try:
        eventually(lambda: process.poll() is not None or true(), 30)
    except AssertionError:
        pytest.fail(f"{block.place}: {last}")
    assert process.poll() is None, f"{block.place}: {process.communicate()[0]}"


def end(process: subprocess.Popen[str]) -> None:
    """The block and all that it left running in its process group."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        if number == signal.SIGTERM:
            deadline = time.monotonic() + 5
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
    process.communicate()


def test_blocks_of_a_shell_are_called_sh() -> None:
    """Under another name they would not be run."""
    named = [block for page in pages() for block in blocks_of(page) if block.language in SHELLS]
    assert not [block.place for block in named]


def test_most_blocks_run() -> None:
    blocks = runnable()
    assert len(SHORT) >= 0.75 * len(blocks)


PAGE = """
# A page

<!-- not run: needs a GPU -->
```python
import torch
```

<!-- before:
answer = 42
-->
<!-- after:
assert seen == [42]
-->
```python
seen = [answer]
```

<!-- exits 75 -->
```sh
exit 75
```

```python
raise SystemExit("shown, and wrong")
```
"""


def test_marks_are_understood(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    first, second, third, fourth = blocks_of(page)
    assert (first.not_run, first.place) == ("needs a GPU", "page.md:6")
    assert (second.before, second.after) == ("answer = 42\n", "assert seen == [42]\n")
    assert third.exits == 75
    stage = Stage(tmp_path)
    for block, code in ((second, 0), (third, 75), (fourth, 1)):
        process = stage.start(block)
        process.communicate(timeout=60)
        assert process.returncode == code, block.place
    stage.close()


def test_a_block_without_a_reason_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- not run: -->\n```sh\ntrue\n```\n")
    with pytest.raises(AssertionError, match="needs a reason"):
        blocks_of(page)


def test_every_language_that_runs_is_spelled_as_in_markdown() -> None:
    assert {"python", "sh"} == RUN
    assert ROOT.joinpath("README.md").exists()
