"""Packed applications: what collects modules by reading Python files finds all that get loaded."""

from __future__ import annotations

import modulefinder
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import warp_cache

PACKAGE = Path(warp_cache.__file__).parent
SOURCES = Path(__file__).parents[2] / "crates"

# What an app may do with the package; each loads what it needs.
APPS = {
    "memory": "f = cache(lambda x: 2 * x)\nassert f(1) == f(1) == 2",
    "signature": "f = cache(functools.partial(pow, 2))\nassert f(3) == f(3) == 8",
    "shared": "f = cache(double, backend='shared', name='app')\nassert f(1) == f(1) == 2",
    "unnamed shared": "f = cache(double, backend='shared')\nassert f(1) == f(1) == 2",
    "pickled values": """
f = cache(complicated, backend='shared', name='values')
assert f(1) == f(1)
g = lru_cache(lambda key: 1, backend='shared', name='keys')
assert g(datetime.date(2020, 1, 1)) == g(fractions.Fraction(1, 3)) == 1""",
    "async": """
@cache(backend='shared', name='async')
async def f(x):
    return x
async def main():
    return await asyncio.gather(f(1), f(1), f(2))
assert asyncio.run(main()) == [1, 1, 2]""",
    "errors": """
@cache
def f(x):
    entered.set()
    go_on.wait(20)
    raise ValueError(x)
entered, go_on = threading.Event(), threading.Event()
with concurrent.futures.ThreadPoolExecutor(2) as pool:
    futures = [pool.submit(f, 1)]
    entered.wait(20)
    futures.append(pool.submit(f, 1))
    while f.cache_info().misses < 2:
        time.sleep(0.001)
    time.sleep(0.1)
    go_on.set()
    assert [type(future.exception()) for future in futures] == [ValueError] * 2""",
    "recording": """
f = cache(double)
with warp_cache.record('calls.rec'):
    f(1), f(1)
import warp_cache.__main__
sys.argv = ['warp_cache', 'advise', 'calls.rec']
try:
    warp_cache.__main__.main()
except SystemExit as done:
    assert not done.code""",
    "pickled functions": "assert pickle.loads(pickle.dumps(double_cached)) is double_cached",
    "mocks": "assert lru_cache(unittest.mock.Mock(return_value=3))(1) == 3",
}
PROGRAM = """
import asyncio, concurrent.futures, datetime, fractions, functools, os, pickle, sys, threading, time
import unittest.mock
STARTED = set(sys.modules)
import warp_cache
from warp_cache import cache, lru_cache

def double(x):
    return 2 * x

def complicated(x):
    return {x: [datetime.date(2020, 1, 1), fractions.Fraction(1, 3), Exception("x")]}[x][:2]

double_cached = cache(double)
double_cached.__qualname__ = "double_cached"
%s
sys.stdout = sys.__stdout__
print()
print("LOADED", *sorted(set(sys.modules) - STARTED))
"""


class Finder(modulefinder.ModuleFinder):
    """Follows the imports of app and package; of other modules, that they are imported."""

    def __init__(self, path: list[str]) -> None:
        super().__init__(path)
        self.named: set[str] = set()

    def find_module(self, name: str, path: Any, parent: Any = None) -> Any:
        full = f"{parent.__name__}.{name}" if parent else name
        self.named.add(full)
        if full.partition(".")[0] not in ("warp_cache", "app", "__init__"):
            raise ImportError(name)
        return super().find_module(name, path, parent)  # type: ignore[misc]


def find(app: Path) -> Finder:
    finder = Finder([str(app.parent), str(PACKAGE.parent)])
    finder.run_script(str(app))
    return finder


@pytest.mark.parametrize("name", APPS)
def test_all_that_an_app_loads_is_imported_by_some_python_file(name: str, tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text(PROGRAM % APPS[name])
    ran = subprocess.run([sys.executable, str(app)], capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    loaded = ran.stdout.rpartition("LOADED ")[2].split()
    ours = {module for module in loaded if module.partition(".")[0] == "warp_cache"}
    finder = find(app)
    assert "warp_cache._warp_cache_rs" in ours
    assert not ours - set(finder.modules)


def test_modules_that_native_code_names_are_imported_by_a_python_file(tmp_path: Path) -> None:
    """Those of the standard library, too: a packed app has only the ones that are asked for."""
    if not SOURCES.is_dir():
        pytest.skip("the sources are not here")
    imported = re.compile(
        r"""(?:\bimport\(|Module\(|Function::new\()[^"]{0,40}"([\w.]+)"|"(warp_cache\.[a-z_.]+)\""""
    )
    named = {
        first or second
        for file in SOURCES.rglob("*.rs")
        for first, second in imported.findall(file.read_text(encoding="utf-8"))
    }
    assert {"inspect", "pickle", "warp_cache._async", "warp_cache._naming.identity"} <= named
    app = tmp_path / "app.py"
    app.write_text("import warp_cache\n")
    finder = find(app)
    assert not named - finder.named - set(finder.modules)


PACKED = """
import importlib.machinery, importlib.util, sys

class Bundle:
    '''What a freezer's start-up code does: the extension lies beside the archive.'''
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "warp_cache._warp_cache_rs":
            loader = importlib.machinery.ExtensionFileLoader(name, EXTENSION)
            return importlib.util.spec_from_file_location(name, EXTENSION, loader=loader)

sys.meta_path.insert(0, Bundle)
import app
"""


@pytest.mark.parametrize("name", ["shared", "unnamed shared", "async", "errors", "signature"])
def test_a_packed_app_runs(name: str, tmp_path: Path) -> None:
    """An archive of the modules that were found, and of no others."""
    source = tmp_path / "source"
    source.mkdir()
    app = source / "app.py"
    app.write_text(PROGRAM % APPS[name])
    extension = sys.modules["warp_cache._warp_cache_rs"].__file__
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.writestr("__main__.py", PACKED.replace("EXTENSION", repr(extension)))
        archive.write(app, "app.py")
        for module in find(app).modules.values():
            file = getattr(module, "__file__", None)
            if file and file.endswith(".py") and module.__name__.startswith("warp_cache"):
                archive.write(file, Path(file).relative_to(PACKAGE.parent))
    ran = subprocess.run(
        [sys.executable, "-I", "-S", str(tmp_path / "packed.zip")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    assert " warp_cache " in ran.stdout
