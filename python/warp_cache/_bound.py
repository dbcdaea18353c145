"""Methods of bound methods that take the call's arguments elsewhere than in front.

Imported where one is first asked for. What takes them in front needs nothing of this.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

__all__ = ["after_value", "packed"]


def after_value(
    operation: Callable[..., Any], instance: object, value: object, /, *args: Any, **kwargs: Any
) -> Any:
    """``set(value, /, *args, **kwargs)`` of an instance."""
    return operation(value, instance, *args, **kwargs)


def packed(
    operation: Callable[..., Any],
    instance: object,
    value: object,
    /,
    args: tuple[Any, ...] = (),
    kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> Any:
    """``cache_put(value, args, kwargs, **options)`` of an instance."""
    return operation(value, (instance, *args), {} if kwargs is None else kwargs, **options)
