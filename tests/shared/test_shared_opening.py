"""A shared cache opens at its first use, and what becomes of one that cannot be opened."""

from __future__ import annotations

import gc
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
import support

import warp_cache
from warp_cache import UncacheableWarning, cache

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.cache")) if folder.exists() else []


def test_decorating_opens_nothing(cache_dir: Path) -> None:
    f = cache(backend="shared", name="f")(lambda x: x)
    assert f.cache_parameters()["maxsize"] == 128 and "f" in repr(f)
    assert not cache_dir.exists()
    assert f(1) == f(1) == 1 and f.cache_info()[:2] == (1, 1)
    assert files(cache_dir) == ["f.cache"]


@pytest.mark.parametrize(
    "use",
    [
        lambda f: f(1),
        lambda f: f.get(1),
        lambda f: f.set(1, 1),
        lambda f: f.cache_put(1, (1,)),
        lambda f: f.cache_contains(1),
        lambda f: f.cache_invalidate(1),
        lambda f: f.cache_info(),
        lambda f: f.cache_clear(),
        lambda f: f.cache_options(),
        lambda f: warp_cache.clear_all(),
    ],
)
def test_the_first_use_opens(use: Any, cache_dir: Path) -> None:
    f = cache(backend="shared", name="f")(lambda x: x)
    use(f)
    assert "f.cache" in files(cache_dir)


def test_many_threads_open_one_file() -> None:
    state = object()  # which makes it private
    f = cache(backend="shared")(lambda x: (state and x, os.urandom(8)))
    found = support.results(support.start_together([lambda: f(1)] * 8))
    assert f.cache_options()["private"] and f.cache_info().currsize == 1
    assert len(set(found)) == 1 and f(1) == found[0]


@forks
def test_a_private_cache_is_open_before_a_fork() -> None:
    source = """
import os
from warp_cache import cache
def private(state):
    return cache(backend="shared")(lambda x: (state and x, os.getpid()))
f = private(object())
def child(work):
    pid = os.fork()
    if not pid:
        os._exit(0 if work() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
child(lambda: f(1) == (1, os.getpid()))
assert f(1)[1] != os.getpid() and f.cache_info()[:2] == (1, 1)
assert f.cache_options()["private"]
# What a function closes over was exchanged before its first use.
def made(seen):
    return cache(backend="shared")(lambda x: (seen, x, os.getpid()))
g = made(1)
g.__wrapped__.__closure__[0].cell_contents = 2
child(lambda: g(1) == (2, 1, os.getpid()))
assert g(1)[:2] == (2, 1) and g(1)[2] != os.getpid()
"""
    support.check_clean(support.run_python(source))


def test_what_cannot_be_opened_computes_and_is_told_once(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    f = cache(backend="shared", name="f")(lambda x: calls.append(x) or x)
    monkeypatch.setenv("WARP_CACHE_DIR", "/proc/nowhere")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert [f(x) for x in (1, 1, 2)] == [1, 1, 2] == calls
        assert f.get(1) is None and f.cache_contains(1) is False
        assert f.cache_invalidate(1) is False and f.cache_clear() is None
        f.set(5, 1)
    assert [one.category for one in told] == [UncacheableWarning]
    assert "cannot be opened: " in str(told[0].message) and "/proc/nowhere" in str(told[0].message)
    assert f.cache_options()["path"] is None
    # Another place is tried at once.
    monkeypatch.setenv("WARP_CACHE_DIR", str(cache_dir))
    assert f(1) == f(1) == 1 and calls == [1, 1, 2, 1]
    assert f.cache_info()[:2] == (1, 1) and files(cache_dir) == ["f.cache"]


def test_a_coroutine_function_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    @cache(backend="shared", name="f")
    async def f(x: int) -> int:
        return x

    async def main() -> None:
        assert [await f(x) for x in (1, 1, 2)] == [1, 1, 2]

    monkeypatch.setenv("WARP_CACHE_DIR", "/proc/nowhere")
    with pytest.warns(UncacheableWarning, match="cannot be opened") as told:
        asyncio.run(main())
    assert len(told) == 1


def test_what_was_cleared_before_it_could_be_opened_is_gone(
    cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made() -> Any:
        return cache(backend="shared", name="f")(lambda x: x)

    for drop in (
        lambda f: f.cache_clear(),
        lambda f: f.cache_invalidate(1),
        lambda f: f.cache_put("new", (1,)),
    ):
        made().set("old", 1)
        f = made()
        monkeypatch.setenv("WARP_CACHE_DIR", "/proc/nowhere")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            drop(f)
        monkeypatch.setenv("WARP_CACHE_DIR", str(cache_dir))
        assert f.get(1) is None


def test_wrong_arguments_are_told_at_decoration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARP_CACHE_DIR", "/proc/nowhere")
    with pytest.raises(ValueError, match="max_bytes must be from .* got 5"):
        cache(backend="shared", max_bytes=5)(lambda x: x)


def test_names_and_namespaces_are_parts_of_names_of_files(cache_dir: Path) -> None:
    plain, *others = [
        cache(backend="shared", name="f" * 170, **given)(lambda x: x)
        for given in ({}, {"namespace": "a"}, {"version": "a"}, {"namespace": "b" * 10_000})
    ]
    for number, f in enumerate([plain, *others]):
        f.set(number, 1)
    assert [f.get(1) for f in [plain, *others]] == [0, 1, 2, 3]
    assert "f" * 170 + ".cache" in files(cache_dir) and len(files(cache_dir)) == 4
    del plain, others
    gc.collect()
