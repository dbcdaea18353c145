"""A cluster on this machine: servers that share the slots."""

from __future__ import annotations

import time

import servers
from servers import Server

SLOTS = 16384


class Cluster:
    """Masters, empty; how many."""

    def __init__(self, program: str, masters: int = 3) -> None:
        self.masters: list[Server] = []
        try:
            for i in range(masters):
                bus = str(servers.free_port())
                # (Nobody fails for being slow.)
                timeout = ("--cluster-node-timeout", "60000")
                options = ("--cluster-enabled", "yes", "--cluster-port", bus, *timeout)
                server = Server(program, *options)
                self.masters.append(server)
                first, last = i * SLOTS // masters, (i + 1) * SLOTS // masters - 1
                server.say("CLUSTER", "SET-CONFIG-EPOCH", str(i + 1))
                assert server.say("CLUSTER", "ADDSLOTSRANGE", str(first), str(last)) == "+OK\r\n"
                meet = ("127.0.0.1", str(server.port), bus)
                self.masters[0].say("CLUSTER", "MEET", *meet)
            self._await_agreement()
        except BaseException:
            self.close()
            raise

    def _await_agreement(self) -> None:
        end = time.monotonic() + 60
        known = f"cluster_known_nodes:{len(self.masters)}"
        for server in self.masters:
            while True:
                said = server.say("CLUSTER", "INFO")
                if "cluster_state:ok" in said and known in said:
                    break
                assert time.monotonic() < end, f"no cluster: {said}"
                time.sleep(0.01)

    @property
    def url(self) -> str:
        return f"redis+cluster://127.0.0.1:{self.masters[-1].port}"

    def sizes(self) -> list[int]:
        """How many keys each master has."""
        return [int(server.say("DBSIZE")[1:]) for server in self.masters]

    def close(self) -> None:
        for server in self.masters:
            server.close()
