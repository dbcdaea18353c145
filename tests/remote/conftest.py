"""A server for each test that names it, of each kind there is; and processes of two "hosts".

A host is a directory of its own: its processes share a coherence file, and know nothing of the
other's but what the server tells.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import servers
import support

import warp_cache
from warp_cache import _configuration
from warp_cache._remote import opening

sys.path.append(str(Path(__file__).resolve().parents[1] / "shared"))
from children import Child  # noqa: E402

PROGRAMS = servers.programs()
if os.environ.get("WARP_ONE_SERVER") and PROGRAMS:
    # What kinds of servers do differently is no matter of the interpreter: the matrix asks one.
    PROGRAMS = dict([max(PROGRAMS.items())])
if not PROGRAMS:
    warnings.warn(
        "no server is there for tests/remote: install redis-server, or run scripts/test-servers",
        stacklevel=1,
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    support.limit_items(items, config, Path(__file__).resolve().parent)


@pytest.fixture(params=sorted(PROGRAMS) or ["none"])
def program(request: pytest.FixtureRequest) -> str:
    if request.param == "none":
        servers.skip()
    path: str = PROGRAMS[request.param]
    return path


@pytest.fixture
def server(program: str) -> Iterator[servers.Server]:
    started = servers.Server(program)
    yield started
    started.close()


@pytest.fixture(params=["memory", "shared"])
def backend(request: pytest.FixtureRequest) -> str:
    """Where near copies lie: in each process alone, or in a file of the host as well."""
    chosen: str = request.param
    return chosen


@pytest.fixture
def near_by(backend: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the test's ``cache`` mean that backend."""
    monkeypatch.setattr(request.module, "cache", partial(warp_cache.cache, backend=backend))


class Objects:
    """``Cache`` with a backend, in annotations too."""

    def __init__(self, backend: str) -> None:
        self.backend = backend

    def __getitem__(self, _types: object) -> Objects:
        return self

    def __call__(self, *args: Any, **options: Any) -> Any:
        return warp_cache.Cache(*args, **{"backend": self.backend, **options})


@pytest.fixture
def objects_near_by(
    backend: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Has the test's ``Cache`` mean that backend."""
    monkeypatch.setattr(request.module, "Cache", Objects(backend))


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    """What a test configures ends with it."""
    before = dict(_configuration.settings)
    yield
    _configuration.settings.clear()
    _configuration.settings.update(before)


@pytest.fixture
def unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was said in this process that is said once."""
    monkeypatch.setattr(opening, "_said", set())


@pytest.fixture
def configured(server: servers.Server, tmp_path: Path) -> servers.Server:
    """The server, configured for this process."""
    # Tests are no place for a bound that a loaded machine may miss.
    warp_cache.configure(remote=server.url, timeout=5.0, directory=tmp_path / "host")
    return server


Start = Callable[..., Child]


@pytest.fixture
def start(server: servers.Server, tmp_path: Path, backend: str) -> Iterator[Start]:
    """Starts a process of a host, which runs a source; the server is configured in it."""
    all_of_them: list[Child] = []
    hosts: dict[str, str] = {}

    def start(source: str, host: str = "a", **configured: object) -> Child:
        directory = hosts.setdefault(host, tempfile.mkdtemp(prefix=f"host_{host}_", dir=tmp_path))
        settings = {"directory": directory, "remote": server.url, "timeout": 5.0, **configured}
        given = ", ".join(f"{name}={value!r}" for name, value in settings.items())
        script = tmp_path / f"program_{len(all_of_them)}.py"
        script.write_text(
            "import functools, os, sys, threading, time, warp_cache\n"
            f"cache = functools.partial(warp_cache.cache, backend={backend!r})\n"
            f"Cache = functools.partial(warp_cache.Cache, backend={backend!r})\n"
            f"warp_cache.configure({given})\n{source}\n{LOOP}"
        )
        child = Child(script, ())
        all_of_them.append(child)
        return child

    yield start
    for child in all_of_them:
        child.close()


from children import _LOOP as LOOP  # noqa: E402

__all__ = ["Child", "subprocess"]
