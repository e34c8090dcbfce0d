"""A torture of a product that is broken finds it. (That of the real one is ``make torture``.)"""

from __future__ import annotations

import pytest

from tests.bed import missing
from tests.bed.redis import missing_redis

from .__main__ import torture
from .plan import HANDS, Step

pytestmark = [
    pytest.mark.bed,
    pytest.mark.torture,
    pytest.mark.skipif(
        bool(missing() or missing_redis()), reason=str(missing() or missing_redis())
    ),
]


@pytest.mark.timeout(400)
def test_leases_that_ignore_their_deadline_are_found() -> None:
    """Each hand stands still for longer than a ttl, and each host is cut off for as long."""
    stops = [Step(2.0 + 4 * n, "stop", name, 9.0) for n, name in enumerate(HANDS)]
    cuts = [Step(6.0 + 14 * n, "cut", str(n), 10.0) for n in range(3)]
    outcome = torture("volume", 1, 60.0, ttl=4.0, steps=sorted(stops + cuts), broken="deadline")
    assert any("exclusion" in violation for violation in outcome.verdict.violations)
