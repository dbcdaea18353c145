"""``python -m warp_cache``: the package's commands.

``advise`` says which strategy and size suit a recorded workload: ``curves`` replays it through
every strategy and a range of sizes, ``advice`` says what to take, ``terminal`` shows it as plain
text, ``view`` with colours and ``plot`` as a picture. The last two need ``extras``. ``exchange``
converts recordings for other simulators, and theirs. ``traces`` reads what both work on.

Imported by ``__main__``, and by nothing else.
"""

from __future__ import annotations

import argparse

from warp_cache import __version__
from warp_cache._cli import advise, exchange

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command that the arguments (else the process's own) name; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m warp_cache",
        description="``python -m warp_cache``: the package's commands.",
    )
    parser.add_argument("--version", action="version", version=f"warp_cache {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    advise.add_to(commands)
    exchange.add_to(commands)
    options = parser.parse_args(arguments)
    status = options.run(options)
    assert isinstance(status, int)
    return status
