"""What the commands write: standard output, messages to the user, and whole files."""

from __future__ import annotations

import io
import os
import stat
import sys
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["UserError", "complain", "ended", "prepare", "printable", "spare", "write"]


class UserError(Exception):
    """What keeps a command from its work: a message for the user, of one line."""


def printable(text: str) -> str:
    """A text that changes nothing about the terminal, whoever has written it."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def complain(message: str) -> None:
    """Print a message to standard error, if there is one: print would take standard output."""
    message = "\n".join(map(printable, message.split("\n")))
    if sys.stderr is not None:
        # Where it cannot be written either, the exit status tells.
        with suppress(OSError):
            print(message, file=sys.stderr, flush=True)


def prepare() -> None:
    """Make sure that standard output is there and takes any name; called before the work."""
    if sys.stdout is None:
        raise UserError("standard output is closed")
    # A name may have characters that the terminal's encoding lacks, or bytes that are no text.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def ended(command: str, status: int, failure: OSError | None = None) -> int:
    """The exit status of a command, once all that it has printed has gone out; 2 if it could not.

    failure: what printing has raised. Of a reader who has seen enough nothing is said.
    """
    try:
        if failure is not None:
            raise failure
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except OSError as error:
        # What is left in the buffer would be tried again at the exit, and complained of.
        with suppress(OSError):
            if sys.stdout is not None:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return status
        complain(f"{command}: {error.filename or 'standard output'}: {error.strerror}")
        return status or 2


def spare(source: str, target: str | os.PathLike[str]) -> None:
    """Refuse a file to write that is the one to read, however it is spelled or linked.

    source: as the user gave it, so "-" is standard input.
    """
    try:
        read = os.fstat(sys.stdin.fileno()) if source == "-" else os.stat(source)
        same = stat.S_ISREG(read.st_mode) and os.path.samestat(read, os.stat(target))
    # One of them is not there, or is no file of the system's.
    except (OSError, AttributeError, ValueError):
        return
    if same:
        raise UserError(f"{target}: this is the file to read; write to another one")


def write(target: str | os.PathLike[str], parts: Iterable[bytes]) -> None:
    """Write a file: beside the place first, so that a failure leaves what was there.

    A symbolic link stays and its file is replaced, with the mode and, where that is allowed, the
    owner of the one before; its other hard links keep what they had. A device or a pipe is written
    as it is. Raises UserError, and BrokenPipeError for a reader who has seen enough.
    """
    try:
        path = os.path.realpath(target)
        before = _status(target)
        # Below these, a name that looks like a file may be a descriptor of somebody's.
        folder = os.path.realpath(os.path.dirname(target) or ".")
        is_named = os.fspath(target)[-1:] not in ("", "/")
        if folder == "/dev" or folder.startswith("/proc/") or not is_named:
            path = os.fspath(target)
        elif before is None or stat.S_ISREG(before.st_mode):
            _replace(path, before, parts)
            return
        with open(path, "wb") as file:
            file.writelines(parts)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"{target}: {error.strerror}") from None


def _status(path: str | os.PathLike[str]) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _replace(path: str, before: os.stat_result | None, parts: Iterable[bytes]) -> None:
    if before is not None:
        # The folder's owner might replace a file that may not be written: he does not want to.
        os.close(os.open(path, os.O_WRONLY))
    folder, name = os.path.split(path)
    # A long name has no room for more.
    beside = os.path.join(folder, f".{name[:40]}.{os.urandom(6).hex()}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(beside, flags, 0o666)
    try:
        with open(descriptor, "wb") as file:
            if before is not None:
                with suppress(OSError):
                    os.fchown(descriptor, before.st_uid, before.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
            file.writelines(parts)
            file.flush()
            # Some file systems say here first that there is no room.
            os.fsync(descriptor)
        os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        raise
