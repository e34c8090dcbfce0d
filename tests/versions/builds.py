"""Other builds of this package: a copy of its sources with some constants raised, run in processes
of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

FORMAT: Final = ("core/records.py", "FORMAT_VERSION: Final = 1\n", "FORMAT_VERSION: Final = 2\n")
PROTOCOL: Final = ("wire/dialogue.py", "VERSIONS: Final = (1,)\n", "VERSIONS: Final = (2,)\n")
BOTH_PROTOCOLS: Final = (
    "wire/dialogue.py",
    "VERSIONS: Final = (1,)\n",
    "VERSIONS: Final = (1, 2)\n",
)
MINOR: Final = ("__init__.py", '__version__ = "', '__version__ = "0.0.')

HOLD: Final = """
import sys, time
from volumelease import __version__, volume_lease
with volume_lease(sys.argv[1], timeout=float(sys.argv[2])) as lease:
    print(lease.token, __version__, flush=True)
    if len(sys.argv) > 3:
        sys.stdin.readline()
    lease.check()
"""
"""Take a lease, say so, and let go of it: at once, or with a third word when told to."""


class Build:
    """``run`` and ``start`` give it the words of a command line, or a program."""

    def __init__(self, folder: Path, *changes: tuple[str, str, str]) -> None:
        self.source = folder
        shutil.copytree(
            ROOT / "src/volumelease",
            folder / "volumelease",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        for name, old, new in changes:
            file = folder / "volumelease" / name
            text = file.read_text()
            assert text.count(old) == 1, f"{name} has no single {old!r}"
            file.write_text(text.replace(old, new))

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *words],
            env={**os.environ, **environment, "PYTHONPATH": str(self.source)},
            cwd=self.source,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*words, **environment)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(words, process.returncode, out, err)
