"""The platform's SDK itself runs the example, and its cache loses nothing under leases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cli.conftest import make_volume
from tests.cli.shell import ROOT, environment

NAMES: Final = ("ann", "bob", "eve")
PRIVATE_DISK: Final = 'mount -t tmpfs none "$0" && exec "$@"'

needs_sdk = pytest.mark.skipif(
    find_spec("runpod") is None, reason="no runpod package: pip install -e '.[platform]'"
)
needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0, reason="each worker needs a disk of its own: root, for mount namespaces"
)


@needs_sdk
def test_the_sdk_runs_the_example(tmp_path: Path) -> None:
    volume = make_volume(tmp_path / "volume", ttl=15.0)
    for prompt in ("hello", "again", "hello"):
        result = subprocess.run(
            [
                sys.executable,
                str(ROOT / "deploy/examples/handler.py"),
                "--test_input",
                json.dumps({"id": f"job-{prompt}", "input": {"prompt": prompt}}),
            ],
            env=environment({"VOLUME": str(volume)}),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        assert f"'answer': '{prompt.upper()}'" in result.stdout
    lines = (volume / "results/answers.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [(row["job"], row["answer"]) for row in rows] == [
        ("job-hello", "HELLO"),
        ("job-again", "AGAIN"),
    ]
    assert (volume / "models/shouting").is_symlink()


class _Worker:
    def __init__(self, mode: str, volume: Path, disk: Path, name: str) -> None:
        words = [sys.executable, "-m", "tests.sdk.cache_worker", mode, volume, disk, name]
        self.process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", PRIVATE_DISK, disk, *map(str, words)],
            env=environment(),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def tell(self, number: int) -> None:
        assert self.process.stdin is not None
        print(number, file=self.process.stdin, flush=True)

    def hear(self) -> dict[str, Any]:
        """What it says next; the SDK prints lines of its own."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                said: dict[str, Any] = json.loads(line)
                if "ready" in said or "found" in said:
                    return said
        raise AssertionError("the worker ended")


@contextmanager
def worker(mode: str, volume: Path, disk: Path, name: str) -> Iterator[_Worker]:
    one = _Worker(mode, volume, disk, name)
    try:
        one.hear()
        yield one
    finally:
        one.process.kill()
        one.process.communicate()


def losses(mode: str, folder: Path, trials: int) -> int:
    """In how many of ``trials`` a file was lost that one of the workers had synced."""
    volume, disk = make_volume(folder / mode, ttl=15.0), folder / f"{mode}-disk"
    disk.mkdir()
    wanted = {f"{name}/{file}" for name in NAMES for file in ("small0", "small1", "small2", "big")}
    lost = 0
    with ExitStack() as stack:
        workers = [stack.enter_context(worker(mode, volume, disk, name)) for name in NAMES]
        checker = stack.enter_context(worker("check", volume, disk, ""))
        for number in range(trials):
            for one in workers:
                one.tell(number)
            for one in workers:
                one.hear()
            checker.tell(number)
            lost += not wanted <= set(checker.hear()["found"])
    return lost


@needs_sdk
@needs_namespaces
@pytest.mark.timeout(300)
@pytest.mark.parametrize("trials", [20, pytest.param(200, marks=pytest.mark.torture)])
def test_no_file_of_the_cache_is_lost(tmp_path: Path, trials: int) -> None:
    plain = losses("plain", tmp_path, 20)
    print(f"without leases {plain} of 20 trials lose a file")
    assert losses("leased", tmp_path, trials) == 0


@needs_sdk
def test_what_a_worker_changed_is_not_replaced_by_what_others_mirrored(tmp_path: Path) -> None:
    volume, disk = make_volume(tmp_path / "volume", ttl=15.0), tmp_path / "disk"
    disk.mkdir()
    script = f"""
from pathlib import Path
from volumelease.platform import leased_cache
file = Path({str(disk)!r}) / "f"
options = dict(namespace="n", volume_path={str(volume)!r}, best_effort=False)
file.write_text("old")
leased_cache([{str(disk)!r}], **options).sync(background=False)
file.write_text("newer")
leased_cache([{str(disk)!r}], **options).sync()  # the end of the process waits for it
assert file.read_text() == "newer"
"""
    words = [sys.executable, "-c", script]
    subprocess.run(words, env=environment(), check=True, timeout=60)
    (disk / "f").unlink()
    again = script.split("file.write_text", maxsplit=1)[0]
    again += f"\nprint(leased_cache([{str(disk)!r}], **options).hydrate())"
    subprocess.run([sys.executable, "-c", again], env=environment(), check=True, timeout=60)
    assert (disk / "f").read_text() == "newer"
