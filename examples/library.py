"""The demo's input: the standard library of the running interpreter; and its slow function."""

from __future__ import annotations

import ast
import contextlib
import random
import sys
import sysconfig
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

# Parsing this much takes half a second, and the demo does it a dozen times over.
MAX_BYTES = 1_000_000
SEED = 20

# CPython keeps a counter of `ast` where threads disturb each other (gh-106905, also seen in
# later versions than those it names). Under a GIL the lock costs no time.
_ONE_AT_A_TIME: contextlib.AbstractContextManager[object] = (
    threading.Lock()
    if getattr(sys, "_is_gil_enabled", lambda: True)()
    else contextlib.nullcontext()
)


@dataclass(frozen=True)
class Analysis:
    """What one pass over a file's syntax tree finds."""

    lines: int
    functions: int
    classes: int
    branches: int
    defines: frozenset[str]
    # Names taken from other modules: (module, name), in the order of the source.
    takes: tuple[tuple[str, str], ...]
    node_types: tuple[tuple[str, int], ...]


def analyse(path: str) -> Analysis:
    """Read, parse and count one file. This is the slow function that the demo caches."""
    source = Path(path).read_bytes()
    try:
        with _ONE_AT_A_TIME:
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        # The library's own tests hold files that are wrong on purpose.
        return Analysis(source.count(b"\n"), 0, 0, 0, frozenset(), (), ())
    kinds: Counter[str] = Counter()
    defines: set[str] = set()
    takes: list[tuple[str, str]] = []
    for node in ast.walk(tree):
        kinds[type(node).__name__] += 1
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            defines.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            defines.add(node.id)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            takes.extend((node.module, alias.name) for alias in node.names)
    return Analysis(
        lines=source.count(b"\n"),
        functions=kinds["FunctionDef"] + kinds["AsyncFunctionDef"],
        classes=kinds["ClassDef"],
        branches=kinds["If"] + kinds["For"] + kinds["While"] + kinds["Try"] + kinds["IfExp"],
        defines=frozenset(defines),
        takes=tuple(takes),
        node_types=tuple(kinds.most_common(3)),
    )


def source_files() -> list[str]:
    """The library's files in a shuffled order, always the same; without the largest ones."""
    root = Path(sysconfig.get_path("stdlib"))
    sizes = {
        str(path): path.stat().st_size
        for path in root.rglob("*.py")
        if not {"site-packages", "dist-packages"} & set(path.parts)
    }
    files, total = [], 0
    for path in sorted(sizes, key=lambda path: (sizes[path], path)):
        total += sizes[path]
        if total > MAX_BYTES:
            break
        files.append(path)
    random.Random(SEED).shuffle(files)
    return files


def module_names(files: list[str]) -> dict[str, str]:
    """The file of each module by its dotted name."""
    root = Path(sysconfig.get_path("stdlib"))
    names = {}
    for path in files:
        parts = Path(path).relative_to(root).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names
