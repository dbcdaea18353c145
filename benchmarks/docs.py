"""Writes a run into a Markdown file, into the section of its interpreter and nowhere else.

The pictures of the section lie beside the file, in `pictures/` and a folder of the section's name.
The same run written twice gives the same bytes.
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

BEGIN = "<!-- bench: generated sections begin -->"
END = "<!-- bench: generated sections end -->"
PICTURES = "pictures"
_SECTION = re.compile(
    r"<!-- bench: section (?P<key>\S+) -->\n(?P<text>.*?)<!-- bench: section end -->\n", re.DOTALL
)


class BadDocument(ValueError):
    """The document cannot take a section; the message says why."""


def write(path: Path, run: Run) -> None:
    """Replace or add this interpreter's section and pictures; all else is left alone."""
    text = _with_section(path, section_key(run.machine), section(run))
    pictures.write(run.results, path.parent / PICTURES / section_key(run.machine))
    path.write_text(text, encoding="utf-8")


def check(path: Path) -> None:
    """Raise BadDocument if a run could not be written: to be known before hours of measuring."""
    _with_section(path, "none", "")


def _with_section(path: Path, key: str, text: str) -> str:
    try:
        return with_section(path.read_text(encoding="utf-8"), key, text)
    except BadDocument as error:
        raise BadDocument(f"{path}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadDocument(f"{path} cannot be read: {error}") from error


def with_section(document: str, key: str, text: str) -> str:
    """The document with this text as the section of that name."""
    if document.count(BEGIN) != 1 or document.count(END) != 1:
        raise BadDocument(f"each of these lines must be there once: {BEGIN!r}, {END!r}")
    head, rest = document.split(BEGIN)
    if END not in rest:
        raise BadDocument(f"{END!r} must come after {BEGIN!r}")
    generated, tail = rest.split(END)
    sections = {found["key"]: found["text"] for found in _SECTION.finditer(generated)}
    if _SECTION.sub("", generated).strip():
        raise BadDocument("between the markers is text that belongs to no section")
    sections[key] = text
    body = "".join(
        f"<!-- bench: section {key} -->\n{sections[key]}<!-- bench: section end -->\n"
        for key in sorted(sections, key=_order)
    )
    return f"{head}{BEGIN}\n{body}{END}{tail}"


def section(run: Run) -> str:
    """The Markdown of one interpreter: goals, then pictures, then each part in full, folded."""
    interpreter = Interpreter.of(run.machine)
    python = run.machine["python"]
    threaded = ", free-threaded" if python["free_threaded"] else ""
    pgo = "PGO" if python["pgo"] else "no PGO"
    blocks = [
        f"## {python['implementation']} {python['version']}, {pgo}{threaded}",
        "\n".join(f"- {name}: {text}" for name, text in heading(run)),
        *_goals(goals(run.results, interpreter)),
    ]
    folder = f"{PICTURES}/{section_key(run.machine)}"
    for result in run.results:
        shown = pictures.of_part(result)
        if shown:
            blocks.append(f"### {result.heading}")
            blocks.extend(picture.markdown(folder) for picture in shown)
    blocks.append("### All numbers")
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
    return "\n" + "\n\n".join(blocks) + "\n\n"


def _goals(table: Table) -> list[str]:
    """How many were met and which were not; all of them folded."""
    if not table.lines:
        return []
    met = VERDICTS["met"]
    others = Table(table.header, table.numeric, [line for line in table.lines if line[-1] != met])
    reached = len(table.lines) - len(others.lines)
    blocks = ["### Goals", f"{reached} of {len(table.lines)} goals are met."]
    if others.lines:
        blocks[-1] = blocks[-1][:-1] + "; these are not, or not clearly:"
        blocks.append(others.markdown())
    blocks.append(_folded("All goals", [table.markdown()]))
    return blocks


def _folded(summary: str, blocks: list[str]) -> str:
    # The empty line after the summary is what makes Markdown of the rest.
    return "\n\n".join([f"<details><summary>{summary}</summary>", *blocks, "</details>"])


def _order(key: str) -> tuple[list[int], str]:
    """3.9 before 3.10."""
    return [int(digits) for digits in re.findall(r"\d+", key)], key
