"""What must hold where a Redis is the authority; one checker in each file."""

from __future__ import annotations

from typing import Final

from tests.simulation.checkers import Checker
from tests.simulation.checkers.deadlocks import Deadlocks
from tests.simulation.checkers.exclusion import Exclusion
from tests.simulation.checkers.latch import Latch
from tests.simulation.checkers.tokens import Tokens

from .expiries import Expiries
from .health import Health
from .nobody import Nobody
from .order import Order
from .ownership import Ownership
from .progress import RedisProgress
from .publishes import RedisPublishes
from .tidiness import RedisTidiness
from .wakeups import RedisWakeUps

REDIS_CHECKERS: Final[list[type[Checker]]] = [
    Order,
    Ownership,
    Nobody,
    Exclusion,
    Expiries,
    Tokens,
    Latch,
    Deadlocks,
    RedisPublishes,
    RedisWakeUps,
    Health,
    RedisProgress,
    RedisTidiness,
]
