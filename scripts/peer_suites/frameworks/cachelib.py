"""A plugin with no fixtures: `cachelib_tests.py` has them, beside classes of cachelib's tests."""
