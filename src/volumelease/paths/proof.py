"""What two hosts found out about a mount, stored on the mount itself.

For file systems that nobody measured: ``volumelease doctor --peer`` writes the verdict, and who
makes a volume there reads it. Limit: it speaks for a file system of that kind on that directory;
with other mount options another verdict may be due, and whoever can write the directory can
write the verdict.
"""

from __future__ import annotations

import json
import math
import os
from typing import Final, NamedTuple

from .mounts import Mount, Verdict, judge
from .resolve import below

PEERS: Final = ".volumelease-peer"
"""Where two hosts meet and leave their verdict. Not in the control directory: that one would be
the trace of a log that somebody deleted."""

_VERDICT: Final = "verdict.json"
_LARGEST: Final = 65_536


class Proof(NamedTuple):
    """One verdict. ``broken`` says what is, one line each; empty when it was ``proved``."""

    fstype: str
    hosts: tuple[str, ...]
    at: float
    broken: tuple[str, ...]

    @property
    def proved(self) -> bool:
        return not self.broken


def verdict_path(root: str) -> str:
    return f"{root.rstrip('/')}/{PEERS}/{_VERDICT}"


def encode_proof(proof: Proof) -> str:
    document = {
        "schema": 1,
        "verdict": "proved" if proof.proved else "disproved",
        "fstype": proof.fstype,
        "hosts": list(proof.hosts),
        "at": proof.at,
        "broken": list(proof.broken),
    }
    return json.dumps(document, indent=1) + "\n"


def decode_proof(text: str) -> Proof | None:
    """The verdict, or None for whatever is none."""
    try:
        source = json.loads(text)
        broken = tuple(str(line) for line in source["broken"])
        if source["schema"] != 1 or (source["verdict"] == "proved") == bool(broken):
            return None
        hosts = tuple(str(host) for host in source["hosts"])
        at = float(source["at"])
        if not math.isfinite(at):
            return None
        return Proof(str(source["fstype"]), hosts, at, broken)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def read_proof(root: str, mount: Mount) -> Proof | None:
    """The verdict on the directory ``root`` (a real path), or on the nearest one above it on the
    same mount. None where there is none, or where it is of another file system."""
    directory = root
    while below(directory, mount.mount_point) is not None:
        try:
            with open(verdict_path(directory), encoding="utf-8", errors="replace") as file:
                proof = decode_proof(file.read(_LARGEST))
        except OSError:
            proof = None
        if proof is not None:
            return proof if proof.fstype == mount.fstype else None
        if directory == "/":
            break
        directory = os.path.dirname(directory)
    return None


def judge_with_proof(root: str, mount: Mount) -> Verdict:
    """``judge``, and for a file system that nobody measured what two hosts found out about it."""
    verdict = judge(mount)
    if verdict.suitable != "unknown":
        return verdict
    proof = read_proof(root, mount)
    if proof is None:
        return verdict
    hosts = " and ".join(proof.hosts)
    if proof.proved:
        return Verdict("proven", f"{hosts} proved it to each other", verdict.shared)
    why = "; ".join(proof.broken)
    return Verdict("refused", f"{hosts} found out that {why}", verdict.shared)
