"""fio as the second engine, and as the check of the first one.

It gets the same files, blocks and order, one process a job, and plain byte counts: it reads
``200m`` as 210 MB/s. Source: fio(1), 3.33.
"""

from __future__ import annotations

import ctypes
import json
import shutil
import signal
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any, Final

from .engine import Engine, Run
from .histograms import bucket
from .interrupting import held_back, let_through
from .job import Job
from .problems import BenchProblem
from .statistics import STEADY_SAMPLES, steady_at

TASK: Final = "volumelease.bench.fio:task"
PREFIX: Final = "volumelease-fio-"
_SAMPLE_MS: Final = 250
_EINVAL: Final = 22
_PR_SET_PDEATHSIG: Final = 1
_libc: Final = ctypes.CDLL(None)


def version() -> str:
    """What is installed. Errors: ``BenchProblem`` when nothing is."""
    found = shutil.which("fio")
    if found is None:
        raise BenchProblem(
            "fio is not installed, or not on the PATH",
            advice="apt-get install fio, or leave out --engine fio and --cross-check",
        )
    result = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
    return result.stdout.strip() or "fio"


def run(engine: Engine, orders: list[dict[str, Any]], seconds: float) -> Run:
    """The same as ``engine.run`` of the transfers, by fio, for all of ``seconds``.

    Errors: ``OSError`` with fio's errno; ``BenchProblem`` when it says something else.
    """
    # In a job of the engine: then it ends with that, whatever ends this process. Its logs are
    # made and removed here, since a job is killed where it stands.
    with (
        held_back(),
        tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as logs,
        let_through(),
    ):
        order = {"orders": orders, "seconds": seconds, "logs": logs}
        (answer,) = engine.run(TASK, [order]).answers
    samples = [float(sample) for sample in answer.pop("samples")]
    steady = steady_at(samples) is not None
    back = STEADY_SAMPLES if steady else max(1, len(samples) // 2)
    tail = samples[-back:]
    return Run(
        bytes_per_s=sum(tail) / len(tail) if tail else answer["bytes_per_s"],
        steady=steady,
        seconds=answer["done_seconds"],
        samples=tuple(samples),
        answers=(answer,),
        cpu_share=answer["cpu_share"],
        cpu_total=answer["cpu_share"] * len(orders),
    )


def task(job: Job, parameters: dict[str, Any]) -> dict[str, Any]:
    """Run fio once. Parameters: ``orders`` as of ``transfer.run``, ``seconds``, and ``logs``, an
    empty directory for what it writes beside."""
    orders, logs = parameters["orders"], parameters["logs"]
    job.begin()
    result = subprocess.run(
        arguments(orders, parameters["seconds"], logs),
        capture_output=True,
        text=True,
        check=False,
        cwd=logs,  # it keeps files of its own where it runs
        preexec_fn=_end_with_parent,
    )
    if result.returncode:
        raise OSError(_errno_in(result.stdout + result.stderr), result.stderr.strip()[-500:])
    return _answer(result.stdout, _samples(logs), orders[0]["mode"])


def arguments(orders: list[dict[str, Any]], seconds: float, logs: str) -> list[str]:
    """fio's command line: one job for each order, all at once."""
    first = orders[0]
    kind = ("rand" if first["random"] else "") + first["mode"]
    found = [
        "fio",
        "--output-format=json",
        "--ioengine=psync",
        "--thread",  # its jobs end with it
        "--time_based",
        f"--runtime={max(1, round(seconds))}",
        f"--rw={kind}",
        f"--bs={first['block_bytes']}",
        f"--direct={int(first['direct'])}",
        # Else it would write a file of its own where there is none to read.
        f"--allow_file_create={int(first['mode'] == 'write')}",
        "--fallocate=none",
        "--randrepeat=0",
        "--norandommap",
        "--group_reporting",
        f"--log_avg_msec={_SAMPLE_MS}",
    ]
    if first["mode"] == "write" and not first["direct"]:
        # As our own writers do it: written back behind them.
        found += [f"--sync_file_range=wait_before,write,wait_after:{_every(first['block_bytes'])}"]
    for number, order in enumerate(orders):
        found += [
            f"--name=job{number}",
            f"--filename={order['path'].replace(':', chr(92) + ':')}",
            f"--size={order['file_bytes']}",
            f"--write_bw_log={logs}/job{number}",
        ]
    return found


def _every(block_bytes: int) -> int:
    return max(1, (32 << 20) // block_bytes)


def _samples(logs: str) -> list[float]:
    """Bytes a second of all jobs, for each quarter of a second that all of them were running."""
    sums: dict[int, float] = defaultdict(float)
    counts: dict[int, int] = defaultdict(int)
    files = sorted(Path(logs).glob("*_bw.*.log"))
    for file in files:
        for line in file.read_text(encoding="ascii").splitlines():
            when, kibibytes, *_ = line.split(",")
            slot = round(int(when) / _SAMPLE_MS)
            sums[slot] += int(kibibytes) * 1024
            counts[slot] += 1
    return [sums[slot] for slot in sorted(sums) if counts[slot] == len(files)]


def _answer(output: str, samples: list[float], mode: str) -> dict[str, Any]:
    found = json.loads(output[output.index("{") :])["jobs"][0]
    side = found[mode]
    percentiles = {
        float(share): nanoseconds
        for share, nanoseconds in side["clat_ns"].get("percentile", {}).items()
    }
    return {
        "samples": samples,
        "bytes": side["io_bytes"],
        "bytes_per_s": side["bw_bytes"],
        "operations": side["total_ios"],
        "errors": {"EIO": found["total_err"]} if found.get("total_err") else {},
        "latencies": _histogram(percentiles, side["total_ios"]),
        "slowest_ns": side["clat_ns"]["max"],
        "done_seconds": side["runtime"] / 1000,
        "cpu_share": (found["usr_cpu"] + found["sys_cpu"]) / 100,
    }


def _histogram(percentiles: dict[float, int], total: int) -> dict[str, int]:
    """The counts between fio's percentiles, at their upper ends."""
    found: dict[str, int] = {}
    before = 0
    for share in sorted(percentiles):
        upto = round(total * share / 100)
        if upto > before:
            key = str(bucket(percentiles[share]))
            found[key] = found.get(key, 0) + upto - before
            before = upto
    return found


def _errno_in(text: str) -> int:
    """The error number that fio ended with, else EIO."""
    for line in text.splitlines():
        _, found, rest = line.partition("error=")
        if found and "Invalid argument" in rest:
            return _EINVAL
        _, found, rest = line.partition("err=")
        number = rest.partition("/")[0].strip()
        if found and number.isdigit() and int(number):
            return int(number)
    return 5


def _end_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
