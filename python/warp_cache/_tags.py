"""The tags of a call, from templates like ``"user:{user_id}"``.

Imported where ``tags`` is given.
"""

from __future__ import annotations

import inspect
from string import Formatter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

__all__ = ["source"]


def source(
    function: Callable[..., Any], templates: Sequence[str]
) -> Callable[..., tuple[str, ...]]:
    """What gives the tags of a call of ``function`` for its arguments.

    Raises ValueError for a template that names no parameter, or where the signature is unreadable.
    """
    names = {name for template in templates for name in _names(template)}
    if not names:
        constant = tuple(template.format() for template in templates)
        return lambda *_, **__: constant
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"tags {tuple(templates)!r} name parameters, and the signature of {function!r} cannot "
            "be read: give a callable"
        ) from error
    for template in templates:
        for name in _names(template):
            if name not in signature.parameters:
                there = ", ".join(signature.parameters) or "none"
                raise ValueError(
                    f"tags: {template!r} names {name!r}, which is no parameter of the function "
                    f"(it has {there})"
                )

    def tags(*args: Any, **kwargs: Any) -> tuple[str, ...]:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return tuple(template.format_map(bound.arguments) for template in templates)

    return tags


def _names(template: str) -> list[str]:
    """The parameters that a template names."""
    try:
        fields = list(_fields(template))
    except ValueError as error:
        raise ValueError(f"tags: {template!r} is no template: {error}") from error
    names = []
    for field in fields:
        name = field.split(".", 1)[0].split("[", 1)[0]
        if not name.isidentifier():
            raise ValueError(
                f"tags: {template!r} has to name parameters in its braces, got {{{field}}}"
            )
        names.append(name)
    return names


def _fields(template: str) -> Iterator[str]:
    """What stands in a template's braces, and in those of its format specifications."""
    for _, field, specification, conversion in Formatter().parse(template):
        if conversion not in (None, "r", "s", "a"):
            raise ValueError(f"unknown conversion {conversion!r}, use 'r', 's' or 'a'")
        if field is not None:
            yield field
            yield from _fields(specification or "")
