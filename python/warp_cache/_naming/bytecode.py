"""What can be read from a code object alone."""

from __future__ import annotations

import sys
from types import CodeType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["global_names", "has_docstring"]

# inspect's CO_OPTIMIZED, and since 3.14 CO_HAS_DOCSTRING.
_CO_OPTIMIZED = 0x1
_CO_HAS_DOCSTRING = 0x4000000
_LOOKUPS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")


def has_docstring(code: CodeType) -> bool:
    """Whether the first constant is a docstring and nothing else.

    A function may also use a constant that is equal to its docstring: the two are one.
    """
    if not code.co_consts or type(code.co_consts[0]) is not str:
        return False
    if sys.version_info >= (3, 14):
        documented = bool(code.co_flags & _CO_HAS_DOCSTRING)
    else:
        # Comprehensions and lambdas have none, and "<" in their names.
        documented = bool(code.co_flags & _CO_OPTIMIZED) and not code.co_name.startswith("<")
    if not documented:
        return False
    from opcode import hasconst

    pairs = zip(code.co_code[::2], code.co_code[1::2], strict=True)
    return not any(argument == 0 and operation in hasconst for operation, argument in pairs)


def global_names(code: CodeType) -> Iterator[str]:
    """The global names that the code and the code in it use."""
    from dis import get_instructions

    # dis makes a text of each constant, which it need not have.
    bare = code.replace(co_consts=(None,) * len(code.co_consts))
    for instruction in get_instructions(bare):
        if instruction.opname in _LOOKUPS:
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from global_names(constant)
