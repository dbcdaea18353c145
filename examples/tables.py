"""What the demo prints: tables for the terminal, and what a cache has saved."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """The lines with their columns aligned; the first one is the header."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )


def saved(title: str, calls: int, computed: int, files: int) -> str:
    """The figures that hold from run to run: one computation for each file, whoever comes when."""
    share = (calls - computed) / calls
    return (
        f"{title}: {calls - computed:,} of {calls:,} computations saved ({share:.0%}); "
        f"{computed:,} were done, for {files:,} files"
    )
