"""Paths of one volume through two mounts, in one lease."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = str(Path(__file__).parents[2] / "src")

MOUNTS = """
import json, os, subprocess, sys
from volumelease import LeaseError, volume_lease

top = sys.argv[1]

def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)

for name in ("v", "again", "other"):
    os.mkdir(f"{top}/{name}")
for name in ("v", "other"):
    subprocess.run([sys.executable, "-m", "volumelease", "init", f"{top}/{name}"], check=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
mount("--bind", f"{top}/v", f"{top}/again")
out = {}
with volume_lease(f"{top}/v/a", f"{top}/again/b") as lease:
    out["paths"] = [os.path.relpath(path, top) for path in lease.paths]
with volume_lease(f"{top}/v/a", f"{top}/again/a/b") as lease:
    out["covered"] = [os.path.relpath(path, top) for path in lease.paths]
try:
    with volume_lease(f"{top}/v/a", f"{top}/other/b"):
        pass
except LeaseError as error:
    out["other"] = error.what
print(json.dumps(out))
"""


def test_a_bind_mount_shows_the_same_volume(tmp_path: Path) -> None:
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", MOUNTS, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": SOURCE},
        capture_output=True,
        text=True,
        check=False,
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("no mount namespaces here")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "paths": ["v/a", "v/b"],
        "covered": ["v/a"],
        "other": f"{tmp_path}/other/b is on another volume than {tmp_path}/v/a",
    }
