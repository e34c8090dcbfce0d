"""Two versions beside each other: refused with both named, and nobody loses anything by it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .builds import BOTH_PROTOCOLS, FORMAT, HOLD, MINOR, PROTOCOL, Build

TTL = "15"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return Build(tmp_path_factory.mktemp("here"))


@pytest.fixture(scope="module")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return Build(tmp_path_factory.mktemp("newer"), FORMAT)


@pytest.fixture(scope="module")
def minor(tmp_path_factory: pytest.TempPathFactory) -> Build:
    return Build(tmp_path_factory.mktemp("minor"), MINOR)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    root = tmp_path / "volume"
    root.mkdir()
    return root


def made(build: Build, root: Path) -> None:
    done = build.run("-m", "volumelease", "init", str(root), "--ttl", TTL)
    assert done.returncode == 0, done.stderr


def everything(root: Path) -> dict[str, str]:
    """All that lies on a volume, but for what a live session leaves there of itself (beats, its
    counters, the reserve of its first beat): names, kinds, what links say."""
    found = {}
    for folder, _, files in os.walk(root):
        if Path(folder).name in ("metrics", "reserve"):
            continue
        for name in files:
            place = Path(folder) / name
            found[str(place)] = os.readlink(place) if place.is_symlink() else "file"
    return found


@contextmanager
def holding(build: Build, path: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A worker of that build that holds a lease; at the end it must have it still."""
    worker = build.start("-c", HOLD, str(path), "30", "until told", **environment)
    assert worker.stdout is not None
    assert worker.stdout.readline(), worker.communicate()[1]
    try:
        yield worker
        said, trouble = worker.communicate("\n", timeout=30)
        assert worker.returncode == 0, said + trouble
    finally:
        worker.kill()
        worker.communicate()


COMMANDS = (
    ("status",),
    ("verify",),
    ("hold", "{path}", "--timeout", "5", "--", "true"),
    ("history", "{path}"),
    ("init", "{root}"),
    ("migrate", "{root}", "--authority", "redis"),
    ("uninstall", "{root}", "--yes"),
)


@pytest.mark.parametrize("older_made_it", [True, False], ids=["volume-is-older", "volume-is-newer"])
def test_a_volume_of_another_format_is_refused_with_both_named_and_left_alone(
    here: Build, newer: Build, volume: Path, older_made_it: bool
) -> None:
    maker, stranger = (here, newer) if older_made_it else (newer, here)
    theirs, ours = (1, 2) if older_made_it else (2, 1)
    made(maker, volume)
    path = volume / "data"
    with holding(maker, path):
        before = everything(volume)
        for command in COMMANDS:
            words = [word.format(path=path, root=volume) for word in command]
            done = stranger.run("-m", "volumelease", *words, VOLUMELEASE_VOLUME=str(volume))
            assert done.returncode not in (0, 2), f"{words}: {done.stdout}{done.stderr}"
            _refused(done.stderr, ours, theirs)
        done = stranger.run("-c", HOLD, str(path), "0")
        assert "SettingsMismatch" in done.stderr
        _refused(done.stderr, ours, theirs)
        assert everything(volume) == before
    verified = maker.run("-m", "volumelease", "verify", VOLUMELEASE_VOLUME=str(volume))
    assert verified.returncode == 0, verified.stdout + verified.stderr


def _refused(text: str, ours: int, theirs: int) -> None:
    assert f"has format {theirs}, and this volumelease has format {ours}" in text
    assert ("pip install -U volumelease" if theirs > ours else "volumelease uninstall") in text


@pytest.mark.parametrize("daemon_is_newer", [True, False], ids=["newer-daemon", "older-daemon"])
def test_a_daemon_of_another_protocol_is_refused_with_both_named(
    here: Build, tmp_path: Path, volume: Path, daemon_is_newer: bool
) -> None:
    other = Build(tmp_path / "other", PROTOCOL)
    host, client = (other, here) if daemon_is_newer else (here, other)
    theirs, ours = (2, 1) if daemon_is_newer else (1, 2)
    made(here, volume)
    with _daemon(host, tmp_path, volume) as environment, holding(host, volume / "a", **environment):
        done = client.run("-c", HOLD, str(volume / "b"), "5", **environment)
        assert "DaemonUnavailable" in done.stderr
        assert f"here it is version {ours}" in done.stderr
        assert f"this daemon speaks {theirs}" in done.stderr
        assert "Restart the daemon" in done.stderr
        # Without that daemon it works on the same volume, and sees what the daemon's clients hold.
        alone = {"VOLUMELEASE_SOCKET": str(tmp_path / "nobody.sock")}
        done = client.run("-c", HOLD, str(volume / "b"), "5", **alone)
        assert done.returncode == 0, done.stderr
        done = client.run("-c", HOLD, str(volume / "a"), "0", **alone)
        assert "LeaseTimeout" in done.stderr
    verified = here.run("-m", "volumelease", "verify", VOLUMELEASE_VOLUME=str(volume))
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_of_several_protocols_the_newest_that_both_speak_is_spoken(
    here: Build, tmp_path: Path, volume: Path
) -> None:
    other = Build(tmp_path / "other", BOTH_PROTOCOLS)
    made(here, volume)
    for host, client in ((other, here), (here, other)):
        with _daemon(host, tmp_path, volume) as environment:
            done = client.run("-c", HOLD, str(volume / "a"), "5", **environment)
            assert done.returncode == 0, done.stderr


def test_a_minor_version_of_the_same_format_takes_its_turn(
    here: Build, minor: Build, volume: Path
) -> None:
    made(here, volume)
    path = volume / "data"
    with holding(here, path) as worker:
        del worker
        done = minor.run("-c", HOLD, str(path), "0")
        assert "LeaseTimeout" in done.stderr
    first = here.run("-c", HOLD, str(path), "10").stdout.split()
    then = minor.run("-c", HOLD, str(path), "10").stdout.split()
    assert int(then[0]) > int(first[0])
    assert then[1] == f"0.0.{first[1]}"
    for build in (here, minor):
        done = build.run("-m", "volumelease", "verify", VOLUMELEASE_VOLUME=str(volume))
        assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def _daemon(build: Build, tmp_path: Path, volume: Path) -> Iterator[dict[str, str]]:
    environment = {
        "VOLUMELEASE_SOCKET": str(tmp_path / "run" / "daemon.sock"),
        "VOLUMELEASE_VOLUME": str(volume),
        "VOLUMELEASE_HTTP": "off",
    }
    daemon = build.start("-m", "volumelease", "daemon", **environment)
    assert daemon.stderr is not None
    try:
        for line in daemon.stderr:
            if "listening" in line:
                break
        else:
            raise AssertionError(f"the daemon ended: {daemon.wait()}")
        yield environment
    finally:
        daemon.terminate()
        daemon.communicate(timeout=30)
