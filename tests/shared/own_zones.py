"""Time zones of one's own, compared by value, by identity, and sloppy ones."""

from __future__ import annotations

import datetime as dt
from typing import Any

UTC = dt.timezone.utc


def fixed(hours: float) -> dt.timezone:
    return dt.timezone(dt.timedelta(hours=hours))


# --- time zones of one's own


class Zone(dt.tzinfo):
    """A zone that is compared by value."""

    def __init__(self, hours: int = 0) -> None:
        self.hours = hours

    def utcoffset(self, when: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(hours=self.hours)

    def dst(self, when: dt.datetime | None) -> dt.timedelta:
        return dt.timedelta(0)

    def tzname(self, when: dt.datetime | None) -> str:
        return f"Z{self.hours}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Zone) and self.hours == other.hours

    def __hash__(self) -> int:
        return hash(self.hours)


_INTERNED: dict[int, Interned] = {}


class Interned(Zone):
    """As pytz has them: compared by identity, one object for each value."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @staticmethod
    def of(hours: int) -> Interned:
        return _INTERNED.setdefault(hours, Interned(hours))

    def __reduce__(self) -> Any:
        return interned, (self.hours,)


def interned(hours: int) -> Interned:
    return Interned.of(hours)


class Lone(Zone):
    """Compared by identity, and made anew each time."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class Sloppy(Zone):
    """Ignores the fold, and has summer time: two times of day are one instant."""

    def utcoffset(self, when: dt.datetime | None) -> dt.timedelta:
        summer = when is not None and when.replace(tzinfo=None) >= dt.datetime(2024, 3, 31, 3)
        return dt.timedelta(hours=2 if summer else 1)
