"""A run as it is kept in a file: written as JSON, read back, and refused if it is none."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    try:
        data = json.loads(text)
    except ValueError as error:
        raise BadRun(f"this is no JSON: {error}") from error
    if not isinstance(data, dict) or "schema" not in data:
        raise BadRun("this is no run of the benchmarks: `python -m benchmarks --json` writes one")
    if data["schema"] not in READABLE:
        known = ", ".join(map(str, READABLE))
        raise BadRun(f"its schema is {data['schema']!r}; this harness reads {known}")
    try:
        run = Run(data["date"], data["machine"], [], data["failed"], data["schema"])
        _machine(run.machine)
        parts = list(data["parts"])
    except _WRONG as error:
        raise BadRun(f"the head of the run is damaged: {_said(error)}") from error
    for number, part in enumerate(parts):
        try:
            result = PartResult.from_json(part)
            for row in result.rows:
                _row(row)
            for figure in result.figures:
                _figure(figure)
        except _WRONG as error:
            name = part.get("part", number) if isinstance(part, dict) else number
            raise BadRun(f"its part {name!r} is damaged: {_said(error)}") from error
        run.results.append(result)
    return run


# What damaged data makes of the constructors and the checks below.
_WRONG = (KeyError, TypeError, ValueError, AttributeError)


def _said(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _machine(machine: dict[str, Any]) -> None:
    for key in ("cpu", "cpus_usable", "system", "architecture", "governor", "packages"):
        machine[key]
    for key in ("implementation", "version", "pgo", "pgo_evidence", "lto", "free_threaded"):
        machine["python"][key]


def _row(row: Row) -> None:
    if not row.series:
        raise ValueError(f"the row {row.key} has no contender")
    length = len(row.series[0].rounds)
    every = {series.name: series.rounds for series in row.series}
    if row.loop is not None:
        every["the loop"] = row.loop
    for name, rounds in every.items():
        _rounds(f"{row.key}, {name}", rounds)
        if len(rounds) != length:
            raise ValueError(f"{row.key}, {name}: {len(rounds)} rounds beside {length}")


def _figure(figure: Figure) -> None:
    if figure.kind not in ("lines", "bars"):
        raise ValueError(f"the figure {figure.key} is of the unknown kind {figure.kind!r}")
    for curve in figure.curves:
        for point in curve.points:
            _rounds(f"{figure.key}, {curve.name}, {point.x}", point.rounds)
            if figure.kind == "lines" and not isinstance(point.x, (int, float)):
                raise ValueError(f"{figure.key}, {curve.name}: x must be a number, got {point.x!r}")


def _rounds(where: str, rounds: object) -> None:
    numbers = isinstance(rounds, list) and all(
        isinstance(value, (int, float)) and math.isfinite(value) for value in rounds
    )
    if not numbers or not rounds:
        raise ValueError(f"{where}: rounds must be one finite number or more, got {rounds!r}")
