"""Rules about what only makes things faster: nothing may depend on it."""

from __future__ import annotations

from typing import Any

from volumelease.authorities.volume import attending, courtesy

Patches = list[tuple[Any, str, Any]]


def bell_is_trusted() -> Patches:
    return [(attending, "ARMED_POLL_SECONDS", 3600.0)]


def turnstile_without_a_bound() -> Patches:
    """Sought at the first miss already: so many herds are rare in so small a fleet."""
    return [
        (courtesy, "TURNSTILE_SECONDS", 3600.0),
        (courtesy, "BACK_OFF_SECONDS", 0.0),
        (courtesy, "HERD_MISSES", 1),
    ]
