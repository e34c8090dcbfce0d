"""The test bed: a real MooseFS volume with several hosts on one machine. See ``moosefs``."""

from __future__ import annotations

from .moosefs import MooseFsBed, is_volume, missing
from .network import BedError, BedHost

__all__ = ["BedError", "BedHost", "MooseFsBed", "is_volume", "missing"]
