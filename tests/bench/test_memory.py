"""How much memory a benchmark takes: the container's limit counts, not what the host has free."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bench.contexts import context_on
from volumelease.bench import memory
from volumelease.bench.memory import Group, room

GIB = 1 << 30
MEMINFO = f"MemTotal: {8 * GIB >> 10} kB\nMemFree: 1000 kB\nMemAvailable: {4 * GIB >> 10} kB\n"
NONE = Group("max\n", f"{GIB}\n", "")
NONE_IN_V1 = Group("9223372036854771712\n", f"{GIB}\n", "")


def test_what_the_page_cache_holds_is_not_taken() -> None:
    assert room(MEMINFO, []) == 4 * GIB


def test_the_narrowest_group_counts() -> None:
    groups = [NONE, Group(f"{3 * GIB}\n", f"{GIB}\n", ""), Group(f"{4 * GIB}", f"{GIB}", "")]
    assert room(MEMINFO, groups) == 2 * GIB
    assert room(MEMINFO, [NONE, NONE_IN_V1]) == 4 * GIB
    assert room("", [NONE, Group(f"{GIB}", f"{2 * GIB}", "")]) == 0


@pytest.mark.parametrize("name", ["inactive_file", "total_inactive_file"])
def test_files_that_a_group_only_caches_are_not_taken(name: str) -> None:
    stat = f"anon 5\n{name} {GIB}\nactive_file 7\n"
    assert room(MEMINFO, [Group(f"{2 * GIB}", f"{2 * GIB}", stat)]) == GIB
    assert room(MEMINFO, [Group(f"{2 * GIB}", "5", stat)]) == 2 * GIB


@pytest.mark.parametrize("text", ["", "max", "-5", "lots", "1 2", "²", "9" * 40, "\0", "1e9"])
def test_what_can_not_be_understood_is_no_limit(text: str) -> None:
    assert room(MEMINFO, [Group(text, "5", ""), Group("5", text, "")]) == 4 * GIB
    assert room(f"MemAvailable: {text} kB" if text != "1 2" else "MemAvailable:", []) is None
    groups = [Group(f"{GIB}", "5", f"inactive_file {text}" if text != "1 2" else "inactive_file")]
    assert room("", groups) == GIB - 5


def test_every_group_above_is_looked_at() -> None:
    text = "12:cpu,cpuacct:/a\n5:memory:/../a/b\nnonsense\n0::/x.slice/y\n"
    assert [names[0] for names in memory._files(text)] == [
        "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/x.slice/y/memory.max",
        "/sys/fs/cgroup/x.slice/memory.max",
        "/sys/fs/cgroup/memory.max",
    ]
    assert list(memory._files("")) == []


def test_a_container_with_a_limit_loads_a_model_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {
        "/proc/meminfo": MEMINFO,
        "/proc/self/cgroup": "0::/\n",
        "/sys/fs/cgroup/memory.max": f"{GIB}\n",
        "/sys/fs/cgroup/memory.current": f"{GIB // 2}\n",
    }
    with context_on(tmp_path) as context:
        monkeypatch.setattr(memory, "_text", lambda path: texts.get(path, ""))
        assert context.free_memory() == GIB // 2
        texts.clear()
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        assert 0 < context.free_memory() <= whole
