"""A table of strings, for the terminal or as Markdown."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Table:
    """`numeric` holds the indices of the columns that are set flush right."""

    header: Sequence[str]
    numeric: frozenset[int] = frozenset()
    lines: list[Sequence[str]] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        if len(cells) != len(self.header):
            raise ValueError(f"a line needs {len(self.header)} cells, got {len(cells)}")
        self.lines.append(cells)

    def text(self) -> str:
        every = [self.header, *self.lines]
        widths = [max(_width(line[column]) for line in every) for column in range(len(self.header))]
        rule = "  ".join("─" * width for width in widths)
        formatted = [self._text_line(line, widths) for line in every]
        return "\n".join([formatted[0], rule, *formatted[1:]])

    def markdown(self) -> str:
        marks = ["---:" if column in self.numeric else "---" for column in range(len(self.header))]
        every = [self.header, marks, *self.lines]
        return "\n".join("| " + " | ".join(_escape(cell) for cell in line) + " |" for line in every)

    def _text_line(self, line: Sequence[str], widths: Sequence[int]) -> str:
        cells = []
        for column, (cell, width) in enumerate(zip(line, widths, strict=True)):
            padding = " " * (width - _width(cell))
            cells.append(padding + cell if column in self.numeric else cell + padding)
        return "  ".join(cells).rstrip()


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|")
