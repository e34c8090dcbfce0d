"""The document that a benchmark leaves: ``volumelease bench --json``, and all that is made of it.

Rates are decimal megabytes a second (1 MB = 1,000,000 bytes), as volumes are sold. Fields are
added to schema 1 and never renamed; what a result can't say is null or left out.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NotRequired, TypedDict

SCHEMA: Final = 1

Verdict = Literal[
    "below documented",
    "typical",
    "above typical",
    "fast",
    "very fast",
    "documented peak",
    "inconclusive",
    "cache suspected",
    "not the volume",
    "",
]
"""Empty where no band fits: a result that is not a sequential transfer, or failed."""

Flag = Literal[
    "generator-bound",
    "cache-suspected",
    "written-behind",
    "not-the-volume",
    "local-disk",
    "not-steady",
    "burst",
    "short",
    "errors",
    "wrong-data",
    "no-direct-io",
    "answered-by-kernel",
    "latency-bound",
    "stream-capped",
    "locks-local-only",
    "fio-differs",
    "interrupted",
    "few-repeats",
]


class MountFacts(TypedDict):
    """The mount, as mountinfo and statvfs show it."""

    directory: str
    mount_point: str
    fstype: str
    source: str
    options: list[str]
    super_options: list[str]
    device: str
    network: bool
    total_bytes: int
    free_bytes: int


class Ceiling(TypedDict):
    """What the generator itself can do, measured on memory in decimal MB/s."""

    jobs: int
    block_bytes: int
    write_mb_per_s: float
    read_mb_per_s: float


class Environment(TypedDict):
    """Everything about the machine that is needed to repeat a run."""

    version: str
    python: str
    kernel: str
    machine: str
    cpu: str
    cores: int
    memory_bytes: int
    load_average: float
    started_utc: str
    seconds: float
    command: list[str]
    engine: str
    engine_version: str
    generator: list[Ceiling]


class Latency(TypedDict):
    """Microseconds an operation; from a log-linear histogram, so exact to 1.6 %; max is exact."""

    count: int
    p50: float
    p95: float
    p99: float
    p999: float
    max: float
    histogram: NotRequired[list[list[int]]]
    """Pairs of the lower edge of a bucket in nanoseconds and its count."""


class Repeat(TypedDict):
    """One run of a measurement. Rates in MB/s; null for a metadata operation."""

    mb_per_s: float | None
    ops_per_s: NotRequired[float]
    seconds: float
    bytes: int
    operations: int
    errors: int
    steady: bool
    samples_mb_per_s: list[float]
    fsync_seconds: float
    close_seconds: float
    first_done_seconds: float
    last_done_seconds: float
    cpu_share: float
    """Of one core, the busiest job."""


class Result(TypedDict):
    """One measurement: a scenario with its jobs, block size and way of reading or writing.

    The fields up to ``flags`` are in every result.
    """

    scenario: str
    jobs: int
    block_bytes: int
    direct: bool
    median_mb_per_s: float | None
    ci95_mb_per_s: list[float] | None
    steady: bool
    burst_ratio: float | None
    verdict: Verdict
    flags: list[Flag]
    min_mb_per_s: NotRequired[float | None]
    max_mb_per_s: NotRequired[float | None]
    variant: NotRequired[str]
    """What tells results of one scenario apart beside jobs, block and direct: ``mmap``, ``tar``."""
    engine: NotRequired[str]
    threads: NotRequired[int]
    median_ops_per_s: NotRequired[float]
    ci95_ops_per_s: NotRequired[list[float]]
    latency_us: NotRequired[Latency]
    fsync_seconds: NotRequired[float]
    close_seconds: NotRequired[float]
    errors: NotRequired[dict[str, int]]
    """How often each error came, by its name (``EIO``)."""
    repeats: NotRequired[list[Repeat]]
    cold_start_seconds: NotRequired[dict[str, float]]
    """``{"7B": ..., "13B": ..., "70B": ...}`` at 16 bit."""
    failed: NotRequired[str]
    """Why there is no value."""
    notes: NotRequired[list[str]]
    lease: NotRequired[dict[str, Any]]
    """What leases cost: see ``lease_cost``."""


class CrossCheck(TypedDict):
    """The same work by this engine and by fio, alternating."""

    scenario: str
    jobs: int
    block_bytes: int
    direct: bool
    builtin_mb_per_s: list[float]
    fio_mb_per_s: list[float]
    ratio: float
    differs: bool


class Document(TypedDict):
    """A whole run. ``partial``: it was interrupted or ran into an error; ``reason`` says which.
    ``left``: what of it could not be removed from the volume, why, and how it can be later."""

    schema: int
    mount: MountFacts
    environment: Environment
    partial: bool
    results: list[Result]
    reason: NotRequired[str]
    left: NotRequired[str]
    options: NotRequired[dict[str, Any]]
    seed: NotRequired[str]
    notes: NotRequired[list[str]]
    cross_check: NotRequired[list[CrossCheck]]
