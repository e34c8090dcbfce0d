"""Who a lease belongs to, inside a process."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from volumelease.leases.owners import Owners


def test_an_asyncio_that_another_thread_is_just_importing_is_no_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """redis-py imports it, in the thread of the bell."""
    monkeypatch.setitem(sys.modules, "asyncio", ModuleType("asyncio"))
    owners = Owners()
    assert owners.current() is owners.current()
