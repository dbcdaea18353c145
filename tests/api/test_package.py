"""The package as something to import: its names, its files, and importing it more than once."""

from __future__ import annotations

import importlib
import pickle
import sys
import unittest.mock
from pathlib import Path

import pytest
import support

import warp_cache
from warp_cache import cache

NAMES = {"cache", "lru_cache", "Strategy", "Backend", "CacheInfo", "SharedCacheInfo"}


def test_names() -> None:
    assert set(warp_cache.__all__) >= NAMES
    scope: dict[str, object] = {}
    exec("from warp_cache import *", scope)
    for name in warp_cache.__all__:
        assert scope[name] is getattr(warp_cache, name)


@pytest.mark.parametrize("name", sorted({*warp_cache.__all__} - {"SkipReason"}))
def test_what_is_public_says_so(name: str) -> None:
    """A name of a module inside would stand in pickles and documents, and could never move."""
    public = getattr(warp_cache, name)
    assert public.__module__ == "warp_cache" and public.__qualname__ == name
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        pickled = pickle.dumps(public, protocol)
        assert pickle.loads(pickled) is public
        assert b"warp_cache._" not in pickled


def test_the_type_of_reasons_says_what_it_is() -> None:
    """What is no class would have the words of ``typing``, or none."""
    assert "cache_info().skips" in (warp_cache.SkipReason.__doc__ or "")


@pytest.mark.parametrize(
    "module, names",
    [
        ("_strategies", ["Strategy", "Backend"]),
        ("_info", ["CacheInfo", "SharedCacheInfo", "Skips"]),
        ("_decorators", ["cache", "lru_cache"]),
        ("_uncacheable", ["UncacheableWarning"]),
        ("_by_value", ["restore"]),
    ],
)
def test_pickles_of_before_can_be_loaded(module: str, names: list[str]) -> None:
    for name in names:
        found = pickle.loads(f"cwarp_cache.{module}\n{name}\n.".encode())
        assert found is getattr(warp_cache, name, found) and found.__name__ == name
    for value in (warp_cache.Strategy.LFU, warp_cache.CacheInfo(1, 2, 3, 4)):
        pickled = pickle.dumps(value, 0)
        assert b"cwarp_cache\n" in pickled and pickle.loads(pickled) == value
        older = "_strategies" if value == warp_cache.Strategy.LFU else "_info"
        before = pickled.replace(b"cwarp_cache\n", f"cwarp_cache.{older}\n".encode())
        assert type(pickle.loads(before)) is type(value) and pickle.loads(before) == value


def test_extension_module() -> None:
    extension = importlib.import_module("warp_cache._warp_cache_rs")
    for name in ("CachedFunction", "SharedCachedFunction", "CacheInfo", "SharedCacheInfo"):
        assert isinstance(getattr(extension, name), type), name
    assert type(cache(len)) is extension.CachedFunction
    assert extension.CacheInfo is warp_cache.CacheInfo
    assert extension.SharedCacheInfo is warp_cache.SharedCacheInfo


def test_types_ship() -> None:
    folder = Path(warp_cache.__file__).parent
    assert (folder / "py.typed").is_file()
    assert (folder / "_warp_cache_rs.pyi").is_file()


AGAIN = """
import importlib, sys
import warp_cache

old = warp_cache.cache(abs)
assert old(-1) == 1
importlib.reload(warp_cache)
for _ in range(3):
    for name in [name for name in sys.modules if name.split(".")[0] == "warp_cache"]:
        del sys.modules[name]
    import warp_cache
    new = warp_cache.cache(abs)
    assert new(-1) == new(-1) == 1 and new.cache_info()[:2] == (1, 1)
assert old(-1) == 1 and old(-2) == 2 and old.cache_info()[:2] == (1, 2)
print("fine")
"""


def test_import_again() -> None:
    """As import_fresh_module, plug-in loaders and notebooks do; functools can be imported again."""
    support.check_clean(support.run_python(AGAIN), out="fine")


SUBINTERPRETER = """
try:
    import _interpreters as interpreters
    run = interpreters.exec
except ImportError:
    import _xxsubinterpreters as interpreters
    run = interpreters.run_string
import sys
import warp_cache

cached = warp_cache.cache(abs)
assert cached(-1) == 1
interpreter = interpreters.create()
run(interpreter, f'''
import sys
sys.path[:] = {sys.path!r}
try:
    import warp_cache
except ImportError as error:
    assert "subinterpreter" in str(error), error
else:
    cached = warp_cache.cache(abs)
    assert cached(-3) == cached(-3) == 3
    del cached
''')
interpreters.destroy(interpreter)
assert cached(-1) == 1 and cached.cache_info()[:2] == (1, 1)
print("fine")
"""


def test_subinterpreter() -> None:
    """It works in one, or is refused by an ImportError that says so."""
    if sys.version_info >= (3, 13):
        pytest.importorskip("_interpreters")
    else:
        pytest.importorskip("_xxsubinterpreters")
    support.check_clean(support.run_python(SUBINTERPRETER), out="fine")


def test_mock_imitates_a_cached_function() -> None:
    @cache
    def cached(x: int, y: int = 0) -> int:
        return x + y

    double = unittest.mock.create_autospec(cached)
    double.return_value = 5
    assert double(1, y=2) == 5
    double.assert_called_once_with(1, y=2)
    with unittest.mock.patch.object(sys.modules[__name__], "cache", double):
        assert cache(1) == 5
