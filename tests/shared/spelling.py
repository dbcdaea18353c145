"""What the tests of the codec of values compare: values spelled out, and their bytes."""

from __future__ import annotations

import struct
from typing import Any

from warp_cache._warp_cache_rs import _encode_value

IMMUTABLE, CONTAINERS, PICKLED = range(3)


def spelled(value: Any) -> Any:
    """Equal for values of the same types and contents down to the bits."""
    if isinstance(value, float):
        return float, struct.pack("=d", value)
    if isinstance(value, complex):
        return complex, struct.pack("=dd", value.real, value.imag)
    if isinstance(value, (list, tuple)):
        return type(value), [spelled(item) for item in value]
    if isinstance(value, dict):
        return type(value), [(spelled(key), spelled(item)) for key, item in value.items()]
    if isinstance(value, (set, frozenset)):
        return type(value), sorted(map(spelled, value), key=repr)
    return type(value), value


def encoded(value: object) -> tuple[bytes, int]:
    made = _encode_value(value)
    assert made is not None
    return made


def has_container(value: object) -> bool:
    if isinstance(value, tuple):
        return any(map(has_container, value))
    return isinstance(value, (list, dict, set))


def nested(depth: int, kind: type = list) -> Any:
    value: Any = kind()
    for _ in range(depth - 1):
        value = kind([value])
    return value
