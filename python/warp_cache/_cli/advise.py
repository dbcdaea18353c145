"""``python -m warp_cache advise``: which strategy and size suit a recorded workload."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import nullcontext
from pathlib import Path

from warp_cache._cli import advice, curves, extras, output, terminal, traces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from warp_cache._cli.advice import Advice
    from warp_cache._cli.curves import Curves
    from warp_cache._cli.view import View

__all__ = ["add_to"]

_DESCRIPTION = """
Replay a workload through every eviction strategy and a range of cache sizes, and say which of them
to take. The workload is a recording made by warp_cache.record() or WARP_CACHE_RECORD, a text file
with one key a line, or a CSV file.
"""


def add_to(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command and its options."""
    parser = commands.add_parser(
        "advise", help="which strategy and size suit a workload", description=_DESCRIPTION
    )
    parser.add_argument("trace", metavar="TRACE", help="the recording or file; - is standard input")
    parser.add_argument(
        "--column", metavar="NAME|N", help="a CSV file's column with the keys (the first is 1)"
    )
    parser.add_argument("--function", metavar="NAME", help="only this function of a recording")
    parser.add_argument(
        "--sizes", type=_sizes, metavar="N,N,...", help="try these sizes, and advise one of them"
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="draw the curves, too: to FILE (.svg, .png, .pdf), FILE-2, ...",
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="print JSON and nothing else")
    shape.add_argument("--plain", action="store_true", help="plain text in a terminal, too")
    shape.add_argument("--rich", action="store_true", help="tables with colours, not only there")
    parser.set_defaults(run=run)


def _sizes(text: str) -> list[int]:
    try:
        sizes = sorted({int(part) for part in text.split(",")})
    except ValueError:
        sizes = [0]
    if sizes[0] < 1 or sizes[-1] >= 1 << 32:
        raise argparse.ArgumentTypeError(f"numbers from 1 on with commas, got {text!r}")
    return sizes


def run(options: argparse.Namespace) -> None:
    """Advise."""
    output.prepare()
    trace = traces.load(options.trace, options.column)
    workloads = trace.workloads
    if options.function is not None:
        workloads = [each for each in workloads if each.name == options.function]
        if not workloads:
            names = ", ".join(each.name for each in trace.workloads[:5])
            raise traces.TraceError(
                f"{trace.name}: no function {options.function!r} in it: there is {names}"
            )
    # What is missing is said before hours of replaying, not after.
    if options.plot:
        for number in range(len(workloads)):
            output.spare(options.trace, _numbered(options.plot, number + 1))
    plot = options.plot and extras.load("warp_cache._cli.plot", "plot", "a picture")
    view = _view(options)
    found: list[dict[str, Any]] = []
    for number, workload in enumerate(workloads, 1):
        with view.replaying(workload) if view else nullcontext():
            measured = curves.measure(workload, options.sizes)
            advised = advice.advise(measured, options.sizes is not None)
        if plot:
            _draw(plot, measured, advised, _numbered(options.plot, number))
        if options.json:
            found.append(_described(measured, advised))
        elif view:
            view.show(measured, advised)
        else:
            print(terminal.report(measured, advised), flush=True)
    if options.json:
        document = {"trace": trace.name, "complete": trace.complete, "functions": found}
        print(json.dumps(document, indent=2))
    elif not trace.complete:
        output.complain("The recording was cut short: its end is missing.")


def _numbered(path: Path, number: int) -> Path:
    return path if number == 1 else path.with_stem(f"{path.stem}-{number}")


def _view(options: argparse.Namespace) -> View | None:
    """What shows tables with colours: where that is asked for, or can be had in a terminal."""
    if options.json or options.plain or not (options.rich or sys.stdout.isatty()):
        return None
    try:
        view: View = extras.load("warp_cache._cli.view", "cli", "a table with colours").View()
        return view
    except extras.MissingExtra:
        if options.rich:
            raise
        return None


def _draw(plot: Any, measured: Curves, advised: Advice, path: Path) -> None:
    try:
        picture = plot.draw(measured, advised, path.suffix[1:] or "svg")
    except ValueError as error:
        raise output.UserError(f"{path}: {error}") from None
    output.write(path, [picture])


def _described(measured: Curves, advised: Advice) -> dict[str, Any]:
    workload = measured.workload
    return {
        "name": workload.name,
        "calls": len(workload.keys),
        "keys": workload.unique,
        "sampled": measured.rate,
        "expires": workload.ends,
        "sizes": measured.sizes,
        "hit_ratios": {strategy.name: ratios for strategy, ratios in measured.ratios.items()},
        "optimum": measured.optimum,
        "advice": {
            "strategy": None if advised.strategy is None else advised.strategy.name,
            "max_size": advised.size,
            "hit_ratio": advised.ratio,
            "sentence": advised.sentence,
            "goal": advised.goal or None,
        },
    }
