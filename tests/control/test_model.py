"""Random programs against a model in plain Python: lifetimes, windows, exceptions, tags, sizes.

All durations are whole numbers of UNIT, all steps of the clock whole numbers of STEP, which is one
hundredth more: so no age is ever nearer than ten seconds to the end of something, and no verdict
hangs on how long the test itself takes, or on the thousandth to which idle times are kept.
A refresh in the background is waited for where the model says that one begins, so that the next
operation finds what it has left.
"""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import support
from control import cache, the_testing
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

UNIT = 1000
STEP = 1010
KEYS = range(5)
# How the function behaves for a key.
MODES = ["good", "odd", "short", "dead", "down", "missing"]
EXCEPTION_SECONDS = 3 * UNIT


class Down(Exception):
    pass


class Missing(Exception):
    pass


@dataclasses.dataclass
class Parameters:
    ttl: int | None
    by_value: bool
    tti: int | None
    revalidate: int
    spare: int
    cache_if: bool
    exceptions: bool
    tags: bool
    max_size: int | None


@st.composite
def parameters(draw: Any) -> Parameters:
    ttl = draw(st.one_of(st.none(), st.integers(1, 6)))
    windows = st.one_of(st.just(0), st.integers(1, 6)) if ttl else st.just(0)
    spare = draw(windows)
    return Parameters(
        ttl=ttl and ttl * UNIT,
        by_value=draw(st.booleans()),
        tti=draw(st.one_of(st.none(), st.integers(1, 5).map(lambda n: n * UNIT))),
        revalidate=draw(windows) * UNIT,
        spare=spare * UNIT,
        cache_if=draw(st.booleans()),
        exceptions=draw(st.booleans()),
        tags=draw(st.booleans()),
        # Whether a value returned by stale_if_error is a use for the strategy is not specified.
        max_size=draw(st.one_of(st.none(), st.integers(1, 4))) if not spare else None,
    )


@dataclasses.dataclass
class Entry:
    value: Any
    is_exception: bool
    end: float  # of freshness
    used: float
    tags: tuple[str, ...]
    last_failure: float | None = None
    doubtful: float | None = None


class Model:
    """What the specification says, entry by entry; the dictionary is in order of use."""

    def __init__(self, given: Parameters) -> None:
        self.given = given
        self.now = 0.0
        self.entries: dict[int, Entry] = {}
        self.hits = self.misses = self.stale_hits = self.refreshes = 0
        self.loads = self.load_failures = 0

    def state(self, key: int) -> str:
        entry = self.entries.get(key)
        if entry is None:
            return "absent"
        given = self.given
        if given.tti is not None and self.now >= entry.used + given.tti:
            return "gone"
        age = self.now - entry.end
        if age < 0:
            return "fresh"
        if entry.is_exception:
            return "gone"
        if age < given.revalidate:
            return "revalidating"
        if age < given.spare:
            return "spare"
        return "gone"

    def sweep(self) -> None:
        for key in list(self.entries):
            if self.state(key) == "gone":
                del self.entries[key]

    def use(self, key: int) -> None:
        entry = self.entries.pop(key)
        entry.used = self.now
        self.entries[key] = entry

    def store(
        self,
        key: int,
        value: Any,
        lifetime: float | None,
        tags: tuple[str, ...],
        is_exception: bool = False,
    ) -> None:
        self.sweep()
        self.entries.pop(key, None)
        if lifetime is not None and lifetime <= 0:
            return
        size = self.given.max_size
        if size is not None and len(self.entries) >= size:
            del self.entries[next(iter(self.entries))]
        end = float("inf") if lifetime is None else self.now + lifetime
        self.entries[key] = Entry(value, is_exception, end, self.now, tags)


def lifetime_of(given: Parameters, value: Any) -> float | None:
    """The model's own word for the `ttl` of a result."""
    if given.ttl is None or not given.by_value:
        return given.ttl
    return {"short": UNIT, "dead": 0}.get(value[0], given.ttl)


class Machine(RuleBasedStateMachine):
    """One decorated function beside its model."""

    def __init__(self) -> None:
        super().__init__()
        self.manager = the_testing().clock()
        self.clock = self.manager.__enter__()
        self.mode = dict.fromkeys(KEYS, "good")
        self.calls = 0

    def teardown(self) -> None:
        self.manager.__exit__(None, None, None)

    @initialize(given=parameters())
    def decorate(self, given: Parameters) -> None:
        self.given = given
        self.model = Model(given)
        options: dict[str, Any] = {
            "max_size": given.max_size,
            "tti": given.tti,
            "stale_while_revalidate": given.revalidate,
            "stale_if_error": given.spare,
            "ttl": given.ttl,
        }
        if given.by_value and given.ttl is not None:
            options["ttl"] = lambda value: lifetime_of(given, value)
        if given.cache_if:
            options["cache_if"] = lambda value: value[0] != "odd"
        if given.exceptions:
            options["cache_exceptions"] = {Missing: EXCEPTION_SECONDS}
        if given.tags:
            options["tags"] = ("key:{x}", "even:{x.even}")
        self.function = cache(**options)(self.body)

    def body(self, x: Key) -> Any:
        self.calls += 1
        mode = self.mode[x.number]
        if mode == "down":
            raise Down(x.number)
        if mode == "missing":
            raise Missing(x.number)
        return (mode, x.number, self.calls)

    def tags(self, key: int) -> tuple[str, ...]:
        return (f"key:k{key}", f"even:{key % 2 == 0}") if self.given.tags else ()

    # --- what the model expects of a computation ------------------------------------------------

    def compute(self, key: int) -> tuple[str, Any]:
        """("value", value), ("stored exception", type) or ("exception", type); and stores it."""
        mode, model = self.mode[key], self.model
        model.loads += 1
        number = model.loads
        if mode == "down":
            model.load_failures += 1
            return "exception", Down
        if mode == "missing":
            model.load_failures += 1
            return ("stored exception" if self.given.exceptions else "exception"), Missing
        value = (mode, key, number)
        life = lifetime_of(self.given, value)
        if self.given.cache_if and mode == "odd":
            life = 0
        model.store(key, value, life, self.tags(key))
        return "value", value

    def refresh_in_background(self, key: int) -> None:
        """One refresh, if none has just failed; the clock's steps are longer than any pause."""
        model, entry = self.model, self.model.entries[key]
        if entry.last_failure == model.now:
            return
        model.refreshes += 1
        outcome, _ = self.compute(key)
        if outcome != "value":
            entry.last_failure = model.now
        support.eventually(lambda: self.function.cache_info().loads == model.loads)
        self.settle(key)
        time.sleep(0.002)  # for the note that nothing is under way any more

    def settle(self, key: int) -> None:
        """Wait until the cache has what the model has: the refresh stores after it has counted."""
        entry = self.model.entries.get(key)
        expected = None if entry is None else entry.end - self.model.now

        def settled() -> bool:
            ttl = self.function.cache_ttl(Key(key))
            if expected is None or ttl is None:
                return ttl is None and expected is None
            left = expected
            if entry is not None and self.given.tti is not None:
                left = min(left, entry.used + self.given.tti - self.model.now)
            return ttl == left or abs(ttl - left) < 9

        support.eventually(settled)

    # --- operations -----------------------------------------------------------------------------

    keys = st.sampled_from(KEYS)

    @rule(key=keys)
    def call(self, key: int) -> None:
        model, state = self.model, self.model.state(key)
        before = model.entries.get(key)
        if state == "revalidating" and before is not None:
            if before.doubtful == model.now:
                return  # whether a failed explicit refresh delays the next, is not specified
            if self.mode[key] == "missing" and self.given.exceptions:
                return  # nor whether a refresh in the background stores an exception
        if state in ("fresh", "revalidating"):
            assert before is not None
            model.hits += 1
            model.use(key)
            expected = ("exception" if before.is_exception else "value", before.value)
            if state == "revalidating":
                model.stale_hits += 1
        else:
            model.misses += 1
            outcome, value = self.compute(key)
            expected = ("value" if outcome == "value" else "exception", value)
            if outcome != "value" and state == "spare":
                assert before is not None
                model.stale_hits += 1
                model.use(key)
                expected = ("value", before.value)
            elif outcome == "stored exception":
                model.store(key, value, EXCEPTION_SECONDS, self.tags(key), True)
            elif outcome == "exception":
                model.sweep()
        try:
            got = ("value", self.function(Key(key)))
        except (Down, Missing) as error:
            got = ("exception", type(error))
            assert error.args == (key,)
        assert got == expected, f"{state}: {got}, expected {expected}"
        if state == "revalidating":
            self.refresh_in_background(key)

    @rule(key=keys)
    def get(self, key: int) -> None:
        expected = None
        if self.model.state(key) in ("fresh", "revalidating"):
            entry = self.model.entries[key]
            if not entry.is_exception:
                expected = entry.value
                self.model.use(key)
        if key in self.model.entries and self.model.entries[key].is_exception:
            return  # whether to look at a stored exception is a use, is not specified
        assert self.function.get(Key(key)) == expected

    @rule(key=keys, mode=st.sampled_from(["set", "short", "dead"]))
    def set(self, key: int, mode: str) -> None:
        value = (mode, key, -1)
        self.model.store(key, value, lifetime_of(self.given, value), self.tags(key))
        self.function.set(value, Key(key))

    @rule(
        key=keys,
        life=st.one_of(st.none(), st.integers(-1, 6).map(lambda n: n * UNIT)),
        tags=st.one_of(st.none(), st.lists(st.sampled_from(["a", "b"]), unique=True).map(tuple)),
    )
    def put(self, key: int, life: int | None, tags: tuple[str, ...] | None) -> None:
        given = {} if tags is None else {"tags": tags}
        value = ("put", key, -2)
        self.model.store(key, value, life, self.tags(key) if tags is None else tags)
        self.function.cache_put(value, (Key(key),), ttl=life, **given)

    @rule(key=keys)
    def refresh(self, key: int) -> None:
        self.model.refreshes += 1
        outcome, value = self.compute(key)
        try:
            got = ("value", self.function.cache_refresh(Key(key)))
        except (Down, Missing) as error:
            got = ("exception", type(error))
        assert got == ("value" if outcome == "value" else "exception", value)
        if outcome != "value" and key in self.model.entries:
            self.model.entries[key].doubtful = self.model.now
        if outcome == "stored exception" and self.model.state(key) in ("absent", "gone"):
            # Whether a failed refresh of an absent key stores the exception, is not specified.
            self.model.entries.pop(key, None)
            self.function.cache_invalidate(Key(key))

    @rule(key=keys)
    def invalidate(self, key: int) -> None:
        there = self.model.state(key) not in ("absent", "gone")
        self.model.entries.pop(key, None)
        assert self.function.cache_invalidate(Key(key)) is there

    @rule(tag=st.sampled_from(["a", "b", "even:True", "even:False", "key:k1", "key:k2", "none"]))
    def invalidate_tags(self, tag: str) -> None:
        self.model.entries = {
            key: entry for key, entry in self.model.entries.items() if tag not in entry.tags
        }
        self.function.cache_invalidate_tags(tag)

    @precondition(lambda self: self.calls > 10)
    @rule()
    def clear(self) -> None:
        loads = self.model.loads
        now = self.model.now
        self.model = Model(self.given)
        self.model.now = now
        self.function.cache_clear()
        assert self.function.cache_info().loads == 0
        assert loads == self.calls
        self.calls = 0

    @rule(steps=st.integers(1, 4))
    def advance(self, steps: int) -> None:
        self.model.now += steps * STEP
        self.clock.advance(steps * STEP)

    @rule(key=keys, mode=st.sampled_from(MODES))
    def behave(self, key: int, mode: str) -> None:
        self.mode[key] = mode

    # --- what must always hold ------------------------------------------------------------------

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "model"):
            return
        model, function = self.model, self.function
        for key in KEYS:
            state = model.state(key)
            assert function.cache_contains(Key(key)) is (state in ("fresh", "revalidating")), state
            ttl = function.cache_ttl(Key(key))
            assert (ttl is None) == (state in ("absent", "gone")), (state, ttl)
            if ttl is not None:
                entry = model.entries[key]
                left = entry.end
                if self.given.tti is not None:
                    left = min(left, entry.used + self.given.tti)
                assert ttl == left - model.now or abs(ttl - (left - model.now)) < 9
        info = function.cache_info()
        model.sweep()
        assert info.currsize == len(model.entries)
        assert (info.hits, info.misses) == (model.hits, model.misses)
        assert info.stale_hits == model.stale_hits and info.refreshes == model.refreshes
        assert (info.loads, info.load_failures) == (model.loads, model.load_failures)
        assert model.loads == self.calls


@dataclasses.dataclass(frozen=True)
class Key:
    """A key with an attribute, for templates."""

    number: int

    @property
    def even(self) -> bool:
        return self.number % 2 == 0

    def __format__(self, spec: str) -> str:
        return f"k{self.number}"


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=support.examples(60),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
