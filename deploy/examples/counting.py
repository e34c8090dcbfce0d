"""A worker that has nothing to do but to keep the rule: counts in a file, under a lease.

    python deploy/examples/counting.py DIRECTORY [TIMES]

Several of them at once lose no step, on however many hosts.
"""

from __future__ import annotations

import itertools
import random
import signal
import sys
import time
from pathlib import Path

from volumelease import volume_lease


def count(folder: Path) -> int:
    """One step. Returns the number that was reached."""
    number = folder / "number"
    with volume_lease(folder, reason="counting") as lease:
        reached = 1 + int(number.read_text() if number.exists() else "0")
        with lease.open(number, "w") as file:
            file.write(str(reached))
    return reached


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    folder = Path(sys.argv[1])
    for step in itertools.count(1):
        print(count(folder), flush=True)
        if sys.argv[2:] and step == int(sys.argv[2]):
            break
        time.sleep(random.uniform(0.5, 1.5))


if __name__ == "__main__":
    main()
