"""What a process has open, told apart: a socket by what it is connected to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_LISTENING = "0A"


@dataclass(frozen=True, slots=True)
class _Tcp:
    local: str
    remote: str
    listening: bool


def descriptors(pid: int, children: Sequence[int]) -> Iterator[str]:
    """One name for each descriptor of `pid`; `children` are processes that it may be connected to."""
    tcp, unix = _tcp(), _unix()
    offered = {
        _port(tcp[inode].local)
        for child in children
        for inode in _sockets(child)
        if inode in tcp and tcp[inode].listening
    }
    own = {
        _port(tcp[inode].local) for inode in _sockets(pid) if inode in tcp and tcp[inode].listening
    }
    for target in _targets(pid):
        inode = _inode(target)
        if inode is None:
            yield re.sub(r":\[\d+\]$", "", target)
        elif inode in unix:
            yield f"unix socket {unix[inode]}".strip()
        elif inode in tcp:
            yield _tcp_name(tcp[inode], own, offered)
        else:
            yield "other socket"


def _tcp_name(socket: _Tcp, own: set[str], offered: set[str]) -> str:
    if socket.listening:
        return "tcp that listens"
    if _port(socket.local) in own:
        return "tcp from a client"
    return "tcp to a child" if _port(socket.remote) in offered else "tcp to elsewhere"


def _targets(pid: int) -> Iterator[str]:
    for descriptor in (_PROC / str(pid) / "fd").glob("*"):
        try:
            yield str(descriptor.readlink())
        except OSError:  # closed meanwhile
            continue


def _sockets(pid: int) -> set[str]:
    return {inode for target in _targets(pid) if (inode := _inode(target)) is not None}


def _inode(target: str) -> str | None:
    return target[8:-1] if target.startswith("socket:[") else None


def _tcp() -> dict[str, _Tcp]:
    """By inode."""
    found = {}
    for name in ("tcp", "tcp6"):
        table = _PROC / "net" / name
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = line.split()
            found[fields[9]] = _Tcp(fields[1], fields[2], fields[3] == _LISTENING)
    return found


def _unix() -> dict[str, str]:
    """Inode to path, which is empty for a socket without a name."""
    lines = (_PROC / "net/unix").read_text().splitlines()[1:]
    return {fields[6]: "".join(fields[7:8]) for fields in map(str.split, lines)}


def _port(address: str) -> str:
    return address.rpartition(":")[2]
