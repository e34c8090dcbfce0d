"""Mounts of known speed: what ``volumelease bench`` must find out about them is set beforehand."""

from __future__ import annotations

from .disk import ThrottledDisk, missing_throttle
from .paced import PacedMemory, missing_tmpfs
from .throttled import Limits, ThrottledMount, missing_fuse

__all__ = [
    "Limits",
    "PacedMemory",
    "ThrottledDisk",
    "ThrottledMount",
    "missing_fuse",
    "missing_throttle",
    "missing_tmpfs",
]
