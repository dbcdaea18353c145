"""Suites that the interpreter is too old for: another one of this machine runs them, with an
environment and a build of its own.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from scripts.peer_suites.fetch import ROOT
from scripts.peer_suites.suite import Suite

__all__ = ["Elsewhere"]

# The oldest first: it is the one that most has been tried with.
_VERSIONS = ((3, 12), (3, 13), (3, 14))
# What make and its recipes hand on: of another environment.
_OURS = frozenset(
    ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PYTHON", "PROFILE", "ARGS", "MATURIN_PEP517_ARGS")
)


class Elsewhere:
    """Suites for a newer interpreter, and which one that is."""

    def __init__(self, group: str, suites: Sequence[Suite]) -> None:
        self._group = group
        self._suites = suites
        self._wanted = max(suite.python for suite in suites)
        self._found = next((name for name in self._names() if _is_here(name)), None)

    def _names(self) -> list[str]:
        return [_name(version) for version in _VERSIONS if version >= self._wanted]

    def build(self) -> None:
        """Build for it, in the folder where what knows no Python is built once for all."""
        if self._found is None:
            return
        print(f"building for CPython {self._found}, which runs what asks for it", flush=True)
        built = self._make("PROFILE=trial", f"target={ROOT / 'target'}", "build")
        if built.returncode != 0:
            raise RuntimeError(f"no build for {self._found}: {built.stdout}{built.stderr}")

    def run(self) -> list[str]:
        """What is printed of the suites."""
        packages = " ".join(sorted({suite.package for suite in self._suites}))
        if self._found is None:
            names = "\n".join(f"   {suite.name}" for suite in self._suites)
            return [
                f"== NOT RUN: {len(self._suites)} suites of {packages} ask for CPython "
                f"{_name(self._wanted)} or newer, and this machine has none "
                f"(make python-{_name(self._wanted)})\n{names}"
            ]
        done = self._make(f"ARGS={self._group} {packages}", "suites")
        said = [line for line in done.stdout.splitlines() if line.startswith(("==", " "))]
        if done.returncode != 0 and not any(line.startswith("   RED: ") for line in said):
            said.append(f"   RED: they did not end: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return [f"== by CPython {self._found}:", *said]

    def _make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name not in _OURS}
        command = ["make", "--no-print-directory", f"PYTHON={self._found}", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )


def _name(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


def _is_here(name: str) -> bool:
    find = [str(ROOT / "scripts" / "find-python"), name]
    return subprocess.run(find, capture_output=True, check=False).returncode == 0
