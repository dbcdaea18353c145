"""What `disabled()` does beside what its specification says; what a list of caches costs nobody."""

from __future__ import annotations

import gc
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import support
from control import Body, Kind, both, cache, lru_cache, warp


@both
def test_calls_are_not_counted(decorate: Any, kind: Kind) -> None:
    f = decorate(kind.one(Body()))
    kind.call(f, 1)
    before = f.cache_info()
    with warp.disabled():
        kind.call(f, 1), kind.call(f, 2)
        assert f.cache_info() == before and f.cache_info().loads == before.loads
    kind.call(f, 1)
    assert f.cache_info()[:2] == (1, 1)


def test_functions_made_and_called_first_within(kind: Kind) -> None:
    body = Body()
    with warp.disabled():
        f = cache(kind.one(body))
        assert kind.call(f, 1) == (1, 1) and kind.call(f, 1) == (1, 2)
        g = cache(kind.one(body))
    assert kind.call(f, 1) == kind.call(f, 1) == (1, 3)
    assert kind.call(g, 1) == kind.call(g, 1) == (1, 4)


def test_refreshes_compute_and_store_nothing(kind: Kind) -> None:
    body = Body()
    f = cache(kind.one(body))
    kind.call(f, 1)
    with warp.disabled():
        assert kind.call(f.cache_refresh, 1) == (1, 2)
    assert kind.call(f, 1) == (1, 1)


def test_lifetimes_of_their_own_do_not_end_it() -> None:
    body = Body()
    f = cache(body)
    f(1)
    f.cache_put("other", (2,), ttl=100)
    with warp.disabled():
        assert f(1) == (1, 2) and f(2) == (2, 3)
    assert f(1) == (1, 1) and f(2) == "other"


def test_a_recording_goes_on(tmp_path: Path) -> None:
    path = str(tmp_path / "rec")
    f = cache(Body())
    with warp.disabled(), warp.record(path):
        f(1), f(1)
        f([1])
    g = lru_cache(Body())
    with warp.record(path), warp.disabled():
        assert g(1) == (1, 1) and g(1) == (1, 2)
    assert g(1) == g(1) == (1, 3) and f(1) == f(1) == (1, 4)


def test_recursion_ends_as_ever() -> None:
    @cache
    def f(x: int) -> int:
        return f(x + 1)

    with warp.disabled(), pytest.raises(RecursionError):
        f(1)


def test_the_list_is_in_the_order_of_decoration() -> None:
    functions = [cache(lambda x: x) for _ in range(50)]
    del functions[10:20]
    gc.collect()
    functions += [lru_cache(lambda x: x), pickle.loads(pickle.dumps(module_level))]
    known = {id(f) for f in functions}
    listed = [f for f in warp.caches() if id(f) in known]
    assert listed == [module_level, *functions[:-1]]


@cache
def module_level(x: int) -> int:
    return x


def test_one_that_fails_spares_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong:
        def cache_clear(self) -> None:
            raise OSError("first")

        def cache_invalidate_tags(self, *tags: str) -> None:
            raise OSError("first")

    from warp_cache import _module

    f = cache(tags=("t",))(Body())
    f(1)
    monkeypatch.setattr(_module, "caches", lambda: [Wrong(), f])
    with pytest.raises(OSError, match="first"):
        warp.invalidate_tags("t")
    assert not f.cache_contains(1)
    f(1)
    with pytest.raises(OSError, match="first"):
        warp.clear_all()
    assert f.cache_info().currsize == 0


@pytest.mark.parametrize("text", ["", "0", "false", "No", "OFF"])
def test_the_environment_may_say_no(text: str) -> None:
    source = "from warp_cache import cache; f = cache(lambda x: [x]); print(f(1) is f(1))"
    done = support.run_python(source, environment={"WARP_CACHE_DISABLED": text})
    support.check_clean(done, out="True")


def test_isolated_ends_with_what_was_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    from warp_cache import testing

    monkeypatch.setenv("WARP_CACHE_NAMESPACE", "environment")
    warp.configure(directory=tmp_path / "configured")
    try:
        with pytest.raises(ValueError), testing.isolated() as outer:
            with testing.isolated() as inner:
                f = cache(backend="shared", name="f")(lambda x: x)
                f(1)
                assert Path(f.cache_options()["path"]).parent == inner != outer
            assert outer.exists() and not inner.exists()
            assert os.environ["WARP_CACHE_DIR"] == str(outer)
            raise ValueError
        assert not outer.exists()
        assert os.environ["WARP_CACHE_NAMESPACE"] == "environment"
        g = cache(backend="shared", name="f")(lambda x: x)
        assert Path(g.cache_options()["path"]).parent == tmp_path / "configured"
    finally:
        warp.configure(directory=None)


FORKED = """
import os, threading, warnings
from warp_cache import cache, disabled

warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads

f = cache(lambda x: object())
f(1)
begun, end = threading.Event(), threading.Event()

def block():
    with disabled():
        begun.set()
        end.wait()

def child(is_on):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if (f(1) is f(1)) is is_on else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

thread = threading.Thread(target=block)
thread.start()
begun.wait()
try:
    print(child({others}))
    with disabled():
        print(child({own}))
finally:
    end.set()
thread.join()
print(f(1) is f(1))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("environment", [False, True], ids=["blocks", "environment"])
def test_a_forks_child_has_the_blocks_of_its_own_thread(environment: bool) -> None:
    done = support.run_python(
        FORKED.format(others=not environment, own=False),
        environment={"WARP_CACHE_DISABLED": "1"} if environment else {},
    )
    support.check_clean(done)
    assert done.stdout.split() == ["0", "0", str(not environment)]
