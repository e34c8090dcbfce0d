"""One question, over a client with threads or in an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from volumelease.authorities.redis.addresses import RedisAddress
from volumelease.authorities.redis.connecting import (
    close,
    close_in_loop,
    connect,
    connect_in_loop,
    greet,
    greet_in_loop,
)
from volumelease.authorities.redis.troubles import asked, asked_in_loop

Ask = Callable[..., Any]
"""``ask(address, *commands)``: the reply to the last one, over one client."""


def ask_with_threads(address: RedisAddress, *commands: tuple[Any, ...], **options: Any) -> Any:
    client: Any = connect(address, **options)
    try:
        reply = greet(client, address)
        for command in commands:
            reply = asked(address, partial(client.execute_command, *command))
        return reply
    finally:
        close(client)


def ask_in_a_loop(address: RedisAddress, *commands: tuple[Any, ...], **options: Any) -> Any:
    async def ask() -> Any:
        client: Any = connect_in_loop(address, **options)
        try:
            reply = await greet_in_loop(client, address)
            for command in commands:
                reply = await asked_in_loop(address, partial(client.execute_command, *command))
            return reply
        finally:
            await close_in_loop(client)

    return asyncio.run(ask())
