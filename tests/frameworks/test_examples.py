"""The example apps, served by the command that their README gives, with several workers."""

from __future__ import annotations

import http.cookiejar
import importlib.util
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import support

ROOT = Path(__file__).resolve().parents[2]
Ask = Callable[[str], Any]
NEEDS = {
    "django": ("django", "gunicorn"),
    "flask": ("flask_caching", "limits", "gunicorn"),
    "litestar": ("litestar", "uvicorn"),
}


def command(example: str, port: int) -> list[str]:
    readme = (ROOT / "examples" / example / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^scripts/uv run --group frameworks (.*8000)$", readme, re.MULTILINE)
    assert found, "the README does not say how to start it"
    return [sys.executable, "-m", *shlex.split(found[1].replace("8000", str(port)))]


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=support.LIMIT) as answer:
        return json.load(answer)


@pytest.fixture(params=NEEDS)
def example(request: pytest.FixtureRequest) -> str:
    for module in NEEDS[request.param]:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed (uv sync --group frameworks)")
    return str(request.param)


@pytest.fixture
def served(example: str, cache_dir: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # A group of its own, so that no worker is left behind.
    server = subprocess.Popen(
        command(example, port),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def answers() -> bool:
        assert server.poll() is None, "the server has ended"
        try:
            get(f"http://127.0.0.1:{port}/report?city=first")
        except (urllib.error.URLError, ConnectionError):
            return False
        return True

    try:
        support.eventually(answers, 2 * support.LIMIT)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(support.LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def test_all_workers_count_and_compute_together(served: str, example: str) -> None:
    with ThreadPoolExecutor(6) as clients:
        visits = list(clients.map(lambda _: get(f"{served}/visit"), range(60)))
        assert sorted(visit["visits"] for visit in visits) == list(range(1, 61))
        get(f"{served}/report?city=Bergen")
        reports = list(clients.map(lambda _: get(f"{served}/report?city=Bergen"), range(30)))
    assert len({report["computed_by"] for report in reports}) == 1
    if example == "django":
        cookies = http.cookiejar.CookieJar()
        client = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
        seen = [json.load(client.open(f"{served}/session"))["visits"] for _ in range(20)]
        assert seen == list(range(1, 21))
    if example == "flask":
        passed = 0
        for _ in range(12):
            try:
                get(f"{served}/limited")
                passed += 1
            except urllib.error.HTTPError as error:
                assert error.code == 429
        assert passed == 2
