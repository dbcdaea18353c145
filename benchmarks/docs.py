"""Writes a run into a folder of measurements: a page for its interpreter, and the page's pictures.

`<key>.md` is the page, the folder `<key>` beside it has the pictures, and `README.md` lists all
pages. The three are generated as a whole; every other file in the folder is left alone. The same
run written twice gives the same bytes.
"""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks import pictures
from benchmarks.files import Run
from benchmarks.goals import Interpreter
from benchmarks.machine import section_key
from benchmarks.report import (
    VERDICTS,
    conditions_text,
    details,
    goals,
    heading,
    points,
    remarks,
    with_points,
)
from benchmarks.table import Table

INDEX = "README.md"
# Typed, where it is there: how the measurements are made.
METHOD = "method.md"
ALL_GOALS = "All goals"
# The first line of each generated file, by which the index finds the pages.
GENERATED = "<!-- written by `make bench`; do not edit -->"


class BadDocument(ValueError):
    """The document or folder cannot take a run; the message says why."""


def write(folder: Path, run: Run) -> None:
    """Replace or add this interpreter's page and pictures, and the index."""
    check(folder)
    key = section_key(run.machine)
    pictures.write(run.results, folder / key)
    (folder / f"{key}.md").write_text(page(run), encoding="utf-8")
    (folder / INDEX).write_text(index(folder), encoding="utf-8")


def check(folder: Path) -> None:
    """Raise BadDocument if a run could not be written: to be known before hours of measuring."""
    if not folder.is_dir():
        raise BadDocument(f"{folder}: there is no such folder")


def lost(folder: Path, run: Run) -> list[str]:
    """The headings of the parts that this interpreter's page has and the run has not."""
    path = folder / f"{section_key(run.machine)}.md"
    if not path.is_file():
        return []
    measured = {result.heading for result in run.results}
    headings = re.findall(r"<summary>(.+?)</summary>", path.read_text(encoding="utf-8"))
    return [heading for heading in headings if heading not in {*measured, ALL_GOALS}]


def index(folder: Path) -> str:
    """The list of the generated pages in the folder, by interpreter and version."""
    lines = [GENERATED, "# Measurements", ""]
    if (folder / METHOD).is_file():
        lines += [f"[How they are made]({METHOD}). One page for each interpreter:", ""]
    else:
        lines += ["One page for each interpreter:", ""]
    for path in sorted(folder.glob("*.md"), key=lambda path: _order(path.stem)):
        first, _, rest = path.read_text(encoding="utf-8").partition("\n")
        if path.name != INDEX and first == GENERATED:
            title = rest.partition("\n")[0].removeprefix("# ")
            lines.append(f"- [{title}]({path.name})")
    return "\n".join(lines) + "\n"


def page(run: Run) -> str:
    """The page of one interpreter: goals, then pictures, then each part in full, folded."""
    interpreter = Interpreter.of(run.machine)
    python = run.machine["python"]
    threaded = ", free-threaded" if python["free_threaded"] else ""
    pgo = "PGO" if python["pgo"] else "no PGO"
    blocks = [
        f"# {python['implementation']} {python['version']}, {pgo}{threaded}",
        "\n".join(f"- {name}: {text}" for name, text in heading(run)),
        *_goals(goals(run.results, interpreter)),
    ]
    folder = section_key(run.machine)
    for result in run.results:
        shown = pictures.of_part(result)
        if shown:
            blocks.append(f"## {result.heading}")
            for picture in shown:
                blocks.extend([picture.markdown(folder), picture.caption])
    blocks.append("## All numbers")
    for result in run.results:
        inside = [f"{conditions_text(result)}."]
        if result.rows:
            inside.append(details(result, interpreter).markdown())
        for figure in with_points(result):
            inside.append(f"**{figure.title}**" + (f" ({figure.note})" if figure.note else ""))
            inside.append(points(figure).markdown())
        told = remarks(result)
        if told:
            inside.append("\n".join(f"- {remark}" for remark in told))
        blocks.append(_folded(result.heading, inside))
    return f"{GENERATED}\n" + "\n\n".join(blocks) + "\n"


def _goals(table: Table) -> list[str]:
    """How many were met and which were not; all of them folded."""
    if not table.lines:
        return []
    met = VERDICTS["met"]
    others = Table(table.header, table.numeric, [line for line in table.lines if line[-1] != met])
    reached = len(table.lines) - len(others.lines)
    blocks = ["## Goals", f"{reached} of {len(table.lines)} goals are met."]
    if others.lines:
        blocks[-1] = blocks[-1][:-1] + "; these are not, or not clearly:"
        blocks.append(others.markdown())
    blocks.append(_folded(ALL_GOALS, [table.markdown()]))
    return blocks


def _folded(summary: str, blocks: list[str]) -> str:
    # The empty line after the summary is what makes Markdown of the rest.
    return "\n\n".join([f"<details><summary>{summary}</summary>", *blocks, "</details>"])


def _order(key: str) -> tuple[list[int], str]:
    """3.9 before 3.10."""
    return [int(digits) for digits in re.findall(r"\d+", key)], key
