"""Configuration (§2.6): configure, version, namespace; UncacheableWarning, and what is imported."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import support
from control import Body, Kind, cache, warp

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
