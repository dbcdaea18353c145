"""Stale hits of a shared cache: from what the process has decoded, while the file has it."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest
import support

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the shared backend needs Unix")

CHILD = """
import os, sys, time
from pathlib import Path
from warp_cache import cache

folder = Path(sys.argv[1])
decoded = []

class Text:
    def __init__(self, text):
        self.text = text
    def __reduce__(self):
        return (made, (self.text,))
    def __repr__(self):
        return self.text

def made(text):
    decoded.append(text)
    return Text(text)

def source():
    value = (folder / "source").read_text()
    with (folder / "calls").open("a") as calls:
        calls.write(f"{value}\\n")
    end = time.monotonic() + 60
    while (folder / f"hold-{value}").exists() and not (folder / f"go-{value}").exists():
        assert time.monotonic() < end
        time.sleep(0.002)
    return value

STALE = dict(backend="shared", ttl=0.05, stale_while_revalidate=1000, tags="all")

@cache(name="same", copy=False, **STALE)
def same(x):
    return Text(source())

@cache(name="own", **STALE)
def own(x):
    return [source()]

@cache(name="bytes", **STALE)
def pickled(x):
    return Text(source())

def is_stale(function):
    left = function.cache_ttl(1)
    return left is not None and left < 0

def many(function):
    decoded.clear()
    found = [function(1) for _ in range(50)]
    return len({id(one) for one in found}), len(decoded), {repr(one) for one in found}
"""


class World:
    """Two processes, and the folder through which a test directs them."""

    def __init__(self, folder: Path, children: Any, function: str) -> None:
        self.folder, self.function = folder, function
        self.set_source("old")
        self.first, self.second = children.start(CHILD, 2)

    def set_source(self, value: str, *, hold: bool = False) -> None:
        if hold:
            (self.folder / f"hold-{value}").touch()
        temporary = self.folder / "source.new"
        temporary.write_text(value)
        temporary.replace(self.folder / "source")

    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()

    def become_stale(self) -> None:
        """Both have the old value, which is stale; the first one's refresh is held."""
        old = self.first.ask(f"{self.function}(1)")
        # By `get`, as a call might come when it is stale already, and begin a refresh of its own.
        assert self.second.ask(f"{self.function}.get(1)") == old
        support.eventually(lambda: self.second.ask(f"is_stale({self.function})") == "True")
        self.set_source("new", hold=True)

        def begun() -> bool:
            assert self.first.ask(f"{self.function}(1)") == old
            return "new" in self.calls()

        support.eventually(begun)


@pytest.fixture(params=["same", "own", "pickled"])
def world(request: pytest.FixtureRequest, tmp_path: Path, children: Any) -> World:
    return World(tmp_path, children, request.param)


@pytest.mark.parametrize("world", ["same"], indirect=True)
def test_all_stale_hits_have_the_object_that_was_decoded(world: World, children: Any) -> None:
    world.become_stale()
    for child in (world.first, world.second):
        child.ask("same(1)")
        assert child.ask("many(same)") == "(1, 0, {'old'})"
    assert world.second.ask("same.get(1) is same(1)") == "True"
    assert world.second.ask("many(same)") == "(1, 0, {'old'})", "after get, too"
    # Who comes only now decodes it once.
    (third,) = children.start(CHILD)
    assert third.ask("many(same)") == "(1, 1, {'old'})"
    assert world.calls() == ["old", "new"], "nobody has begun another refresh"


@pytest.mark.parametrize("world", ["own", "pickled"], indirect=True)
def test_each_has_one_of_its_own_elsewhere(world: World) -> None:
    """Nobody may change what another caller has."""
    world.become_stale()
    for child in (world.first, world.second):
        assert child.ask(f"many({world.function})[0]") == "50"
    call = f"{world.function}(1)"
    world.second.ask(f"vars({call}).clear()" if world.function == "pickled" else f"{call}.clear()")
    expected = {"own": "['old']", "pickled": "old"}[world.function]
    assert world.second.ask(call) == world.first.ask(call) == expected


def test_they_are_counted(world: World) -> None:
    world.become_stale()
    info = f"(lambda i: (i.hits, i.misses, i.stale_hits))({world.function}.cache_info())"
    hits, misses, stale = ast.literal_eval(world.second.ask(info))
    world.second.ask(f"many({world.function})")
    for child in (world.first, world.second):
        assert child.ask(info) == str((hits + 50, misses, stale + 50))


OPERATIONS = ["{}.cache_invalidate(1)", "{}.cache_invalidate_tags('all')", "{}.cache_clear()"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_was_invalidated_is_not_returned(world: World, operation: str) -> None:
    world.become_stale()
    world.second.ask(f"many({world.function})")
    world.set_source("newer")
    world.first.ask(operation.format(world.function))
    assert "newer" in world.second.ask(f"{world.function}(1)")
    assert "newer" in world.first.ask(f"{world.function}(1)")
    (world.folder / "go-new").touch()
    support.eventually(lambda: world.first.ask(f"{world.function}.get(1)") != "None")
    assert "newer" in world.second.ask(f"{world.function}(1)"), "what was computed before is fenced"


def test_a_new_value_takes_its_place_for_all(world: World) -> None:
    world.become_stale()
    world.second.ask(f"many({world.function})")
    (world.folder / "go-new").touch()
    support.eventually(lambda: "new" in world.second.ask(f"{world.function}.get(1)"))
    assert "new" in world.second.ask(f"{world.function}(1)")
    assert "new" in world.first.ask(f"{world.function}(1)")


def test_a_refresh_that_nobody_has_begun_is_begun_by_such_a_hit(world: World) -> None:
    """Also where the process that had begun it is killed."""
    world.become_stale()
    world.second.ask(f"many({world.function})")
    assert world.calls().count("new") == 1
    world.first.kill()
    (world.folder / "go-new").touch()
    support.eventually(lambda: "new" in world.second.ask(f"{world.function}(1)"))
