"""Arguments whose code was edited are other arguments in the shared tier."""

from __future__ import annotations

import importlib
import itertools
import json
import operator
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from test_codec_objects import stored

from warp_cache import cache
from warp_cache._warp_cache_rs import _encode_key

MODULE = """
import collections, dataclasses, enum, functools, types
from typing import Any, NamedTuple, TypeVar, NewType, Optional

def cost(x, rate=2, *, tax=1):
    return 10 * x

def noted(function):
    @functools.wraps(function)
    def wrapper(*args):
        return function(*args) + 5
    return wrapper

@noted
def decorated(x):
    return 20 * x

@functools.lru_cache
def cached(x):
    return 30 * x

class Model:
    FACTOR = 40
    TABLE = {"a": [41]}
    name: int
    def price(self, x):
        return 50 * x
    @classmethod
    def made(cls):
        return 60
    @staticmethod
    def static():
        return 70
    @property
    def size(self):
        return 80

class Derived(Model):
    pass

@dataclasses.dataclass(frozen=True)
class Doubler:
    by: int = 0
    extra: int = 90
    def __call__(self, x):
        return 100 * x

class Color(enum.Enum):
    RED = 110
    def shade(self):
        return 120

class Point(NamedTuple):
    x: int = 130
    def norm(self):
        return 140

class Money:
    def __init__(self, amount):
        self.amount = amount
    def __eq__(self, other):
        return isinstance(other, Money) and self.amount == other.amount
    def __hash__(self):
        return hash(self.amount)
    def __reduce__(self):
        return money, (self.amount,)
    def in_cents(self):
        return 150 * self.amount

def money(amount):
    return Money(amount if amount != 160 else 0)

class Sentinel:
    def __init__(self, value):
        self.value = value
    def __reduce__(self):
        return "LIMIT"

LIMIT = Sentinel(170)

class Rate:
    def __init__(self, value):
        self.value = value
    def __get__(self, instance, owner):
        return self.value

def over(value):
    return lambda self, more=[210]: (value, more)

class Priced(Money):
    base = Rate(180)
    more = collections.OrderedDict(a=190)
    names = types.SimpleNamespace(a=200)
    both = over([220])
    views = types.MappingProxyType({"a": 230})

class Kind(enum.Enum):
    ONE = Rate(240)
T = TypeVar("T", bound=Model)
Name = NewType("Name", Model)
"""

# What is passed, and the numbers in the module that count for it.
EDITED: dict[str, list[int]] = {
    "cost": [10],
    "decorated": [5, 20],
    "cached": [30],
    "Model": [40, 41, 50, 60, 70, 80],
    "Derived": [40, 41, 50, 60, 70, 80],
    "Model.made": [40, 60],
    "Model.price": [50],
    "Doubler(1)": [90, 100],
    "(Doubler(1), 1)": [100],
    "Color.RED": [110, 120],
    "Color": [110, 120],
    "Point": [130, 140],
    "Money(1)": [150, 160],
    "LIMIT": [170],
    "Priced(1)": [180, 190, 200, 210, 220, 230],
    "Kind.ONE": [240],
    "T": [40],
    "Name": [50],
    "Optional[Model]": [50],
    "list[Doubler]": [100],
}


@pytest.fixture
def module(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Loads a module with this text, as a new start would."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file, times = tmp_path / "edited_arguments.py", itertools.count(1_000_000_000)

    def load(text: str, again: bool = False) -> Any:
        file.write_text(text)
        os.utime(file, (next(times),) * 2)
        importlib.invalidate_caches()
        if again and "edited_arguments" in sys.modules:
            return importlib.reload(sys.modules["edited_arguments"])
        sys.modules.pop("edited_arguments", None)
        return importlib.import_module("edited_arguments")

    yield load
    sys.modules.pop("edited_arguments", None)


@pytest.mark.parametrize("again", [False, True], ids=["started again", "reloaded"])
def test_edited_code_is_another_argument(module: Any, again: bool) -> None:
    def spelled(text: str) -> dict[str, bytes]:
        scope = vars(module(text, again))
        return {what: stored(eval(what, scope)) for what in EDITED}

    before = spelled(MODULE)
    assert spelled(MODULE) == before, "nothing was edited"
    assert spelled(MODULE + "\n# a comment\n") == before
    for number in sorted({number for numbers in EDITED.values() for number in numbers}):
        after = spelled(MODULE.replace(f"{number}", f"{number + 1000}", 1))
        for what, numbers in EDITED.items():
            if number in numbers:
                assert after[what] != before[what], (what, number)
    for edit in (("rate=2", "rate=3"), ("tax=1", "tax=2")):
        assert spelled(MODULE.replace(*edit))["cost"] != before["cost"]
    for edit in (("name: int", "name: str"), ("    FACTOR = 40\n", "")):
        assert spelled(MODULE.replace(*edit))["Model"] != before["Model"]


def test_an_edited_callback_is_called(module: Any) -> None:
    @cache(backend="shared", name="applied")
    def apply(function: Any, x: int) -> Any:
        return function(x)

    for what, edit, right in (
        ("cost", ("10 *", "11 *"), (10, 11)),
        ("decorated", ("+ 5", "+ 6"), (25, 26)),
        ("Doubler(1)", ("100 *", "101 *"), (100, 101)),
    ):
        for text, result in zip((MODULE, MODULE.replace(*edit)), right, strict=True):
            assert apply(eval(what, vars(module(text))), 1) == result


def test_what_cannot_be_looked_into_is_no_argument(module: Any) -> None:
    found = module(
        "import functools, threading\n"
        "def over(value): return lambda: value\n"
        "def named(function, name):\n"
        "    function.__qualname__ = name\n"
        "    return function\n"
        "table = named(over([1]), 'table')\n"
        "constant = named(over((1,)), 'constant')\n"
        "def marked(): return marked.calls\n"
        "marked.calls = []\n"
        "def with_default(x=[]): return x\n"
        "class Locked:\n"
        "    lock = threading.Lock()\n"
        "    @functools.singledispatchmethod\n"
        "    def f(self): pass\n"
    )
    for name in ("table", "marked", "with_default", "Locked"):
        assert _encode_key((getattr(found, name),)) is None, name
    assert stored(found.constant)


def test_code_that_is_exchanged_in_place(module: Any) -> None:
    found = module(MODULE)
    before = {what: stored(eval(what, vars(found))) for what in ("cost", "Doubler(1)", "Model")}
    found.cost.__code__ = (lambda x, rate, *, tax: 1).__code__
    found.Doubler.__call__.__code__ = (lambda self, x: 1).__code__
    found.Model.FACTOR = 41
    for what, spelled in before.items():
        assert stored(eval(what, vars(found))) != spelled, what
    again = stored(found.Model)
    found.Model.TABLE["a"].append(1)
    assert stored(found.Model) != again


def test_a_module_of_ones_own_is_no_argument(module: Any) -> None:
    found = module(MODULE)
    assert _encode_key((found,)) is None
    assert stored(json) != stored(operator)
    for hidden in ("queue", "json"):  # named as one of Python's
        found.__name__ = hidden
        assert _encode_key((found,)) is None
