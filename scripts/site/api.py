"""The page of the API, made from the docstrings of every public name, and the names without one.

They are read as `help()` reads them, from what is imported: some of them stand in Rust.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import warp_cache
from warp_cache import _warp_cache_rs as rust

PACKAGE = Path(warp_cache.__file__).parent
# The types that decorated functions have; their names are nobody's to import.
FUNCTIONS = ("CachedFunction", "SharedCachedFunction")
HEAD = """# API

The docstrings of all public names, as `help()` shows them. What belongs together is told by the
pages on [parameters](parameters.md), [methods](methods.md), [the module](module.md) and
[counters](counters.md).
"""
SECTIONS = "Parameters|Args|Returns|Raises|Yields|Attributes|Examples?"


def modules() -> list[ModuleType]:
    """The public modules: warp_cache itself, and each file or folder without an underscore."""
    return [warp_cache, *(module for module in map(_imported, names_of_modules()) if module)]


def names_of_modules() -> list[str]:
    """Those of the public modules within warp_cache, whether or not they can be imported here."""
    files = {path.stem for path in PACKAGE.glob("*.py")}
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    return sorted(name for name in files | folders if not name.startswith("_"))


def missing() -> list[str]:
    """Public modules that cannot be imported here, as their library is not there."""
    return [f"warp_cache.{name}" for name in names_of_modules() if _imported(name) is None]


def _imported(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(f"warp_cache.{name}")
    except ImportError:
        return None


def told() -> Iterator[tuple[str, str, Any]]:
    """Every public name: its module, itself, and what it stands for."""
    for module in modules():
        for name in getattr(module, "__all__", ()):
            yield f"`{module.__name__}`", name, getattr(module, name)
    for name in FUNCTIONS:
        yield "Decorated functions", name, getattr(rust, name)


def members(value: Any) -> Iterator[tuple[str, Any]]:
    """The public methods and properties of a class, but those of a base that has its own part.

    What a base of ours makes of another package's method, that one's documents tell.
    """
    if not inspect.isclass(value):
        return
    apart = {one for _, _, one in told() if inspect.isclass(one)} - {value}
    bases = [one for one in value.__mro__ if _is_ours(one)]
    theirs = {name for one in value.__mro__ if not _is_ours(one) for name in vars(one)}
    found: dict[str, Any] = {}
    for base in bases:
        for name, member in vars(base).items() if base not in apart else ():
            is_one = inspect.isroutine(member) or isinstance(member, property)
            if is_one and not name.startswith("_") and (base is value or name not in theirs):
                found.setdefault(name, getattr(value, name))
    yield from found.items()


def has_docstring(value: Any) -> bool:
    """Whether it is of a kind that has one; the alias of a type is not."""
    return inspect.isroutine(value) or inspect.isclass(value) or _is_ours(type(value))


def _is_ours(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "warp_cache"


def page() -> str:
    parts, last = [HEAD], ""
    for title, name, value in told():
        if title != last:
            parts.append(f"## {title}\n")
            last = title
        parts.append(f"### {name}\n")
        if has_docstring(value):
            parts += [*_signature(name, value), *_prose(value)]
            if issubclass(type(value), enum.EnumMeta):
                parts.append(", ".join(f"`{name}.{one.name}`" for one in value) + "\n")
            for method, member in members(value):
                parts.append(f"#### {name}.{method}\n")
                parts += [*_signature(method, member), *_prose(member)]
        else:
            parts.append(f"A type: `{str(value).replace('typing.', '')}`.\n")
            if "__doc__" in getattr(value, "__dict__", ()):
                parts += _prose(value)
    return "\n".join(parts)


def problems() -> Iterator[str]:
    """Public names that say nothing of themselves, and modules that do not say what is public."""
    for module in modules():
        if not hasattr(module, "__all__"):
            yield f"{module.__name__} has no __all__, so its names are in no page"
    for _, name, value in told():
        if has_docstring(value) and not (value.__doc__ or "").strip():
            yield f"{name} has no docstring"
        for method, member in members(value):
            if not inspect.getdoc(member):
                yield f"{name}.{method} has no docstring"


def _signature(name: str, value: Any) -> Iterator[str]:
    if inspect.isclass(value) and not inspect.isroutine(vars(value).get("__init__")):
        return
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return
    # Without the types, which the text tells: a long one has a parameter a line.
    bare = [
        one.replace(annotation=inspect.Parameter.empty) for one in signature.parameters.values()
    ]
    shown = str(inspect.Signature(bare))
    shown = re.sub(r"<(\w+\.\w+): [^>]*>", r"\1", shown).replace("$self", "self")
    if len(shown) > 90:
        shown = "(\n    " + ",\n    ".join(re.split(r", (?![^(]*\),)", shown[1:-1])) + ",\n)"
    yield f"```python\n{name}{shown}\n```\n"


def _prose(value: Any) -> Iterator[str]:
    """A docstring in Markdown: a section's entries become a list."""
    for paragraph in (inspect.getdoc(value) or "").split("\n\n"):
        heading = re.match(rf"({SECTIONS}):\n", paragraph)
        if heading is None:
            yield f"{paragraph}\n"
            continue
        entries = inspect.cleandoc(paragraph[heading.end() :])
        yield f"**{heading[1]}**\n"
        for entry in re.split(r"\n(?=\S)", entries):
            names, colon, text = " ".join(entry.split()).partition(": ")
            coded = ", ".join(f"`{name.strip()}`" for name in names.split(","))
            yield f"- {coded}: {text}" if colon else f"- {names}"
        yield ""
