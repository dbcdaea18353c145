"""Writes the tables of docs/choosing-a-strategy.md: `python -m benchmarks.choosing`.

Hit ratios are counted, not timed, so they come out the same on every machine. A table of recorded
traces that are not all there stays as it is.
"""

from __future__ import annotations

import array
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import ROOT
from benchmarks.traces import LONG, SHORT, Trace, capacity, made_up, recorded
from warp_cache import Strategy
from warp_cache._warp_cache_rs import _replay

DOCUMENT = ROOT / "docs" / "choosing-a-strategy.md"
REQUESTS = 200_000
SHOWN = (0.001, 0.01, 0.1, 0.3)
# A loop is about how little is missing.
SHOWN_OF_LOOP = (0.5, 0.9, 0.99)


def main(path: Path = DOCUMENT) -> int:
    text = path.read_text(encoding="utf-8")
    text = replaced(text, "made-up", table(made_up(REQUESTS)))
    try:
        text = replaced(text, "recorded", table([recorded(name) for name in (*SHORT, *LONG)]))
    except (OSError, ImportError) as error:
        print(f"the table of recorded traces stays as it is: {error}", file=sys.stderr)
    path.write_text(text, encoding="utf-8")
    return 0


def replaced(text: str, name: str, table: str) -> str:
    """The document with another table between the marks of that name."""
    begin, end = f"<!-- table {name}: begin -->\n", f"<!-- table {name}: end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"the document must hold each of these once: {begin!r}, {end!r}")
    return re.sub(f"(?<={re.escape(begin)}).*?(?={end})", lambda _: table, text, flags=re.DOTALL)


def table(traces: Sequence[Trace]) -> str:
    names = [strategy.name for strategy in Strategy]
    lines = [
        f"| traffic | entries | of the keys | {' | '.join(names)} | *optimum* |",
        "|---|--:|--:|" + "--:|" * (len(names) + 1),
    ]
    for trace in traces:
        shown = SHOWN_OF_LOOP if trace.name == "loop" else SHOWN
        sizes = [capacity(fraction, trace.unique) for fraction in shown]
        for fraction, size, ratios in zip(shown, sizes, hit_ratios(trace.keys, sizes), strict=True):
            cells = [f"{100 * ratio:.1f}" for ratio in ratios]
            best = max(ratios[:-1])
            bold = [
                f"**{cell}**" if ratio == best else cell
                for cell, ratio in zip(cells[:-1], ratios, strict=False)
            ]
            lines.append(
                f"| {trace.name} | {size:,} | {100 * fraction:g} % "
                f"| {' | '.join(bold)} | *{cells[-1]}* |"
            )
    return "\n".join(lines) + "\n"


def hit_ratios(keys: Sequence[int], sizes: Sequence[int]) -> list[list[float]]:
    """For each size, the hit ratio of each strategy, and the optimum's."""
    numbers: dict[int, int] = {}
    numbered = array.array("I", (numbers.setdefault(key, len(numbers)) for key in keys))
    kinds = [*map(int, Strategy), None]
    misses = _replay(numbered, [(kind, size) for size in sizes for kind in kinds])
    ratios = [1 - missed / len(keys) for missed in misses]
    return [ratios[at : at + len(kinds)] for at in range(0, len(ratios), len(kinds))]


if __name__ == "__main__":
    sys.exit(main())
