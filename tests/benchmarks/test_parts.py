"""What the parts of the benchmarks compute for themselves: traces, percentiles, mixes of calls."""

from __future__ import annotations

import functools
import itertools
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import parts, traces
from benchmarks.parts import growth, latency, shared_worker


@pytest.mark.parametrize("name", parts.NAMES)
def test_every_part_can_be_run_alone(name: str) -> None:
    part = parts.load(name)
    assert part.title
    assert callable(part.run)


def fewest_misses(keys: Sequence[int], size: int) -> int:
    """By trying every victim."""

    @functools.cache
    def rest(position: int, cached: frozenset[int]) -> int:
        if position == len(keys):
            return 0
        key = keys[position]
        if key in cached:
            return rest(position + 1, cached)
        if len(cached) < size:
            return 1 + rest(position + 1, cached | {key})
        return 1 + min(rest(position + 1, cached - {victim} | {key}) for victim in cached)

    return rest(0, frozenset())


@given(st.lists(st.integers(0, 5), max_size=14), st.integers(1, 4))
def test_the_optimum_is_one(keys: list[int], size: int) -> None:
    assert traces.optimum(keys, size) == fewest_misses(keys, size)


@pytest.mark.parametrize("name", traces.SHORT)
def test_the_optimum_is_the_reference_s(name: str) -> None:
    pytest.importorskip("lzma", reason="this interpreter has no lzma: no trace was read")
    try:
        trace = traces.recorded(name)
    except OSError:
        pytest.skip(f"no {name} in WARP_CACHE_TRACES or ../shared/traces: it was not read")
    assert trace.reference
    for fraction, known in trace.reference.items():
        size = traces.capacity(fraction, trace.unique)
        assert traces.optimum(trace.keys, size) == known["Belady"]


def test_an_absent_trace_is_an_error_that_can_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lzma", reason="this interpreter has no lzma")
    monkeypatch.setenv("WARP_CACHE_TRACES", str(tmp_path))
    with pytest.raises(OSError):
        traces.recorded("web07")


def lru_misses(keys: Sequence[int], size: int) -> int:
    cached: OrderedDict[int, None] = OrderedDict()
    misses = 0
    for key in keys:
        if key in cached:
            cached.move_to_end(key)
            continue
        misses += 1
        if len(cached) == size:
            cached.popitem(last=False)
        cached[key] = None
    return misses


def sieve_misses(keys: Sequence[int], size: int) -> int:
    """SIEVE by a plain list, the newest first; the hand is an index."""
    order: list[int] = []
    visited: set[int] = set()
    cached: set[int] = set()
    hand = -1
    misses = 0
    for key in keys:
        if key in cached:
            visited.add(key)
            continue
        misses += 1
        if len(cached) == size:
            if hand < 0:
                hand = size - 1
            while order[hand] in visited:
                visited.remove(order[hand])
                hand = hand - 1 if hand > 0 else size - 1
            cached.remove(order.pop(hand))
            hand -= 1
        order.insert(0, key)
        cached.add(key)
        if hand >= 0:
            hand += 1
    return misses


def test_there_is_a_trace_on_which_sieve_loses_to_lru_and_one_on_which_it_wins() -> None:
    made_up = {trace.name: trace for trace in traces.made_up(20_000)}
    assert sieve_misses(made_up["recency"].keys, 300) > 1.1 * lru_misses(
        made_up["recency"].keys, 300
    )
    assert sieve_misses(made_up["scans"].keys, 300) < lru_misses(made_up["scans"].keys, 300)


def test_the_loop_defeats_lru_until_it_fits() -> None:
    (loop,) = (trace for trace in traces.made_up(10_000) if trace.name == "loop")
    assert lru_misses(loop.keys, loop.unique - 1) == len(loop.keys)
    assert lru_misses(loop.keys, loop.unique) == loop.unique


def test_made_up_traces_are_the_same_each_time_and_as_long_as_asked_for() -> None:
    first, second = traces.made_up(3000), traces.made_up(3000)
    assert [trace.keys for trace in first] == [trace.keys for trace in second]
    assert {len(trace.keys) for trace in first} == {3000}


def test_percentiles_of_a_histogram() -> None:
    # 90 calls of 5 ns, 9 of 7 ns, and one that was too long for a bin.
    counts = [0] * 10
    counts[5], counts[7] = 90, 9
    histogram = (counts, [123_456])
    assert latency.percentile(histogram, 0.5) == 5
    assert latency.percentile(histogram, 0.9) == 5
    assert latency.percentile(histogram, 0.99) == 7
    assert latency.percentile(histogram, 0.999) == 123_456


def test_each_call_is_timed_once() -> None:
    asked: list[int] = []
    counts, beyond = latency._loop()(asked.append, [1, 2, 3])
    assert asked == [1, 2, 3]
    assert sum(counts) + len(beyond) == 3
    counts, beyond = latency._loop(empty=True)(None, [1, 2, 3])
    assert sum(counts) + len(beyond) == 3


@pytest.mark.parametrize("writes", shared_worker.WRITES)
def test_the_mix_of_calls_is_as_told_and_evenly_spread(writes: int) -> None:
    hot, new = itertools.repeat("hot").__next__, itertools.repeat("new").__next__
    asked: list[str] = []
    shared_worker._loop(writes)(asked.append, hot, new, 3)  # type: ignore[arg-type]
    assert len(asked) == 3 * shared_worker.CALLS_PER_TURN
    assert asked.count("new") == 3 * writes
    for start in range(0, len(asked), shared_worker.CALLS_PER_TURN // 2):
        half = asked[start : start + shared_worker.CALLS_PER_TURN // 2]
        assert abs(half.count("new") - writes / 2) <= 0.5


def test_scattered_keys_are_all_different() -> None:
    keys = list(itertools.islice(growth.scattered(), 50_000))
    assert len(set(keys)) == len(keys)
    assert max(keys) < 1 << 61
