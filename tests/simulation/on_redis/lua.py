"""The product's Lua scripts, run by the Lua that Redis has in it, on a simulated memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from tests.simulation.checkers import Violation
from volumelease.authorities import redis as authority
from volumelease.drivers.scripts import read_scripts

Commands: TypeAlias = Callable[..., Any]
"""Performs one command that a script calls; all its arguments are bytes."""

_RUN: Final = b"""
return function(call)
  local function pack(...) return {...} end
  redis = {call = call}
  return pack, function(chunk, key, ...)
    KEYS, ARGV = {key}, {...}
    return chunk()
  end
end
"""


@cache
def texts() -> Mapping[str, str]:
    """The scripts of the product by name."""
    assert authority.__file__ is not None
    return read_scripts(Path(authority.__file__).parent / "scripts")


class Interpreter:
    """One Lua for all the runs of a process; each run brings its own ``commands``."""

    def __init__(self) -> None:
        from lupa.lua51 import LuaError, LuaRuntime

        self._failed: type[Exception] = LuaError
        self.commands: Commands = _nobody
        lua = LuaRuntime(encoding=None, unpack_returned_tuples=True)
        self._pack, self._run = lua.execute(_RUN)(self._call)
        self._compile = lua.compile
        self._chunks: dict[str, Any] = {}

    def evaluate(self, script: str, key: bytes, arguments: tuple[bytes, ...]) -> Any:
        """The reply of that text. Errors: those of ``commands``; nothing is undone. A text that
        can't go on is a ``Violation``."""
        chunk = self._chunks.get(script)
        if chunk is None:
            chunk = self._chunks[script] = self._compile(script.encode())
        try:
            return _reply(self._run(chunk, key, *arguments))
        except self._failed as error:
            raise Violation("script", str(error)) from error

    def _call(self, *arguments: Any) -> Any:
        return self._to_lua(self.commands(*map(_argument, arguments)))

    def _to_lua(self, value: Any) -> Any:
        if isinstance(value, list):
            return self._pack(*map(self._to_lua, value))
        return False if value is None else value


@cache
def interpreter() -> Interpreter:
    return Interpreter()


def _nobody(*arguments: bytes) -> Any:
    raise AssertionError(f"no server runs {arguments}")


def _argument(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return b"%d" % value if value == int(value) else b"%.17g" % value


def _reply(value: Any) -> Any:
    """As Redis turns what a script returns into a reply: an array ends at the first nil."""
    if value is None or value is False:
        return None
    if isinstance(value, bytes | int | float):
        return value if isinstance(value, bytes) else int(value)
    found: list[Any] = []
    for index in range(1, len(value) + 1):
        one = value[index]
        if one is None:
            break
        found.append(_reply(one))
    return found
