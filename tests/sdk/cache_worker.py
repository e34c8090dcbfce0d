"""A worker with a disk of its own: ``python -m tests.sdk.cache_worker MODE VOLUME DIR NAME``.

For every number on stdin it fills and syncs a cache of that namespace, ``MODE`` being ``leased``
or ``plain``, or it says what a fresh worker finds there (``check``). ``DIR`` must be private.
"""

from __future__ import annotations

import json
import shutil
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

BIG: int = 300 * 1024  # above the SDK's threshold, so a file of its own in the mirror


def main(mode: str, volume: str, directory: str, name: str) -> None:
    sdk = import_module("runpod.serverless.utils.rp_volume_cache")
    from volumelease.platform import leased_cache

    place = Path(directory)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        for old in place.iterdir():
            shutil.rmtree(old)
        options: dict[str, Any] = {"namespace": f"n{line.strip()}", "volume_path": volume}
        if mode == "check":
            sdk.VolumeCache([directory], **options).hydrate()
        elif mode == "leased":
            with leased_cache([directory], **options) as cache:
                fill(place, name)
            cache.join()
        else:
            with sdk.VolumeCache([directory], **options):
                fill(place, name)
            sdk._join_pending_syncs()
        found = [str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()]
        print(json.dumps({"found": sorted(found)}), flush=True)


def fill(place: Path, name: str) -> None:
    folder = place / name
    folder.mkdir()
    for number in range(3):
        (folder / f"small{number}").write_text(name)
    (folder / "big").write_bytes(name[:1].encode() * BIG)


if __name__ == "__main__":
    main(*sys.argv[1:])
