"""A module of ours stands in for diskcache while its tests run."""

from __future__ import annotations

from scripts.peer_suites.frameworks import posing

posing.prefer()
