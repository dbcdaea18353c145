"""What dogpile's own tests ask for: `dogpile_tests.py` has them, of our backend."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "time_intensive: dogpile's own")
