"""The cache object with a server and ``backend="shared"``: what processes of a host share in its
file.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import servers
import support
from children import FORKED
from two_hosts import run_history

import warp_cache
from warp_cache import Cache
from warp_cache.__main__ import main

Start = Callable[..., Any]

SOURCE = """
import asyncio
c = Cache(None, ttl=600, name="c", remote=True, wait_timeout=60)

def remote_hits():
    return c.info().remote_hits

def asked(function):
    before = remote_hits()
    function()
    return remote_hits() - before
"""


@pytest.fixture
def backend() -> str:
    return "shared"


def is_near(child: Any, call: str = "c.get('k')") -> bool:
    """Whether a call is answered without the server, once it was made."""
    child.ask(call)
    return bool(child.ask(f"asked(lambda: {call})") == "0")


def shared(**options: Any) -> Cache[Any, Any]:
    return Cache(**{"backend": "shared", "remote": True, "ttl": 600, "name": "c", **options})


@pytest.mark.parametrize(
    "call",
    [
        "[c.get(x) for x in range(20)]",
        "list(c.get_many(range(20)).values())",
        "[c[x] for x in range(20)]",
        "[asyncio.run(c.aget(x)) for x in range(20)]",
        "[c.get_or_set(x, lambda: 'computed') for x in range(20)]",
    ],
)
def test_what_one_process_has_read_the_others_of_its_host_find(start: Start, call: str) -> None:
    one, two, other = start(SOURCE, "a"), start(SOURCE, "a"), start(SOURCE, "b")
    other.ask("c.set_many({x: [x] for x in range(20)})")
    values = str([[x] for x in range(20)])
    assert one.ask(call) == values

    def finds_them() -> bool:
        one.ask(call)
        before = int(two.ask("remote_hits()"))
        assert two.ask(call) == values
        return int(two.ask("remote_hits()")) < before + 20

    # (A heartbeat may come late on a loaded machine.)
    support.eventually(finds_them)
    assert int(two.ask("c.info().hits")) >= 20


def test_the_server_is_not_asked_for_what_is_in_the_file(
    start: Start, server: servers.Server
) -> None:
    one, two = start(SOURCE, "a", staleness=600.0), start(SOURCE, "a", staleness=600.0)
    one.ask("c.set_many({x: x for x in range(20)})")
    support.eventually(lambda: is_near(one, "c.get_many(range(20))"))
    server.kill()
    assert two.ask("c.get(1)") == "1"
    assert two.ask("(c.peek(3), 4 in c, 0 < c.ttl(5) <= 600)") == "(3, True, True)"
    assert two.ask("c.get_many(range(20)) == {x: x for x in range(20)}") == "True"
    assert two.ask("remote_hits()") == "0"
    assert two.ask("c.get('other')") == "None"
    # What cannot be acknowledged voids what is there, for all of them.
    for child, change in ((one, "c.set(1, 2)"), (two, "c.delete_many([2, 3])")):
        assert child.ask(change).startswith("!RemoteError")
    for child in (one, two):
        assert child.ask("[c.get(x) for x in range(5)]") == "[0, None, None, None, 4]"


# What changes the key "k", which has a number; how, and what it then has.
CHANGES = {
    "set": "c.set('k', {new})",
    "assignment": "c.__setitem__('k', {new})",
    "aset": "asyncio.run(c.aset('k', {new}))",
    "incr": "c.incr('k')",
    "replace": "c.replace('k', {old}, {new})",
    "compute": "c.compute('k', lambda old: {new})",
    "set_many": "c.set_many({{'k': {new}}})",
    "add": "(c.delete('k'), c.add('k', {new}))",
    "pop": "c.pop('k')",
    "delete": "c.delete('k')",
    "discard": "c.discard('k', {old})",
    "delete_many": "c.delete_many(['k'])",
    "compute_delete": "c.compute('k', lambda old: warp_cache.DELETE)",
    "invalidate_tags": "c.invalidate_tags('tag')",
    "clear": "c.clear()",
}
ENDS = {"pop", "delete", "discard", "delete_many", "compute_delete", "invalidate_tags", "clear"}


@pytest.mark.parametrize("change", CHANGES)
def test_no_process_of_a_host_is_served_what_one_of_them_has_changed(
    start: Start, change: str
) -> None:
    one, two, three = (start(SOURCE, "a") for _ in range(3))
    other = start(SOURCE, "b")
    for number in range(0, 20, 2):
        one.ask(f"c.set('k', {number}, tags='tag')")
        for child in (two, three, other):
            support.eventually(lambda child=child: is_near(child))
        new = number + 1
        one.ask(CHANGES[change].format(old=number, new=new))
        expected = "None" if change in ENDS else str(new)
        # At once: they look at the same words.
        assert [child.ask("c.get('k')") for child in (two, three, one)] == [expected] * 3
        # As soon as it is told.
        support.eventually(lambda expected=expected: other.ask("c.get('k')") == expected)


@pytest.mark.parametrize("change", ["c.touch('k', 50)", "c.get('k', renew=50)"])
def test_another_lifetime_is_seen_at_once(start: Start, change: str) -> None:
    one, two = start(SOURCE, "a"), start(SOURCE, "a")
    for _ in range(10):
        one.ask("c.set('k', 1)")
        support.eventually(lambda: is_near(two))
        one.ask(change)
        assert two.ask("0 < c.ttl('k') <= 50") == "True"


HISTORY = """
c = Cache(None, ttl=600, name="h", remote=True)
# The last read that had a value, by key and value.
calls, changes = {}, []
CHANGES = [
    lambda key, new: c.set(key, new),
    lambda key, new: c.compute(key, lambda old: new),
    lambda key, new: c.set_many({key: new}),
    lambda key, new: (c.delete(key), c.add(key, new)),
]

def read(seconds):
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        key, number = number % 4, number + 1
        began = time.monotonic_ns()
        value = c.get(key) if number % 3 else c.get_many([key]).get(key)
        if value is None:
            value = c.get_or_set(key, time.monotonic_ns)
        calls[key, value] = began

def change(seconds, keys):
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end:
        key, number = keys[number % len(keys)], number + 1
        began = time.monotonic_ns()
        try:
            CHANGES[number // 2 % 4](key, began)
        except warp_cache.RemoteError:
            continue
        changes.append((key, began, time.monotonic_ns()))
        time.sleep(0.003)
"""


@pytest.mark.parametrize("trouble", ["none", "killed", "stopped", "restarted"])
def test_histories_of_two_hosts(start: Start, server: servers.Server, trouble: str) -> None:
    """No read begins after a change and has what was there before it."""
    run_history(
        start,
        server,
        trouble,
        HISTORY,
        first="(c.get_or_set(9, int), [change(9, 1) for change in CHANGES], c.clear())",
        changed=([0, 1], [2, 3]),
        victims=("change(3, [5])",),
    )


COMPUTES = """
from pathlib import Path
FOLDER = Path({folder!r})

def compute():
    (FOLDER / f"began-{{os.getpid()}}-{{time.monotonic_ns()}}").touch()
    while not (FOLDER / "go").exists():
        time.sleep(0.001)
    return f"{{os.getpid()}}-{{time.monotonic_ns()}}"
"""


@pytest.mark.parametrize(
    "change",
    ["c.set('k', 1)", "c.pop('k')", "c.delete_many(['k'])", "c.clear()", "c.invalidate_tags('t')"],
)
def test_a_change_without_the_server_fences_a_computation_of_another_process(
    start: Start, server: servers.Server, tmp_path: Path, change: str
) -> None:
    folder = tmp_path / "signs"
    folder.mkdir()

    def began() -> int:
        return len(list(folder.glob("began-*")))

    source = SOURCE + COMPUTES.format(folder=str(folder))
    one, two = (start(source, "a", timeout=0.25, staleness=30.0) for _ in range(2))
    one.ask("c.get(0)"), two.ask("c.get(0)")
    server.kill()
    under_way = one.start("c.get_or_set('k', compute, tags='t')")
    support.eventually(lambda: began() == 1)
    assert two.ask(change).startswith("!RemoteError")
    other = two.start("c.get_or_set('k', compute, tags='t')")
    # It does not wait for what was fenced.
    support.eventually(lambda: began() == 2)
    (folder / "go").touch()
    old, new = under_way.answer(), other.answer()
    assert old != new
    assert two.ask("c.get('k')") != old and one.ask("c.get('k')") != old


def test_one_that_is_killed_takes_nothing_with_it(start: Start) -> None:
    one, two = start(SOURCE, "a"), start(SOURCE, "a")
    one.ask("c.set_many({x: x for x in range(10)})")
    one.ask("c.get_many(range(10))")
    one.start("[c.set('k', x) for x in range(10**9)]")
    support.eventually(lambda: two.ask("c.get('k', 0) > 10") == "True")
    one.process.send_signal(signal.SIGKILL)
    one.process.wait()
    assert two.ask("c.get_many(range(10)) == {x: x for x in range(10)}") == "True"
    assert two.ask("c.set('k', 'new')") == "True"
    three = start(SOURCE, "a")
    assert three.ask("c.get('k')") == two.ask("c.get('k')") == "'new'"


def test_a_forked_child_shares_the_file(start: Start) -> None:
    one, two = start(SOURCE + FORKED, "a"), start(SOURCE, "a")
    one.ask("c.set('k', 1)")
    support.eventually(lambda: is_near(one) and is_near(two))
    assert one.ask("forked('c[\"k\"]')") == "'1'"
    one.ask("forked('c.set(\"k\", 2)')")
    assert two.ask("c['k']") == one.ask("c['k']") == "2"


def test_memoized_functions_are_in_the_file(start: Start) -> None:
    source = f"{SOURCE}\n@c.memoize\ndef ns(x):\n    return time.monotonic_ns()\n"
    one, two = start(source, "a"), start(source, "a")
    value = one.ask("ns(1)")
    support.eventually(lambda: is_near(two, "ns(1)"))
    assert two.ask("ns(1)") == value and two.ask("c.info().remote_misses") == "0"
    one.ask("ns.cache_clear()")
    assert two.ask("ns(1)") != value and two.ask("ns(1)") == one.ask("ns(1)")


def test_options_and_counters(configured: servers.Server, tmp_path: Path) -> None:
    one, two = shared(), shared()
    one["k"] = [1]
    support.eventually(lambda: one["k"] == two["k"] == [1] and one.info().currsize == 1)
    options = one.options()
    assert options["backend"] == "shared" and options["private"] is False
    assert Path(options["path"]).parent == tmp_path / "host"
    assert options["remote"] is True and options["copy"] is None
    info = two.info()
    assert info.hits >= 1 and info.repairs == 0
    assert "backend='shared', remote=True" in repr(one)
    apart = shared(directory=tmp_path / "apart")
    assert apart["k"] == [1]
    assert Path(apart.options()["path"]).parent == tmp_path / "apart"


def test_caches_of_the_name_have_files_of_their_own(configured: servers.Server) -> None:
    far, here = shared(), Cache[str, Any](backend="shared", name="c", ttl=600)
    f = warp_cache.cache(backend="shared", name="c", ttl=600, remote=True)(lambda k: "function")
    far["k"], here["k"] = "far", "here"
    for _ in range(3):
        assert (far["k"], here["k"], f("k")) == ("far", "here", "function")
    paths = {far.options()["path"], here.options()["path"], f.cache_options()["path"]}
    assert len(paths) == 3 and None not in paths


def test_each_caller_has_a_value_of_his_own(configured: servers.Server) -> None:
    cache = shared()
    cache["k"] = [[1]]

    def is_near_here() -> bool:
        before = cache.info().remote_hits
        return bool(cache["k"] == [[1]] and cache.info().remote_hits == before)

    support.eventually(is_near_here)
    cache["k"][0].append(2)
    assert cache["k"] == cache.get("k") == cache.peek("k") == [[1]]
    assert cache.get_or_set("k", list) == [[1]]


def test_the_file_is_bounded_and_the_server_is_not(configured: servers.Server) -> None:
    cache = shared(max_size=10)
    cache.set_many({x: x for x in range(100)})
    for _ in range(3):
        assert [cache.get(x) for x in range(100)] == list(range(100))
    assert cache.info().currsize <= 10 and len(cache) <= 10


def test_without_a_directory_each_process_keeps_its_own(
    server: servers.Server, tmp_path: Path
) -> None:
    (tmp_path / "no_directory").touch()
    warp_cache.configure(remote=server.url, timeout=5.0, directory=tmp_path / "no_directory" / "x")
    one, two = shared(), shared()
    with pytest.warns(UserWarning, match="no file on this host"):
        one["k"] = 1
        assert one["k"] == two["k"] == 1
    one["k"] = 2
    assert two["k"] == 2
    assert one.options()["path"] is None


def test_without_a_server_there_is_no_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WARP_CACHE_REMOTE", "off")
    warp_cache.configure(directory=tmp_path / "host")
    cache = shared()
    cache["k"] = [1]
    cache["k"].append(2)
    assert cache["k"] == [1] and cache.copy() == {"k": [1]}
    assert shared().get("k") is None
    assert not cache.add("k", 2) and cache.incr("n", default=0) == 1
    with cache.lock("k"):
        assert cache.lock("k").locked() and not shared().lock("k").locked()
    assert cache.options()["path"] is None and not (tmp_path / "host").exists()
    assert asyncio.run(cache.aget("k")) == [1] and sorted(cache) == ["k", "n"]
    assert cache.clear() == 2 and len(cache) == 0


def test_the_command_shows_keys_and_values(
    configured: servers.Server, capsys: pytest.CaptureFixture[str]
) -> None:
    warp_cache.configure(secret="s")
    cache = shared()
    f = warp_cache.cache(backend="shared", name="f", ttl=600, remote=True)(lambda x: [x])
    f("called")
    cache.set_many({("a", 1): [1, "two"], "p": Path("x")})
    support.eventually(lambda: cache.get_many([("a", 1), "p"]) and cache.info().currsize == 2)
    support.eventually(lambda: f("called") and f.cache_info().currsize == 1)
    main(["keys", str(cache.options()["path"])])
    shown = capsys.readouterr().out
    assert "(('a', 1)) = [1, 'two']" in shown and "('p')" in shown
    assert "Path" in shown and "damaged" not in shown
    main(["keys", str(f.cache_options()["path"])])
    assert "('called') = ['called']" in capsys.readouterr().out
