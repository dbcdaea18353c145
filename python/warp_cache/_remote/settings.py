"""What ``configure`` takes for the remote tier: each setting's check.

No message shows an address or a secret.
"""

from __future__ import annotations

from math import isfinite

from warp_cache._warp_cache_rs import ServerAddress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__all__ = ["CHECKS", "Secrets"]


class Secrets:
    """The secrets that sign values: the first signs, all verify. Shows none of them."""

    __slots__ = ("_secrets",)

    def __init__(self, secrets: list[bytes]) -> None:
        self._secrets = secrets

    def __reduce__(self) -> str:
        raise TypeError("secrets are not pickled")

    def expose(self) -> list[bytes]:
        """The secrets themselves, for the extension module only."""
        return self._secrets


def _remote(remote: Any) -> ServerAddress:
    return ServerAddress(remote, "remote")


def _secret(secret: Any) -> Secrets:
    right = "secret must be a non-empty str or bytes, or a list of such"
    given = list(secret) if isinstance(secret, (list, tuple)) else [secret]
    if not given:
        raise ValueError(f"{right}: got an empty list")
    secrets = []
    for one in given:
        if not isinstance(one, (str, bytes)):
            raise TypeError(f"{right}, got one of type {type(one).__name__}")
        if not one:
            raise ValueError(f"{right}: got an empty one")
        secrets.append(one.encode("utf-8", "surrogatepass") if isinstance(one, str) else one)
    return Secrets(secrets)


def _seconds(name: str) -> Callable[[Any], float]:
    def check(seconds: Any) -> float:
        right = f"{name} must be a number of seconds above 0 and below a million, got {seconds!r}"
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
            raise TypeError(right)
        if not 0 < seconds < 1e6 or not isfinite(seconds):
            raise ValueError(right)
        return float(seconds)

    return check


def _credentials(credentials: Any) -> Callable[[], Any]:
    if not callable(credentials):
        kind = type(credentials).__name__
        raise TypeError(
            "credentials must be a callable that gives a password or a pair, got one of type"
            f" {kind}"
        )
    given: Callable[[], Any] = credentials
    return given


def _pickle(pickle: Any) -> str:
    if pickle != "trusted" or not isinstance(pickle, str):
        error = ValueError if isinstance(pickle, str) else TypeError
        raise error(f"pickle must be 'trusted' or None, got {pickle!r}")
    return pickle


CHECKS: dict[str, Callable[[Any], Any]] = {
    "remote": _remote,
    "secret": _secret,
    "staleness": _seconds("staleness"),
    "timeout": _seconds("timeout"),
    "credentials": _credentials,
    "pickle": _pickle,
}
