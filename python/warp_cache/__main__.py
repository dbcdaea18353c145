"""``python -m warp_cache``: the package's commands."""

from __future__ import annotations

import argparse
import sys

from warp_cache import __version__, _advise, _exchange


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m warp_cache", description=__doc__)
    parser.add_argument("--version", action="version", version=f"warp_cache {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _advise.add_to(commands)
    _exchange.add_to(commands)
    options = parser.parse_args(arguments)
    status = options.run(options)
    assert isinstance(status, int)
    return status


if __name__ == "__main__":
    sys.exit(main())
