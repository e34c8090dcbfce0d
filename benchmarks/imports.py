"""What does it cost before the first lease? Importing, and the first lease in a fresh process, with
the interpreter's own start subtracted."""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from .measure import Goal, Samples, alternate, report

OURS = "from volumelease import volume_lease"
FIRST = "first lease in a fresh process"
NOTHING = "interpreter start"


def run(folder: Path, where: str, target: Path | None, rounds: int) -> bool:
    from volumelease import leases
    from volumelease.leases.volumes import Surroundings, Volumes
    from volumelease.paths.locate import locate

    volume = folder / "first"
    (volume / "data").mkdir(parents=True)
    volumes = Volumes(Surroundings.of_this_process())
    root = locate(str(volume), explicit=str(volume))
    volumes.found(root, ready=True, ttl=15.0)

    compileall.compile_dir(Path(leases.__file__).parents[1], quiet=1)  # as an installation does

    def python(code: str) -> Callable[[], object]:
        command = [sys.executable, "-c", code]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return lambda: subprocess.run(command, check=True, env=environment)

    lease = f"volume_lease({str(volume / 'data')!r})"
    results = alternate(
        {
            NOTHING: python("pass"),
            OURS: python("from volumelease import volume_lease"),
            FIRST: python(f"from volumelease import volume_lease\nwith {lease}: pass"),
            "import redis": python("import redis"),
            "import filelock": python("import filelock"),
        },
        rounds=rounds,
        calls=2,
    )
    start = results.pop(NOTHING).median
    net = {
        name: Samples(name, [max(0.0, second - start) for second in samples.seconds])
        for name, samples in results.items()
    }
    goals = [
        Goal(OURS, "import redis", 0.35),
        Goal(OURS, "import filelock", 0.8),
        Goal(FIRST, "import filelock", 2.0),
    ]
    return report("imports and first lease, interpreter start excluded", where, net, goals, target)
