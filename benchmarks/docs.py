"""Writes a run into a Markdown file, into the section of its interpreter and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from benchmarks.goals import Interpreter
from benchmarks.machine import section_key
from benchmarks.model import PartResult
from benchmarks.parts import load
from benchmarks.report import conditions_text, details, goals, heading, remarks

BEGIN = "<!-- bench: generated sections begin -->"
END = "<!-- bench: generated sections end -->"
_SECTION = re.compile(
    r"<!-- bench: section (?P<key>\S+) -->\n(?P<text>.*?)<!-- bench: section end -->\n", re.DOTALL
)


def write(path: Path, results: list[PartResult], machine: dict[str, Any], date: str) -> None:
    """Replace or add this interpreter's section; everything outside the markers is left alone."""
    document = path.read_text(encoding="utf-8")
    if document.count(BEGIN) != 1 or document.count(END) != 1:
        raise ValueError(f"{path} must hold each of these lines once: {BEGIN!r}, {END!r}")
    head, rest = document.split(BEGIN)
    generated, tail = rest.split(END)
    sections = {found["key"]: found["text"] for found in _SECTION.finditer(generated)}
    sections[section_key(machine)] = section(results, machine, date)
    body = "".join(
        f"<!-- bench: section {key} -->\n{sections[key]}<!-- bench: section end -->\n"
        for key in sorted(sections, key=_order)
    )
    path.write_text(f"{head}{BEGIN}\n{body}{END}{tail}", encoding="utf-8")


def section(results: list[PartResult], machine: dict[str, Any], date: str) -> str:
    """The Markdown of one interpreter: goals first, then each part in full."""
    interpreter = Interpreter.of(machine)
    python = machine["python"]
    threaded = ", free-threaded" if python["free_threaded"] else ""
    pgo = "PGO" if python["pgo"] else "no PGO"
    first, second = heading(machine)
    blocks = [
        f"## {python['implementation']} {python['version']}, {pgo}{threaded}",
        f"{first}. {second}. Measured on {date}.",
    ]
    table = goals(results, interpreter)
    if table.lines:
        blocks.append(table.markdown())
    for result in results:
        blocks.append(f"### {load(result.part).title}")
        blocks.append(f"{conditions_text(result)}.")
        if result.rows:
            blocks.append(details(result, interpreter).markdown())
        blocks.extend(f"{remark}." for remark in remarks(result))
    return "\n" + "\n\n".join(blocks) + "\n\n"


def _order(key: str) -> tuple[list[int], str]:
    """3.9 before 3.10."""
    return [int(digits) for digits in re.findall(r"\d+", key)], key
