"""A generator handler: each word of the answer is streamed, and the whole of it is published at
the end, as a directory of its own.

The SDK does not run generators for ``--test_input``; ``--rp_serve_api`` does.

The lease is held while the answer is written, so a job that is delivered twice is done by one
worker at a time, and the second finds what the first one published. A worker that is killed in
the middle leaves nothing: its draft is cleared away. A generator that the SDK drops, because the
job was stopped, lets go of its lease as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import once
import runpod

from volumelease import volume_lease


def handler(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    weights = once.model() / "weights"
    name = f"job-{quote(once.name_of(job), safe='')}"  # a name from outside is no path
    place = once.VOLUME / "results" / "streams" / name
    with volume_lease(place, timeout=60, reason=f"job {job['id']}") as lease:
        if place.exists():
            for file in sorted(place.iterdir()):
                yield {"word": file.read_text()}
            return
        with lease.stage() as draft:
            draft.mkdir()
            for number, prompt in enumerate(job["input"]["prompt"].split()):
                lease.check()  # no more work for nothing, once it is lost
                word = once.compute(weights, prompt)["answer"]
                (draft / f"{number:04d}.txt").write_text(word)
                yield {"word": word}


if __name__ == "__main__":
    runpod.serverless.start({"handler": handler, "return_aggregate_stream": True})
