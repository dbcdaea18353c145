"""The short table of the README: a few ratios of a run, and on what it was made."""

from __future__ import annotations

from pathlib import Path

from benchmarks.docs import BadDocument
from benchmarks.files import Run
from benchmarks.model import SHARED_CACHE, WARP_CACHE, WARP_LRU, Row
from benchmarks.numbers import ratio_text
from benchmarks.table import Table

BEGIN = "<!-- numbers:begin -->"
END = "<!-- numbers:end -->"

_FUNCTOOLS = "`functools.lru_cache`"
_BOTH = ("`lru_cache`", "`cache`")
# What is said of a row, with what it is compared, the row's key, and its contenders with the names
# they have here. A row or contender that the run does not have is left out.
_LINES: list[tuple[str, str, str, dict[str, str]]] = [
    ("hit, one int", _FUNCTOOLS, "hits/int", {WARP_LRU: ""}),
    ("hit, one str", _FUNCTOOLS, "hits/str", {WARP_LRU: ""}),
    ("hit, two ints", _FUNCTOOLS, "hits/two-ints", {WARP_LRU: ""}),
    (
        "hit with a keyword",
        _FUNCTOOLS,
        "hits/keyword",
        dict(zip((WARP_LRU, WARP_CACHE), _BOTH, strict=True)),
    ),
    ("hit of a method", _FUNCTOOLS, "methods/int", {WARP_LRU: ""}),
    (
        "miss and eviction",
        _FUNCTOOLS,
        "misses/function",
        dict(zip((WARP_LRU, WARP_CACHE), _BOTH, strict=True)),
    ),
    ("awaiting a hit", "awaiting an empty coroutine function", "async/hit", {WARP_LRU: ""}),
    (
        "hit, one int",
        "this package",
        "peers/int",
        {name: name for name in ("cachebox", "moka-py", "cachetools")},
    ),
    (
        "hit in the shared backend, one int",
        "the same in memory",
        "shared/memory",
        {SHARED_CACHE: ""},
    ),
    (
        "hit, one int",
        "the shared backend",
        "shared/servers",
        {"LMDB": "LMDB", "redis": "redis over a Unix socket"},
    ),
]


def write(path: Path, run: Run) -> None:
    """Replace what is between the marks; everything outside them is left alone."""
    head, tail = _around(path)
    path.write_text(f"{head}{BEGIN}\n{text(run)}{END}{tail}", encoding="utf-8")


def check(path: Path) -> None:
    """Raise BadDocument if a run could not be written."""
    _around(path)


def _around(path: Path) -> tuple[str, str]:
    """What is before and behind the marks."""
    try:
        document = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadDocument(f"{path} cannot be read: {error}") from error
    if document.count(BEGIN) != 1 or document.count(END) != 1:
        raise BadDocument(f"{path}: each of these lines must be there once: {BEGIN!r}, {END!r}")
    head, rest = document.split(BEGIN)
    if END not in rest:
        raise BadDocument(f"{path}: {END!r} must come after {BEGIN!r}")
    return head, rest.split(END)[1]


def text(run: Run) -> str:
    rows = {row.key: row for result in run.results for row in result.rows}
    table = Table(("what a call does", "compared with", "time, ratio"))
    for work, against, key, names in _LINES:
        row = rows.get(key)
        ratios = [] if row is None else _ratios(row, names)
        if ratios:
            called = " / ".join(name for name, _ in ratios if name)
            shown = " / ".join(ratio for _, ratio in ratios)
            table.add(f"{work}: {called}" if called else work, against, shown)
    python = run.machine["python"]
    pgo = "with PGO" if python["pgo"] else "without PGO"
    threaded = ", free-threaded" if python["free_threaded"] else ""
    made = f"{python['implementation']} {python['version']} {pgo}{threaded}"
    machine = f"{run.machine['cpu']}, {run.machine['cpus_usable']} CPUs"
    below = (
        f"Medians of `make bench` on {made}, {machine}, {run.date}. Below 1 is\n"
        "faster than what it is compared with. Goals that were missed, and why, are in\n"
        "[docs/performance.md](docs/performance.md).\n"
    )
    return f"{table.markdown()}\n\n{below}"


def _ratios(row: Row, names: dict[str, str]) -> list[tuple[str, str]]:
    return [
        (names[series.name], ratio_text(row.ratio(series), 2))
        for series in row.series
        if series.name in names
    ]
