"""What several tests of the way to a Redis need."""

from __future__ import annotations

import pytest

from tests.bed.redis import missing_redis

from .asking import Ask, ask_in_a_loop, ask_with_threads


@pytest.fixture
def needs_redis() -> None:
    if reason := missing_redis():
        pytest.skip(reason)


@pytest.fixture(params=[ask_with_threads, ask_in_a_loop], ids=["threads", "loop"])
def ask(request: pytest.FixtureRequest) -> Ask:
    found: Ask = request.param
    return found
