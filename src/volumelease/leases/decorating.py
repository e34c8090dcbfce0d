"""``@volume_lease(...)`` on every kind of function: the lease lasts as long as the body runs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .asking import volume_lease


def decorated(function: Callable[..., Any], block: Callable[[], volume_lease]) -> Any:
    """``function`` with its body inside of a new ``block()`` for each call."""
    body: Any = function
    if not (
        inspect.isroutine(body) or inspect.isclass(body) or isinstance(body, functools.partial)
    ):
        body = type(body).__call__  # an object that can be called
    if inspect.isasyncgenfunction(body):
        return _async_generator(function, block)
    if inspect.iscoroutinefunction(body):
        return _coroutine(function, block)
    if inspect.isgeneratorfunction(body):
        return _generator(function, block)
    return _plain(function, block)


def _plain(function: Callable[..., Any], block: Callable[[], volume_lease]) -> Any:
    @functools.wraps(function)
    def leased(*args: Any, **kwargs: Any) -> Any:
        with block():
            result = function(*args, **kwargs)
            _refuse_what_goes_on(function, result)
            return result

    return leased


def _refuse_what_goes_on(function: Callable[..., Any], result: Any) -> None:
    """A body that runs after the lease was released would believe in it."""
    kinds = (inspect.isawaitable, inspect.isgenerator, inspect.isasyncgen)
    if not any(kind(result) for kind in kinds):
        return
    if inspect.iscoroutine(result) or inspect.isgenerator(result):
        result.close()  # not begun: it never will be
    raise TypeError(
        f"{function!r} returned {type(result).__name__}, whose body would run after the lease. "
        f"Decorate the function that has the body, or take the lease inside of it"
    )


def _coroutine(function: Callable[..., Any], block: Callable[[], volume_lease]) -> Any:
    @functools.wraps(function)
    async def leased(*args: Any, **kwargs: Any) -> Any:
        async with block():
            return await function(*args, **kwargs)

    return leased


def _generator(function: Callable[..., Any], block: Callable[[], volume_lease]) -> Any:
    @functools.wraps(function)
    def leased(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with block():
            return (yield from function(*args, **kwargs))

    return leased


def _async_generator(function: Callable[..., Any], block: Callable[[], volume_lease]) -> Any:
    @functools.wraps(function)
    async def leased(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        async with block(), aclosing(function(*args, **kwargs)) as inner:
            step = anext(inner, _END)
            while (value := await step) is not _END:
                try:
                    sent = yield value
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001 - thrown in: it is the body's
                    step = _ended(inner.athrow(error))
                else:
                    step = _ended(inner.asend(sent))

    return leased


_END: Any = object()


async def _ended(step: Any) -> Any:
    try:
        return await step
    except StopAsyncIteration:
        return _END
