"""A model of a hub in the cache that the whole fleet shares: downloaded by one worker, once.

    python deploy/examples/hub.py sentence-transformers/all-MiniLM-L6-v2

``HF_HOME`` on the volume alone is not that: the hub locks with ``flock``, which excludes no other
host on some network mounts and outlives a host that was cut off on others; and an offline look-up
takes a snapshot that another worker is still downloading for complete. Here each repository has a
cache of its own, which is visible when it is whole.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from huggingface_hub import snapshot_download

from volumelease import populate

VOLUME = Path(os.environ.get("VOLUME", "/runpod-volume"))


def cache_of(repository: str, revision: str = "main") -> Path:
    """A ``cache_dir`` that has that repository. Give it to whatever loads from it, with
    ``local_files_only=True``: ``from_pretrained(repository, cache_dir=..., ...)``.

    A builder that dies leaves what it has to the next one, for downloads into a cache go on where
    they ended. A revision that moves is a new place: name a commit or a tag.
    """
    name = f"{repository}@{revision}".replace("/", "--")

    def download(draft: Path) -> None:
        snapshot_download(repository, revision=revision, cache_dir=draft)

    return populate(VOLUME / "hub" / name, download, resume=True)


def files_of(repository: str, revision: str = "main") -> Path:
    """The directory of its files, for what takes a path."""
    cache = cache_of(repository, revision)
    return Path(
        snapshot_download(repository, revision=revision, cache_dir=cache, local_files_only=True)
    )


if __name__ == "__main__":
    print(files_of(sys.argv[1]))
