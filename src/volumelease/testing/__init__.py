"""Test what you built on ``volume_lease`` without any volume.

    from volumelease.testing import MemoryVolume

    def test_the_handler_waits_its_turn():
        with MemoryVolume("/runpod-volume") as volume:
            with volume.held_elsewhere("/runpod-volume/models"):
                with pytest.raises(LeaseTimeout):
                    handler({"id": "1"})
            handler({"id": "2"})
            assert volume.leases == ()

The same questions and answers as on a real volume, from the same table. Nothing is written, no
thread beats, and nothing outside of this process is excluded.
"""

from .clocks import ManualClock
from .volume import LeaseSeen, MemoryVolume

__all__ = ["LeaseSeen", "ManualClock", "MemoryVolume"]
