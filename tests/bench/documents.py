"""A document as a full run on a shared volume leaves it: every kind of result, with what fools."""

from __future__ import annotations

from typing import Any

from volumelease.bench.document import Document, Flag, Latency, Repeat, Result, Verdict

EVIL = "<img src=x onerror=document.title='broken'> & \"quotes\""


def document(**changes: Any) -> Document:
    made: Document = {
        "schema": 1,
        "mount": {
            "directory": f"/runpod-volume/{EVIL}",
            "mount_point": "/runpod-volume",
            "fstype": "fuse.mfs",
            "source": "mfs#10.1.2.3:9421",
            "options": ["rw", "relatime"],
            "super_options": ["allow_other"],
            "device": "0:52",
            "network": True,
            "total_bytes": 10 << 40,
            "free_bytes": 3 << 40,
        },
        "environment": {
            "version": "0.1.0",
            "python": "3.11.7",
            "kernel": "6.18.44",
            "machine": "x86_64",
            "cpu": "AMD EPYC 9354",
            "cores": 16,
            "memory_bytes": 128 << 30,
            "load_average": 0.31,
            "started_utc": "2026-11-29T18:00:00Z",
            "seconds": 371.4,
            "command": ["volumelease", "bench", "/runpod-volume", "--full", "--html", "r.html"],
            "engine": "builtin",
            "engine_version": "0.1.0",
            "generator": [
                {"jobs": 1, "block_bytes": 1 << 20, "write_mb_per_s": 9e3, "read_mb_per_s": 14e3}
            ],
        },
        "partial": False,
        "results": [*transfers(), *sweep(), *metadata(), *loads(), *leases()],
        "seed": "5eed",
        "notes": ["Two repeats were left out for lack of time."],
        "cross_check": [
            {
                "scenario": "sequential-read",
                "jobs": 8,
                "block_bytes": 1 << 20,
                "direct": True,
                "builtin_mb_per_s": [312.0],
                "fio_mb_per_s": [309.0],
                "ratio": 1.01,
                "differs": False,
            }
        ],
    }
    made.update(changes)  # type: ignore[typeddict-item] # a test says what it changes
    return made


def result(
    scenario: str,
    rate: float | None,
    verdict: Verdict = "",
    *flags: Flag,
    jobs: int = 1,
    block: int = 1 << 20,
    direct: bool = True,
    **more: Any,
) -> Result:
    made: Result = {
        "scenario": scenario,
        "jobs": jobs,
        "block_bytes": block,
        "direct": direct,
        "median_mb_per_s": rate,
        "ci95_mb_per_s": None if rate is None else [rate * 0.97, rate * 1.02],
        "steady": True,
        "burst_ratio": None if rate is None else 1.04,
        "verdict": verdict,
        "flags": list(flags),
    }
    made.update(more)  # type: ignore[typeddict-item] # as above
    return made


def latency(p50: float) -> Latency:
    """In microseconds."""
    return {
        "count": 1234,
        "p50": p50,
        "p95": p50 * 1.6,
        "p99": p50 * 2.5,
        "p999": p50 * 6,
        "max": p50 * 14,
    }


def repeat(number: int, rate: float, credit: float = 1.0) -> Repeat:
    """``credit``: how many times faster it begins."""
    wobble = [1 + 0.02 * ((at * 7 + number * 3) % 5 - 2) / 2 for at in range(24)]
    samples = [rate * w * (credit if at < 6 else 1) for at, w in enumerate(wobble)]
    return {
        "mb_per_s": rate * wobble[0],
        "seconds": 6.0,
        "bytes": int(rate * 6e6),
        "operations": int(rate * 6),
        "errors": 0,
        "steady": True,
        "samples_mb_per_s": samples,
        "fsync_seconds": 0.02,
        "close_seconds": 0.001,
        "first_done_seconds": 5.8,
        "last_done_seconds": 6.0,
        "cpu_share": 0.1,
    }


def transfers() -> list[Result]:
    def measured(scenario: str, rate: float, verdict: Verdict, *flags: Flag, **more: Any) -> Result:
        credit = 2.5 if "burst" in flags else 1.0
        repeats = [repeat(number, rate, credit) for number in range(3)]
        times = latency(more.get("jobs", 1) / rate * 1e6)
        return result(
            scenario, rate, verdict, *flags, repeats=repeats, latency_us=times, **more
        ) | {"burst_ratio": credit, "fsync_seconds": 0.02}

    return [
        measured("sequential-write", 288.0, "typical", "burst"),
        measured("sequential-write", 402.0, "inconclusive", jobs=8),
        measured("sequential-read", 121.0, "below documented", "latency-bound", direct=False),
        measured("sequential-read", 205.0, "inconclusive", "stream-capped"),
        measured("sequential-read", 1312.0, "fast", jobs=8),
        result(
            "sequential-read", 7038.0, "cache suspected", "cache-suspected", jobs=8, direct=False
        ),
    ]


def sweep() -> list[Result]:
    found = []
    for direct in (True, False):
        for power in range(12, 23):
            rate = 1400 * 2**power / (2**power + (260_000 if direct else 60_000))
            found.append(result("block-sweep", rate, block=1 << power, jobs=8, direct=direct))
    return found


def metadata() -> list[Result]:
    def one(variant: str, microseconds: float, *flags: Flag) -> Result:
        return result(
            "metadata",
            None,
            "",
            *flags,
            block=0,
            variant=variant,
            median_ops_per_s=1e6 / microseconds,
            latency_us=latency(microseconds),
            errors={"ESTALE": 2} if variant == "rename" else {},
        )

    return [
        one("create", 610.0),
        one("stat of a new name", 210.0),
        one("stat again", 3.1, "answered-by-kernel"),
        one("rename", 402.0, "errors"),
        result("random-read", None, "", "errors", failed=f"EIO from {EVIL}"),
    ]


def loads() -> list[Result]:
    def one(variant: str, rate: float, **more: Any) -> Result:
        seconds = {"7B": 14e3 / rate, "13B": 26e3 / rate, "70B": 140e3 / rate}
        return result("model-load", rate, variant=variant, cold_start_seconds=seconds, **more)

    return [
        one("mmap", 160.0, direct=False, block=0),
        one("read", 208.0, direct=False),
        one("threads", 1290.0, threads=8, block=4 << 20),
    ]


def leases() -> list[Result]:
    ways = {"no lease": 1.0, "a lease a file": 0.98, "one lease for all files": 0.6}
    found = [
        result(
            "lease-cost",
            rate * part if jobs == 1 or part > 0.9 else 240.0,
            jobs=jobs,
            variant=way,
            lease={"of_no_lease": part if jobs == 1 or part > 0.9 else 240.0 / rate},
        )
        for jobs, rate in ((1, 280.0), (8, 395.0))
        for way, part in ways.items()
    ]
    units = [16 << 20, 64 << 20, 256 << 20, 1 << 30, 4 << 30, 10 << 30]
    cost = {
        "acquire_us": latency(300.0),
        "release_us": latency(240.0),
        "cost_seconds": 0.00054,
        "cost_ci95_seconds": [0.0005, 0.0006],
        "work_mb_per_s": 280.0,
        "under_one_percent_from_bytes": 17 << 20,
        "shares": [
            {
                "unit_bytes": unit,
                "share": 0.00054 / (0.00054 + unit / 280e6),
                "at_most": 0.0006 / (0.0006 + unit / 290e6),
            }
            for unit in units
        ],
    }
    none: dict[str, Any] = {"block": 0, "direct": False}
    found.append(result("lease-cost", None, variant="acquire and release", lease=cost, **none))
    hand_off = {"hand_off_us": latency(2300.0)}
    found.append(result("lease-cost", None, jobs=2, variant="hand-off", lease=hand_off, **none))
    told = (
        "locks are LOCAL ONLY: they never leave this host; lock and unlock 1 us, a symlink 200 us"
    )
    found.append(
        result(
            "locks", None, "", "locks-local-only", lease={"local_only": True, "told": told}, **none
        )
    )
    return found
