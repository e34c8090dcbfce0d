"""Moments in the clock of one boot, as notes beside segments, versions and drafts say them."""

from __future__ import annotations

import math
from typing import Final

_LONGEST: Final = 32


def encode_moment(boottime: float) -> str:
    return repr(boottime)


def decode_moment(text: str) -> float | None:
    """Seconds since that boot; None for a text that is none. What is no moment must not look as if
    it was long ago: things are deleted by it."""
    try:
        moment = float(text) if text.isascii() and len(text) <= _LONGEST else math.nan
    except ValueError:
        return None
    return moment if math.isfinite(moment) and moment >= 0 else None
