"""The fixtures of ``warp_cache.testing``, which pytest finds wherever this package is installed."""

from __future__ import annotations

import pytest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(name="isolated")
def _isolated() -> Iterator[Path]:
    """A directory and a namespace of the test's own for shared caches: `warp_cache.testing`."""
    from warp_cache.testing import isolated

    with isolated() as directory:
        yield directory
