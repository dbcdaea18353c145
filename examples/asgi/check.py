"""Asks the app of this folder many things at once, and says what its processes shared.

    python examples/asgi/check.py [http://127.0.0.1:8000]

Ends with status 1 if something was computed twice, or the counters do not add up.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

CITIES = ("Oslo", "Lima", "Accra")
CALLS = 60
PATIENCE = 20.0

# Straight to the server, whatever proxy the environment names.
_open = build_opener(ProxyHandler({})).open


def ask(url: str, method: str = "GET") -> dict[str, Any]:
    with _open(Request(url, method=method), timeout=30) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def await_server(url: str) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            ask(f"{url}/cache")
            return
        except (URLError, ConnectionError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def main(url: str) -> int:
    await_server(url)
    ask(f"{url}/clear", "POST")
    urls = [f"{url}/report?city={CITIES[n % len(CITIES)]}" for n in range(CALLS)]
    answers: list[dict[str, Any]] = []
    for wave in ("first", "second"):
        start = time.perf_counter()
        with ThreadPoolExecutor(CALLS) as pool:
            answers += pool.map(ask, urls)
        seconds = time.perf_counter() - start
        print(f"{wave} time, {CALLS} requests for {len(CITIES)} cities at once: {seconds:.2f} s")
    info = ask(f"{url}/cache")
    computed = {(answer["city"], answer["computed_by"]) for answer in answers}
    processes = {answer["answered_by"] for answer in answers}
    print(f"answered by {len(processes)} processes, computed {len(computed)} times")
    print(f"hits {info['hits']}, misses {info['misses']} (one that waited counts as a miss)")
    counted = info["hits"] + info["misses"] == len(answers) and info["hits"] >= CALLS
    wrong = len(computed) != len(CITIES) or not counted
    print("something was computed twice, or not counted" if wrong else "each was computed once")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"))
