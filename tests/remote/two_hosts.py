"""Histories of two hosts: what reads and changes of their processes saw, and the rule of it."""

from __future__ import annotations

import signal
from collections.abc import Callable

import servers
import support
from children import Child

Start = Callable[..., Child]


def run_history(
    start: Start,
    server: servers.Server,
    trouble: str,
    source: str,
    *,
    first: str,
    changed: tuple[list[int], list[int]],
    victims: tuple[str, ...] = (),
) -> None:
    """Have four processes `read` and two of them `change` for three seconds beside a victim, and
    check what they had.

    `first`: what each does before; `changed`: the keys that each host changes; `victims`: what the
    victim does beside its reads.
    """
    hosts = "aabb"
    children = [start(source, host) for host in hosts]
    victim = start(source, "a")
    for child in (*children, victim):
        # What a first call imports is no part of a history: without a GIL that takes seconds on a
        # loaded machine (CPython 3.13 yields to all others for each class that it makes).
        child.ask(first)
    asked = [child.start("read(3)") for child in children]
    # What only the other host changes, nothing but the server tells of.
    for child, keys in zip(children[::2], changed, strict=True):
        asked.append(child.start(f"change(3, {keys})"))
    for call in ("read(3)", *victims):
        victim.start(call)
    support.eventually(lambda: int(victim.ask("len(calls)")) > 10)
    if trouble == "killed":
        victim.kill()
    elif trouble == "stopped":
        victim.signal(signal.SIGSTOP)
    elif trouble == "restarted":
        server.kill()
        server.start()
    for one in asked:
        assert one.answer() == "None"
    if trouble == "stopped":
        victim.signal(signal.SIGCONT)
    changes = {host: eval(children[at].ask("changes")) for host, at in (("a", 0), ("b", 2))}
    assert all(changes.values())
    for host, child in zip(hosts, children, strict=True):
        had = eval(child.ask("calls"))
        calls = [(key, began_at, value) for (key, value), began_at in had.items()]
        assert len(calls) > 10
        for where, made in changes.items():
            # The other host has a second, and the machine may be slow to say what time it is.
            late = 0 if where == host else 1_000_000_000
            check(calls, made, late)


def check(
    calls: list[tuple[int, int, int]], changes: list[tuple[int, int, int]], late: int
) -> None:
    for key in {change[0] for change in changes}:
        made = sorted((returned, begun) for of, begun, returned in changes if of == key)
        at, least = 0, 0
        for _, began_at, value in sorted((call for call in calls if call[0] == key), key=_began):
            while at < len(made) and made[at][0] + late < began_at:
                least = max(least, made[at][1])
                at += 1
            assert value >= least, (key, began_at, value, least)


def _began(call: tuple[int, int, int]) -> int:
    return call[1]
