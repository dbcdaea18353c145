"""The documents as a site, for `make docs`: staged, built with Zensical, and the pages read."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
