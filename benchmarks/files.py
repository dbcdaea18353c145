"""A run as it is kept in a file: written as JSON, read back, and refused if it is none."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.conform import conform
from benchmarks.model import Figure, PartResult, Row

SCHEMA = 2
# 1 had no figures, and did not say which process ran which round.
READABLE = (1, SCHEMA)


class BadRun(ValueError):
    """The file does not hold a run that this harness can read; the message says why."""


@dataclass
class Run:
    """All parts of a run, and on what it was made."""

    date: str
    machine: dict[str, Any]
    results: list[PartResult]
    failed: list[str] = field(default_factory=list)
    schema: int = SCHEMA

    def text(self) -> str:
        """The same run gives the same bytes."""
        data = {
            "schema": self.schema,
            "date": self.date,
            "machine": self.machine,
            "parts": [result.as_json() for result in self.results],
            "failed": self.failed,
        }
        return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def write(self, path: Path) -> None:
        path.write_text(self.text(), encoding="utf-8")


def read(path: Path) -> Run:
    """The run in this file; BadRun, with a message for its user, if there is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRun(f"{path} cannot be read: {error}") from error
    try:
        return parse(text)
    except BadRun as error:
        raise BadRun(f"{path}: {error}") from error


def parse(text: str) -> Run:
    """The run in this text; BadRun if there is none. What is read can be reported and compared."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRun(f"this is no JSON: {error}") from error
    if not isinstance(data, dict) or "schema" not in data:
        raise BadRun("this is no run of the benchmarks: `python -m benchmarks --json` writes one")
    if data["schema"] not in READABLE:
        known = ", ".join(map(str, READABLE))
        raise BadRun(f"its schema is {data['schema']!r}; this harness reads {known}")
    try:
        run = Run(data["date"], data["machine"], [], data["failed"], data["schema"])
        conform(run, Run, "run")
        _known(run.machine, _MACHINE, "machine")
        _known(run.machine["python"], _PYTHON, "machine.python")
        if _VERSION.match(run.machine["python"]["version"]) is None:
            raise ValueError(f"no version of Python: {run.machine['python']['version']!r}")
        parts = data["parts"]
        conform(parts, list[dict[str, Any]], "parts")
    except _WRONG as error:
        raise BadRun(f"the head of the run is damaged: {_said(error)}") from error
    for number, part in enumerate(parts):
        try:
            run.results.append(_part(part))
        except _WRONG as error:
            name = part.get("part", number)
            raise BadRun(f"its part {name!r} is damaged: {_said(error)}") from error
    return run


# What damaged data makes of the constructors and the checks below.
_WRONG = (KeyError, TypeError, ValueError, AttributeError)
_VERSION = re.compile(r"\d{1,4}\.\d{1,4}")
# What every run tells of the machine and of a part that was measured; and what later ones tell too.
_MACHINE: dict[str, Any] = {
    "cpu": str,
    "cpus_usable": int,
    "system": str,
    "architecture": str,
    "governor": str | None,
    "packages": dict[str, str],
    "python": dict[str, Any],
}
_PYTHON: dict[str, Any] = {
    "implementation": str,
    "version": str,
    "pgo": bool,
    "pgo_evidence": str,
    "lto": bool,
    "free_threaded": bool,
}
_CONDITIONS: dict[str, Any] = {
    "rounds": int,
    "sample_ms": float,
    "processes": int,
    "cpus_usable": int,
    "load_before": list[list[float]],
    "gil_enabled_before": bool,
    "gil_enabled_after": bool,
}
_LATER: dict[str, Any] = {"date": str, "quick": bool, "seconds": float}
_LATER["load_after"] = list[list[float]]


def _said(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _known(data: dict[str, Any], types: dict[str, Any], where: str) -> None:
    for key, to in types.items():
        conform(data[key], to, f"{where}.{key}")


def _part(data: dict[str, Any]) -> PartResult:
    result = PartResult.from_json(data)
    conform(result, PartResult, "part")
    if result.conditions:
        _known(result.conditions, _CONDITIONS, "conditions")
        later = {key: to for key, to in _LATER.items() if key in result.conditions}
        _known(result.conditions, later, "conditions")
        if result.conditions["processes"] < 1:
            raise ValueError("conditions.processes must be 1 or more")
    for row in result.rows:
        _row(row)
    for figure in result.figures:
        _figure(figure)
    return result


def _row(row: Row) -> None:
    if not row.series:
        raise ValueError(f"the row {row.key} has no contender")
    length = len(row.series[0].rounds)
    every = [(series.name, series.rounds) for series in row.series]
    if row.loop is not None:
        every.append(("the loop", row.loop))
    for name, rounds in every:
        if not rounds or len(rounds) != length:
            raise ValueError(f"{row.key}, {name}: {len(rounds)} rounds beside {length}")
    if any(size < 1 for size in row.blocks):
        raise ValueError(f"{row.key}: a process without rounds")


def _figure(figure: Figure) -> None:
    if _KEY.fullmatch(figure.key) is None:
        raise ValueError(f"a figure's key must be of a-z, 0-9 and hyphens, got {figure.key!r}")
    for curve in figure.curves:
        for point in curve.points:
            where = f"{figure.key}, {curve.name}, {point.x}"
            if not point.rounds:
                raise ValueError(f"{where}: no rounds")
            if figure.kind == "lines" and isinstance(point.x, str):
                raise ValueError(f"{where}: x must be a number")


# It becomes the name of a file.
_KEY = re.compile(r"[a-z0-9-]+")
