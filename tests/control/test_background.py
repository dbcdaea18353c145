"""Refreshes in the background (§2.5): where they run, how many, and what becomes of failed ones."""

from __future__ import annotations

import contextvars
import logging
import sys
import threading
import time
from typing import Any

import pytest
import support
from control import Body, Gate, Kind, cache, stale

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="none")


# --- plain functions ----------------------------------------------------------------------------


def test_plain_functions_refresh_in_another_daemon_thread(clock: Any) -> None:
    threads = []

    def function(x: int) -> str:
        threads.append(threading.current_thread())
        return "new"

    f = stale(function, clock)
    assert f(1) == "old"
    support.eventually(lambda: f(1) == "new")
    assert len(threads) == 1
    assert threads[0] is not threading.current_thread() and threads[0].daemon


def test_the_caller_does_not_wait(clock: Any) -> None:
    body = Gate()
    f = stale(lambda x: body(x), clock)
    assert f(1) == "old"
    body.await_begun(1)
    assert f(1) == f(1) == "old", "while the refresh is held"
    body.source = "unused"
    body.open(1)


def test_one_refresh_of_a_key_at_a_time_among_threads(clock: Any) -> None:
    body = Gate()
    body.source = "new"
    f = stale(lambda x: body(x), clock)
    assert support.results(support.start_together([lambda: f(1)] * 6)) == ["old"] * 6
    body.await_begun(1)
    assert f(1) == "old"
    time.sleep(support.PAUSE)
    assert body.began == 1
    info = f.cache_info()
    assert info.refreshes == 1 and info.stale_hits == 7 and info.hits == 7
    body.open(1)
    support.eventually(lambda: f(1) == "new")
    assert body.began == 1


def test_four_threads_at_most(clock: Any) -> None:
    body = Gate()
    body.source = "new"
    threads = set()

    def function(x: int) -> Any:
        threads.add(threading.current_thread())
        return body(x)

    f = stale(function, clock)
    for x in range(20):
        assert f(x) == "old"
    body.await_begun(1)
    time.sleep(support.PAUSE)
    assert 1 <= body.began <= 4
    body.open_all = True
    for number in range(1, 21):
        body.open(number)
    # Those beyond the bounded line are tried again by the next caller.
    support.eventually(lambda: [f(x) for x in range(20)] == ["new"] * 20)
    assert body.began == 20 and len(threads) <= 4


def test_the_pool_is_one_for_all_functions(clock: Any) -> None:
    body = Gate()
    functions = [stale(lambda x: body(x), clock) for _ in range(8)]
    for f in functions:
        for x in range(100):
            f.set("old", x)
    clock.advance(200)
    assert [f(1) for f in functions] == ["old"] * 8
    body.await_begun(1)
    time.sleep(support.PAUSE)
    assert body.began <= 4
    body.open_all = True
    for number in range(1, 9):
        body.open(number)


def test_beyond_the_bounded_line_the_next_caller_tries_again(clock: Any) -> None:
    body = Gate()
    body.source = "new"
    f = cache(ttl=100, stale_while_revalidate=10**7, max_size=None)(lambda x: body(x))
    number = 4000
    for x in range(number):
        f.set("old", x)
    clock.advance(200)
    for x in range(number):
        assert f(x) == "old", "at once, however long the line is"
    body.open_all = True
    for gate in range(1, 5):
        body.open(gate)

    def all_new() -> bool:
        # Each is asked for, so that those come into the line that did not fit.
        return all([f(x) == "new" for x in range(number)])

    support.eventually(all_new)
    assert body.began == number


def test_a_refresh_runs_in_a_copy_of_the_context_of_the_call_that_started_it(clock: Any) -> None:
    seen = []

    def function(x: int) -> str:
        seen.append(VARIABLE.get())
        VARIABLE.set("changed")
        return "new"

    f = stale(function, clock)
    token = VARIABLE.set("the caller's")
    try:
        f(1)
        support.eventually(lambda: f.get(1) == "new")
        assert VARIABLE.get() == "the caller's"
    finally:
        VARIABLE.reset(token)
    f(2)
    support.eventually(lambda: f.get(2) == "new")
    assert seen == ["the caller's", "none"]


def test_methods_are_refreshed_with_their_self(clock: Any) -> None:
    body = Body()

    class Shop:
        @cache(ttl=100, stale_while_revalidate=1000)
        def price(self, x: int) -> Any:
            return body(self, x)

    shop = Shop()
    assert shop.price(1) == (shop, 1, 1)
    clock.advance(150)
    assert shop.price(1) == (shop, 1, 1)
    support.eventually(lambda: shop.price.get(1) == (shop, 1, 2))


def test_an_explicit_refresh_joins_the_one_in_the_background(clock: Any) -> None:
    body = Gate()
    body.source = "new"
    f = stale(lambda x: body(x), clock)
    f(1)
    body.await_begun(1)
    explicit = support.start(f.cache_refresh, 1)
    time.sleep(support.PAUSE)
    body.open_all = True
    body.open(1)
    assert explicit.result(support.LIMIT) == "new"
    assert body.began == 1


def test_a_refresh_that_finds_the_entry_gone_does_no_harm(clock: Any) -> None:
    body = Gate()
    body.source = "new"
    f = stale(lambda x: body(x), clock)
    f(1)
    body.await_begun(1)
    f.cache_clear()
    body.open(1)
    time.sleep(support.PAUSE)
    assert f.get(1) is None and f.cache_info().currsize == 0


# --- failures -----------------------------------------------------------------------------------


def failed(kind: Kind, f: Any, number: int) -> None:
    """Wait until so many refreshes have failed and nothing is under way."""
    kind.eventually(lambda: f.cache_info().load_failures >= number)
    kind.pause()


def test_a_failed_refresh_is_not_seen_by_callers_and_is_logged(
    kind: Kind, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    body = Body()
    body.fail = ValueError("the service is down")
    f = stale(kind.one(body), clock)
    with caplog.at_level(logging.DEBUG, logger="warp_cache"):
        assert kind.call(f, 1) == "old"
        failed(kind, f, 1)
        assert kind.call(f, 1) == "old"
        kind.eventually(lambda: caplog.records)
    records = [record for record in caplog.records if record.name.startswith("warp_cache")]
    assert len(records) == 1 and records[0].levelno >= logging.WARNING
    text = records[0].getMessage() + str(records[0].exc_info)
    assert "the service is down" in text
    info = f.cache_info()
    assert info.load_failures == 1 and info.refreshes == 1


def test_after_a_failed_refresh_the_next_waits_one_second_then_two_then_up_to_thirty(
    kind: Kind, clock: Any
) -> None:
    body = Body()
    body.fail = ValueError("down")
    f = stale(kind.one(body), clock)
    begun = 0
    for pause in (1, 2, 4, 8, 16, 30, 30):
        assert kind.call(f, 1) == "old"
        begun += 1
        failed(kind, f, begun)
        assert kind.call(f, 1) == "old"
        # Far enough from the moment for a clock that goes on with the machine's.
        clock.advance(pause * 0.5 if pause <= 4 else pause - 2.5)
        if pause > 4:
            assert kind.call(f, 1) == "old"
            kind.pause()
            assert body.count == begun, f"it began sooner than after {pause} s"
        clock.advance(pause * 0.5 + 0.1 if pause <= 4 else 2.6)
        assert body.count == begun
    body.fail = None
    assert kind.call(f, 1) == "old"
    kind.eventually(lambda: f.get(1) == (1, begun + 1))


def test_a_success_ends_the_row_of_failures(kind: Kind, clock: Any) -> None:
    body = Body()
    f = stale(kind.one(body), clock)
    body.fail = ValueError("down")
    for number in range(1, 6):
        kind.call(f, 1)
        failed(kind, f, number)
        clock.advance(31)
    body.fail = None
    kind.call(f, 1)
    kind.eventually(lambda: f.get(1) != "old")
    clock.advance(200)
    body.fail = ValueError("down")
    kind.call(f, 1)
    failed(kind, f, 6)
    clock.advance(1.1)
    kind.call(f, 1)
    kind.eventually(lambda: f.cache_info().load_failures == 7)


def test_a_failure_of_one_key_delays_no_other(kind: Kind, clock: Any) -> None:
    body = Body()
    f = stale(kind.one(body), clock)
    body.fail = ValueError("down")
    kind.call(f, 1)
    failed(kind, f, 1)
    body.fail = None
    kind.call(f, 2)
    kind.eventually(lambda: f.get(2) != "old")
    assert kind.call(f, 1) == "old"


def test_an_explicit_refresh_does_not_wait_after_a_failed_one(kind: Kind, clock: Any) -> None:
    body = Body()
    f = stale(kind.one(body), clock)
    body.fail = ValueError("down")
    kind.call(f, 1)
    failed(kind, f, 1)
    body.fail = None
    assert kind.call(f.cache_refresh, 1) == (1, 2)


def test_after_a_failed_refresh_the_value_is_still_served_until_its_end(
    kind: Kind, clock: Any
) -> None:
    body = Body()
    body.fail = ValueError("down")
    f = stale(kind.one(body), clock, stale_while_revalidate=1000)
    assert kind.call(f, 1) == "old"
    failed(kind, f, 1)
    clock.advance(850)
    assert kind.call(f, 1) == "old"
    failed(kind, f, 2)
    clock.advance(100)
    with pytest.raises(ValueError, match="down"):
        kind.call(f, 1)


# --- processes ----------------------------------------------------------------------------------

EXIT = """
import threading, time
import warp_cache.testing
from warp_cache import cache

begun = threading.Event()

@cache(ttl=100, stale_while_revalidate=10**6)
def f(x):
    begun.set()
    time.sleep(3600)

with warp_cache.testing.clock() as clock:
    f.set("old", 1)
    clock.advance(200)
    assert f(1) == "old"
    assert begun.wait(20)
print("the end")
"""


def test_the_exit_of_the_interpreter_waits_for_no_refresh() -> None:
    done = support.run_python(EXIT)
    assert done.stdout.strip() == "the end", done.stderr
    if sys.version_info >= (3, 11):  # 3.10 may crash under daemon threads by itself
        support.check_clean(done, out="the end")


FORK = """
import os, time, warnings
import warp_cache.testing
from warp_cache import cache

warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads

@cache(ttl=100, stale_while_revalidate=10**6)
def f(x):
    return os.getpid()

def refreshed(x):
    end = time.monotonic() + 20
    assert f(x) == "old"
    while f.get(x) == "old":
        assert time.monotonic() < end, "never refreshed"
        time.sleep(0.002)
    return f.get(x)

with warp_cache.testing.clock() as clock:
    for x in range(3):
        f.set("old", x)
    clock.advance(200)
    assert refreshed(0) == os.getpid()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if refreshed(1) == os.getpid() else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert refreshed(2) == os.getpid()
print("the end")
"""


def test_a_child_made_by_fork_makes_a_pool_of_its_own() -> None:
    done = support.run_python(FORK)
    assert done.returncode == 0 and done.stdout.strip() == "the end", done.stderr


def test_no_thread_is_made_before_the_first_refresh() -> None:
    done = support.run_python(
        """
import threading
from warp_cache import cache

@cache(ttl=100, stale_while_revalidate=100)
def f(x):
    return x

f(1), f(1), f.cache_refresh(1)
print(threading.active_count())
"""
    )
    support.check_clean(done, out="1")
