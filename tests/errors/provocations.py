"""How each error is provoked. A function either raises, or returns what the command line said."""

from __future__ import annotations

import errno
import gc
import json
import os
import shutil
import socket
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from volumelease import effects
from volumelease.authorities.redis import founding as of_redis
from volumelease.authorities.volume import founding
from volumelease.authorities.volume.founding import Founding
from volumelease.client.connecting import connect
from volumelease.client.deadlines import Deadlines
from volumelease.drivers.threads import Monitor
from volumelease.errors import LeaseError
from volumelease.leases.asking import volume_lease
from volumelease.leases.populating import populate
from volumelease.testing import MemoryVolume
from volumelease.wire.dialogue import ClientSide

from .stage import Said, Stage

Provoke = Callable[[Stage], Said | None]
PROVOCATIONS: Final[dict[str, Provoke]] = {}


def provocation(how: str) -> Callable[[Provoke], Provoke]:
    """``how``: in words of a user, for the page."""

    def keep(provoke: Provoke) -> Provoke:
        assert how not in PROVOCATIONS
        PROVOCATIONS[how] = provoke
        return provoke

    return keep


# ---- the command line


@provocation("`volumelease --nothing`")
def usage(stage: Stage) -> Said | None:
    return stage.command("status", "--nothing")


@provocation("`volumelease status DIR`, and DIR is no volume")
def no_volume(stage: Stage) -> Said | None:
    return stage.command("status", stage.plain)


@provocation("`volumelease init DIR`, and DIR is not there")
def init_nowhere(stage: Stage) -> Said | None:
    return stage.command("init", stage.folder / "missing")


@provocation("`volumelease init DIR`, and DIR is a file")
def init_file(stage: Stage) -> Said | None:
    (stage.plain / "file").write_text("x")
    return stage.command("init", stage.plain / "file")


@provocation("`volumelease init DIR --ttl 9` on a volume of another ttl")
def init_other_ttl(stage: Stage) -> Said | None:
    return stage.command("init", stage.root, "--ttl", "9")


@provocation("`volumelease init DIR --authority redis` on a volume with a log")
def init_other_authority(stage: Stage) -> Said | None:
    return stage.command("init", stage.root, "--authority", "redis")


@provocation("`volumelease init DIR`, and `.volumelease` there is a file")
def init_on_a_file(stage: Stage) -> Said | None:
    (stage.plain / ".volumelease").write_text("x")
    return stage.command("init", stage.plain)


@provocation("`volumelease uninstall DIR` without a terminal and without `--yes`")
def uninstall_unconfirmed(stage: Stage) -> Said | None:
    return stage.command("uninstall", stage.root)


@provocation("`volumelease uninstall DIR --yes`, and DIR is no volume")
def uninstall_nothing(stage: Stage) -> Said | None:
    return stage.command("uninstall", stage.plain, "--yes")


@provocation("`volumelease uninstall DIR --yes` while a worker uses DIR")
def uninstall_used(stage: Stage) -> Said | None:
    with stage.lease("a"):
        return stage.command("uninstall", stage.root, "--yes")


@provocation("`volumelease migrate DIR --authority redis` without an address of a Redis")
def migrate_nowhere(stage: Stage) -> Said | None:
    return stage.command("migrate", stage.root, "--authority", "redis")


@provocation("`volumelease migrate DIR`, and DIR is no volume")
def migrate_nothing(stage: Stage) -> Said | None:
    return stage.command("migrate", stage.plain, "--authority", "redis")


@provocation("`volumelease adopt LINK`")
def adopt_link(stage: Stage) -> Said | None:
    (stage.root / "real").mkdir()
    (stage.root / "link").symlink_to("real")
    return stage.command("adopt", stage.root / "link")


@provocation("`volumelease adopt FILE`")
def adopt_file(stage: Stage) -> Said | None:
    (stage.root / "file").write_text("x")
    return stage.command("adopt", stage.root / "file")


@provocation("`volumelease adopt DIR` for the volume itself")
def adopt_volume(stage: Stage) -> Said | None:
    return stage.command("adopt", stage.root)


@provocation("`volumelease adopt DIR`, and DIR is not there")
def adopt_nothing(stage: Stage) -> Said | None:
    return stage.command("adopt", stage.root / "missing")


@provocation("`volumelease adopt DIR`, and DIR is empty")
def adopt_empty(stage: Stage) -> Said | None:
    (stage.root / "empty").mkdir()
    return stage.command("adopt", stage.root / "empty")


@provocation("`volumelease break PATH --token 7`, and there is no such lease")
def break_nothing(stage: Stage) -> Said | None:
    return stage.command("break", stage.root / "a", "--token", "7", "--reason", "stuck")


@provocation("`volumelease verify`, and somebody deleted the log")
def verify_no_log(stage: Stage) -> Said | None:
    shutil.rmtree(stage.root / ".volumelease" / ("ab" * 8) / "log")
    return stage.command("verify", VOLUMELEASE_VOLUME=str(stage.root))


@provocation("`volumelease doctor DIR`, and DIR is not there")
def doctor_nowhere(stage: Stage) -> Said | None:
    return stage.command("doctor", stage.folder / "missing")


@provocation("`volumelease doctor --redis` without an address of a Redis")
def doctor_no_redis(stage: Stage) -> Said | None:
    return stage.command("doctor", "--redis")


@provocation("`volumelease daemon` with a socket path that is too long")
def long_socket(stage: Stage) -> Said | None:
    return stage.command("daemon", VOLUMELEASE_SOCKET=f"{stage.folder}/{'x' * 120}.sock")


@provocation("`volumelease daemon`, and a file is where its socket would be")
def socket_is_a_file(stage: Stage) -> Said | None:
    run = stage.folder / "run"
    run.mkdir(mode=0o700)
    (run / "daemon.sock").write_text("x")
    return stage.command(
        "daemon", VOLUMELEASE_SOCKET=str(run / "daemon.sock"), VOLUMELEASE_HTTP="off"
    )


@provocation("`volumelease exporter` at an address that is taken")
def address_taken(stage: Stage) -> Said | None:
    with socket.create_server(("127.0.0.1", 0)) as taken, warnings.catch_warnings():
        # cheroot leaves the socket that it could not bind to the collector.
        warnings.simplefilter("ignore", ResourceWarning)
        http = f"127.0.0.1:{taken.getsockname()[1]}"
        said = stage.command("exporter", stage.root, VOLUMELEASE_HTTP=http)
        gc.collect()
        return said


@provocation("`volumelease exporter` with a file of the token that is not there")
def no_token(stage: Stage) -> Said | None:
    missing = str(stage.folder / "token")
    return stage.command("exporter", stage.root, VOLUMELEASE_HTTP_TOKEN_FILE=missing)


# ---- settings


@provocation("a setting with a bad value: `VOLUMELEASE_TTL=soon`")
def bad_setting(stage: Stage) -> Said | None:
    return stage.command("status", stage.root, VOLUMELEASE_TTL="soon")


@provocation("a setting that there is not: `VOLUMELEASE_TLT=20`")
def unknown_setting(stage: Stage) -> Said | None:
    return stage.command("status", stage.root, VOLUMELEASE_TLT="20")


@provocation("`VOLUMELEASE_VOLUME` names no directory")
def no_such_volume(stage: Stage) -> Said | None:
    return stage.command("status", VOLUMELEASE_VOLUME="/nowhere/at/all")


@provocation("`VOLUMELEASE_VOLUME` names a directory inside of `.volumelease`")
def inside_control(stage: Stage) -> Said | None:
    return stage.command("status", VOLUMELEASE_VOLUME=str(stage.root / ".volumelease"))


@provocation("`VOLUMELEASE_VOLUME` names a directory on a volume")
def volume_on_a_volume(stage: Stage) -> Said | None:
    (stage.root / "inner").mkdir()
    return stage.command("status", VOLUMELEASE_VOLUME=str(stage.root / "inner"))


@provocation("`VOLUMELEASE_REDIS_URL` with a port that is none")
def bad_address(stage: Stage) -> Said | None:
    return stage.command("doctor", "--redis", VOLUMELEASE_REDIS_URL="redis://host:port")


@provocation("`VOLUMELEASE_REDIS_PASSWORD_FILE` names a file that is not there")
def no_password_file(stage: Stage) -> Said | None:
    return stage.command(
        "migrate",
        stage.root,
        "--authority",
        "redis",
        VOLUMELEASE_REDIS_URL="redis://127.0.0.1:1",
        VOLUMELEASE_REDIS_PASSWORD_FILE="/nowhere/password",
    )


@provocation("a Redis that nobody started")
def no_redis(stage: Stage) -> Said | None:
    return stage.command(
        *("migrate", stage.root, "--authority", "redis"),
        VOLUMELEASE_REDIS_URL="redis://127.0.0.1:1",
    )


# ---- leases


@provocation("`volume_lease()` without a path")
def no_path(stage: Stage) -> Said | None:
    stage.lease().__enter__()
    return None


@provocation("`volume_lease(path)`, and no volume holds the path")
def outside(stage: Stage) -> Said | None:
    stage.lease("../plain/a").__enter__()
    return None


@provocation("`volume_lease(path)` inside of `.volumelease`")
def in_control(stage: Stage) -> Said | None:
    stage.lease(".volumelease/x").__enter__()
    return None


@provocation("one lease for paths of two volumes")
def two_volumes(stage: Stage) -> Said | None:
    other = Stage(stage.plain)
    by = stage.worker()
    stage.lease("a", "../plain/volume/a", by=by).__enter__()
    del other
    return None


@provocation("`volume_lease(path, timeout=0)`, and another worker holds the path")
def taken(stage: Stage) -> Said | None:
    with stage.lease("a"), stage.lease("a", timeout=0):
        return None


@provocation("asking exclusively for what this owner holds shared")
def upgrade(stage: Stage) -> Said | None:
    by = stage.worker()
    with stage.lease("a", by=by, shared=True), stage.lease("a", by=by):
        return None


@provocation("two owners that wait for each other")
def circle(stage: Stage) -> Said | None:
    """The other thread waits for ``a`` first, so this one, which is younger, is refused."""
    one, other = stage.worker(), stage.worker()

    def second() -> None:
        with suppress(LeaseError), stage.lease("b", by=other):
            ready.set()
            with stage.lease("a", by=other, timeout=20):
                pass

    ready = threading.Event()
    thread = threading.Thread(target=second)
    try:
        with stage.lease("a", by=one):
            thread.start()
            ready.wait(10)
            _until(lambda: _waits(other))
            with stage.lease("b", by=one, timeout=20):
                return None
    finally:
        thread.join(30)


def _waits(volumes: Any) -> bool:
    return any(hosted.session.waits for hosted in volumes._sessions.values())


def _until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)


@provocation("`lease.check()` after the lease was released")
def released(stage: Stage) -> Said | None:
    with stage.lease("a") as lease:
        pass
    lease.check()
    return None


@provocation("`lease.downgrade()` of what an outer block holds")
def downgrade_inner(stage: Stage) -> Said | None:
    by = stage.worker()
    with stage.lease("a", by=by), stage.lease("a", by=by) as inner:
        inner.downgrade()
    return None


@provocation("`lease.downgrade()` of what an inner block uses")
def downgrade_outer(stage: Stage) -> Said | None:
    by = stage.worker()
    with stage.lease("a", by=by) as outer, stage.lease("a", by=by):
        outer.downgrade()
    return None


# ---- publishing


@provocation("`lease.stage()` of a shared lease")
def stage_shared(stage: Stage) -> Said | None:
    with stage.lease("a", shared=True) as lease, lease.stage():
        return None


@provocation("`lease.stage(path)` of a path that the lease does not cover")
def stage_elsewhere(stage: Stage) -> Said | None:
    with stage.lease("a") as lease, lease.stage(stage.root / "b"):
        return None


@provocation("`lease.stage()` without a path, of a lease on two")
def stage_which(stage: Stage) -> Said | None:
    with stage.lease("a", "b") as lease, lease.stage():
        return None


@provocation("a draft that nothing was written to")
def draft_nothing(stage: Stage) -> Said | None:
    with stage.lease("a") as lease, lease.stage():
        pass
    return None


@provocation("a draft with an absolute link into itself")
def draft_astray(stage: Stage) -> Said | None:
    with stage.lease("a") as lease, lease.stage() as draft:
        draft.mkdir()
        (draft / "file").write_text("x")
        (draft / "link").symlink_to(draft / "file")
    return None


@provocation("a draft with a relative link that leads out of it")
def draft_outward(stage: Stage) -> Said | None:
    with stage.lease("a") as lease, lease.stage() as draft:
        draft.mkdir()
        (draft / "link").symlink_to("../elsewhere")
    return None


@provocation("publishing the volume itself")
def publish_root(stage: Stage) -> Said | None:
    with stage.lease(".") as lease, lease.stage():
        return None


@provocation("publishing where a real directory stands")
def publish_on_directory(stage: Stage) -> Said | None:
    (stage.root / "a").mkdir()
    (stage.root / "a/file").write_text("x")
    with stage.lease("a") as lease, lease.stage():
        return None


@provocation("publishing below what was published as a whole")
def publish_below(stage: Stage) -> Said | None:
    by = stage.worker()
    with stage.lease("a", by=by) as lease, lease.stage() as draft:
        draft.mkdir()
        (draft / "file").write_text("x")
    with stage.lease("a", by=by) as lease, lease.stage(stage.root / "a/file"):
        return None


@provocation("publishing below a file")
def publish_below_file(stage: Stage) -> Said | None:
    (stage.root / "a").write_text("x")
    with stage.lease("a") as lease, lease.stage(stage.root / "a/b"):
        return None


@provocation("`lease.publish(src)`, and src is not there")
def publish_missing(stage: Stage) -> Said | None:
    with stage.lease("a") as lease:
        lease.publish(stage.root / "missing", stage.root / "a")
    return None


@provocation("`populate(path)`, and a directory is there that was not published")
def populate_on_directory(stage: Stage) -> Said | None:
    (stage.root / "a").mkdir()
    (stage.root / "a/file").write_text("x")
    populate(stage.root / "a", lambda draft: draft.mkdir(), volumes=stage.worker())
    return None


# ---- volumes


@provocation("a worker with another `VOLUMELEASE_TTL` than its volume")
def other_ttl(stage: Stage) -> Said | None:
    stage.lease("a", by=stage.worker(ttl=9.0)).__enter__()
    return None


@provocation("a worker with another `VOLUMELEASE_AUTHORITY` than its volume")
def other_authority(stage: Stage) -> Said | None:
    stage.lease("a", by=stage.worker(authority="redis")).__enter__()
    return None


def _identity(stage: Stage, text: str | None = None, **changes: Any) -> None:
    place = stage.root / ".volumelease/identity"
    said = json.loads(os.readlink(place)) | changes
    place.unlink()
    place.symlink_to(json.dumps(said) if text is None else text)


@provocation("a volume of a newer format")
def newer_format(stage: Stage) -> Said | None:
    _identity(stage, format=2)
    stage.lease("a").__enter__()
    return None


@provocation("an identity that is none")
def no_identity(stage: Stage) -> Said | None:
    _identity(stage, text="garbage")
    stage.lease("a").__enter__()
    return None


@provocation("a volume whose leases come from something that this version does not know")
def strange_authority(stage: Stage) -> Said | None:
    _identity(stage, authority="oracle")
    stage.lease("a").__enter__()
    return None


@provocation("a volume whose leases a Redis keeps, and no address of it")
def redis_volume(stage: Stage) -> Said | None:
    _identity(stage, authority="redis")
    stage.lease("a").__enter__()
    return None


@provocation("a volume in memory (`volumelease.testing`), and a path beside it")
def beside_memory(stage: Stage) -> Said | None:
    with MemoryVolume(stage.root):
        volume_lease(stage.plain / "a").__enter__()
    return None


@provocation("publishing on a volume in memory")
def stage_in_memory(stage: Stage) -> Said | None:
    with MemoryVolume(stage.root), volume_lease(stage.root / "a") as lease, lease.stage():
        return None


@provocation("a directory on a volume that leads out of it")
def leads_out(stage: Stage) -> Said | None:
    (stage.root / "out").symlink_to(stage.plain)
    stage.lease("out/a", by=stage.worker(volume=str(stage.root))).__enter__()
    return None


@provocation("a command without a volume, in a directory that is on none")
def no_volume_here(stage: Stage) -> Said | None:
    before = os.getcwd()
    os.chdir(stage.plain)
    try:
        return stage.command("status")
    finally:
        os.chdir(before)


@provocation("`volumelease verify` in a directory that is no volume yet")
def verify_no_volume(stage: Stage) -> Said | None:
    (stage.plain / ".volumelease").mkdir()
    return stage.command("verify", VOLUMELEASE_VOLUME=str(stage.plain))


@provocation("a lease after this process gave up its leases")
def given_up(stage: Stage) -> Said | None:
    worker = stage.worker()
    with stage.lease("a", by=worker):
        pass
    worker.close()
    stage.lease("a", by=worker).__enter__()
    return None


@provocation("`lease.lend()`, entered after the block of the lender ended")
def late_loan(stage: Stage) -> Said | None:
    with stage.lease("a") as lease:
        loan = lease.lend()
    loan.__enter__()
    return None


@provocation("the identity of a volume whose leases a Redis keeps was never written")
def redis_identity_empty(stage: Stage) -> Said | None:
    (stage.plain / ".volumelease").mkdir()
    (stage.plain / ".volumelease/identity").write_text("")
    wanted = Founding("cd" * 8, 15.0, 1.5, ready=True)
    files = stage.worker().surroundings.performer
    Monitor(files).run(of_redis.found(str(stage.plain), wanted))
    return None


# ---- a volume in trouble

FULL, READ_ONLY, BROKEN = errno.ENOSPC, errno.EROFS, errno.EIO
MAKING = (effects.MakeDirectory, effects.Symlink, effects.WriteNew)
BEATING = (effects.CreateFile, effects.SetCounter)


def _found(stage: Stage, number: int, authority: str) -> None:
    one = stage.troubled(number, *MAKING)
    wanted = Founding("cd" * 8, 15.0, 1.5, ready=True)
    found = founding.found if authority == "volume" else of_redis.found
    Monitor(one.surroundings.performer).run(found(str(stage.plain), wanted))


def _for_each_trouble(what: str, do: Callable[[Stage, int], object]) -> None:
    """The same on a volume that is full, that can't be written, that does not answer."""
    troubles = ((FULL, "is full"), (READ_ONLY, "is read-only"), (BROKEN, "does not answer (EIO)"))
    for number, words in troubles:

        def provoke(stage: Stage, number: int = number) -> Said | None:
            do(stage, number)
            return None

        provocation(f"{what}, and the volume {words}")(provoke)


def _publish(stage: Stage, number: int) -> None:
    by = stage.troubled(number, effects.MakeDirectory, below="/stage/")
    with stage.lease("a", by=by) as lease, lease.stage() as draft:
        draft.write_text("x")


_for_each_trouble("making a volume", lambda stage, number: _found(stage, number, "volume"))
_for_each_trouble(
    "making a volume whose leases a Redis keeps",
    lambda stage, number: _found(stage, number, "redis"),
)
_for_each_trouble(
    "the first lease of a worker",
    lambda stage, number: stage.lease("a", by=stage.troubled(number, *BEATING)).__enter__(),
)
_for_each_trouble("beginning a draft", _publish)


@provocation("a lease, and the log of the volume takes no more entries because it is full")
def log_full(stage: Stage) -> Said | None:
    stage.lease("a", by=stage.troubled(FULL, effects.Symlink, below="{")).__enter__()
    return None


@provocation("a lease, and the log of the volume is read-only")
def log_read_only(stage: Stage) -> Said | None:
    stage.lease("a", by=stage.troubled(READ_ONLY, effects.Symlink, below="{")).__enter__()
    return None


@provocation("a lease on many paths, and the volume is full")
def long_record_full(stage: Stage) -> Said | None:
    names = [f"{'x' * 100}/{number}" for number in range(20)]
    by = stage.troubled(FULL, effects.WriteDurably, below="/records/")
    stage.lease(*names, by=by).__enter__()
    return None


@provocation("a lease on many paths, and the volume does not answer (EIO)")
def long_record_broken(stage: Stage) -> Said | None:
    names = [f"{'x' * 100}/{number}" for number in range(20)]
    by = stage.troubled(BROKEN, effects.WriteDurably, below="/records/")
    stage.lease(*names, by=by).__enter__()
    return None


@provocation("a lease, and the log of the volume can't be read")
def log_unreadable(stage: Stage) -> Said | None:
    stage.lease("a", by=stage.troubled(BROKEN, effects.ListDirectory)).__enter__()
    return None


# ---- the daemon


@provocation("a daemon's socket on which nobody answers")
def nobody_answers(stage: Stage) -> Said | None:
    place = stage.folder / "dead.sock"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(place))
    connect(str(place), events=False, seconds=0.1)
    return None


@provocation("a daemon whose page of deadlines this process can't see")
def no_page(stage: Stage) -> Said | None:
    Deadlines(str(stage.folder / "page"), 1, 1)
    return None


@provocation("a request to the daemon that is too long")
def long_request(stage: Stage) -> Said | None:
    ClientSide().ask("acquire", {"claims": [["x" * 70_000]]})
    return None


@provocation("a daemon that says what nobody understands")
def strange_daemon(stage: Stage) -> Said | None:
    ClientSide().receive(b"hello?\n")
    return None


def place_of_page() -> Path:
    return Path(__file__).parents[2] / "docs/errors.md"
