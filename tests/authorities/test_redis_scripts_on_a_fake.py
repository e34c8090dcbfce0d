"""What the scripts say call by call, on a machine without a server: the same tests as on one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.authorities.redis_table import RedisTable
from tests.authorities.test_redis_scripts import (
    test_a_beat_tells_of_what_others_did,
    test_a_finished_number_is_refused,
    test_a_number_that_was_refused_is_finished,
    test_a_release_that_overtakes_its_acquire_finishes_the_number,
    test_a_session_that_is_not_there_is_lost_and_never_new,
    test_a_table_that_ended_says_what_follows_to_everybody,
    test_only_a_counter_that_still_stands_is_expired,
    test_only_who_holds_the_whole_volume_can_end_the_table,
    test_the_same_number_asked_again_is_the_same_request,
)

from .fake_redis import fake_table

__all__ = [
    "test_a_beat_tells_of_what_others_did",
    "test_a_finished_number_is_refused",
    "test_a_number_that_was_refused_is_finished",
    "test_a_release_that_overtakes_its_acquire_finishes_the_number",
    "test_a_session_that_is_not_there_is_lost_and_never_new",
    "test_a_table_that_ended_says_what_follows_to_everybody",
    "test_only_a_counter_that_still_stands_is_expired",
    "test_only_who_holds_the_whole_volume_can_end_the_table",
    "test_the_same_number_asked_again_is_the_same_request",
]


@pytest.fixture
def table() -> Iterator[RedisTable]:
    table = fake_table()
    yield table
    table.close()
