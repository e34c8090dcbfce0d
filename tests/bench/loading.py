"""Tasks for the engine: one cold load of a model, by ours and by the library itself."""

from __future__ import annotations

import os
import time
from typing import Any

from volumelease.bench.job import Job
from volumelease.bench.residency import forget
from volumelease.bench.tensors import load


class _Once:
    """A slot that tells to stop after the first load."""

    def __init__(self, slot: Any, size: int) -> None:
        self._slot, self._size, self._done = slot, size, 0

    def told_to_stop(self) -> bool:
        return self._done >= self._size

    def count(self, done: int, active_ns: int) -> None:
        self._done = done
        self._slot.count(done, active_ns)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._slot, name)


def by_mapping(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """As the benchmark does it, once."""
    from volumelease.bench.tensors import HEADER_BYTES

    once: Any = _Once(job.slot, parameters["file_bytes"] - HEADER_BYTES)
    return load(Job(job.number, once), parameters)


def by_safetensors(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """As a program does it that has numpy."""
    from safetensors.numpy import load_file

    descriptor = os.open(parameters["path"], os.O_RDONLY)
    forget(descriptor)
    os.close(descriptor)
    began = job.begin()
    model = load_file(parameters["path"])
    took = time.monotonic_ns() - began
    job.slot.count(sum(tensor.nbytes for tensor in model.values()), took)
    return {"bytes": 0}
