"""The module (§2.6): caches, clear_all, invalidate_tags, configure, disabled, testing."""

from __future__ import annotations

import asyncio
import gc
import os
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
import support
from control import Body, Kind, both, cache, lru_cache, the_testing, warp

# --- caches, clear_all --------------------------------------------------------------------------


def listed(f: Any) -> bool:
    return any(one is f for one in warp.caches())


@both
@pytest.mark.parametrize("backend", ["memory", "shared"])
def test_caches_lists_the_decorated_functions_alive(
    decorate: Any, kind: Kind, backend: str
) -> None:
    f = decorate(backend=backend)(kind.one(Body()))
    g = decorate(backend=backend, ttl=60)(kind.one(Body()))
    assert listed(f) and listed(g)
    assert sum(one is f for one in warp.caches()) == 1
    gc.collect()  # what earlier tests have left
    number = len(list(warp.caches()))
    del g
    gc.collect()
    assert listed(f) and len(list(warp.caches())) == number - 1


def test_caches_keeps_nothing_alive() -> None:
    import weakref

    f = cache(lambda x: x)
    gone = weakref.ref(f)
    list(warp.caches())
    del f
    gc.collect()
    assert gone() is None


def test_caches_lists_methods() -> None:
    class Shop:
        @cache
        def price(self, x: int) -> int:
            return x

        @cache(per_instance=True)
        def own(self, x: int) -> int:
            return x

    assert listed(Shop.price) and listed(Shop.own)


def test_caches_may_be_asked_while_functions_come_and_go() -> None:
    def work() -> None:
        for _ in range(200):
            f = cache(lambda x: x)
            f(1)
            del f

    def ask() -> None:
        for _ in range(100):
            for one in warp.caches():  # what other tests have made, too
                assert one.info() if isinstance(one, warp.Cache) else one.cache_info()

    support.results(support.start_together([work, work, ask, ask]))


@both
def test_clear_all_empties_them(decorate: Any, kind: Kind) -> None:
    functions = [
        decorate(kind.one(Body())),
        decorate(ttl=60)(kind.one(Body())),
        decorate(backend="shared")(kind.one(Body())),
        cache(tags=("t",))(kind.one(Body())),
    ]

    class Shop:
        own = cache(per_instance=True)(kind.method(lambda self, x: x))

    shop = Shop()
    for f in [*functions, shop.own]:
        kind.call(f, 1)
        kind.call(f, 1)
    warp.clear_all()
    for f in [*functions, shop.own]:
        assert f.cache_info().currsize == 0
        assert not f.cache_contains(1)


def test_invalidate_tags_reaches_every_cache(kind: Kind) -> None:
    functions = [cache(tags=("t{x}",))(kind.one(Body())) for _ in range(3)]
    for f in functions:
        kind.call(f, 1)
        kind.call(f, 2)
    warp.invalidate_tags("t1", "t3")
    assert [f.cache_contains(1) for f in functions] == [False] * 3
    assert [f.cache_contains(2) for f in functions] == [True] * 3


# --- disabled -----------------------------------------------------------------------------------


@both
def test_within_disabled_every_call_computes_and_stores_nothing(decorate: Any, kind: Kind) -> None:
    body = Body()
    f = decorate(kind.one(body))
    assert kind.call(f, 1) == (1, 1)
    with warp.disabled():
        assert kind.call(f, 1) == (1, 2)
        assert kind.call(f, 1) == (1, 3)
        assert kind.call(f, 2) == (2, 4)
    assert kind.call(f, 1) == (1, 1), "what was there before is there again"
    assert not f.cache_contains(2)
    assert kind.call(f, 2) == (2, 5)


@both
def test_within_disabled_get_is_none_set_does_nothing_invalidations_work(
    decorate: Any, kind: Kind
) -> None:
    f = decorate(kind.one(Body()))
    for x in (1, 2, 3):
        f.set("before", x)
    f.cache_put("tagged", (4,), tags=("t",))
    with warp.disabled():
        assert f.get(1) is None
        f.set("within", 1)
        f.cache_put("within", (5,))
        f.cache_invalidate(2)
        f.cache_invalidate_tags("t")
    assert f.get(1) == "before" and f.get(3) == "before"
    assert f.get(2) is None and f.get(4) is None and f.get(5) is None
    with warp.disabled():
        f.cache_clear()
    assert f.cache_info().currsize == 0


def test_disabled_may_be_nested(kind: Kind) -> None:
    body = Body()
    f = cache(kind.one(body))
    kind.call(f, 1)
    with warp.disabled():
        with warp.disabled():
            assert kind.call(f, 1) == (1, 2)
        assert kind.call(f, 1) == (1, 3), "the outer one still holds"
    assert kind.call(f, 1) == (1, 1)


def test_disabled_ends_with_an_exception(kind: Kind) -> None:
    f = cache(kind.one(Body()))
    kind.call(f, 1)
    with pytest.raises(ValueError, match="inside"), warp.disabled():
        raise ValueError("inside")
    assert kind.call(f, 1) == (1, 1)


def test_one_disabled_may_be_used_again(kind: Kind) -> None:
    f = cache(kind.one(Body()))
    kind.call(f, 1)
    for number in (2, 3):
        with warp.disabled():
            assert kind.call(f, 1) == (1, number)
    assert kind.call(f, 1) == (1, 1)


def test_disabled_holds_for_the_whole_process() -> None:
    body = Body()
    f = cache(body)
    f(1)
    with warp.disabled():
        assert support.start(f, 1).result(support.LIMIT) == (1, 2)
    assert support.start(f, 1).result(support.LIMIT) == (1, 1)


@pytest.mark.parametrize("backend", ["memory", "shared"])
def test_disabled_concerns_every_backend_and_instances(kind: Kind, backend: str) -> None:
    body = Body()
    f = cache(backend=backend)(kind.one(body))
    kind.call(f, 1)
    with warp.disabled():
        assert kind.call(f, 1) == (1, 2)
    assert kind.call(f, 1) == (1, 1)

    class Shop:
        own = cache(per_instance=True)(kind.method(lambda self, x: body(x)))

    shop = Shop()
    first = kind.call(shop.own, 1)
    with warp.disabled():
        assert kind.call(shop.own, 1) != first
    assert kind.call(shop.own, 1) == first


def test_disabled_calls_take_what_cannot_be_a_key(kind: Kind) -> None:
    # Nothing is looked up, as in a cache of size 0.
    f = cache(kind.one(lambda x: len(x)))
    with warp.disabled():
        assert kind.call(f, [1, 2]) == 2


def test_disabled_computations_are_not_shared() -> None:
    body = Body()
    entered = support.Held()
    f = cache(lambda x: (body(x), entered(x))[0])
    with warp.disabled():
        running = [support.start(f, 1) for _ in range(3)]
        entered.await_start(3)
        entered.release()
        support.results(running)
    assert body.count == 3


def test_the_environment_disables_a_process() -> None:
    source = """
import asyncio, warp_cache
calls = []

@warp_cache.cache
def f(x):
    calls.append(x)
    return len(calls)

@warp_cache.lru_cache
async def g(x):
    calls.append(x)
    return len(calls)

f.set("set", 1)
print(f(1), f(1), f.get(1), asyncio.run(g(1)), asyncio.run(g(1)), f.cache_contains(1))
with warp_cache.disabled():
    print(f(1))
print(f(1))
"""
    done = support.run_python(source, environment={"WARP_CACHE_DISABLED": "1"})
    support.check_clean(done, out="1 2 None 3 4 False\n5\n6")
    done = support.run_python(source, environment={"WARP_CACHE_DISABLED": "0"})
    assert done.returncode == 0, done.stderr


# --- testing.clock ------------------------------------------------------------------------------


def test_the_clock_ages_functions_decorated_before(kind: Kind) -> None:
    f = cache(ttl=100)(kind.one(Body()))
    kind.call(f, 1)
    with the_testing().clock() as clock:
        assert f.cache_contains(1), "time goes on where it was"
        clock.advance(150)
        assert not f.cache_contains(1)


def test_without_advance_the_clock_makes_nothing_end(kind: Kind) -> None:
    with the_testing().clock():
        f = cache(ttl=1000)(kind.one(Body()))
        kind.call(f, 1)
        assert kind.call(f, 1) == (1, 1)


def test_the_clock_advances_by_numbers_and_timedeltas(kind: Kind) -> None:
    import datetime

    with the_testing().clock() as clock:
        f = cache(ttl=100)(kind.one(Body()))
        kind.call(f, 1)
        clock.advance(30)
        clock.advance(30.5)
        clock.advance(datetime.timedelta(seconds=30))
        assert f.cache_ttl(1) == pytest.approx(9.5, abs=3)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (-1, ValueError),
        (-0.001, ValueError),
        (float("nan"), ValueError),
        (float("inf"), ValueError),
        (10**400, ValueError),
        ("5", TypeError),
        (None, TypeError),
        ([5], TypeError),
    ],
)
def test_the_clock_refuses_what_is_no_step_forward(wrong: Any, error: Any) -> None:
    with the_testing().clock() as clock:
        before = clock.time()
        with pytest.raises(error, match="seconds"):
            clock.advance(wrong)
        assert clock.time() == before


def test_the_clock_stands_still_at_the_end_of_its_range(kind: Kind) -> None:
    with the_testing().clock() as clock:
        f = cache(ttl=60)(kind.one(Body()))
        kind.call(f, 1)
        clock.advance(1e12)
        assert not f.cache_contains(1)


def test_after_the_clock_the_time_is_the_systems_again(kind: Kind) -> None:
    with the_testing().clock() as clock:
        clock.advance(10**6)
    f = cache(ttl=1000)(kind.one(Body()))
    kind.call(f, 1)
    assert f.cache_ttl(1) == pytest.approx(1000, abs=50)
    g = cache(ttl=0.05)(kind.one(Body()))
    kind.call(g, 1)
    support.eventually(lambda: not g.cache_contains(1))
    assert f.cache_contains(1)


def test_clocks_one_after_the_other(kind: Kind) -> None:
    for _ in range(3):
        with the_testing().clock() as clock:
            f = cache(ttl=100)(kind.one(Body()))
            kind.call(f, 1)
            clock.advance(90)
            assert f.cache_contains(1)
            clock.advance(20)
            assert not f.cache_contains(1)


# --- testing.isolated ---------------------------------------------------------------------------


def test_isolated_gives_a_directory_of_its_own(kind: Kind, cache_dir: Path) -> None:
    with the_testing().isolated():
        f = cache(backend="shared", name="isolated")(kind.one(Body()))
        kind.call(f, 1)
        assert f.cache_contains(1)
        where = Path(f.cache_options()["path"])
        assert where.exists() and cache_dir not in where.parents
        del f
    assert not where.exists(), "it is removed"
    assert not list(cache_dir.glob("isolated*"))


def test_two_isolated_share_nothing(kind: Kind) -> None:
    seen = []
    for _ in range(2):
        with the_testing().isolated():
            f = cache(backend="shared", name="twice")(kind.one(Body()))
            seen.append(f.cache_contains(1))
            kind.call(f, 1)
            seen.append(f.cache_contains(1))
    assert seen == [False, True] * 2


def test_isolated_reaches_child_processes() -> None:
    source = """
from warp_cache import cache
f = cache(backend="shared", name="child")(lambda x: x)
print(f.get(1))
"""
    with the_testing().isolated():
        f = cache(backend="shared", name="child")(lambda x: x)
        f.set("the parent's", 1)
        # The parent's function is found by its name, wherever the child decorates it.
        done = support.run_python(source)
    support.check_clean(done, out="the parent's")


def test_isolated_is_a_pytest_fixture(tmp_path: Path) -> None:
    # How a fixture is found is not specified: imported from `warp_cache.testing`, as any other.
    (tmp_path / "test_it.py").write_text(
        """
from warp_cache import cache
from warp_cache.testing import isolated

def test_first(isolated):
    f = cache(backend="shared", name="fixture")(lambda x: x)
    assert f.get(1) is None
    f(1)
    assert f.get(1) == 1

def test_second(isolated):
    f = cache(backend="shared", name="fixture")(lambda x: x)
    assert f.get(1) is None
""",
        encoding="utf-8",
    )
    source = f"""
import sys, pytest
others = ["cacheprovider", "hypothesispytest", "anyio", "xdist", "timeout"]
options = [option for name in others for option in ("-p", "no:" + name)]
sys.exit(pytest.main(["-q", *options, "--rootdir", {str(tmp_path)!r},
                      {str(tmp_path / "test_it.py")!r}]))
"""
    done = support.run_python(source)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


# --- configure, version, namespace --------------------------------------------------------------

CONFIGURE = """
import os, sys
from pathlib import Path
import warp_cache
from warp_cache import cache

def path(f):
    return Path(f.cache_options()["path"])
"""


def run(source: str, out: str, environment: dict[str, str] | None = None) -> None:
    done = support.run_python(CONFIGURE + source, environment=environment)
    support.check_clean(done, out=out)


def test_configure_sets_the_directory_also_for_functions_decorated_before(tmp_path: Path) -> None:
    run(
        f"""
f = cache(backend="shared", name="before")(lambda x: x)
warp_cache.configure(directory={str(tmp_path / "configured")!r})
g = cache(backend="shared", name="after")(lambda x: x)
f(1), g(1)
print(sorted(p.name for p in Path({str(tmp_path / "configured")!r}).glob("*.cache")))
print(path(f).parent == path(g).parent == Path({str(tmp_path / "configured")!r}))
""",
        "['after.cache', 'before.cache']\nTrue",
    )


def test_configure_has_no_effect_on_caches_that_are_open(tmp_path: Path) -> None:
    run(
        f"""
f = cache(backend="shared", name="opened")(lambda x: x)
f(1)
before = path(f)
warp_cache.configure(directory={str(tmp_path / "configured")!r}, namespace="later")
print(f.get(1), path(f) == before)
""",
        "1 True",
    )


def test_parameter_before_configure_before_environment() -> None:
    run(
        """
def seen(**given):
    f = cache(backend="shared", name="who", **given)(lambda x: x)
    return f.get(1)

def put(value, **given):
    cache(backend="shared", name="who", **given)(lambda x: x).set(value, 1)

put("environment")
print(seen(), seen(namespace="env"), seen(namespace="other"))
warp_cache.configure(namespace="configured")
print(seen(), seen(namespace="env"))
put("configured")
put("parameter", namespace="parameter")
print(seen(), seen(namespace="configured"), seen(namespace="parameter"), seen(namespace="env"))
""",
        "environment environment None\nNone environment\n"
        "configured configured parameter environment",
        {"WARP_CACHE_NAMESPACE": "env"},
    )


def test_namespaces_do_not_meet(kind: Kind) -> None:
    functions = [
        cache(backend="shared", name="same", **given)(kind.one(Body()))
        for given in ({}, {"namespace": "tests"}, {"namespace": "production"})
    ]
    for number, f in enumerate(functions):
        assert not f.cache_contains(1), number
        f.set(number, 1)
    assert [f.get(1) for f in functions] == [0, 1, 2]
    again = cache(backend="shared", name="same", namespace="tests")(kind.one(Body()))
    assert again.get(1) == 1
    functions[1].cache_clear()
    assert [f.get(1) for f in functions] == [0, None, 2]


def test_a_changed_version_does_not_see_old_entries(kind: Kind) -> None:
    functions = [
        cache(backend="shared", name="same", **given)(kind.one(Body()))
        for given in ({}, {"version": "1"}, {"version": "2"}, {"version": "1", "namespace": "2"})
    ]
    for number, f in enumerate(functions):
        assert not f.cache_contains(1), number
        f.set(number, 1)
    assert [f.get(1) for f in functions] == [0, 1, 2, 3]
    again = cache(backend="shared", name="same", version="1")(kind.one(Body()))
    assert again.get(1) == 1


def test_a_version_is_part_of_an_identity_without_a_name(kind: Kind) -> None:
    function = kind.one(lambda x: x)
    f = cache(backend="shared", version="1")(function)
    g = cache(backend="shared", version="2")(function)
    f.set("old", 1)
    assert g.get(1) is None


def test_version_and_namespace_cannot_be_mistaken_for_each_other(kind: Kind) -> None:
    given = [
        {"version": "a-b"},
        {"namespace": "a", "version": "b"},
        {"namespace": "a-b"},
        {"namespace": "a/b"},
        {"version": "a/b"},
        {"namespace": "b", "version": "a"},
    ]
    functions = [cache(backend="shared", name="same", **one)(kind.one(Body())) for one in given]
    for number, f in enumerate(functions):
        assert f.get(1) is None, given[number]
        f.set(number, 1)


def test_no_namespace_or_version_leads_out_of_the_directory(kind: Kind, cache_dir: Path) -> None:
    for text in ("../out", "/etc/x", "..", "ünï", "x" * 3000):
        for given in ({"namespace": text}, {"version": text}):
            f = cache(backend="shared", name="inside", **given)(kind.one(Body()))
            kind.call(f, 1)
            assert f.cache_contains(1)
    assert [path.name for path in cache_dir.parent.iterdir()] == [cache_dir.name]


def test_in_memory_they_have_no_effect(kind: Kind) -> None:
    f = cache(version="1", namespace="n")(kind.one(Body()))
    assert kind.call(f, 1) == kind.call(f, 1)


@pytest.mark.parametrize(
    "given",
    [{"namespace": 5}, {"directory": 5}, {"nothing": 1}, {"namespace": b"n"}],
)
def test_configure_refuses_what_is_wrong(given: dict[str, Any]) -> None:
    run(
        f"""
try:
    warp_cache.configure(**{given!r})
except TypeError as error:
    print({next(iter(given))!r} in str(error))
""",
        "True",
    )


def test_configure_takes_keywords_only() -> None:
    run(
        """
try:
    warp_cache.configure("a")
except TypeError:
    print("refused")
""",
        "refused",
    )


def test_what_then_fails_is_warned_once_and_the_cache_computes() -> None:
    run(
        """
import warnings
warp_cache.configure(directory="/proc/nowhere")
calls = []
f = cache(backend="shared", name="nowhere")(lambda x: calls.append(x) or x)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    print(f(1), f(1), f(1), len(calls), len(told))
""",
        "1 1 1 3 1",
    )


# --- UncacheableWarning -------------------------------------------------------------------------


class Bare:
    """Compared by identity: has no bytes."""


def test_the_warning_comes_once_for_each_function_and_reason(kind: Kind) -> None:
    def made() -> Any:
        return cache(backend="shared", max_value_size=1000)(
            kind.one(lambda x: "v" * 2000 if x == 1 else 1)
        )

    for f in (made(), made()):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", warp.UncacheableWarning)
            for _ in range(2):
                kind.call(f, 1)
                kind.call(f, Bare())
        assert [one.category for one in told] == [warp.UncacheableWarning] * 2
        texts = sorted(str(one.message) for one in told)
        assert any("max_value_size=1000" in text for text in texts)
        assert any("'x'" in text and "Bare" in text for text in texts)


def test_the_warning_is_raised_under_a_filter_that_says_error(kind: Kind) -> None:
    f = cache(backend="shared")(kind.one(lambda x: 1))
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("error", warp.UncacheableWarning)
            with pytest.raises(warp.UncacheableWarning):
                kind.call(f, Bare())


def test_nothing_is_warned_in_memory(kind: Kind) -> None:
    f = cache(kind.one(lambda x: 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kind.call(f, Bare())


# --- the import ---------------------------------------------------------------------------------


def test_what_is_new_is_imported_when_used() -> None:
    run(
        """
loaded = {name for name in sys.modules if name.startswith("warp_cache")}
print("warp_cache.testing" in loaded, "pytest" in sys.modules)
""",
        "False False",
    )


@both
def test_everything_in_memory_works_without_a_directory(
    decorate: Any, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARP_CACHE_DIR", os.devnull)
    f = decorate(ttl=60)(kind.one(Body()))
    kind.call(f, 1)
    warp.invalidate_tags("t")
    assert f.cache_invalidate(1) is True


def test_disabled_in_async_code() -> None:
    async def main() -> None:
        calls = []

        @lru_cache
        async def f(x: int) -> int:
            calls.append(x)
            await asyncio.sleep(0)
            return len(calls)

        assert await f(1) == 1
        with warp.disabled():
            assert await f(1) == 2
            assert await f.aget(1) is None
            await f.aset("set", 2)
            await asyncio.gather(f(3), f(3))
            assert calls == [1, 1, 3, 3]
        assert await f(1) == 1 and f.get(2) is None and f.get(3) is None

    asyncio.run(main())


def test_a_refresh_in_the_background_is_not_started_within_disabled(clock: Any) -> None:
    body = Body()
    f = cache(ttl=100, stale_while_revalidate=1000)(body)
    f.set("old", 1)
    clock.advance(150)
    with warp.disabled():
        assert f(1) == (1, 1)
        time.sleep(0.02)
        assert body.count == 1
    assert f(1) == "old"
    support.eventually(lambda: f.get(1) == (1, 2))


def test_dir_lists_what_is_public() -> None:
    assert set(warp.__all__) | {"testing", "__version__"} <= set(dir(warp))
