"""What a run found, as tables: every contender of every row, and what became of the goals."""

from __future__ import annotations

from typing import Any

from benchmarks.goals import Interpreter, goal_for
from benchmarks.model import PartResult, Row, Series
from benchmarks.parts import load
from benchmarks.stats import Ratio, quartiles
from benchmarks.table import Table

VERDICTS = {"met": "yes", "missed": "**no**", "unclear": "unclear"}


def details(result: PartResult, interpreter: Interpreter) -> Table:
    """One line for each contender; a ratio is to the first contender of its row."""
    table = Table(
        (
            "work",
            "contender",
            "unit",
            "min",
            "median",
            "ratio",
            "net ratio",
            "quartiles",
            "goal",
            "note",
        ),
        frozenset({3, 4, 5, 6, 7}),
    )
    for row in result.rows:
        for position, series in enumerate(row.series):
            ratio, net = row.ratio(series), row.net_ratio(series)
            low, high = quartiles(series.rounds)
            first = position == 0
            table.add(
                row.work if first else "",
                series.name,
                row.unit,
                number(series.minimum),
                number(series.median),
                "1" if first else ratio_text(ratio),
                "" if row.loop is None else "1" if first else ratio_text(net),
                f"{number(low)}–{number(high)}" if first or ratio is None else _range(ratio),
                _verdict(row, series, interpreter),
                _note(row, series, first=first),
            )
    return table


def goals(results: list[PartResult], interpreter: Interpreter) -> Table:
    """One line for each goal that was set for this interpreter and measured."""
    table = Table(("part", "work", "contender", "measured", "goal", "met"), frozenset({3, 4}))
    for result in results:
        for row in result.rows:
            for series in row.series:
                goal = goal_for(row, series, interpreter)
                if goal is None:
                    continue
                value = goal.value(row, series)
                measured = "–" if value is None else number(value, digits=3)
                against = f" ÷ {row.series[0].name}" if goal.of == "ratio" else f", {row.unit}"
                table.add(
                    result.part,
                    row.work + against,
                    series.name,
                    measured,
                    str(goal),
                    VERDICTS[goal.verdict(row, series)],
                )
    return table


def terminal(results: list[PartResult], machine: dict[str, Any]) -> str:
    """The whole report as text."""
    interpreter = Interpreter.of(machine)
    blocks = ["\n".join(heading(machine))]
    for result in results:
        block = [f"{load(result.part).title}: {conditions_text(result)}"]
        if result.rows:
            block.append(details(result, interpreter).text())
        block.extend(remarks(result))
        blocks.append("\n".join(block))
    table = goals(results, interpreter)
    if table.lines:
        blocks.append("Goals\n" + table.text().replace("**", ""))
    return "\n\n".join(blocks)


def heading(machine: dict[str, Any]) -> list[str]:
    """Interpreter and machine, in two lines."""
    python = machine["python"]
    traits = [f"PGO: {python['pgo_evidence']}" if python["pgo"] else "no PGO"]
    if python["lto"]:
        traits.append("LTO")
    if python["free_threaded"]:
        traits.append("free-threaded")
    if python["debug"]:
        traits.append("a debug build")
    hardware = [machine["cpu"], f"{machine['cpus_usable']} CPUs usable", machine["system"]]
    if machine["governor"]:
        hardware.append(f"governor {machine['governor']}")
    packages = [f"{name} {version}" for name, version in machine["packages"].items()]
    about = f"{python['implementation']} {python['version']} ({', '.join(traits)})"
    return [", ".join([about, *packages]), ", ".join(hardware)]


def conditions_text(result: PartResult) -> str:
    """How it was measured; with a warning where the machine was busy with something else."""
    conditions = result.conditions
    if not conditions:
        return "not measured"
    text = f"{conditions['rounds']} rounds of {conditions['sample_ms']:g} ms"
    if conditions["processes"] > 1:
        text += f" in {conditions['processes']} processes"
    loads = [load[0] for load in conditions["load_before"] if load]
    if loads:
        text += f", load average {min(loads):g}–{max(loads):g}"
        if max(loads) > _busy(result.part, conditions["cpus_usable"]):
            text += " (busy: do not quote these figures)"
    if conditions["gil_enabled_after"] and not conditions["gil_enabled_before"]:
        text += "; a contender switched the GIL on"
    return text


def _busy(part: str, cpus: int) -> float:
    """The load beyond which others must be at work: the run's own is one CPU, or one a thread."""
    own = 2.0 if part in ("threads", "shared") else 1.0
    return max(own + 0.5, cpus / 4)


def remarks(result: PartResult) -> list[str]:
    lines = list(result.notes)
    if result.missing:
        lines.append("missing: " + "; ".join(result.missing))
    return lines


def ratio_text(ratio: Ratio | None) -> str:
    if ratio is None:
        return "–"
    return number(ratio.median, digits=3) if ratio.differs else "no difference"


def number(value: float, digits: int = 2) -> str:
    """Three significant figures or so, without exponents."""
    magnitude = abs(value)
    if magnitude >= 1000:
        return f"{value:,.0f}"
    if magnitude >= 100:
        return f"{value:.0f}"
    if magnitude >= 10:
        return f"{value:.1f}"
    return f"{value:.{digits}f}"


def _range(ratio: Ratio) -> str:
    return f"{number(ratio.low, digits=3)}–{number(ratio.high, digits=3)}"


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
