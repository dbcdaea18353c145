"""Where things stand: modules, their files, and whether a name leads to what says to have it."""

from __future__ import annotations

import os
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FunctionType
    from typing import Any

__all__ = [
    "NoName",
    "is_at",
    "is_of_python",
    "is_placed",
    "module_name",
    "place",
    "real_path",
    "version",
]

# What multiprocessing calls the main module in a child that it has spawned.
_MAINS = ("__main__", "__mp_main__")
_STDLIB = os.path.join(os.path.realpath(os.path.dirname(os.__file__)), "")
_EXTENSIONS = (".so", ".pyd", ".dylib")
# What a file of machine code was when it was first looked at, which is soon after it was loaded.
_stamps: dict[str, tuple[int, int]] = {}
# Where files were found to be.
_real: dict[str, str] = {}


class NoName(Exception):
    """Something that no other process could recognise; the message says what, and why."""


def module_name(name: str) -> str:
    return _MAINS[0] if name in _MAINS else name


def real_path(path: str) -> str | None:
    """The path of a file that exists: names such as ``<stdin>`` and a notebook's cells are none."""
    known = _real.get(path)
    if known is None:
        if path.startswith("<") or not os.path.isfile(path):
            return None
        # Where a relative path leads is for the current directory to say.
        known = os.path.realpath(path)
        if os.path.isabs(path):
            _real[path] = known
    return known


def place(name: object, needs_file: bool = True) -> tuple[str, str]:
    """Name and file of an imported module.

    needs_file: of a module that somebody has made by hand the name alone says too little.
    """
    module = sys.modules.get(name) if isinstance(name, str) else None
    if module is None or not isinstance(name, str):
        raise NoName(f"its module {name!r} is not imported")
    file = getattr(module, "__file__", None)
    path = real_path(file) if isinstance(file, str) else None
    if name in _MAINS:
        # What was typed into an interpreter is not what its main file (if there is one) says.
        if path is None or hasattr(sys, "ps1"):
            raise NoName("it is of a main module without a file")
    elif needs_file and getattr(module, "__spec__", None) is None and path is None:
        raise NoName(f"its module {name!r} has no file")
    # A module in a zip file has a file that does not exist; its name is as good.
    return module_name(name), path or str(file)


def is_placed(function: FunctionType) -> bool:
    """Whether its module and file stand for the globals that it sees."""
    scope = function.__globals__
    name, file = scope.get("__name__"), scope.get("__file__")
    path = real_path(function.__code__.co_filename)
    if isinstance(file, str) and path is not None and path == real_path(file):
        return True
    module = sys.modules.get(name) if isinstance(name, str) and name not in _MAINS else None
    return (
        module is not None
        and getattr(module, "__dict__", None) is scope
        and (scope.get("__spec__") is not None)
    )


def is_at(value: object, module: object, qualname: object) -> bool:
    """Whether the value is what an import of this name gives."""
    if not isinstance(module, str) or not isinstance(qualname, str):
        return False
    found: object = sys.modules.get(module)
    try:
        for part in qualname.split("."):
            found = getattr(found, part)
    except Exception:
        # A module or class may have a __getattr__ of its own, which fails as it likes.
        return False
    return found is value


def is_of_python(name: object) -> bool:
    """Whether the module of this name is a part of Python itself, which its version stands for.

    Not by the name alone: a module of one's own may hide one of the standard library's.
    """
    if not isinstance(name, str) or name.partition(".")[0] not in sys.stdlib_module_names:
        return False
    module = sys.modules.get(name)
    if type(module) is not types.ModuleType or name in _MAINS:
        return False
    if name in sys.builtin_module_names:
        return True
    spec = module.__spec__
    if spec is not None and spec.origin in ("built-in", "frozen"):
        return True
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        return False
    path = real_path(file) or file
    return path.startswith(_STDLIB) and "-packages" not in path[len(_STDLIB) :]


def version(name: object) -> tuple[str, ...]:
    """What tells apart two states of a module whose functions cannot be looked into.

    The version of its package and, for a file of machine code, its size and time.
    """
    module: Any = sys.modules.get(name) if isinstance(name, str) else None
    file = getattr(module, "__file__", None)
    if not isinstance(name, str) or is_of_python(name):
        return ()
    package = sys.modules.get(name.partition(".")[0])
    parts = [str(getattr(package, "__version__", ""))]
    if isinstance(file, str) and file.endswith(_EXTENSIONS):
        if file not in _stamps:
            try:
                status = os.stat(file)
            except OSError:
                raise NoName(f"the file of its module {name!r} is not there") from None
            _stamps[file] = (status.st_size, status.st_mtime_ns)
        parts += map(str, _stamps[file])
    return tuple(parts)
