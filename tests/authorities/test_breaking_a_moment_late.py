"""A holder that lets go while its lease is being marked."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

from volumelease.effects import Effect, Symlink
from volumelease.leases.asking import volume_lease
from volumelease.leases.lease import Lease
from volumelease.leases.volumes import Surroundings, Volumes
from volumelease.paths.locate import locate


class LosingTheReply:
    """Its next entry of the log lands, the holder lets go, and then comes an error."""

    def __init__(self) -> None:
        self._performer = Surroundings.of_this_process().performer
        self.holder: Lease | None = None

    def perform(self, effect: Effect) -> Any:
        answer = self._performer.perform(effect)
        if isinstance(effect, Symlink) and effect.at is not None and self.holder is not None:
            holder, self.holder = self.holder, None
            holder.release()
            raise OSError(errno.EIO, "the reply was lost")
        return answer


def test_what_was_marked_is_reported_as_broken_though_its_holder_let_go(tmp_path: Path) -> None:
    around, performer = Surroundings.of_this_process(), LosingTheReply()
    holders, breakers = Volumes(around), Volumes(around._replace(performer=performer))
    root = locate(str(tmp_path), explicit=str(tmp_path))
    holders.found(root, ready=True, ttl=15.0)
    lease = volume_lease(tmp_path / "a", volumes=holders).__enter__()
    hosted: Any = breakers.session(root)
    hosted.run(hosted.session.replica.catch_up())
    breaking, audit = hosted.session.breaking, "broken.json"
    performer.holder = lease
    assert hosted.run(breaking.begin(lease.token, "stuck", audit, b"{}"))
    assert breaking.ends[lease.token] == "let go by its holder"
    assert not breaking.under_way(lease.token)
    assert Path(hosted.session.publishing.layout.audit(audit)).exists()
    again = hosted.run(breaking.begin(lease.token, "stuck", "again.json", b"{}"))
    assert not again
    holders.close()
    breakers.close()
