"""Recording: the stream of keys of a running program's cached functions, written to a file.

Imported where it is used, and by nothing else. The extension module does the work; here are the
context manager, the environment variable, and what becomes of it at a fork and at the exit.
"""

from __future__ import annotations

import atexit
import os
import sys
import warnings

from warp_cache._warp_cache_rs import _record_start, _record_stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["record"]

VARIABLE = "WARP_CACHE_RECORD"


class record:  # noqa: N801 - it is used like a function
    """Write the calls of all cached functions to a file while the block lasts.

    ``with record("calls.rec"): ...`` notes each call of each cached function of this process,
    whether it was made before or inside the block, as the number of its key: no argument and no
    result is written. ``python -m warp_cache advise calls.rec`` replays the file.

    Parameters:
        path: the file, which is written over; ``{pid}`` in it becomes the number of the process.
            A child of a fork records to a file of its own if there is a ``{pid}``, else not.

    Attributes:
        path: the file that is written.

    Entering raises OSError where the file cannot be written (BlockingIOError where another process
    is recording to it) and RuntimeError where this process is recording already. A file that
    cannot be written any more ends the recording with a RuntimeWarning; calls never fail.

    A call costs O(1) more while it is recorded, and nothing at any other time.
    """

    __module__ = "warp_cache"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        given = os.fspath(path) if isinstance(path, os.PathLike) else path
        if not isinstance(given, str):
            raise TypeError(f"path must be a str or an os.PathLike of str, got {path!r}")
        if not given or "\0" in given:
            raise ValueError(f"path must be the name of a file, got {path!r}")
        self._template = given
        self._number = 0

    @property
    def path(self) -> str:
        """The file that this process writes."""
        return self._template.replace("{pid}", str(os.getpid()))

    def __enter__(self) -> Self:
        if self._number:
            raise RuntimeError(f"this recording to {self.path} is under way already")
        self._begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self._end()

    def _begin(self) -> None:
        _watch_forks()
        self._number = _record_start(self.path)
        _current.append(self)
        atexit.register(self._end)

    def _end(self) -> bool:
        """End it; False if it has ended before, as by an error."""
        # First, so that whoever forks meanwhile has a child that ends it once more.
        ended = bool(self._number) and _record_stop(self._number)
        self._number = 0
        atexit.unregister(self._end)
        if self in _current:
            _current.remove(self)
        return ended

    def _forked(self) -> None:
        """What a child begins with: the parent's file is none of its business."""
        if not self._end() or "{pid}" not in self._template:
            return
        try:
            self._begin()
        except (OSError, RuntimeError) as error:
            warnings.warn(f"warp_cache cannot record: {error}", RuntimeWarning, stacklevel=2)
        # multiprocessing ends its processes without running what is registered with atexit.
        util = sys.modules.get("multiprocessing.util")
        if util is not None:
            util.register_after_fork(self, record._end_with_process)

    def _end_with_process(self) -> None:
        util = sys.modules["multiprocessing.util"]
        util.Finalize(None, self._end, exitpriority=-1000)


# The recording under way, which a fork's child has to know of.
_current: list[record] = []
_watched: list[bool] = []


def _watch_forks() -> None:
    if not _watched and hasattr(os, "register_at_fork"):
        _watched.append(True)
        os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    for recording in _current[:]:
        recording._forked()


def from_environment() -> None:
    """Begin the recording that the environment asks for; it ends with the process.

    A process that finds its file in use by another one, such as its parent, adds its number to the
    name. Where that is no way out there is a RuntimeWarning, and nothing is recorded.
    """
    path = os.environ[VARIABLE]
    if not path:
        return
    try:
        try:
            record(path)._begin()
        except BlockingIOError:
            record(path + ".{pid}")._begin()
    except RuntimeError:
        pass  # the package is imported once more, in a process that records already
    except (OSError, ValueError) as error:
        message = f"warp_cache cannot record, as {VARIABLE} asks it to: {error}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
