"""What a script of a Redis can have replied, and what not."""

from __future__ import annotations

from typing import Any

import pytest

from volumelease.leases.redis_hosting import texts_of_scripts
from volumelease.wire import replies
from volumelease.wire.replies import is_reply

TOKEN = b"0170000000-0000000001"
ENDED = TOKEN + b"\0ab\0models"
HOLDER = [TOKEN, b"ab", b"1", b"1.5", b"1.5", b"{}", b"", b"{}"]


def test_each_script_has_its_replies() -> None:
    assert set(replies._REPLIES) == set(texts_of_scripts())


@pytest.mark.parametrize(
    ("script", "reply"),
    [
        ("acquire", [b"granted", TOKEN, b"1"]),
        ("acquire", [b"waiting", TOKEN, [HOLDER]]),
        ("acquire", [b"busy", []]),
        ("acquire", [b"finished"]),
        ("acquire", [b"incarnation", b"170000000", b"", b"n"]),
        ("acquire", [b"unknown"]),
        ("beat", [b"beat", b"", 0, b"3", [TOKEN], [b"ab", b"7", b"cd", b""], b"n"]),
        ("look", [b"look", b"", [b"1", b"gone"], [[b"ab", b"7", b"{}", [b"5:99"]]], []]),
        ("release", [b"released", [], TOKEN]),
        ("move", [b"ended", b"volume", b"ab"]),
        ("beat", [b"ended", b"volume", None]),
        ("past", [b"past", b"0", b"nothing", b"0", 0, [], [], []]),
        (
            "past",
            [b"past", b"7", b"", b"3", 1, [b"", ENDED], [[TOKEN, b"ab", b"a"]], [[b"ab", b""]]],
        ),
    ],
)
def test_what_the_scripts_say_is_a_reply(script: str, reply: list[Any]) -> None:
    assert is_reply(script, reply)


@pytest.mark.parametrize(
    ("script", "reply"),
    [
        ("acquire", None),
        ("acquire", b"granted"),
        ("acquire", []),
        ("acquire", ["granted", TOKEN, b"1"]),
        ("acquire", [b"granted"]),
        ("acquire", [b"granted", TOKEN]),
        ("acquire", [b"granted", TOKEN, b"1", b"more"]),
        ("acquire", [b"granted", TOKEN, b"2"]),
        ("acquire", [b"granted", b"1", b"1"]),
        ("acquire", [b"granted", TOKEN + b"\n", b"1"]),
        ("acquire", [b"released", [], TOKEN]),
        ("acquire", [b"waiting", TOKEN, [HOLDER[:-1]]]),
        ("acquire", [b"waiting", TOKEN, [[*HOLDER[:3], b"nan", *HOLDER[4:]]]]),
        ("beat", [b"beat", b"", 0, None, [], [], b"n"]),
        ("past", [b"past", b"7", b"", b"3", 1, [b"ab\0cd\0key"], [], []]),
        ("beat", [b"beat", b"", -1, b"3", [], [], b"n"]),
        ("beat", [b"beat", b"", 0, b"3", [], [b"ab"], b"n"]),
        ("beat", [b"beat", b"", 0, b"9" * 20, [], [], b"n"]),
        ("look", [b"look", b"", [b"1"], [], []]),
        ("look", [b"look", b"", [b"1", b"mine"], [], []]),
        ("look", [b"look", b"", [], [[b"ab", b"7", b"{}", [b"5"]]], []]),
        ("open", [b"incarnation", b"x", b"", b"n"]),
        ("open", [b"open", b"1", b"", b"\xff"]),
        ("moved", [b"memory", b"1", b"volume", b"\xff", b""]),
    ],
)
def test_anything_else_is_none(script: str, reply: Any) -> None:
    assert not is_reply(script, reply)
