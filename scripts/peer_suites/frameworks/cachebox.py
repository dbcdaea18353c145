"""A module of ours stands in for cachebox while its tests run, in their processes too."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from scripts.peer_suites.frameworks import posing

posing.prefer()

# One class's tests are another one's, which hypothesis would have us look at; and the time that an
# example takes is the machine's.
settings.register_profile(
    "here", max_examples=20, deadline=None, suppress_health_check=[HealthCheck.differing_executors]
)
settings.load_profile("here")
