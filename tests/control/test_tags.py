"""Tags (§2.1, §2.7, §4): groups of entries that are dropped together."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import pytest
import support
from control import Body, Kind, both, cache, lru_cache, warp


class User:
    def __init__(self, number: int) -> None:
        self.id = number

    def __hash__(self) -> int:
        return hash(self.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, User) and other.id == self.id


def present(f: Any, *keys: Any) -> list[Any]:
    return [x for x in keys if f.cache_contains(x)]


# --- what drops what ----------------------------------------------------------------------------


def test_a_plain_tag_is_that_of_every_entry(kind: Kind) -> None:
    f = cache(tags=("users",))(kind.one(Body()))
    for x in range(5):
        kind.call(f, x)
    f.cache_invalidate_tags("other", "user", "users{x}", "")
    assert present(f, *range(5)) == list(range(5))
    f.cache_invalidate_tags("users")
    assert present(f, *range(5)) == []
    assert kind.call(f, 1) == (1, 6), "computed anew"
    f.cache_invalidate_tags("users")
    assert not f.cache_contains(1), "the new entry has the tag again"


def test_a_template_is_formatted_with_the_arguments(kind: Kind) -> None:
    f = cache(tags=("user:{x}", "page:{y}"))(kind.two(Body()))
    kind.call(f, 1, 1)
    kind.call(f, 1, 2)
    kind.call(f, 2, 1)
    f.cache_invalidate_tags("user:2")
    assert f.cache_contains(1, 1) and f.cache_contains(1, 2) and not f.cache_contains(2, 1)
    f.cache_invalidate_tags("page:1")
    assert not f.cache_contains(1, 1) and f.cache_contains(1, 2)


def test_templates_use_the_bound_parameters_however_they_are_passed(kind: Kind) -> None:
    f = cache(tags=("{y}-{x}",))(kind.two(Body()))
    for args, kwargs in [((1, 2), {}), ((1,), {"y": 2}), ((), {"y": 2, "x": 1})]:
        kind.call(f, *args, **kwargs)
        f.cache_invalidate_tags("2-1")
        assert f.cache_info().currsize == 0


def test_templates_use_defaults(kind: Kind) -> None:
    f = cache(tags=("y={y}",))(kind.two(Body()))
    kind.call(f, 1)
    kind.call(f, 1, 5)
    f.cache_invalidate_tags("y=0")
    assert not f.cache_contains(1) and f.cache_contains(1, 5)


@pytest.mark.parametrize(
    ("template", "argument", "tag"),
    [
        ("user:{x.id}", User(7), "user:7"),
        ("{x[0]}", (3, 4), "3"),
        ("{x:03d}", 5, "005"),
        ("{x!r}", "a", "'a'"),
        ("{{x}}", 1, "{x}"),
        ("{x}{x}", 1, "11"),
        ("ü{x}", "é", "üé"),
    ],
)
def test_templates_are_those_of_str_format(
    kind: Kind, template: str, argument: Any, tag: str
) -> None:
    f = cache(tags=template)(kind.one(lambda x: "value"))
    kind.call(f, argument)
    f.cache_invalidate_tags(tag + "?")
    assert f.cache_contains(argument)
    f.cache_invalidate_tags(tag)
    assert not f.cache_contains(argument)


def test_templates_may_use_self(kind: Kind) -> None:
    class Account:
        def __init__(self, number: int) -> None:
            self.number = number

        balance = cache(tags=("account:{self.number}",))(kind.method(lambda self, x: x))

    first, second = Account(1), Account(2)
    kind.call(first.balance, 5)
    kind.call(second.balance, 5)
    first.balance.cache_invalidate_tags("account:1")
    assert not first.balance.cache_contains(5) and second.balance.cache_contains(5)
    Account.balance.cache_invalidate_tags("account:2")
    assert not second.balance.cache_contains(5)


def test_templates_may_use_ignored_parameters_and_go_with_key(kind: Kind) -> None:
    f = cache(tags=("y={y}",), ignore=("y",))(kind.two(Body()))
    kind.call(f, 1, 7)
    f.cache_invalidate_tags("y=7")
    assert not f.cache_contains(1)
    g = cache(tags=("y={y}",), key=lambda x, y=0: x)(kind.two(Body()))
    kind.call(g, 1, 8)
    g.cache_invalidate_tags("y=8")
    assert not g.cache_contains(1)


def test_tags_are_no_part_of_the_key(kind: Kind) -> None:
    body = Body()
    f = cache(tags=("y={y}",), ignore=("y",))(kind.two(body))
    kind.call(f, 1, 7)
    assert kind.call(f, 1, 8) == (1, 7, 1) and body.count == 1


def test_a_lone_string_is_one_tag(kind: Kind) -> None:
    f = cache(tags="users")(kind.one(Body()))
    kind.call(f, 1)
    f.cache_invalidate_tags("u", "s")
    assert f.cache_contains(1)
    f.cache_invalidate_tags("users")
    assert not f.cache_contains(1)


def test_one_callable_gives_the_tags(kind: Kind) -> None:
    asked: list[Any] = []

    def tags(*args: Any, **kwargs: Any) -> Any:
        asked.append((args, kwargs))
        return [f"n{args[0]}", "all"]

    f = cache(tags=tags)(kind.two(Body()))
    kind.call(f, 1, y=2)
    kind.call(f, 1, y=2)
    kind.call(f, 2)
    assert asked == [((1,), {"y": 2}), ((2,), {})], "as passed; once a miss, never at hits"
    f.cache_invalidate_tags("n1")
    assert not f.cache_contains(1, 2) and f.cache_contains(2)
    f.cache_invalidate_tags("all")
    assert f.cache_info().currsize == 0


@pytest.mark.parametrize("given", [tuple, list, set, iter, dict.fromkeys])
def test_the_callable_may_give_any_strings(kind: Kind, given: Any) -> None:
    f = cache(tags=lambda x: given(["a", "b"]))(kind.one(Body()))
    kind.call(f, 1)
    f.cache_invalidate_tags("b")
    assert not f.cache_contains(1)


def test_a_lone_string_of_the_callable_is_one_tag(kind: Kind) -> None:
    f = cache(tags=lambda x: "word")(kind.one(Body()))
    kind.call(f, 1)
    f.cache_invalidate_tags("w")
    assert f.cache_contains(1)
    f.cache_invalidate_tags("word")
    assert not f.cache_contains(1)


def test_the_callable_may_give_none(kind: Kind) -> None:
    f = cache(tags=lambda x: ())(kind.one(Body()))
    kind.call(f, 1)
    f.cache_invalidate_tags("")
    assert f.cache_contains(1)


def test_tags_are_worked_out_before_the_function_runs(kind: Kind) -> None:
    order = []

    def body(x: list[int]) -> int:
        order.append("function")
        x.append(1)
        return len(x)

    def tags(x: list[int]) -> Any:
        order.append("tags")
        return f"len:{len(x)}"

    f = cache(tags=tags, key=id)(kind.one(body))
    argument: list[int] = []
    kind.call(f, argument)
    assert order == ["tags", "function"]
    f.cache_invalidate_tags("len:1")
    assert f.cache_contains(argument)
    f.cache_invalidate_tags("len:0")
    assert not f.cache_contains(argument)


def test_what_tags_raise_reaches_the_caller_and_the_function_does_not_run(kind: Kind) -> None:
    body = Body()

    def tags(x: int) -> Any:
        raise LookupError("no tags")

    f = cache(tags=tags)(kind.one(body))
    with pytest.raises(LookupError, match="no tags"):
        kind.call(f, 1)
    assert body.count == 0 and not f.cache_contains(1)
    g = cache(tags=("{x.id}",))(kind.one(body))
    with pytest.raises(AttributeError, match="id"):
        kind.call(g, 1)
    assert body.count == 0


@pytest.mark.parametrize("wrong", [1, [1], ["a", b"b"], [None], None])
def test_tags_of_a_wrong_type_are_a_type_error_that_names_them(kind: Kind, wrong: Any) -> None:
    f = cache(tags=lambda x: wrong)(kind.one(Body()))
    with pytest.raises(TypeError, match="tags"):
        kind.call(f, 1)
    assert f.cache_info().currsize == 0


@pytest.mark.parametrize("backend", ["memory", "shared"])
@pytest.mark.parametrize("tags", [("all", "{x}"), lambda x: ["all", x], lambda x: x])
def test_an_empty_tag_is_refused_wherever_it_comes_from(
    kind: Kind, tags: Any, backend: str
) -> None:
    body = Body()
    f = cache(tags=tags, backend=backend, name="empty")(kind.one(body))
    assert kind.call(f, "a") == ("a", 1)
    with pytest.raises(ValueError, match="tags must be strings that are not empty, got"):
        kind.call(f, "")
    with pytest.raises(ValueError, match="tags must be strings that are not empty, got"):
        f.cache_put("put", ("b",), tags=[""])
    assert body.count == 1, "as where the tags raise, the function does not run"
    assert present(f, "a", "b", "") == ["a"]


def test_up_to_sixteen_tags(kind: Kind) -> None:
    names = [f"t{n}" for n in range(16)]
    f = cache(tags=names)(kind.one(Body()))
    for name in names:
        kind.call(f, 1)
        assert f.cache_contains(1)
        f.cache_invalidate_tags(name)
        assert not f.cache_contains(1), name
    with pytest.raises(ValueError, match="tags.*16|16.*tags"):
        cache(tags=[f"t{n}" for n in range(17)])(kind.one(Body()))
    g = cache(tags=lambda x: [f"t{n}" for n in range(17)])(kind.one(Body()))
    with pytest.raises(ValueError, match="tags"):
        kind.call(g, 1)
    with pytest.raises(ValueError, match="tags"):
        g.cache_put("value", (1,), tags=[f"t{n}" for n in range(17)])
    assert g.cache_info().currsize == 0


def test_many_tags_may_be_given_to_an_invalidation(kind: Kind) -> None:
    f = cache(tags=("n{x}",), max_size=None)(kind.one(Body()))
    for x in range(100):
        kind.call(f, x)
    f.cache_invalidate_tags(*(f"n{x}" for x in range(0, 100, 2)))
    assert present(f, *range(100)) == list(range(1, 100, 2))
    f.cache_invalidate_tags()
    assert f.cache_info().currsize == 50


@pytest.mark.parametrize("wrong", [1, b"users", None, ["users"]])
def test_an_invalidation_wants_strings(kind: Kind, wrong: Any) -> None:
    f = cache(tags=("users",))(kind.one(Body()))
    kind.call(f, 1)
    with pytest.raises(TypeError):
        f.cache_invalidate_tags(wrong)
    with pytest.raises(TypeError):
        warp.invalidate_tags(wrong)
    assert f.cache_contains(1)


# --- which caches -------------------------------------------------------------------------------


def test_a_functions_invalidation_concerns_its_own_entries(kind: Kind) -> None:
    f = cache(tags=("shared",))(kind.one(Body()))
    g = cache(tags=("shared",))(kind.one(Body()))
    kind.call(f, 1)
    kind.call(g, 1)
    f.cache_invalidate_tags("shared")
    assert not f.cache_contains(1) and g.cache_contains(1)


@both
def test_the_modules_invalidation_concerns_every_cache(decorate: Any, kind: Kind) -> None:
    f = cache(tags=("users", "f"))(kind.one(Body()))
    g = cache(tags=("users", "g"))(kind.one(Body()))
    h = decorate(kind.one(Body()))
    for function in (f, g):
        kind.call(function, 1)
    kind.call(h, 1)
    h.cache_put("tagged", (2,), tags=("users",))
    warp.invalidate_tags("none")
    assert f.cache_contains(1) and g.cache_contains(1)
    warp.invalidate_tags("users")
    assert not f.cache_contains(1) and not g.cache_contains(1)
    assert h.cache_contains(1) and not h.cache_contains(2)
    kind.call(f, 1)
    kind.call(g, 1)
    warp.invalidate_tags("f", "other")
    assert not f.cache_contains(1) and g.cache_contains(1)


def test_the_modules_invalidation_concerns_instances_too(kind: Kind) -> None:
    class Account:
        balance = cache(per_instance=True, tags=("n{x}",))(kind.method(lambda self, x: x))

    accounts = [Account() for _ in range(3)]
    for account in accounts:
        kind.call(account.balance, 1)
        kind.call(account.balance, 2)
    accounts[0].balance.cache_invalidate_tags("n1")
    assert [a.balance.cache_contains(1) for a in accounts] == [False, True, True], "its own"
    Account.balance.cache_invalidate_tags("n1")
    assert not any(a.balance.cache_contains(1) for a in accounts)
    warp.invalidate_tags("n2")
    assert not any(a.balance.cache_contains(2) for a in accounts)


# --- cache_put, set, refresh --------------------------------------------------------------------


@both
def test_put_has_tags_of_its_own(decorate: Any, kind: Kind) -> None:
    f = decorate(kind.one(Body()))
    f.cache_put("a", (1,), tags=("even", "n1"))
    f.cache_put("b", (2,), tags="n2")
    kind.call(f, 3)
    f.cache_invalidate_tags("n", "2")
    assert present(f, 1, 2, 3) == [1, 2, 3]
    f.cache_invalidate_tags("n2")
    assert present(f, 1, 2, 3) == [1, 3]
    f.cache_invalidate_tags("even")
    assert present(f, 1, 2, 3) == [3]


def test_tags_of_put_replace_the_functions(kind: Kind) -> None:
    f = cache(tags=("function",))(kind.one(Body()))
    f.cache_put("own", (1,), tags=("own",))
    f.cache_put("none", (2,), tags=())
    f.cache_put("the function's", (3,))
    f.cache_invalidate_tags("function")
    assert present(f, 1, 2, 3) == [1, 2]
    f.cache_invalidate_tags("own")
    assert present(f, 1, 2, 3) == [2]


def test_tags_of_put_are_no_templates_of_the_function(kind: Kind) -> None:
    # They belong to one entry, whose arguments are known: there is nothing to be filled in.
    f = cache(kind.one(Body()))
    f.cache_put("value", (1,), tags=("{x}",))
    f.cache_invalidate_tags("{x}")
    assert not f.cache_contains(1)


@both
@pytest.mark.parametrize("wrong", [1, [1], [b"a"], [None]])
def test_tags_of_put_are_strings(decorate: Any, kind: Kind, wrong: Any) -> None:
    f = decorate(kind.one(Body()))
    with pytest.raises(TypeError, match="tags"):
        f.cache_put("value", (1,), tags=wrong)
    assert not f.cache_contains(1)


def test_set_and_refresh_have_the_functions_tags(kind: Kind) -> None:
    f = cache(tags=("n{x}",))(kind.one(Body()))
    f.set("set", 1)
    kind.call(f.cache_refresh, 2)
    f.cache_invalidate_tags("n1", "n2")
    assert present(f, 1, 2) == []


def test_the_tags_of_the_new_value_count(kind: Kind) -> None:
    current = ["a"]
    f = cache(tags=lambda x: current[0])(kind.one(Body()))
    kind.call(f, 1)
    current[0] = "b"
    kind.call(f.cache_refresh, 1)
    f.cache_invalidate_tags("a")
    assert f.cache_contains(1), "that was the older one's"
    f.cache_invalidate_tags("b")
    assert not f.cache_contains(1)


# --- memory -------------------------------------------------------------------------------------


def test_entries_leave_at_once() -> None:
    class Value:
        pass

    removed: list[Any] = []
    f = cache(
        tags=("t{x}",),
        max_weight=100,
        weigher=lambda value: 3,
        on_removal=lambda call, value, cause: removed.append(cause.name),
    )(lambda x: Value())
    gone = weakref.ref(f(1))
    f(2)
    assert f.cache_info().weight == 6
    f.cache_invalidate_tags("t1")
    support.merge_counts()
    assert f.cache_info().currsize == 1 and f.cache_info().weight == 3
    assert removed == ["EXPLICIT"]
    assert gone() is None


def test_tags_of_entries_that_left_otherwise_are_forgotten(kind: Kind) -> None:
    f = cache(tags=("t{x}",), max_size=10)(kind.one(Body()))
    for x in range(1000):
        kind.call(f, x)
    f.cache_invalidate_tags("t1", "t500")
    assert f.cache_info().currsize == 10
    f.cache_invalidate_tags("t999")
    assert f.cache_info().currsize == 9
    f.cache_clear()
    f.cache_invalidate_tags("t998")
    assert f.cache_info().currsize == 0


def test_stale_entries_are_dropped_too(kind: Kind, clock: Any) -> None:
    body = Body()
    f = cache(ttl=100, stale_while_revalidate=100, stale_if_error=1000, tags=("t",))(kind.one(body))
    kind.call(f, 1)
    clock.advance(150)
    f.cache_invalidate_tags("t")
    assert not f.cache_contains(1)
    kind.call(f, 1)
    clock.advance(500)
    f.cache_invalidate_tags("t")
    body.fail = ValueError("down")
    with pytest.raises(ValueError):
        kind.call(f, 1)


@pytest.mark.parametrize("strategy", range(7))
def test_tags_against_a_model(strategy: int) -> None:
    import random

    rng = random.Random(strategy)
    tags_of: dict[int, list[str]] = {}
    f = cache(strategy=strategy, max_size=40, tags=lambda x: tags_of[x])(lambda x: x)
    stored: dict[int, list[str]] = {}
    for _ in range(3000):
        x = rng.randrange(60)
        if rng.random() < 0.1:
            tag = f"t{rng.randrange(12)}"
            f.cache_invalidate_tags(tag)
            stored = {key: tags for key, tags in stored.items() if tag not in tags}
        else:
            there = f.cache_contains(x)
            assert not there or x in stored, "an entry came back"
            tags_of[x] = [f"t{rng.randrange(12)}" for _ in range(rng.randrange(4))]
            f(x)
            if not there:
                stored[x] = list(tags_of[x])
            stored = {key: tags for key, tags in stored.items() if f.cache_contains(key)}
        assert f.cache_info().currsize == len(stored)


# --- decoration ---------------------------------------------------------------------------------


def test_templates_need_a_readable_signature() -> None:
    with pytest.raises(ValueError, match="tags.*signature|signature.*tags"):
        cache(tags=("{x}",))(max)
    f = cache(tags=("plain",))(max)
    assert f(1, 2) == 2
    f.cache_invalidate_tags("plain")
    assert not f.cache_contains(1, 2)


@pytest.mark.parametrize("template", ["user:{z}", "{x", "x}", "{}", "{0}", "{x!z}", "{x:{z}}"])
def test_a_template_that_cannot_be_formatted_is_told_at_decoration(template: str) -> None:
    with pytest.raises((ValueError, TypeError), match="tags"):
        cache(tags=(template,))(lambda x: x)


@pytest.mark.parametrize("wrong", [1, [1], [b"a"], ["a", None]])
def test_tags_are_strings(wrong: Any) -> None:
    with pytest.raises(TypeError, match="tags"):
        cache(tags=wrong)(lambda x: x)


def test_lru_cache_has_no_such_parameter() -> None:
    with pytest.raises(TypeError, match="tags"):
        lru_cache(tags=("t",))(Body())


# --- what the user is asked while a value is about to be stored ----------------------------------


@pytest.mark.parametrize("known_before", [False, True])
@pytest.mark.parametrize("whole_module", [False, True])
@pytest.mark.parametrize("in_a_thread", [False, True])
@pytest.mark.parametrize("parameter", ["cache_if", "ttl", "copy", "weigher"])
def test_an_invalidation_while_a_value_is_appraised_fences_it(
    kind: Kind, parameter: str, in_a_thread: bool, whole_module: bool, known_before: bool
) -> None:
    armed: list[bool] = []

    def invalidate() -> None:
        (warp.invalidate_tags if whole_module else f.cache_invalidate_tags)("group")

    def asked(value: Any) -> Any:
        if armed:
            armed.clear()
            if in_a_thread:
                support.start(invalidate).result(support.LIMIT)
            else:
                invalidate()
        return {"cache_if": True, "ttl": 100, "copy": value, "weigher": 1}[parameter]

    bound = {"max_weight": 9} if parameter == "weigher" else {}
    f = cache(tags="group", **{parameter: asked}, **bound)(kind.one(lambda x: "old"))
    if known_before:
        kind.call(f, 2)
    armed.append(True)
    assert kind.call(f, 1) == "old"
    assert not f.cache_contains(1)


def test_a_caller_does_not_wait_for_a_computation_that_was_invalidated_as_it_was_appraised() -> (
    None
):
    entered, go, body = threading.Event(), threading.Event(), Body()

    def cache_if(value: Any) -> bool:
        if value == (1, 1):
            entered.set()
            assert go.wait(support.LIMIT)
        return True

    f = cache(tags="group", cache_if=cache_if)(Kind(False).one(body))
    first = support.start(f, 1)
    assert entered.wait(support.LIMIT)
    f.cache_invalidate_tags("group")
    assert f(1) == (1, 2)
    go.set()
    assert first.result(support.LIMIT) == (1, 1)
    assert f(1) == (1, 2)


def test_an_old_value_whose_own_tag_is_invalidated_serves_no_more(clock: Any) -> None:
    kind, body = Kind(False), Body()

    def failing(x: Any) -> Any:
        f.cache_invalidate_tags("of the old one")
        return body(x)

    body.fail = ValueError("away")
    f = cache(ttl=100, stale_if_error=500, tags="of the function")(kind.one(failing))
    f.cache_put("old", (1,), tags="of the old one")
    clock.advance(200)
    with pytest.raises(ValueError, match="away"):
        f(1)
    with pytest.raises(ValueError, match="away"):
        f(1)
    assert not f.cache_contains(1)


def test_tags_of_text_that_has_no_bytes(kind: Kind) -> None:
    f = cache(tags="user:{x}")(kind.one(Body()))
    for x in ("\ud800", "\udfff", "plain"):
        kind.call(f, x)
    f.cache_invalidate_tags("user:\ud800")
    assert present(f, "\ud800", "\udfff", "plain") == ["\udfff", "plain"]
    warp.invalidate_tags("user:\udfff")
    assert present(f, "\ud800", "\udfff", "plain") == ["plain"]
