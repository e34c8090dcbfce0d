"""Beginning a session, on a volume that is slow or whose leases are just moving."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from volumelease.authorities.answers import SessionOver
from volumelease.clock import Clock
from volumelease.errors import AuthorityMoved

from .hosting import Hosting

OPEN_TRIES: Final = 5
"""A session that took longer to open than its ttl allows holds nothing yet, so another may be
tried. A volume that is never fast enough is said to be."""

ARRIVAL_SECONDS: Final = 2.0
"""Between the end of one authority and the beginning of the next is one call on the volume."""

_LOOK_SECONDS: Final = 0.05


def opened(
    hosted: Hosting[Any],
    anew: Callable[[bool], Hosting[Any]],
    clock: Clock,
    report: Callable[[str], None],
) -> Hosting[Any]:
    """That session, open, or another one: ``anew`` makes it, of the authority that the leases
    just moved to if its argument says so.

    Errors: ``AuthorityMoved`` when they do not arrive; those of opening.
    """
    until = clock.monotonic() + ARRIVAL_SECONDS
    tries = 1
    while True:
        try:
            hosted.open()
        except AuthorityMoved:
            if clock.monotonic() > until:
                raise
            time.sleep(_LOOK_SECONDS)
            hosted = anew(True)
        except SessionOver as error:
            if tries == OPEN_TRIES:
                raise
            tries += 1
            report(f"no session could be opened: {error.what}; try {tries} of {OPEN_TRIES}")
            hosted = anew(False)
        else:
            return hosted
