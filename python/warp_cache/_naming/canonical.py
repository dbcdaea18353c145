"""Objects that equal others of another form, as parts of keys: moments, scalars, unions of types.

A moment with an offset equals that moment in any other zone, a time stamp of pandas the datetime,
numpy's numbers the built-in ones, a union another one in any order. Each is spelled as one of them.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["canonical"]

_NAIVE, _INSTANT, _FOLDED, _TIME, _TIME_AT_OFFSET = range(5)
_PLAIN = (bool, int, float, complex, str, bytes)
_IMMUTABLE_TYPE = 1 << 8


def canonical(value: Any) -> tuple[bool, Any, bool] | None:
    """What is spelled in the place of a value, and two flags; None if the value is.

    The first flag: it is marked, so that it cannot be taken for an argument that is the same tuple.
    The last one: it is so for ever, as nothing that it was made from can be edited. The answer is
    None as well where another one would be equal to too much.
    """
    kind = type(value)
    module = kind.__module__.partition(".")[0]
    if module == "datetime":
        parts = _moment(value) if kind.__name__ == "datetime" else _time(value)
    elif module in ("types", "typing"):
        parts = _union(value)
    elif module == "numpy":
        return _scalar(value)
    elif module == "pandas":
        return _stamp(value)
    else:
        return None
    return None if parts is None else (True, parts, _is_constant(value))


def _is_constant(value: Any) -> bool:
    zone = getattr(value, "tzinfo", None)
    if zone is None:
        return True
    is_known = _is_exactly(zone, "datetime", "timezone") or _is_of_zoneinfo(zone)
    return is_known and bool(type(zone).__flags__ & _IMMUTABLE_TYPE)


def _is_exactly(value: Any, module: str, name: str) -> bool:
    return getattr(sys.modules.get(module), name, None) is type(value)


def _is_of_zoneinfo(zone: Any) -> bool:
    return _is_exactly(zone, "zoneinfo", "ZoneInfo")


def _microseconds(delta: Any) -> int:
    return int((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds)


def _moment(value: Any) -> tuple[Any, ...] | None:
    datetime = sys.modules["datetime"].datetime
    zone = value.tzinfo
    naive = _microseconds(value.replace(tzinfo=None) - datetime.min)
    if zone is None:
        # Without a zone, nobody asks for the fold.
        return _NAIVE, naive
    offset = value.utcoffset()
    if offset is None or not _has_honest_offsets(zone):
        return None
    if value.replace(fold=1 - value.fold).utcoffset() != offset:
        # An hour that comes twice, or is left out: equal in the same zone alone, whatever the fold.
        return _FOLDED, naive, zone
    return _INSTANT, naive - _microseconds(offset)


def _has_honest_offsets(zone: Any) -> bool:
    """Whether two moments of this zone are one instant only if they are equal.

    Of other zones, in which two times of day may be one instant, nothing is known.
    """
    if _is_exactly(zone, "datetime", "timezone") or _is_of_zoneinfo(zone):
        return True
    # Each of its objects has one offset, whatever the time.
    return type(zone).__module__.partition(".")[0] == "pytz" and "pytz" in sys.modules


def _time(value: Any) -> tuple[Any, ...] | None:
    at = (value.hour * 60 + value.minute) * 60 + value.second
    offset = value.utcoffset()
    if offset is None:
        return _TIME, at, value.microsecond
    if offset.microseconds:
        return None
    return _TIME_AT_OFFSET, at - offset.days * 86_400 - offset.seconds, value.microsecond


def _union(value: Any) -> tuple[Any, ...]:
    """Types, or literals, of which the order is no part."""
    if type(value).__name__ == "_LiteralGenericAlias":
        return "Literal", frozenset((type(one), one) for one in value.__args__)
    return "Union", frozenset(value.__args__)


def _scalar(value: Any) -> tuple[bool, Any, bool] | None:
    numpy: Any = sys.modules["numpy"]
    if not isinstance(value, numpy.generic):
        return None
    item = value.item()
    if type(item) in _PLAIN and hash(item) == hash(value) and bool(item == value):
        return False, item, True
    return None


def _stamp(value: Any) -> tuple[bool, Any, bool] | None:
    pandas: Any = sys.modules["pandas"]
    if type(value) is pandas.Timedelta and not value.nanoseconds:
        return False, value.to_pytimedelta(), True
    if type(value) is pandas.Timestamp and not value.nanosecond:
        parts = _moment(value.to_pydatetime(warn=False))
        # Two stamps of an hour that comes twice differ.
        constant = _is_constant(value)
        return (True, parts, constant) if parts is not None and parts[0] != _FOLDED else None
    return None
