# pyright: reportMissingImports=false
"""The keys of Django's caches: made and validated as Django does, and found again by patterns."""

from __future__ import annotations

import re
from typing import cast

from django.core.cache.backends.base import BaseCache, default_key_func
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["WithKeys", "default_reverse", "glob"]

# Django warns of longer ones, as memcached does not take them.
_LONGEST = 250


class WithKeys(BaseCache):
    """A cache whose keys are made as Django makes them, without its costs where they are plain."""

    # Whether a subclass has its own way to make or to validate keys.
    _as_django = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._as_django = (
            cls.make_key is BaseCache.make_key
            and cls.validate_key is BaseCache.validate_key
            and cls.make_and_validate_key is WithKeys.make_and_validate_key
        )

    def make_and_validate_key(self, key: Any, version: int | None = None) -> Any:
        """The key in the cache, with Django's warnings about keys that memcached would not take."""
        if self._as_django and self.key_func is default_key_func:
            made = f"{self.key_prefix}:{self.version if version is None else version}:{key}"
            # What is printable has no control characters; all else takes the long way, to the same
            # end.
            if made.isprintable() and " " not in made and len(made) <= _LONGEST:
                return made
        return super().make_and_validate_key(key, version=version)

    def _pattern(
        self, pattern: str, version: int | None, prefix: str | None = None
    ) -> tuple[str, re.Pattern[str]]:
        """A pattern as Redis has it, for keys of a prefix (unless given, this cache's) and version:
        how they begin, and what they match.
        """
        version = self.version if version is None else version
        prefix = self.key_prefix if prefix is None else prefix
        made = str(self.key_func(pattern, _literal(prefix), _literal(str(version))))
        return glob(made)


def default_reverse(key: str) -> str:
    """What ``default_key_func`` made a key of."""
    return key.split(":", 2)[2]


def reverse_of(function: Any) -> Callable[[str], str]:
    """The function that takes a key of the cache back: callable, its dotted name, or None for
    Django's own keys.
    """
    if function is None:
        return default_reverse
    if not (callable(function) or isinstance(function, str)):
        raise ImproperlyConfigured(
            f"REVERSE_KEY_FUNCTION must be a function or its dotted name, got {function!r}"
        )
    found: Any = function if callable(function) else import_string(function)
    return cast("Callable[[str], str]", found)


def _literal(text: str) -> str:
    """A text that a pattern takes to the letter."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", text)


# The parts of a pattern: what is escaped, a set, a star, one character, any other one.
_PART = re.compile(
    r"\\(?P<escaped>.)|\[(?P<set>\^?(?:\\.|[^\]\\])*)\]|(?P<star>\*+)|(?P<one>\?)|(?P<text>.)", re.S
)


def glob(pattern: str) -> tuple[str, re.Pattern[str]]:
    """A pattern of Redis (``*``, ``?``, ``[a-c]``, ``[^a]``, ``\\``): the text that it begins with,
    and a regular expression.
    """
    begins, plain, parts = "", True, []
    for part in _PART.finditer(pattern):
        text = part["escaped"] or part["text"]
        if text is not None:
            parts.append(re.escape(text))
            begins += text if plain else ""
            continue
        plain = False
        if part["star"]:
            parts.append(".*")
        elif part["one"]:
            parts.append(".")
        else:
            parts.append(_one_of(part["set"]))
    return begins, re.compile("".join(parts), re.S)


def _one_of(inside: str) -> str:
    """A set of characters as a regular expression has it; an empty one matches nothing, its
    opposite anything.
    """
    opposite = inside.startswith("^")
    members = inside[1:] if opposite else inside
    if not members:
        return "." if opposite else "(?!)"
    # A range stays one; everything else that a regular expression knows is a character.
    members = re.sub(r"\\(.)", lambda found: "\0" + found[1], members)
    escaped = "".join(_member(members, at) for at in range(len(members)))
    return f"[{'^' if opposite else ''}{escaped}]"


def _member(members: str, at: int) -> str:
    character = members[at]
    if character == "\0":
        return ""
    if character == "-" and members[at - 1 : at] != "\0" and 0 < at < len(members) - 1:
        return "-"
    return re.escape(character)
