"""Run every probe where it is started: alone, under the guard, or in a sandbox.

``python -m tests.enforce.worker LEVEL TOP OFF``: TOP holds ``leased`` and ``unleased``. Prints
one JSON object: what each probe came to, by its slug. The descriptors that were open before are
named in PROBE_DESCRIPTORS.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from .probes import PROBES, At, Probe


def attempt(probe: Probe, at: At) -> str:
    if probe.needs and not importlib.util.find_spec(probe.needs.partition(".")[0]):
        return f"missing: {probe.needs}"
    try:
        probe.work(at)
    except Exception as error:  # noqa: BLE001 - whatever a library makes of EACCES
        return f"{type(error).__name__}: {error}"
    return ""


def main(level: str, top: Path, off: Path) -> None:
    descriptors = json.loads(os.environ["PROBE_DESCRIPTORS"])
    for probe in PROBES:
        if probe.needs and importlib.util.find_spec(probe.needs.partition(".")[0]):
            importlib.import_module(probe.needs)
    found = {}
    with lease_for(level, top):
        for probe in PROBES:
            places = (top / "leased", top / "unleased", off)
            leased, unleased, beside = (place / probe.slug for place in places)
            at = At(leased, unleased, beside, descriptors.get(probe.slug, -1))
            found[probe.slug] = attempt(probe, at)
    print(json.dumps(found))


def lease_for(level: str, top: Path) -> Any:
    if level != "python":
        return nullcontext()
    from volumelease import volume_lease

    return volume_lease(top / "leased")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
