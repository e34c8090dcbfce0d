"""Files of any store that fsspec knows, each downloaded once for the whole fleet.

    python deploy/examples/remote_files.py s3://bucket/data.parquet

fsspec's own ``filecache::`` with a directory of the volume is not that: its index is one file that
all workers rewrite in place.
"""

from __future__ import annotations

import os
import shutil
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import fsspec

from volumelease import populate, volume_lease

VOLUME = Path(os.environ.get("VOLUME", "/runpod-volume"))


def cached(url: str, **options: Any) -> Path:
    """A complete copy of it on the volume; ``options`` as for ``fsspec.open``."""
    place = VOLUME / "files" / sha256(url.encode()).hexdigest()

    def download(draft: Path) -> None:
        with fsspec.open(url, "rb", **options) as source, open(draft, "wb") as file:
            shutil.copyfileobj(source, file)

    return populate(place, download)


def mirror(url: str, name: str, **options: Any) -> Path:
    """A directory of a store, as a directory of the volume that never changes."""
    store, folder = fsspec.core.url_to_fs(url, **options)

    def download(draft: Path) -> None:
        store.get(folder.rstrip("/") + "/", f"{draft}/", recursive=True)

    return populate(VOLUME / "mirrors" / name, download)


def write(path: Path, data: bytes) -> None:
    """The other way: through fsspec's own local files, published when they are closed."""
    with (
        volume_lease(path) as lease,
        lease.stage() as draft,
        fsspec.open(f"file://{draft}", "wb") as file,
    ):
        file.write(data)


if __name__ == "__main__":
    print(cached(sys.argv[1]))
