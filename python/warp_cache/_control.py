"""What options of control over entries mean together, checked at decoration.

Each option by itself is checked by the extension module. Imported where one of them is given.
"""

from __future__ import annotations

from warp_cache._warp_cache_rs import _backends

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from warp_cache._warp_cache_rs import _BackendChoice

__all__ = ["check", "refuse_coroutine_functions"]

_WINDOWS = ("jitter", "stale_while_revalidate", "stale_if_error")
# What is called for what it gives at once.
_CALLED = ("key", "ttl", "cache_if", "tags", "weigher", "on_removal", "copy")


def check(options: dict[str, Any], backend: _BackendChoice, *, size_is_given: bool) -> None:
    """Check options together, and complete them.

    options: those given, by name; of the options of control, only those that are not their default.
    Raises ValueError that names the options, their values and the remedy.
    """
    refuse_coroutine_functions(options)
    if "remote" in options:
        from warp_cache._remote.option import check as check_remote

        check_remote(options)
    if "key" in options and "ignore" in options:
        raise ValueError(
            f"key and ignore exclude each other, got key={_shown(options['key'])} and "
            f"ignore={options['ignore']!r}: leave those arguments out in the key function"
        )
    if options["ttl"] is None:
        for name in _WINDOWS:
            if name in options and options[name]:
                raise ValueError(f"{name} needs a ttl, got {name}={options[name]!r} and ttl=None")
    if options.get("stale_while_revalidate"):
        # Not in the middle of a call, where a fork or another thread could come in between.
        from warp_cache import _refresh  # noqa: F401
    for name in backend.refused:
        if name in options:
            able = [repr(one.name) for one in _backends() if name not in one.refused]
            raise ValueError(
                f"{name} needs backend={' or '.join(able)}, got {name}={_shown(options[name])} and "
                f"backend={backend.name!r}"
            )
    if backend.stores_bytes and isinstance(options.get("copy"), str):
        raise ValueError(
            f"copy must be None, True, False or a callable with backend={backend.name!r}, got "
            f"{_shown(options['copy'])}: values are stored as bytes there"
        )
    if ("max_weight" in options) != ("weigher" in options):
        given, missing = ("max_weight", "weigher")[:: 1 if "max_weight" in options else -1]
        raise ValueError(
            f"max_weight and weigher belong together, got {given}={_shown(options[given])} without "
            f"{missing}: give both or neither"
        )
    if "max_weight" in options and not size_is_given:
        options["max_size"] = None
    exceptions = options.get("cache_exceptions")
    if exceptions is not None and callable(options["ttl"]):
        lifetimes = getattr(exceptions, "values", None)
        if lifetimes is None or any(lifetime is None for lifetime in lifetimes()):
            raise ValueError(
                f"cache_exceptions needs seconds for each type where ttl is a callable, got "
                f"{_shown(exceptions)}: give a mapping from type to seconds"
            )


def refuse_coroutine_functions(options: dict[str, Any]) -> None:
    """Raise TypeError for a callable among the options whose result would have to be awaited.

    A coroutine is true, and as good a value as any: it would be taken for an answer.
    """
    for name in _CALLED:
        given = options.get(name)
        if given is None or not callable(given):
            continue
        from warp_cache._callables import coroutine_function

        if coroutine_function(given) is not None:
            raise TypeError(
                f"{name} must be a plain callable, got {_shown(given)}, a coroutine function: "
                "nobody awaits what it returns; give a function that returns it at once"
            )


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except Exception:
        return "an object whose repr raises"
