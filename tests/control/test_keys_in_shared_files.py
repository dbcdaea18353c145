"""`key` and `ignore` in the shared backend: who shares a file, and what warnings name."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from warp_cache import UncacheableWarning, cache


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("WARP_CACHE_DIR", str(tmp_path))
    yield tmp_path


def path(cached: Any) -> str:
    found: str = cached.cache_options()["path"]
    return found


def test_the_ignored_names_tell_files_apart() -> None:
    def function(a: int, b: int = 0, *args: int, **kwargs: int) -> tuple[int, int]:
        return (a, b)

    made = [
        cache(backend="shared", ignore=ignore)(function)
        for ignore in ((), ("a",), ("b",), ("a", "b"), ("b", "a", "a"), ("args",), ("kwargs",))
    ]
    assert len({path(cached) for cached in made}) == 6
    assert path(made[3]) == path(made[4]), "the order of names tells nothing"
    assert [cached(1, 2) for cached in made] == [(1, 2)] * 7
    assert [cached.cache_info()[:2] for cached in made[3:5]] == [(1, 1)] * 2


@pytest.mark.parametrize("name", [None, "a name of the user's"])
def test_the_key_function_tells_files_apart(name: str | None) -> None:
    def function(x: int) -> int:
        return x

    def by_ten(modulus: int) -> Any:
        return lambda x: x % modulus

    keys = [None, by_ten(10), by_ten(10), by_ten(20), lambda x: x, str]
    made = [cache(backend="shared", name=name, key=key)(function) for key in keys]
    paths = [path(cached) for cached in made]
    assert paths[1] == paths[2]
    assert len(set(paths)) == 5


def test_a_key_without_a_name_makes_the_cache_private() -> None:
    changing: list[int] = []
    made = cache(backend="shared", key=lambda x: (x, len(changing)))(lambda x: x)
    assert made.cache_options()["private"] is True
    assert made(1) == made(1) == 1
    assert made.cache_info()[:2] == (1, 1)


def test_a_key_that_changes_ends_the_sharing() -> None:
    by = 10

    def function(x: int) -> int:
        return x

    made = cache(backend="shared", key=lambda x: x % by)(function)
    assert made.cache_options()["private"] is False
    assert made(1) == made(11) == 1
    by = 100
    assert made(31) == 31
    assert made.cache_options()["private"] is True


def test_ignored_arguments_need_no_bytes() -> None:
    made = cache(backend="shared", ignore=("session", "rest"))(lambda x, session=None, *rest: x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert made(1, object()) == made(1, lambda: 0, open) == 1
    assert made.cache_info()[:2] == (1, 1)


def test_a_warning_names_what_key_gave() -> None:
    made = cache(backend="shared", key=lambda x: object())(lambda x: x)
    with pytest.warns(UncacheableWarning, match="where what key returns is of type object"):
        made(1)


@pytest.mark.parametrize(
    ("ignore", "args", "kwargs", "expected"),
    [
        (("a",), (1, object()), {}, "argument 'b'"),
        (("b",), (1, 2, object()), {}, r"argument 1 of '\*rest'"),
        (("a", "rest"), (1, 2, 3), {"c": object()}, "argument 'c'"),
        (("a", "b"), (1, 2), {"c": 3, "d": object()}, "argument 'd'"),
    ],
)
def test_a_warning_names_the_right_argument(
    ignore: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any], expected: str
) -> None:
    def function(a: Any, b: Any = 0, *rest: Any, c: Any = 0, **more: Any) -> int:
        return 1

    made = cache(backend="shared", ignore=ignore)(function)
    with pytest.warns(UncacheableWarning, match=expected):
        made(*args, **kwargs)
