"""Functions that themselves can change after they were decorated.

``FUNCTIONS``: by kind, something that makes one and what changes it.
"""

from __future__ import annotations

import functools
from typing import Any

from changing_holders import Plain, set_first
from changing_kinds import Change, Function, Kinds

FUNCTIONS = Kinds()


@FUNCTIONS.add
def _variable_bound_again() -> tuple[Function, Change]:
    rate = 0

    def f(x: int) -> Any:
        return x, rate

    def change(value: int) -> None:
        nonlocal rate
        rate = value

    return f, change


@FUNCTIONS.add
def _variable_bound_again_to_another_function() -> tuple[Function, Change]:
    def helper() -> int:
        return 0

    def f(x: int) -> Any:
        return x, helper()

    def change(value: int) -> None:
        nonlocal helper
        helper = (lambda: 1) if value == 1 else lambda: 2

    return f, change


@FUNCTIONS.add
def _variable_of_a_helper_bound_again() -> tuple[Function, Change]:
    rate = 0

    def helper() -> int:
        return rate

    def change(value: int) -> None:
        nonlocal rate
        rate = value

    return (lambda x: (x, helper())), change


@FUNCTIONS.add
def _variable_named_as_the_function() -> tuple[Function, Change]:
    def f(x: int) -> Any:
        return x, f if isinstance(f, int) else 0

    def change(value: int) -> None:
        nonlocal f
        f = value  # type: ignore[assignment]

    return f, change


@FUNCTIONS.add
def _variable_with_no_value_yet() -> tuple[Function, Change]:
    def f(x: int) -> Any:
        return x, rate

    def change(value: int) -> None:
        nonlocal rate
        rate = value

    rate: int
    if x_is_never:
        rate = 0
    return f, change


x_is_never = False


@FUNCTIONS.add
def _defaults_exchanged() -> tuple[Function, Change]:
    def f(x: int, rate: int = 0) -> Any:
        return x, rate

    return f, lambda value: setattr(f, "__defaults__", (value,))


@FUNCTIONS.add
def _keyword_defaults_exchanged() -> tuple[Function, Change]:
    def f(x: int, *, rate: int = 0) -> Any:
        return x, rate

    def change(value: int) -> None:
        assert f.__kwdefaults__ is not None
        f.__kwdefaults__["rate"] = value

    return f, change


@FUNCTIONS.add
def _code_exchanged() -> tuple[Function, Change]:
    def f(x: int) -> Any:
        return x, 0

    def change(value: int) -> None:
        f.__code__ = (lambda x: (x, 1)).__code__ if value == 1 else (lambda x: (x, 2)).__code__

    return f, change


@FUNCTIONS.add
def _code_of_a_helper_exchanged() -> tuple[Function, Change]:
    def helper() -> int:
        return 0

    def change(value: int) -> None:
        helper.__code__ = (lambda: 1).__code__ if value == 1 else (lambda: 2).__code__

    return (lambda x: (x, helper())), change


@FUNCTIONS.add
def _keywords_of_a_partial_object() -> tuple[Function, Change]:
    made = functools.partial(lambda x, rate: (x, rate), rate=0)
    return made, lambda value: made.keywords.__setitem__("rate", value)


@FUNCTIONS.add
def _wrapped_says_another_function() -> tuple[Function, Change]:
    """What is called is in a cached function; what ``__wrapped__`` says is somebody's word."""

    def shown(x: int) -> Any:
        return x

    rates = [0]
    hidden = functools.lru_cache(maxsize=0)(lambda x: (x, rates[0]))
    functools.update_wrapper(hidden, shown)
    return hidden, lambda value: set_first(rates, value)


@FUNCTIONS.add
def _method_of_a_class_exchanged() -> tuple[Function, Change]:
    plain = Plain

    def change(value: int) -> None:
        Plain.extra = (lambda: 1) if value == 1 else (lambda: 2)  # type: ignore[attr-defined]

    Plain.extra = lambda: 0  # type: ignore[attr-defined]
    return (lambda x: (x, plain.extra())), change  # type: ignore[attr-defined]


@FUNCTIONS.add
def _code_of_a_method_exchanged() -> tuple[Function, Change]:
    compared = Replaced
    Replaced.rate.__code__ = (lambda: 0).__code__

    def change(value: int) -> None:
        Replaced.rate.__code__ = (lambda: 1).__code__ if value == 1 else (lambda: 2).__code__

    return (lambda x: (x, compared.rate())), change


class Replaced:
    @staticmethod
    def rate() -> int:
        return 0


class Base:
    rate = 0


class Derived(Base):
    pass


@FUNCTIONS.add
def _attribute_of_a_base() -> tuple[Function, Change]:
    Base.rate = 0
    derived = Derived
    return (lambda x: (x, derived.rate)), lambda value: setattr(Base, "rate", value)


@FUNCTIONS.add
def _global_of_code_in_no_file() -> tuple[Function, Change]:
    scope: dict[str, Any] = {"rate": 0}
    exec("def f(x): return x, rate", scope)
    return scope["f"], lambda value: scope.__setitem__("rate", value)


@FUNCTIONS.add
def _function_that_dispatches() -> tuple[Function, Change]:
    @functools.singledispatch
    def f(x: Any) -> Any:
        return x, 0

    f.register(int)(lambda x: (x, 0))
    return f, lambda value: f.register(int)((lambda x: (x, 1)) if value == 1 else lambda x: (x, 2))
