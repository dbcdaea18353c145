# pyright: reportMissingImports=false, reportGeneralTypeIssues=false
"""The application for ``INSTALLED_APPS``: it has the system check, and nothing else."""

from django.apps import AppConfig


class WarpCacheConfig(AppConfig):
    name = "warp_cache.django"
    label = "warp_cache"
    verbose_name = "warp_cache"
