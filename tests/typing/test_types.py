"""Type checkers pass the package, accept right uses and refuse wrong ones; the stubs are true."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = Path(__file__).resolve().parent
LIMIT = 240.0


def check(module: str, *arguments: str | Path) -> None:
    """Run a checker as `python -m module`; it must find nothing."""
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        pytest.skip(f"{module} is not installed in this environment")
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture
def cache(request: pytest.FixtureRequest) -> Path:
    """mypy's cache: one that no run of another interpreter shares."""
    plugin = getattr(request.config, "cache", None)
    folder = plugin.mkdir("mypy") if plugin else request.getfixturevalue("tmp_path")
    assert isinstance(folder, Path)
    return folder


def test_mypy(cache: Path) -> None:
    check("mypy", "--strict", "--cache-dir", cache, "python/warp_cache", EXAMPLES)


def test_basedpyright() -> None:
    check("basedpyright", "--pythonpath", sys.executable, "python/warp_cache", EXAMPLES)


def test_ty() -> None:
    # The wrong uses are left out in pyproject.toml.
    check(
        "ty", "check", "--error-on-warning", "--python", sys.prefix, "python/warp_cache", EXAMPLES
    )


def test_stubs_are_what_is_there(tmp_path: Path) -> None:
    # What namedtuples and dataclasses make differs by version from what checkers think they do.
    allowed = tmp_path / "allowed"
    # A type of literals is a union to them, and one that is only there for checkers is missing; the
    # decorators are shown to checkers by overloads, of which the first takes a function; options
    # that come from a TypedDict are keywords (`tests/api/test_options.py` compares the names); all
    # that would change a `Skips` is one function; a stub of its own has what only checkers see;
    # what stands for a setting that is left out has its own type; adapters need their frameworks;
    # a memoized method says that its class is MethodType.
    names = (
        "\\._.*__(replace|match_args)__",
        ".*SkipReason",
        "\\._options\\.(Memory|Shared|AnyStrategy)",
        "\\._strategies\\.AnyStrategy",
        "\\._operations",
        "\\._watch\\.Watch",
        "\\.cache",
        "\\.lru_cache",
        "\\._warp_cache_rs\\.Options\\.__new__",
        "\\._info\\.Skips\\.(clear|popitem)",
        "\\._module\\.configure",
        "\\._object\\.memoizing\\._Bound\\.__class__",
        "\\.(aiocache|cachelib|django|dogpile|flask_caching|limits|litestar)(\\..*)?",
        # What later versions give a TypedDict.
        "\\._options\\.\\w+\\.__\\w+__",
    )
    allowed.write_text("".join(f"warp_cache{name}\n" for name in names))
    check(
        "mypy.stubtest",
        "warp_cache",
        "--mypy-config-file",
        ROOT / "pyproject.toml",
        # They ask for a mark that is newer than the checkers in use.
        "--ignore-disjoint-bases",
        "--allowlist",
        allowed,
        "--ignore-unused-allowlist",
    )


def test_bound_methods_have_all_operations() -> None:
    # mypy has a class of its own for them: an operation that is missing there would be to it alone.
    stub = (ROOT / "python/warp_cache/_operations.pyi").read_text(encoding="utf-8")
    operations = {
        kind.name: {
            entry.name
            for entry in kind.body
            if isinstance(entry, (ast.FunctionDef, ast.AsyncFunctionDef))
        }
        for kind in ast.parse(stub).body
        if isinstance(kind, ast.ClassDef)
    }
    assert "get" in operations["Operations"]
    assert operations["_BoundOperations"] == operations["Operations"] | {"__call__"}
