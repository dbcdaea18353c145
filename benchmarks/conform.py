"""Checks that what came out of JSON is of the types that a dataclass declares, all the way down."""

from __future__ import annotations

import math
import types
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def conform(value: object, to: Any, where: str) -> None:
    """Raise a ValueError that names the place, unless the value is of this type."""
    origin, arguments = get_origin(to), get_args(to)
    if to is Any:
        return
    if is_dataclass(to):
        hints = get_type_hints(to)
        for field in fields(to):
            conform(getattr(value, field.name), hints[field.name], f"{where}.{field.name}")
    elif origin is list:
        _require(isinstance(value, list), value, where, "a list")
        for number, item in enumerate(value):  # type: ignore[arg-type,var-annotated]
            conform(item, arguments[0], f"{where}[{number}]")
    elif origin in (Union, types.UnionType):
        wanted = " or ".join(getattr(one, "__name__", str(one)) for one in arguments)
        _require(any(_is(value, one) for one in arguments), value, where, wanted)
    elif origin is Literal:
        wanted = " or ".join(map(repr, arguments))
        _require(isinstance(value, str) and value in arguments, value, where, wanted)
    elif origin is dict:
        _require(isinstance(value, dict), value, where, "an object")
        for key, item in value.items():  # type: ignore[attr-defined]
            conform(key, arguments[0], f"{where}'s key")
            conform(item, arguments[1], f"{where}.{key}")
    else:
        _require(_is(value, to), value, where, to.__name__)


def _is(value: object, to: Any) -> bool:
    if to is type(None):
        return value is None
    if get_origin(to) is list:
        try:
            conform(value, to, "")
        except ValueError:
            return False
        return True
    if to in (int, float):
        number = isinstance(value, int if to is int else (int, float))
        return number and not isinstance(value, bool) and math.isfinite(value)  # type: ignore[arg-type]
    return isinstance(value, to)


def _require(good: bool, value: object, where: str, wanted: str) -> None:
    if not good:
        shown = repr(value)
        raise ValueError(f"{where} must be {wanted}, got {shown[:60]}")
