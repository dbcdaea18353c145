# pyright: reportMissingImports=false
"""Values that ask the database when they are pickled, as a query that has not run does: in a loop
Django refuses that.
"""

from __future__ import annotations

import contextlib
import pickle

from asgiref.sync import sync_to_async
from django.core.exceptions import SynchronousOnlyOperation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["ready"]


async def ready(value: Any) -> Any:
    """The value, which has asked the database in a thread for what it is to be stored with.

    Looks at the value and at what is directly in it, if it is a list, a tuple or a dict; built-in
    types cost nothing.
    """
    if _may_ask(value):
        try:
            pickle.dumps(value)
        except SynchronousOnlyOperation:
            # What it has been told there it keeps.
            with contextlib.suppress(Exception):
                await sync_to_async(pickle.dumps)(value)
        except Exception:
            pass  # who stores it tells what is wrong with it
    return value


def _may_ask(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        return any(_is_other(item) for item in value.values())
    if kind is list or kind is tuple:
        return any(_is_other(item) for item in value)
    return _is_other(value)


def _is_other(value: Any) -> bool:
    return type(value).__module__ != "builtins"
