"""Coroutines ask a server together, and what they leave behind is nobody's burden."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import servers
import support

from warp_cache import _flight, _warp_cache_rs, cache
from warp_cache._remote import asking, awaiting, beside, looking

pytestmark = pytest.mark.usefixtures("near_by")

KEYS = range(200)


def named(**options: Any) -> Any:
    """One more cache of the same name."""

    @cache(remote=True, **{"name": "f", "max_size": 1, "ttl": 600, **options})
    async def f(x: int) -> list[int]:
        computed.append(x)
        return [x, 0]

    computed: list[int] = []
    f.computed = computed
    return f


async def all_of(f: Any, keys: Any = KEYS) -> list[Any]:
    return await asyncio.gather(*(f(key) for key in keys))


def calls_of(server: servers.Server) -> list[str]:
    """The keys that hold a value or a lease."""
    reply = server.say("KEYS", "*:k:f:*")
    return [word for word in reply.split("\r\n") if word.startswith("wc1:")]


@pytest.mark.parametrize("single_flight", [True, False])
def test_each_of_many_has_its_own_value(configured: servers.Server, single_flight: bool) -> None:
    f, g = named(), named(single_flight=single_flight)
    expected = [[key, 0] for key in KEYS]
    assert asyncio.run(all_of(f)) == expected and sorted(f.computed) == [*KEYS]
    assert asyncio.run(all_of(g)) == expected and g.computed == []
    # Twice in one turn of the loop: who does not lead, joins or computes as well.
    twice = [1000, 1000, 1001]
    assert asyncio.run(all_of(g, twice)) == [[key, 0] for key in twice]
    assert set(g.computed) == {1000, 1001} and (len(g.computed) == 2 or not single_flight)


def test_many_at_once_are_few_trips(
    configured: servers.Server, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend == "shared":
        pytest.skip("the file of the host has them")
    f, g = named(), named()
    asyncio.run(all_of(f))
    trips = []

    def ask_together(turns: list[Any]) -> list[bool]:
        trips.append(len(turns))
        return _warp_cache_rs._ask_together(turns)

    monkeypatch.setattr(asking, "_ask_together", ask_together)
    asyncio.run(all_of(g))
    assert g.cache_info().remote_hits == len(KEYS) == sum(trips)
    assert len(trips) < len(KEYS) / 10


def test_what_the_server_refuses_of_one_spares_the_others(configured: servers.Server) -> None:
    f, g = named(), named()
    asyncio.run(f(1))
    (poisoned,) = calls_of(configured)
    configured.say("DEL", poisoned)
    configured.say("RPUSH", poisoned, "x")
    others = range(2, 30)
    asyncio.run(all_of(f, others))
    assert asyncio.run(all_of(g, range(30))) == [[key, 0] for key in range(30)]
    assert sorted(g.computed) == [0, 1]
    assert g.cache_info().remote_errors > 0


@pytest.mark.parametrize("how", ["cancelled", "closed"])
def test_who_leaves_while_he_asks_leaves_no_lease(configured: servers.Server, how: str) -> None:
    f = named()
    asyncio.run(f(0))

    async def leave() -> None:
        tasks = [asyncio.ensure_future(f(key)) for key in (1, 2, 3)]
        for _ in range(10):
            await asyncio.sleep(0)
        while not unanswered(configured):
            await asyncio.sleep(0.001)
        if how == "cancelled":
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    configured.stop()
    loop = asyncio.new_event_loop()
    # It complains of tasks that are destroyed with it.
    loop.set_exception_handler(lambda loop, context: None)
    try:
        loop.run_until_complete(leave())
    finally:
        loop.close()
        configured.resume()
    support.eventually(lambda: len(calls_of(configured)) == 1)
    assert f.computed == [0]


def test_what_the_server_has_needs_no_task(configured: servers.Server) -> None:
    f, g = named(), named()
    asyncio.run(all_of(f))
    made: list[Any] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def factory(loop: Any, body: Any, **options: Any) -> Any:
            made.append(body)
            return asyncio.Task(body, loop=loop, **options)

        loop.set_task_factory(factory)
        for key in KEYS:
            assert await g(key) == [key, 0]
        assert made == g.computed == []

    asyncio.run(main())


@pytest.mark.parametrize("is_told", [False, True])
def test_who_has_joined_is_served_where_the_first_is_cancelled_while_he_asks(
    configured: servers.Server, backend: str, monkeypatch: pytest.MonkeyPatch, is_told: bool
) -> None:
    """is_told: the answer comes in the very turn of the loop in which he is cancelled."""
    if backend == "shared":
        pytest.skip("the file of the host has it")
    f, g = named(), named()
    asyncio.run(f(1))
    trips = []

    def ask_together(turns: list[Any]) -> list[bool]:
        trips.append(len(turns))
        return _warp_cache_rs._ask_together(turns)

    monkeypatch.setattr(asking, "_ask_together", ask_together)

    async def told_late(_flight: Any) -> bool:
        return False

    # The server may tell of the value's store as late as here, and who joins would ask anew.
    monkeypatch.setattr(awaiting, "is_fenced", told_late)
    done = asking.Asking.done

    async def main() -> list[Any]:
        first = asyncio.ensure_future(g(1))
        if is_told:

            def cancels(self: Any, *outcome: Any) -> None:
                first.cancel()
                done(self, *outcome)

            monkeypatch.setattr(asking.Asking, "done", cancels)
        else:
            configured.stop()
        others = [asyncio.ensure_future(g(1)) for _ in range(3)]
        if not is_told:
            while not unanswered(configured):
                await asyncio.sleep(0.001)
            first.cancel()
            await asyncio.wait([first])
            configured.resume()
        values = await asyncio.gather(*others)
        assert first.cancelled()
        return values

    assert asyncio.run(main()) == [[1, 0]] * 3
    assert trips == [1] and g.computed == []


def test_a_computation_that_never_begins_leaves_no_lease(
    configured: servers.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    f = named()
    lead = _flight.Flight.lead

    def cancelled(self: Any, me: Any) -> None:
        lead(self, me)
        self.works[-1].task.cancel()

    monkeypatch.setattr(_flight.Flight, "lead", cancelled)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(f(1))
    support.eventually(lambda: not calls_of(configured))
    assert f.computed == []


@pytest.mark.parametrize("how", ["close", "call another"])
@pytest.mark.parametrize("callers", [1, 3])
def test_a_loop_closed_before_the_computation_begins_leaves_no_lease(
    configured: servers.Server, monkeypatch: pytest.MonkeyPatch, how: str, callers: int
) -> None:
    """The lease is there already, and the task that would compute takes no step."""
    f = named()
    lead, stopped = _flight.Flight.lead, list[object]()

    def stops(self: Any, me: Any) -> None:
        lead(self, me)
        stopped.append(me)
        self.loop.stop()

    monkeypatch.setattr(_flight.Flight, "lead", stops)
    monkeypatch.setattr("sys.unraisablehook", lambda event: None)
    # In this thread: there is no waiting for another one.
    monkeypatch.setattr(beside, "forget", lambda function: function())
    loop = asyncio.new_event_loop()
    # It complains of tasks that are destroyed with it.
    loop.set_exception_handler(lambda loop, context: None)
    coroutines = [f(1) for _ in range(callers)]
    tasks = [loop.create_task(coroutine) for coroutine in coroutines]
    loop.run_forever()
    assert len(stopped) == 1
    (lease,) = calls_of(configured)
    loop.close()
    if how == "close":
        while coroutines:
            coroutines.pop().close()
    else:
        # What was computed in a loop that is closed is forgotten by the next that computes.
        monkeypatch.undo()
        monkeypatch.setattr(beside, "forget", lambda function: function())
        asyncio.run(f(2))
    # Given back at once: it does not wait for its end.
    assert lease not in calls_of(configured)
    assert 1 not in f.computed
    coroutines.clear()
    tasks.clear()
    stopped.clear()
    with warnings.catch_warnings():
        # Of tasks that have not begun.
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.mark.parametrize("tag", ["mine", "other"])
def test_tags_are_invalidated_while_somebody_asks(configured: servers.Server, tag: str) -> None:
    f = named(tags=lambda x: ["mine"])

    async def main() -> None:
        first = asyncio.ensure_future(f(1))
        await asyncio.sleep(0)
        assert any(f._flights.values())
        f.cache_invalidate_tags(tag)
        # Who comes now joins what is not fenced.
        assert any(f._flights.values()) == (tag == "other")
        assert await asyncio.gather(first, f(1)) == [[1, 0]] * 2

    asyncio.run(main())
    assert not f._flights


def test_who_comes_while_nothing_is_asked_joins_too(configured: servers.Server) -> None:
    f = named()
    asyncio.run(f(0))
    configured.kill()
    for key in range(1, 12):
        asyncio.run(f(key))
    f.computed.clear()
    assert asyncio.run(all_of(f, [100] * 20)) == [[100, 0]] * 20
    assert f.computed == [100]


def test_what_was_found_leaves_no_loop_behind(configured: servers.Server) -> None:
    # What the second reads comes into the file of the host, where there is one; the third finds it.
    functions = [named() for _ in range(3)]
    for f in functions:
        assert asyncio.run(f(1)) == [1, 0]
        assert not f._flights
    assert [f.computed for f in functions] == [[1], [], []]


@pytest.mark.parametrize("step", ["_computation", "_turn_there", "_take_there", "refresh"])
def test_what_raises_on_the_way_keeps_nobody_waiting(
    configured: servers.Server, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Whatever it is, and wherever: the next call begins anew."""
    f = named(ttl=0.001, stale_while_revalidate=600)
    g = named(ttl=0.001, stale_while_revalidate=600)
    asyncio.run(f(1))
    time.sleep(0.01)

    class Failing:
        """The cached function for what asks, of which a step fails."""

        def __getattr__(self, name: str) -> Any:
            return fails if name == step else getattr(g, name)

    class Raised(BaseException):
        pass

    def fails(*_: Any) -> Any:
        raise Raised

    begin = looking.Look.__init__

    def begins(self: Any, *given: Any) -> None:
        begin(self, *given)
        self.call = (Failing(), *self.call[1:])

    with monkeypatch.context() as patched:
        if step == "refresh":
            patched.setattr(looking, "refresh", fails)
        else:
            patched.setattr(looking.Look, "__init__", begins)
        with pytest.raises(Raised):
            asyncio.run(g(1))
    assert not g._flights
    assert asyncio.run(g(1)) == [1, 0]


def test_what_one_caller_is_thrown_while_he_asks_is_his_alone(
    configured: servers.Server, backend: str
) -> None:
    if backend == "shared":
        pytest.skip("the file of the host has it")
    f, g = named(), named()
    asyncio.run(f(1))

    async def main() -> None:
        steps = g(1).__await__()
        next(steps)
        other = asyncio.ensure_future(g(1))
        await asyncio.sleep(0)
        with pytest.raises(ValueError, match="his"):
            steps.throw(ValueError("his"))
        assert await other == [1, 0]

    asyncio.run(main())
    assert not g._flights and g.computed == []


def unanswered(server: servers.Server) -> bool:
    """Whether something was sent to a server that is stopped, and lies unread."""
    sockets = Path("/proc/net/tcp").read_text().splitlines()[1:]
    port = f":{server.port:04X}"
    return any(
        line.split()[1].endswith(port) and int(line.split()[4].partition(":")[2], 16) > 0
        for line in sockets
    )
