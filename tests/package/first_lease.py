"""``make first``: from a fresh clone to the first lease, line by line as README says, timed."""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.docs.blocks import ROOT, blocks_of

MARK: Final = "pip install ."
KEPT: Final = ("PATH", "HOME", "LANG", "TMPDIR")
"""What a stranger's shell has; also where packages come from."""


def lines() -> list[str]:
    """The commands of README that lead to a first lease."""
    (block,) = [b for b in blocks_of(ROOT / "README.md") if MARK in b.code and b.language == "sh"]
    return block.code.strip().splitlines()


def run(folder: Path) -> dict[str, float]:
    """Seconds of each step, in a clone of this checkout's last commit. Errors: ``RuntimeError``
    with what the step said."""
    clone = folder / "volumelease"
    took = {"git clone": step(["git", "clone", "--quiet", str(ROOT), str(clone)], folder)}
    for line in lines():
        took[line.partition("#")[0].strip()] = step(["sh", "-euc", line], clone)
    return took


def step(command: list[str], folder: Path) -> float:
    started = time.monotonic()
    result = subprocess.run(
        command,
        cwd=folder,
        env=surroundings(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise RuntimeError(f"{command[-1]}\n{result.stdout}{result.stderr}")
    return time.monotonic() - started


def surroundings() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or name.startswith("PIP_") or name.lower().endswith("_proxy")
    }


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="first-lease-") as folder:
        took = run(Path(folder))
    for name, seconds in took.items():
        print(f"{seconds:6.1f} s  {name}")
    processors, load = os.cpu_count(), os.getloadavg()[0]
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{sum(took.values()):6.1f} s  from clone to first lease")
    print(f"{used.ru_utime + used.ru_stime:6.1f} s  of processor time")
    print(f"          ({processors} processors, load {load:.1f})")


if __name__ == "__main__":
    main()
