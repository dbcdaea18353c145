"""``python -m warp_cache``: the package's commands.

Those about the shared caches: ``listing`` (``ls``, ``info``), ``entries`` (``keys``), ``top``,
``change`` (``clear``, ``drop``, ``invalidate-tag``), ``prune``, and ``doctor`` with what it looks
at: ``diagnosis``, ``parting``, ``function``, ``processes``. ``files`` finds the caches for all of
them, ``tables`` shows them, as plain text or by rich (``drawing``).

``advise`` says which strategy and size suit a recorded workload: ``curves`` replays it through
every strategy and a range of sizes, ``advice`` says what to take, ``terminal`` shows it as plain
text, ``view`` with colours and ``plot`` as a picture. ``exchange`` converts recordings for other
simulators, and theirs. ``traces`` reads what both work on.

``output`` is where all of it goes; what draws needs ``extras``. A command is a line in
``_COMMANDS``. Imported by ``__main__``, and by nothing else.
"""

from __future__ import annotations

import argparse
import sys

from warp_cache import __version__
from warp_cache._cli import (
    advise,
    change,
    doctor,
    entries,
    exchange,
    listing,
    output,
    prune,
    top,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _typeshed import SupportsWrite

__all__ = ["main"]

# The modules of the commands, in the order of the help.
_COMMANDS = (listing, entries, top, change, prune, doctor, advise, exchange)


class _Parser(argparse.ArgumentParser):
    """One that does not keep to itself that its help could not be printed."""

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        if file is not None and file is sys.stdout:
            file.write(message)
        else:
            output.complain(message.rstrip("\n"))


def main(arguments: list[str] | None = None) -> int:
    """Run the command that the arguments (else the process's own) name; returns the exit status.

    That is 0 where all was done, 1 where the answer is no (``doctor`` has found something wrong,
    ``drop`` no entry, ``clear`` no consent), 2 for wrong arguments and for what cannot be read,
    written or found, 130 after Ctrl-C.
    """
    parser = _Parser(
        prog="python -m warp_cache",
        description="``python -m warp_cache``: the package's commands.",
    )
    parser.add_argument("--version", action="version", version=f"warp_cache {__version__}")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", required=True
    )
    for module in _COMMANDS:
        module.add_to(commands)
    try:
        options = parser.parse_args(arguments)
    except SystemExit as exit:
        # After --help, or after an error.
        assert isinstance(exit.code, int)
        raise SystemExit(output.ended("warp_cache", exit.code)) from None
    except OSError as error:
        raise SystemExit(output.ended("warp_cache", 0, error)) from None
    name = f"warp_cache {options.command}"
    try:
        status = options.run(options) or 0
    except output.UserError as error:
        output.complain(f"{name}: {error}")
        return output.ended(name, 2)
    except KeyboardInterrupt:
        return output.ended(name, 130)
    except OSError as error:
        # Files have messages of their own; this is from standard output.
        return output.ended(name, 0, error)
    return output.ended(name, status)
