"""A volume for the probes, by whoever runs them, and how it looks before and after."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from .probes import GROUP, PROBES, Probe

ROOT: Final = Path(__file__).parents[2]
NOBODY: Final = 65534


class Ground(NamedTuple):
    """A volume at ``top``, and a directory beside it. ``uid`` owns both and runs the probes."""

    top: Path
    off: Path
    uid: int

    def run(self, *words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        return run_as(self.uid, *words, **options)

    def state(self, probe: Probe) -> dict[str, object]:
        """What a probe may change, as it is now."""
        places = self.places()
        return {
            name: {str(path): _looks(path) for path in _tree(places[name] / probe.slug)}
            for name in ("unleased", probe.place)
            if name in places
        }

    def places(self) -> dict[str, Path]:
        return {
            "leased": self.top / "leased",
            "unleased": self.top / "unleased",
            "off": self.off,
        }


def _tree(place: Path) -> list[Path]:
    return sorted([place, *place.rglob("*")])


def _looks(path: Path) -> object:
    found = path.lstat()
    content: object = None
    if stat.S_ISREG(found.st_mode):
        content = path.read_bytes()
    elif stat.S_ISLNK(found.st_mode):
        content = path.readlink()
    attributes = [] if stat.S_ISLNK(found.st_mode) else sorted(os.listxattr(path))
    return found.st_mode, found.st_gid, found.st_mtime_ns, content, attributes


@contextmanager
def ground(parent: Path | None, uid: int) -> Iterator[Ground]:
    """A fresh volume, in ``parent`` if it is given, else on the local disk."""
    with tempfile.TemporaryDirectory(prefix="volumelease-enforce-") as base:
        os.chmod(base, 0o755)
        made = Ground((parent or Path(base)) / "volume", Path(base) / "beside", uid)
        for place in (made.top, *made.places().values()):
            place.mkdir()
            os.chown(place, uid, uid)
        done = made.run("-m", "volumelease", "init", made.top)
        assert done.returncode == 0, done.stderr
        yield made


def furnish(ground: Ground) -> None:
    """What the probes find in each place of theirs."""
    for probe in PROBES:
        for name, base in ground.places().items():
            place = base / probe.slug
            _furnish(
                place, whole=probe.place == name or (probe.place, name) == ("read", "unleased")
            )
            if ground.uid:
                for path in _tree(place):
                    os.chown(path, ground.uid, ground.uid, follow_symlinks=False)


def _furnish(place: Path, *, whole: bool) -> None:
    (place / "d").mkdir(parents=True)
    for name in ("f", "d/g"):
        (place / name).write_text("f")
    if not whole:
        return
    (place / "empty").mkdir()
    (place / "f2").write_text("f")
    (place / "d/link").symlink_to("g")
    if "safetensors" in place.name:
        (place / "f.safetensors").write_bytes(bytes.fromhex("0200000000000000") + b"{}")
    if "sqlite" in place.name:
        import sqlite3

        connection = sqlite3.connect(place / "f.db")
        connection.execute("create table t (x)")
        connection.execute("insert into t values (1)")
        connection.commit()
        connection.close()


def run_as(
    uid: int, *words: str | Path, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments as that user, with the package to be imported."""
    python, path = interpreter(uid)
    if uid:
        options |= {"user": uid, "group": uid, "extra_groups": [GROUP]}
    ours = ("VOLUMELEASE_", "RUNPOD_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run(
        [python, *map(str, words)],
        cwd="/",
        env={**kept, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **(env or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


@cache
def interpreter(uid: int) -> tuple[str, str]:
    """A Python of this version that the user may run, and where it finds the packages."""
    packages = [entry for entry in sys.path if entry.endswith("site-packages")]
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT), *packages])
    if uid == os.geteuid():
        return sys.executable, path
    if os.geteuid() != 0:
        pytest.skip("only root can run it as another user")
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for python in (sys.executable, f"/usr/local/bin/{version}", f"/usr/bin/{version}"):
        words = [python, "-c", "import volumelease.cli.program, tests.enforce.probes"]
        with suppress(OSError):
            if not subprocess.run(
                words,
                user=uid,
                group=uid,
                env={"PYTHONPATH": path},
                cwd="/",
                check=False,
                capture_output=True,
            ).returncode:
                return python, path
    pytest.skip(f"no {version} here that uid {uid} may run, or it may not read {ROOT}")


@contextmanager
def descriptors(ground: Ground) -> Iterator[dict[str, int]]:
    """One of a file that nobody leases, opened before anybody leases anything."""
    found = os.open(ground.top / "unleased/open_before/f", os.O_RDWR)
    try:
        yield {"open_before": found}
    finally:
        os.close(found)


def probe(ground: Ground, level: str) -> dict[str, str]:
    """What each probe came to at that level: "" or an error."""
    worker = ("-m", "tests.enforce.worker", level, ground.top, ground.off)
    words: tuple[str | Path, ...] = worker
    guard = "enforce" if level == "python" else "off"
    if level == "landlock":
        hold = ("-m", "volumelease", "hold", "--require", "landlock", ground.top / "leased")
        words = (*hold, "--", interpreter(ground.uid)[0], *worker)
    with descriptors(ground) as opened:
        env = {"VOLUMELEASE_GUARD": guard, "PROBE_DESCRIPTORS": json.dumps(opened)}
        done = ground.run(*words, env=env, pass_fds=tuple(opened.values()))
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found
