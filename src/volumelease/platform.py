"""The platform's SDK (package ``runpod``) under leases.

The SDK's ``VolumeCache`` mirrors directories of a worker to the volume. Two workers that sync at
the same time, or one after the other with different files, overwrite each other's archive and
manifest: files are lost. ``leased_cache`` is the same cache without that.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, Final

from volumelease.errors import LeaseError, VolumeUnsuitable
from volumelease.leases.asking import volume_lease
from volumelease.leases.process import of_this_process

_JOIN_SECONDS: Final = 30.0
"""As the SDK: a volume that hangs must not keep a worker from ending."""

_OURS_DEPENDS_ON: Final = (
    "_do_sync",
    "_guard",
    "_meta_satisfied_by_local",
    "_mirror_root",
    "_needs_copy",
)


def leased_cache(dirs: Any, *, timeout: float | None = None, **options: Any) -> Any:
    """The SDK's ``VolumeCache`` whose ``hydrate`` and ``sync`` hold a lease on its mirror.

    ``with leased_cache(["/root/.cache/huggingface"]):`` as with ``VolumeCache``, and the same
    ``options``. ``timeout``: how many seconds to wait for the lease (None: for ever). ``join()``
    waits for a sync in the background; the end of the process does too, for half a minute.

    Promise: no file that a worker mirrored is lost by another one's sync: what the mirror has and
    this worker has not is taken over before it is written again. Limit: so a file that one worker
    deletes comes back from the others; of a file that two workers changed, the later sync's stays;
    a worker that uses the SDK's own ``VolumeCache`` beside it still loses files.

    Errors: ``ImportError`` without the SDK; ``VolumeUnsuitable`` for an SDK whose cache works in
    another way. Those of ``volume_lease`` only with ``best_effort=False``; else they are reported
    and the mirror stays as it is.
    """
    return _leased_class()(dirs, timeout=timeout, **options)


@cache
def _leased_class() -> Any:
    base: Any = import_module("runpod.serverless").VolumeCache
    missing = [name for name in _OURS_DEPENDS_ON if not hasattr(base, name)]
    if missing:
        raise VolumeUnsuitable(
            f"this version of the runpod package has another VolumeCache, without {missing[0]}",
            advice="Use a version that is known to work: pip install 'runpod<2'",
            root="",
            fstype="",
        )
    return type("LeasedVolumeCache", (_Leased, base), {})


class _Leased:
    """Mixed in before the SDK's class, whose methods ``super()`` means."""

    _mirror_root: str
    _best_effort: bool
    available: bool
    _guard: Callable[[Callable[[], Any], Any], Any]
    _do_sync: Callable[[], Any]

    def __init__(self, dirs: Any, *, timeout: float | None, **options: Any) -> None:
        super().__init__(dirs, **options)  # type: ignore[call-arg] # of the SDK's class
        self._timeout = timeout
        self._merging = threading.local()
        self._syncs: list[threading.Thread] = []
        self._joined_at_exit = False

    def hydrate(self) -> int:
        """Volume to container, under a shared lease: never half of a sync."""
        if not self.available:
            return 0

        def work() -> int:
            with self._lease(shared=True):
                copied: int = super(_Leased, self).hydrate()  # type: ignore[misc] # the SDK's
                return copied

        copied: int = self._carefully(work, 0)
        return copied

    def sync(self, *, background: bool = True) -> None:
        """Container to volume, under an exclusive lease."""
        if not self.available:
            return
        if not background:
            self._carefully(self._merge_and_sync, None)
            return
        self._join_at_exit()
        self._syncs = [thread for thread in self._syncs if thread.is_alive()]
        thread = threading.Thread(
            target=self._carefully, args=(self._merge_and_sync, None), daemon=True
        )
        self._syncs.append(thread)
        thread.start()

    def join(self, timeout: float | None = None) -> None:
        """Wait for syncs in the background, each for at most ``timeout`` seconds."""
        for thread in list(self._syncs):
            thread.join(timeout)

    def _join_at_exit(self) -> None:
        """Before this process gives its leases back at its end: what is registered last runs
        first."""
        if not self._joined_at_exit:
            self._joined_at_exit = True
            of_this_process()
            atexit.register(self.join, _JOIN_SECONDS)

    # ---- under the lease

    def _merge_and_sync(self) -> None:
        with self._lease(shared=False) as lease:
            self._merging.on = True
            try:
                super().hydrate()  # type: ignore[misc] # the SDK's
            finally:
                self._merging.on = False
            lease.check()
            self._guard(self._do_sync, 0)

    def _lease(self, *, shared: bool) -> Any:
        os.makedirs(self._mirror_root, exist_ok=True)
        return volume_lease(
            self._mirror_root, shared=shared, timeout=self._timeout, reason="volume cache"
        )

    def _carefully(self, work: Callable[[], Any], default: Any) -> Any:
        try:
            return work()
        except (LeaseError, OSError) as error:
            if not self._best_effort:
                raise
            of_this_process().surroundings.report(f"volume cache left as it is: {error}")
            return default

    # ---- while it takes over what others mirrored, what is here already stays as it is

    def _takes_over(self) -> bool:
        return getattr(self._merging, "on", False)

    def _meta_satisfied_by_local(self, meta: dict[str, Any]) -> bool:
        if self._takes_over():
            return os.path.lexists(meta["path"])
        satisfied: bool = super()._meta_satisfied_by_local(meta)  # type: ignore[misc] # the SDK's
        return satisfied

    def _needs_copy(self, source: str, target: str) -> bool:
        if self._takes_over():
            return not os.path.lexists(target)
        needed: bool = super()._needs_copy(source, target)  # type: ignore[misc] # the SDK's
        return needed
