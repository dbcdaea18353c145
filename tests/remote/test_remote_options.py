"""What needs no server: the option, settings, errors, names, secrecy, and working without one."""

from __future__ import annotations

import pickle
import re
from typing import Any

import pytest
import support

import warp_cache
from warp_cache import cache
from warp_cache._remote.naming import name_of
from warp_cache._remote.settings import Secrets
from warp_cache._warp_cache_rs import ServerAddress

PASSWORD = "hunter2secret"
URL = f"redis://user:{PASSWORD}@hidden.example:6379/0"


def function(x: Any) -> Any:
    return x


@pytest.mark.parametrize(
    ("options", "error", "named"),
    [
        ({"remote": True}, ValueError, "ttl"),
        ({"remote": URL}, ValueError, "ttl"),
        ({"remote": True, "ttl": 1, "tti": 1}, ValueError, "tti"),
        ({"remote": True, "ttl": 1, "per_instance": True}, ValueError, "per_instance"),
        ({"remote": True, "ttl": 1, "on_removal": print}, ValueError, "on_removal"),
        (
            {"remote": True, "ttl": 1, "backend": "shared", "max_weight": 5},
            ValueError,
            "max_weight",
        ),
        ({"remote": True, "ttl": 1, "backend": "shared", "copy": "pickle"}, ValueError, "copy"),
        ({"remote": 5, "ttl": 1}, TypeError, "remote"),
        ({"remote": False, "ttl": 1}, TypeError, "remote"),
        ({"remote": b"redis://h", "ttl": 1}, TypeError, "remote"),
        ({"remote": f"http://{PASSWORD}@h", "ttl": 1}, ValueError, "remote"),
        ({"remote": f"redis://h/{PASSWORD}", "ttl": 1}, ValueError, "remote"),
        ({"remote": f"redis://{PASSWORD}\ud800", "ttl": 1}, ValueError, "remote"),
        ({"remote": f"redis://h?{PASSWORD}=1", "ttl": 1}, ValueError, "remote"),
    ],
)
def test_wrong_options_are_refused_by_name(
    options: dict[str, Any], error: type[Exception], named: str
) -> None:
    with pytest.raises(error, match=named) as raised:
        cache(**options)(function)
    assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"remote": 5}, TypeError),
        ({"remote": f"x://{PASSWORD}"}, ValueError),
        ({"secret": ""}, ValueError),
        ({"secret": []}, ValueError),
        ({"secret": [PASSWORD, 5]}, TypeError),
        ({"secret": 5}, TypeError),
        ({"staleness": 0}, ValueError),
        ({"staleness": float("inf")}, ValueError),
        ({"staleness": "1"}, TypeError),
        ({"timeout": -1}, ValueError),
        ({"timeout": True}, TypeError),
        ({"credentials": PASSWORD}, TypeError),
        ({"pickle": "yes"}, ValueError),
        ({"pickle": True}, TypeError),
    ],
)
def test_wrong_settings_are_refused_by_name(given: dict[str, Any], error: type[Exception]) -> None:
    before = dict(warp_cache._configuration.settings)  # type: ignore[attr-defined]
    with pytest.raises(error, match=next(iter(given))) as raised:
        warp_cache.configure(namespace="unchanged", **given)
    assert PASSWORD not in str(raised.value)
    assert warp_cache._configuration.settings == before  # type: ignore[attr-defined]


def test_nothing_shows_an_address_or_a_secret() -> None:
    f = cache(remote=URL, ttl=60, name="f")(function)
    warp_cache.configure(remote=URL, secret=[PASSWORD])
    shown = [repr(f), repr(f.cache_options()), repr(f._recipe()), repr(ServerAddress(URL))]
    shown += [repr(warp_cache._configuration.settings)]  # type: ignore[attr-defined]
    assert not [text for text in shown if PASSWORD in text or "hidden.example" in text]
    assert f.cache_options()["remote"] is True
    for hidden in (ServerAddress(URL), Secrets([b"x"])):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(hidden)


def run(source: str, out: str, **environment: str) -> None:
    program = "import warnings, warp_cache\nfrom warp_cache import cache\n" + source
    support.check_clean(support.run_python(program, environment=environment), out=out)


WITHOUT = """
calls = []
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    f = cache(remote=True, ttl=60, name="f")(lambda x: calls.append(x) or x)
    g = cache(remote=True, ttl=60, name="g")(lambda x: x)
    f(1), f(1), g(1)
    f.set("set", 2)
    print(f(2), f.cache_invalidate(2), f.cache_invalidate(2), f.cache_contains(1), len(calls))
    f.cache_clear()
    print(f.cache_info().hits, f.get(1))
print([str(w.message) for w in told])
"""


def test_without_a_server_it_works_on_this_host_alone_and_says_so_once() -> None:
    done = support.run_python(
        "import warnings, warp_cache\nfrom warp_cache import cache\n" + WITHOUT,
        environment={"WARP_CACHE_REMOTE": ""},
    )
    assert done.stdout.startswith("set True False True 1\n0 None\n")
    assert done.stdout.count("this host alone") == 1
    assert "this host alone" not in done.stderr, "the log said it once more"


def test_off_says_nothing() -> None:
    run(WITHOUT, "set True False True 1\n0 None\n[]", WARP_CACHE_REMOTE="off")


def test_an_address_of_no_use_in_the_environment_is_said_without_showing_it() -> None:
    done = support.run_python(
        "import warnings, warp_cache\nfrom warp_cache import cache\n" + WITHOUT,
        environment={"WARP_CACHE_REMOTE": f"nothing://{PASSWORD}"},
    )
    assert "WARP_CACHE_REMOTE" in done.stdout
    assert PASSWORD not in done.stdout + done.stderr


def test_the_name_of_a_function_is_free_of_files_and_lines() -> None:
    source = "def f(x, y=2):\n    return x + y\n"

    def made(file: str, before: str = "") -> Any:
        scope: dict[str, Any] = {"__name__": __name__}
        exec(compile(before + source, file, "exec"), scope)
        return scope["f"]

    one, other = made("/a/module.py"), made("/b/elsewhere.py", "\n\n\n")
    assert name_of(one, None, None) == name_of(other, None, None)
    changed = made("/a/module.py")
    changed.__defaults__ = (3,)
    assert name_of(changed, None, None) != name_of(one, None, None)
    assert re.match(r"[\w.]+\.f-[0-9a-f]{32}$", name_of(one, None, None))


def test_a_function_that_nothing_tells_apart_needs_a_name() -> None:
    def outer() -> Any:
        value = object()
        return lambda x: (x, value)

    with pytest.raises(ValueError, match="name"):
        cache(remote=True, ttl=60)(outer())
    assert cache(remote=True, ttl=60, name="given")(outer()).cache_options()["name"] == "given"


def test_importing_the_package_imports_nothing_of_it() -> None:
    done = support.run_python(
        "import sys, warp_cache\n"
        "warp_cache.cache(lambda x: x)(1)\n"
        "print([name for name in sys.modules if '_remote' in name])"
    )
    support.check_clean(done, out="[]")
