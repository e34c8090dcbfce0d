"""Checkpoints that are old or new and never half: safetensors, ``torch.save``, several files.

What is written under a name that readers look at is seen half-written, and a worker that was cut
off from the volume goes on writing into its successor's file. So each of these writes aside, and is
published by who still holds the lease.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from volumelease import volume_lease


def save_tensors(path: Path, tensors: Mapping[str, Any], save_file: Callable[..., Any]) -> int:
    """One file of safetensors. ``save_file`` of ``safetensors.torch`` or ``.numpy``, which wants a
    name: the name of a draft. Returns the lease's token."""
    with volume_lease(path, reason="checkpoint") as lease, lease.stage() as draft:
        save_file(dict(tensors), str(draft))
    return lease.token


def save_object(path: Path, thing: Any, save: Callable[[Any, IO[bytes]], Any]) -> int:
    """One file of anything that is saved into an open file: ``save=torch.save``, ``pickle.dump``,
    ``lambda arrays, file: numpy.savez(file, **arrays)``."""
    with volume_lease(path, reason="checkpoint") as lease, lease.open(path, "wb") as file:
        save(thing, file)
    return lease.token


def save_step(
    place: Path,
    step: int,
    shards: Mapping[str, Mapping[str, Any]],
    save_file: Callable[..., Any],
) -> int:
    """A checkpoint of several files, visible all at once as the directory ``place``.

    ``step``: a checkpoint that is further on is left alone, so a worker that was paused for an hour
    and has its lease again doesn't take the others back.
    """
    with volume_lease(place, reason=f"step {step}") as lease:
        state = place / "state.json"
        if state.exists() and json.loads(state.read_text())["step"] >= step:
            return lease.token
        with lease.stage() as draft:
            draft.mkdir()
            for name, tensors in shards.items():
                save_file(dict(tensors), str(draft / f"{name}.safetensors"))
            (draft / "state.json").write_text(json.dumps({"step": step, "token": lease.token}))
    return lease.token
