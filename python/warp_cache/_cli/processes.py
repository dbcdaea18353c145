"""The processes of this user that have shared caches open, as the system knows them (Linux)."""

from __future__ import annotations

import os
from dataclasses import dataclass

__all__ = ["Process", "of_this_user", "process"]

_DELETED = " (deleted)"


@dataclass(frozen=True)
class Process:
    """A process that is alive."""

    pid: int
    command: str
    executable: str | None
    """Its program's file, which tells one Python from another."""
    environment: dict[str, str]

    @property
    def told(self) -> str:
        return f"process {self.pid} ({self.command})"


def _read(pid: int, name: str) -> bytes | None:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read(1 << 22)
    except OSError:
        return None


def process(pid: int) -> Process | None:
    """What is known of a process; None if nothing is, or it is somebody else's."""
    words = _read(pid, "cmdline")
    if not words:
        return None
    command = " ".join(os.fsdecode(word) for word in words.rstrip(b"\0").split(b"\0"))
    try:
        executable = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        executable = None
    pairs = [pair.partition(b"=") for pair in (_read(pid, "environ") or b"").split(b"\0")]
    environment = {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs if name}
    shown = command if len(command) <= 60 else f"{command[:57]}..."
    return Process(pid, shown, executable, environment)


def of_this_user() -> dict[int, set[str]]:
    """The paths of the shared caches that each process of this user has mapped, but this one's.

    Empty where the system does not say. O(processes).
    """
    found: dict[int, set[str]] = {}
    try:
        pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return found
    for pid in pids:
        if pid == os.getpid():
            continue
        paths = {path for path in _mapped(pid) if path.endswith(".cache")}
        if paths:
            found[pid] = paths
    return found


def _mapped(pid: int) -> set[str]:
    maps = _read(pid, "maps")
    if maps is None:
        return set()
    paths = set()
    for line in maps.splitlines():
        fields = line.split(None, 5)
        if len(fields) == 6 and b".cache" in fields[5]:
            path = os.fsdecode(fields[5])
            # One without a name is private to its process and forks.
            if not path.endswith(_DELETED):
                paths.add(path)
    return paths
