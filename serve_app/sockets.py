"""Who listens where: the check that nothing of a process tree can be reached from another machine."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Listener:
    """One listening socket."""

    process: str
    host: str
    port: int

    @property
    def on_loopback(self) -> bool:
        address = ipaddress.ip_address(self.host)
        mapped = getattr(address, "ipv4_mapped", None)
        return (mapped or address).is_loopback

    def __str__(self) -> str:
        return f"{self.process} on {self.host}:{self.port}"


def process_tree(pid: int | None = None) -> list[psutil.Process]:
    """Returns a process (this one by default) and everything below it."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def listeners(processes: list[psutil.Process]) -> list[Listener]:
    """Returns the TCP sockets on which the processes accept connections."""
    found = set()
    for process in processes:
        try:
            name, connections = process.name(), process.net_connections("inet")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        found |= {Listener(name, c.laddr.ip, c.laddr.port) for c in connections if c.status == psutil.CONN_LISTEN}
    return sorted(found, key=str)


def exposed(processes: list[psutil.Process], *, allowed: tuple[str, int] | None = None) -> list[Listener]:
    """Returns the listeners that are not on loopback, but for the address that the owner has chosen."""
    return [s for s in listeners(processes) if not s.on_loopback and (s.host, s.port) != allowed]
