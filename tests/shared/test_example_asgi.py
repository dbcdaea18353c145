"""The example `examples/asgi`: by hand in several processes, and with uvicorn as it says."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import support
from children import Children

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "asgi"

# A server reduced to what the app sees of one: a scope, and what it sends.
_BY_HAND = f"""
import asyncio, json, os, sys
sys.path.insert(0, {str(EXAMPLE)!r})
import app
def ask(path, query="", method="GET"):
    sent = []
    async def receive():
        return {{"type": "http.request", "body": b"", "more_body": False}}
    async def send(message):
        sent.append(message)
    scope = dict(type="http", method=method, path=path, query_string=query.encode())
    asyncio.run(app.app(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])
"""


def test_the_app_by_hand(children: Children) -> None:
    workers = children.start(_BY_HAND, 4)
    asked = [worker.start("ask('/report', 'city=Oslo')") for worker in workers]
    answers: list[Any] = [eval(one.answer()) for one in asked]
    pids = {worker.process.pid for worker in workers}
    assert [status for status, _ in answers] == [200] * 4
    assert {answer["answered_by"] for _, answer in answers} == pids
    assert len({answer["computed_by"] for _, answer in answers}) == 1
    assert {answer["city"] for _, answer in answers} == {"Oslo"}
    for worker in workers:
        status, info = eval(worker.ask("ask('/cache')"))
        assert (status, info["answered_by"]) == (200, worker.process.pid)
        assert info["hits"] + info["misses"] == 4 and info["entries"] == 1
    assert eval(workers[0].ask("ask('/clear', method='POST')"))[1]["cleared"]
    info = eval(workers[1].ask("ask('/cache')"))[1]
    assert (info["hits"], info["misses"], info["entries"]) == (0, 0, 0)
    assert eval(workers[2].ask("ask('/nothing')"))[0] == 404


@pytest.fixture
def url(cache_dir: Path) -> Iterator[str]:
    """The app served by the command that the README gives, on a port that is free."""
    if importlib.util.find_spec("uvicorn") is None:
        pytest.skip("uvicorn is not installed (uv sync --group asgi)")
    text = (EXAMPLE / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^scripts/uv run --group asgi (uvicorn .*) --port 8000$", text, re.MULTILINE)
    assert found, "the README does not say how to start it"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", *shlex.split(found[1]), "--port", str(port)]
    # A group of its own, so that no worker is left behind.
    server = subprocess.Popen(
        [*command, "--log-level", "warning"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        try:
            server.wait(support.LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def test_the_app_as_its_readme_says(url: str) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / "check.py"), url],
        capture_output=True,
        text=True,
        timeout=2 * support.LIMIT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "each was computed once" in done.stdout
    assert re.search(r"answered by [1-4] processes, computed 3 times", done.stdout)
