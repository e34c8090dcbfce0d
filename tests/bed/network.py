"""The wires of a bed: one namespace for the servers with a bridge, one a host, a veth between.

Everything private to the namespaces, so every bed uses the same addresses and names of links.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .undertaker import NAMESPACES

SUBNET: Final = "10.201.0.0/24"
SERVER: Final = "10.201.0.1"  # the chunk server refuses a master on 127.x
SERVER_MAC: Final = "02:00:00:00:00:01"
BRIDGE: Final = "br0"
LINK: Final = "eth0"
# Ethernet, IP and TCP headers (66 bytes) and a status: "no such name" makes 79, "made" 118 bytes.
LONGEST_REFUSAL: Final = "100"
SHAPED_BURST: Final = "512kb"
"""More than the 64 KiB that a virtual cable hands on in one piece, and gone in milliseconds."""
MOST_HOSTS: Final = 200  # addresses 10.201.0.11 to .210


class BedError(RuntimeError):
    """The bed could not be made, used or taken down; the message says what failed and why."""


def program(name: str) -> str:
    """The full path of a program, also where PATH lacks the sbin directories."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin")
    if found is None:
        raise BedError(f"program {name} is missing")
    return found


def run(argv: Sequence[str], *, seconds: float = 20.0) -> str:
    """Run a short command; its output. ``BedError`` with what it said when it fails or hangs."""
    try:
        done = subprocess.run(
            argv,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise BedError(f"{' '.join(argv)}: no answer in {seconds:g} s") from error
    if done.returncode != 0:
        raise BedError(f"{' '.join(argv)}: {done.stdout.strip() or done.returncode}")
    return done.stdout


def ip(namespace: str, *arguments: str) -> str:
    return run([program("ip"), "-n", namespace, *arguments])


def tc(namespace: str, *arguments: str) -> str:
    return run([program("tc"), "-n", namespace, *arguments])


def inside(namespace: str, argv: Sequence[str]) -> list[str]:
    """``argv`` with the network of ``namespace``, and the mounts of this process.

    Not ``ip netns exec``: that makes a mount namespace of its own, so a mount made in it would be
    seen by nobody else.
    """
    return [program("nsenter"), f"--net={NAMESPACES / namespace}", "--", *argv]


@dataclass(frozen=True, slots=True)
class BedHost:
    """One host of the bed: a network of its own and its own mount of the volume.

    A process is "on" this host when it works below ``mount``; one that also needs the host's
    network is started through ``command``.
    """

    name: str
    number: int
    mount: Path
    namespace: str
    servers: str

    @property
    def address(self) -> str:
        return f"10.201.0.{10 + self.number}"

    @property
    def port(self) -> str:
        """The name of the server's end of this host's cable."""
        return f"port{self.number}"

    def command(self, argv: Sequence[str]) -> list[str]:
        """``argv`` prefixed so that it runs with this host's network; the pid stays the same."""
        return inside(self.namespace, argv)

    def cut(self) -> None:
        """Unplug the host. Calls into its mount that need the server hang until ``heal``.

        Limit: buffered writes and whatever is cached are still answered by the mount itself.
        """
        ip(self.namespace, "link", "set", "dev", LINK, "down")

    def cut_for(self, seconds: float) -> None:
        """``cut`` at once, and plug the host in again so many seconds later, from a process of its
        own: whoever has a locked file of the mount open can't start one until then."""
        switch = f"{program('ip')} -n {self.namespace} link set dev {LINK}"
        script = f"{switch} down; echo; sleep {seconds}; {switch} up"
        healer = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE)
        assert healer.stdout is not None
        with healer.stdout as cut:
            cut.readline()
        threading.Thread(target=healer.wait, daemon=True).start()

    def heal(self) -> None:
        """Plug the host in again, and let everything through at full speed again."""
        ip(self.namespace, "link", "set", "dev", LINK, "up")
        self.restore_replies()
        self._forget_queue(self.namespace, LINK)

    def lose_replies(self) -> None:
        """Requests of this host reach the server and are carried out; no answer comes back.

        Limit: a call by path asks for the name first (LOOKUP) and gets no further than that, so
        this loses the answer of calls on an open descriptor: locks, ftruncate, fchmod, utime. For
        calls that make a name see ``lose_long_replies``. TCP's acknowledgements are lost too.
        """
        self._drop_answers("blackhole")

    def lose_long_replies(self) -> None:
        """Answers that describe a file are lost; refusals and acknowledgements come through.

        So a symlink, mkdir, link or exclusive create of a free name is carried out while its
        caller waits for the answer ("no such name" comes back, "made" does not). After 10 s the
        mount gives the connection up, connects again, repeats the call and hears EEXIST, of its
        own entry (rename of a directory: ENOENT), all that without ``heal``. Limits: the parent
        directory must be known to the mount (the working directory, a ``dir_fd``, or a path
        walked less than a second ago); any other call on this host meanwhile loses its answer
        too, and holds up those behind it in the same connection, for 10 s more each time.
        """
        self._drop_answers("tbf", "rate", "1gbit", "burst", LONGEST_REFUSAL, "limit", "1mb")

    def shape(self, bytes_per_second: int) -> None:
        """From now on the host's cable carries that much in each direction, until ``heal``.

        Counted are whole frames, so files go through some percent slower. Limit: this host's
        mount alone; it ends ``lose_replies``.
        """
        rate = ("rate", f"{8 * bytes_per_second}bit", "burst", SHAPED_BURST, "latency", "100ms")
        self.restore_replies()
        tc(self.servers, "qdisc", "add", "dev", self.port, "root", "tbf", *rate)
        self._forget_queue(self.namespace, LINK)
        tc(self.namespace, "qdisc", "add", "dev", LINK, "root", "tbf", *rate)

    def restore_replies(self) -> None:
        """Let all answers through again, whichever way they were lost."""
        self._forget_queue(self.servers, self.port)

    @staticmethod
    def _forget_queue(namespace: str, device: str) -> None:
        if "noqueue" not in tc(namespace, "qdisc", "show", "dev", device):
            tc(namespace, "qdisc", "del", "dev", device, "root")

    def _drop_answers(self, *queue: str) -> None:
        # Without a fixed entry the host's ARP probes stay unanswered after some seconds, and then
        # its requests are lost too.
        neighbour = (SERVER, "lladdr", SERVER_MAC, "dev", LINK, "nud", "permanent")
        ip(self.namespace, "neigh", "replace", *neighbour)
        self.restore_replies()
        tc(self.servers, "qdisc", "add", "dev", self.port, "root", *queue)


def lay_bridge(servers: str) -> None:
    """Make the servers' namespace, with a bridge that every host's cable ends in."""
    run([program("ip"), "netns", "add", servers])
    ip(servers, "link", "set", "dev", "lo", "up")
    ip(servers, "link", "add", "name", BRIDGE, "address", SERVER_MAC, "type", "bridge")
    ip(servers, "addr", "add", f"{SERVER}/24", "dev", BRIDGE)
    ip(servers, "link", "set", "dev", BRIDGE, "up")


def plug_in(host: BedHost) -> None:
    """Make the host's namespace and its cable to the bridge."""
    run([program("ip"), "netns", "add", host.namespace])
    ip(host.namespace, "link", "set", "dev", "lo", "up")
    cable = ("type", "veth", "peer", "name", host.port, "netns", host.servers)
    ip(host.namespace, "link", "add", "name", LINK, *cable)
    ip(host.servers, "link", "set", "dev", host.port, "master", BRIDGE)
    ip(host.servers, "link", "set", "dev", host.port, "up")
    ip(host.namespace, "addr", "add", f"{host.address}/24", "dev", LINK)
    ip(host.namespace, "link", "set", "dev", LINK, "up")
