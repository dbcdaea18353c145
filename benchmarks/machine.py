"""On what a run was made: machine, interpreter, load. Never who owns it or what it is called."""

from __future__ import annotations

import os
import platform
import re
import sys
import sysconfig
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    """Everything that a reader needs to compare figures with their own."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "libc": " ".join(platform.libc_ver()).strip(),
        "architecture": platform.machine(),
        "cpu": cpu_model(),
        "cpus_usable": usable_cpus(),
        "governor": _first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "memory_gib": _memory_gib(),
        "python": interpreter(),
    }


def interpreter() -> dict[str, Any]:
    pgo, evidence = built_with_pgo()
    arguments = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    return {
        "implementation": platform.python_implementation(),
        "version": platform.python_version(),
        "compiler": platform.python_compiler(),
        "pgo": pgo,
        "pgo_evidence": evidence,
        "lto": "--with-lto" in arguments,
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "debug": hasattr(sys, "gettotalrefcount"),
    }


def built_with_pgo() -> tuple[bool, str]:
    """Whether the interpreter was optimised by profile, and how one can tell."""
    arguments = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    if "--enable-optimizations" in arguments:
        return True, "--enable-optimizations"
    # Debian and Ubuntu call `make profile-opt` in their build rules, which configure does not hear
    # of. Their builds are told by a configure argument of their own.
    if "--with-wheel-pkg-dir=/usr/share/python-wheels" in arguments:
        return True, "Debian's profile-opt"
    return False, "no sign of it in the configure arguments"


def section_key(machine: dict[str, Any]) -> str:
    """The name of an interpreter's section in the report: `cpython-3.13t-pgo-x86_64`."""
    python = machine["python"]
    minor = ".".join(python["version"].split(".")[:2])
    threaded = "t" if python["free_threaded"] else ""
    pgo = "pgo" if python["pgo"] else "plain"
    return f"{python['implementation'].lower()}-{minor}{threaded}-{pgo}-{machine['architecture']}"


def conditions() -> dict[str, Any]:
    """What may change from part to part."""
    gil_enabled = getattr(sys, "_is_gil_enabled", lambda: True)()
    return {"load": load_average(), "gil_enabled": gil_enabled}


def load_average() -> list[float]:
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except OSError:
        return []


def usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_model() -> str:
    for line in _lines("/proc/cpuinfo"):
        if re.match(r"(model name|Processor|cpu model)\s*:", line):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemTotal:"):
            return round(int(line.split()[1]) / 2**20, 1)
    return None


def _first_line(path: str) -> str | None:
    lines = _lines(path)
    return lines[0] if lines else None


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
