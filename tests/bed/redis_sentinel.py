"""A master, its replicas and three sentinels, which fail over in about a second."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Any, Final, Self

from .network import BedError
from .redis import RedisServer, eventually

SERVICE: Final = "fleet"
QUORUM: Final = 1
DOWN_MILLISECONDS: Final = (700, 2500, 2500)
"""The first sees that a master is down before the others do, and asks for their votes: three that
see it at once vote for themselves, again and again. A replica that heard nothing of its master
for ten times as long before it went down is not chosen."""

FAILOVER_SECONDS: Final = 20.0
REPLICATOR: Final = "replicator"
_WORD: Final = "replication-word"


class Sentinel(RedisServer):
    """One sentinel that watches the master at ``port``."""

    def __init__(self, port: int, down_milliseconds: int, password: str = "") -> None:
        super().__init__()
        watched = f"sentinel monitor {SERVICE} 127.0.0.1 {port} {QUORUM}"
        lines = ["bind 127.0.0.1", f"port {self.port}", f"dir {self.folder}", watched]
        lines += [f"sentinel down-after-milliseconds {SERVICE} {down_milliseconds}"]
        lines += [f"sentinel failover-timeout {SERVICE} 3000"]
        if password:
            lines += [f"sentinel auth-pass {SERVICE} {password}"]
        self.configuration = "\n".join([*lines, ""])

    def _arguments(self) -> list[str]:
        return ["--sentinel"]

    def hurry(self) -> None:
        """Ask everybody some times as often. While a master is down its replicas are asked once
        a second, and what one said counts for five ping periods: with less than 200 ms none is
        found fit half of the time."""
        words = ("info-period", "200", "ping-period", "300", "publish-period", "200")
        self.client().execute_command("SENTINEL", "DEBUG", *words)


class RedisFleet:
    """``with RedisFleet() as fleet:`` every replica has everything, every sentinel knows all.

    ``servers[0]`` is the first master; ``master`` whoever the sentinels name now.
    """

    def __init__(self, replicas: int = 1, *, password: str = "", aof: bool = False) -> None:
        # Replication is its own user, so that it can be forbidden alone.
        user = f"{REPLICATOR} on >{_WORD} +psync +replconf +ping"
        more = [f"masteruser {REPLICATOR}", f"masterauth {_WORD}", "repl-timeout 2"]
        self.servers = [RedisServer(password, aof=aof, users=[user], more=more)]
        for _ in range(replicas):
            self.servers.append(
                RedisServer(password, aof=aof, users=[user], more=more, replica_of=self.servers[0])
            )
        port = self.servers[0].port
        self.sentinels = [Sentinel(port, down, password) for down in DOWN_MILLISECONDS]
        self._password = password
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        who = f":{self._password}@" if self._password else ""
        places = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{who}{places}/{SERVICE}/0"

    @property
    def master(self) -> RedisServer:
        address = self.sentinels[0].client().sentinel_get_master_addr_by_name(SERVICE)
        return next(server for server in self.servers if server.port == int(address[1]))

    def stop_replication(self) -> None:
        """What the master is told from now on no replica hears: they lag."""
        client = self.master.client()
        client.acl_setuser(REPLICATOR, enabled=False)
        client.execute_command("CLIENT", "KILL", "TYPE", "replica")

    def fail_over(self) -> RedisServer:
        """kill -9 to the master; the new one, once the sentinels name it and it takes writes."""
        old = self.master
        old.kill()

        def changed() -> RedisServer | None:
            new = self.master
            return new if new is not old and _is_master(new.client()) else None

        try:
            found: RedisServer = eventually(changed, FAILOVER_SECONDS)
        except BedError as error:
            raise BedError(f"{error}\n{self.sentinels[0].log}") from None
        return found

    def bring_back(self, server: RedisServer) -> None:
        """Start one that was killed, with nothing, and wait until it is a replica that has all."""
        server.wipe()
        server.start()
        eventually(lambda: not _is_master(server.client()), FAILOVER_SECONDS)
        self.master.wait_for_replicas(1, FAILOVER_SECONDS)

    def __enter__(self) -> Self:
        with self._stack as stack:
            for server in self.servers:
                stack.enter_context(server)
            self.servers[0].wait_for_replicas(len(self.servers) - 1)
            for sentinel in self.sentinels:
                stack.enter_context(sentinel)
                sentinel.hurry()
            eventually(self._everybody_is_known, FAILOVER_SECONDS)
            self._stack = stack.pop_all()
        return self

    def _everybody_is_known(self) -> bool:
        states = [one.client().sentinel_master(SERVICE) for one in self.sentinels]
        return all(
            state["num-slaves"] == len(self.servers) - 1 and state["num-other-sentinels"] == 2
            for state in states
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()


def _is_master(client: Any) -> bool:
    return bool(client.role()[0] == b"master")
