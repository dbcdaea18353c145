"""What a run found, as text: every contender of every row, and what became of the goals."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from benchmarks.files import Run
from benchmarks.goals import Interpreter, goal_for
from benchmarks.model import Figure, PartResult, Row, Series
from benchmarks.numbers import median_text, number, ratio_span, ratio_text, span
from benchmarks.stats import quartiles
from benchmarks.table import Table

VERDICTS = {"met": "yes", "missed": "**no**", "unclear": "unclear"}
_SERVER = re.compile(r"(\S+) is version (\S+)")
# Parts that run up to eight threads or processes, and the part that comes between them, which finds
# their load in the average of the last minute.
_OWN_LOAD = {"threads": 8.0, "shared": 8.0, "processes": 8.0}
_DETAILS = (
    "work",
    "contender",
    "unit",
    "min",
    "median",
    "quartiles",
    "ratio",
    "its quartiles",
    "net ratio",
    "goal",
    "note",
)


def details(result: PartResult, interpreter: Interpreter) -> Table:
    """One line for each contender; a ratio is to the first contender of its row."""
    table = Table(_DETAILS, frozenset(range(3, 9)))
    for row in result.rows:
        for position, series in enumerate(row.series):
            first = position == 0
            ratio = row.ratio(series)
            net = "" if row.loop is None else ratio_text(row.net_ratio(series))
            table.add(
                row.work if first else "",
                series.name,
                row.unit,
                number(series.minimum),
                median_text(series.rounds, row.unit),
                span(*quartiles(series.rounds)),
                "1" if first else ratio_text(ratio),
                "" if first else ratio_span(ratio),
                "1" if first and net else net,
                _verdict(row, series, interpreter),
                _note(row, series, first=first),
            )
    return table


def points(figure: Figure) -> Table:
    """One line for each point of a figure; of parts of 1, in per cent."""
    unit = "%" if figure.y_percent else figure.y_label
    factor = 100.0 if figure.y_percent else 1.0
    table = Table(
        (figure.x_label or "group", "contender", "min", f"median, {unit}", "quartiles", "note"),
        frozenset({0, 2, 3, 4} if figure.kind == "lines" else {2, 3, 4}),
    )
    places = list(dict.fromkeys(point.x for curve in figure.curves for point in curve.points))
    if figure.kind == "lines":
        places.sort(key=float)
    for place in places:
        shown = _place(place)
        for curve in figure.curves:
            for point in curve.points:
                if point.x == place:
                    rounds = [value * factor for value in point.rounds]
                    table.add(
                        shown,
                        curve.name,
                        number(min(rounds)),
                        median_text(rounds, figure.y_label),
                        span(*quartiles(rounds)),
                        curve.note,
                    )
                    shown = ""
    return table


def _place(x: float | str) -> str:
    """12 for 12.0, and no places after the point that nobody has measured."""
    return x if isinstance(x, str) else f"{x:,.10g}"


def goals(results: Sequence[PartResult], interpreter: Interpreter) -> Table:
    """One line for each goal that was set for this interpreter and measured."""
    table = Table(("part", "work", "contender", "measured", "goal", "met"), frozenset({3, 4}))
    for result in results:
        for row in result.rows:
            for series in row.series:
                goal = goal_for(row, series, interpreter)
                if goal is None:
                    continue
                against = f" ÷ {row.series[0].name}" if goal.of == "ratio" else f", {row.unit}"
                table.add(
                    result.part,
                    row.work + against,
                    series.name,
                    goal.measured(row, series),
                    str(goal),
                    VERDICTS[goal.verdict(row, series)],
                )
    return table


def terminal(run: Run) -> str:
    """The whole report as text."""
    interpreter = Interpreter.of(run.machine)
    blocks = ["\n".join(f"{name}: {text}" for name, text in heading(run))]
    for result in run.results:
        block = [f"{result.heading}: {conditions_text(result)}"]
        if result.rows:
            block.append(details(result, interpreter).text())
        for figure in with_points(result):
            block.append(f"{figure.title}\n{points(figure).text()}")
        block.extend(remarks(result))
        blocks.append("\n".join(block))
    table = goals(run.results, interpreter)
    if table.lines:
        blocks.append("Goals\n" + table.text().replace("**", ""))
    return "\n\n".join(blocks)


def with_points(result: PartResult) -> list[Figure]:
    """The figures that have measurements of their own, not only rows of the part."""
    return [figure for figure in result.figures if figure.curves]


def heading(run: Run) -> list[tuple[str, str]]:
    """On what the run was made, by name."""
    machine = run.machine
    python = machine["python"]
    traits = [f"PGO: {python['pgo_evidence']}" if python["pgo"] else "no PGO"]
    if python["lto"]:
        traits.append("LTO")
    if python["free_threaded"]:
        traits.append("free-threaded")
    if python.get("debug"):
        traits.append("a debug build")
    hardware = [machine["cpu"], f"{machine['cpus_usable']} CPUs usable", machine["system"]]
    hardware.append(f"CPU governor {machine['governor'] or 'unknown'}")
    lines = [
        ("interpreter", f"{python['implementation']} {python['version']} ({', '.join(traits)})"),
        ("contenders", ", ".join([*_packages(machine), *_servers(run.results)])),
        ("machine", ", ".join(hardware)),
    ]
    load = _loads(run.results)
    if load:
        lines.append(("load average", load))
    dates = {result.conditions.get("date", run.date) for result in run.results} or {run.date}
    lines.append(("measured on", " to ".join(sorted({min(dates), max(dates)}))))
    return lines


def _packages(machine: dict[str, Any]) -> list[str]:
    return [f"{name} {version}" for name, version in machine["packages"].items()]


def _servers(results: Sequence[PartResult]) -> list[str]:
    """Of the servers that parts have started, which say in notes what they are."""
    told = (_SERVER.fullmatch(note) for result in results for note in result.notes)
    return list(dict.fromkeys(f"{found[1]} {found[2]}" for found in told if found is not None))


def _loads(results: Sequence[PartResult]) -> str:
    """Of the last minute, before and after the parts."""
    texts = []
    for key, when in (("load_before", "before"), ("load_after", "after")):
        every = [load[0] for result in results for load in result.conditions.get(key, []) if load]
        if every:
            texts.append(f"{when} each part {min(every):g}–{max(every):g}")
    return ", ".join(texts)


def conditions_text(result: PartResult) -> str:
    """How it was measured; with a warning where the machine was busy with something else."""
    conditions = result.conditions
    if not conditions:
        return "not measured"
    text = f"{conditions['rounds']} rounds of {conditions['sample_ms']:g} ms"
    if conditions["processes"] > 1:
        text += f" in {conditions['processes']} processes"
    if "seconds" in conditions:
        text += f", {conditions['seconds']:.0f} s in all"
    loads = [load[0] for load in conditions["load_before"] if load]
    if loads:
        text += f", load average {min(loads):g}–{max(loads):g}"
    if conditions.get("quick"):
        text += " (quick: a look only, do not quote these figures)"
    elif busy(result):
        text += " (busy: do not quote these figures)"
    if conditions["gil_enabled_after"] and not conditions["gil_enabled_before"]:
        text += "; a contender switched the GIL on"
    return text


def busy(result: PartResult) -> bool:
    """Whether others were at work, beside the load that the run itself makes."""
    conditions = result.conditions
    loads = [load[0] for load in conditions.get("load_before", []) if load]
    own = _OWN_LOAD.get(result.part, 1.0)
    cpus: int = conditions.get("cpus_usable", 1)
    return bool(loads) and max(loads) > max(own + 0.5, cpus / 4)


def remarks(result: PartResult) -> list[str]:
    """Each once, though several rows may have missed the same."""
    lines = list(dict.fromkeys(result.notes))
    if result.missing:
        lines.append("missing: " + "; ".join(dict.fromkeys(result.missing)))
    return lines


def _verdict(row: Row, series: Series, interpreter: Interpreter) -> str:
    goal = goal_for(row, series, interpreter)
    if goal is None:
        return ""
    return f"{goal} {goal.verdict(row, series)}"


def _note(row: Row, series: Series, *, first: bool) -> str:
    if first and row.loop is not None:
        loop = Series("loop", row.loop)
        text = f"the loop itself: {number(loop.median)}"
        return f"{series.note}; {text}" if series.note else text
    return series.note
