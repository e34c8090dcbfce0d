"""``python -m tests.bed.demo``, which is ``make demo``: the demo of ``volumelease``, on a real
two-host volume where this machine can make one, else in a local directory."""

from __future__ import annotations

import sys

from volumelease.cli.competition import Competition
from volumelease.cli.demo import Act, perform, usual_acts
from volumelease.cli.program import run
from volumelease.errors import LeaseError

from . import BedError, MooseFsBed, missing


def main() -> int:
    reason = missing()
    if reason is not None:
        print(f"no two-host volume can be made here: {reason}", flush=True)
        return run(["demo"])
    print("starting a MooseFS volume with two hosts on this machine ...", flush=True)
    try:
        with MooseFsBed(hosts=2) as bed:
            print("workers of two endpoints on both hosts compete for one path", flush=True)
            mounts = [str(host.mount) for host in bed.hosts]
            return perform(mounts, [*usual_acts(len(mounts)), _cut_off(bed)])
    except (BedError, LeaseError) as error:
        print(f"error: {error}\ntry: volumelease demo", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _cut_off(bed: MooseFsBed) -> Act:
    """The second host loses the network while a worker of it holds the lease; then it is back."""

    def act(competition: Competition) -> None:
        try:
            competition.cut_holder(1, bed.hosts[1].cut)
            competition.watch(1.0)
        finally:
            bed.heal()
        competition.tell("the host is back; what its worker held stays lost")
        competition.watch(1.5)

    return act


if __name__ == "__main__":
    sys.exit(main())
