"""Curves and grouped bars as SVG, drawn by matplotlib; same input, same bytes.

A contender has one colour and one marker in all pictures (`STYLES`), so a reader may go from one to
the next. Names that are not listed take what the others of their picture have left.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from benchmarks.model import FUNCTOOLS, SHARED_CACHE, SHARED_LRU, WARP_CACHE, WARP_LRU
from benchmarks.numbers import number

Theme = Literal["light", "dark"]

# Background, text, grid.
THEMES: dict[Theme, tuple[str, str, str]] = {
    "light": ("#ffffff", "#1b1f24", "#e4e7eb"),
    "dark": ("#0d1117", "#e6edf3", "#272d36"),
}
# Okabe and Ito's palette and four more, which can be seen on both backgrounds.
BLUE, RED, GREEN, PINK = "#2b8bc9", "#d55e00", "#009e73", "#cc79a7"
ORANGE, SKY, OLIVE, GREY = "#e69f00", "#56b4e9", "#a89b00", "#808890"
PURPLE, BROWN, CRIMSON, TEAL = "#9a6fd0", "#a2705a", "#dd3a4a", "#20a5a5"
COLOURS = (BLUE, RED, GREEN, PINK, ORANGE, SKY, OLIVE, GREY, PURPLE, BROWN, CRIMSON, TEAL)
MARKERS = "os^DvP*Xph<>"
HATCHES = ("", "//", "--", "xx", "\\\\", "||", "++", "///", "|||", "---", "xxx", "+++")
# Variants of one contender share its colour and differ by marker.
FAMILIES: dict[str, tuple[str, ...]] = {
    BLUE: (WARP_CACHE, SHARED_CACHE, "warp_cache", "warp_cache.cache, TINYLFU", "TINYLFU"),
    RED: (
        WARP_LRU,
        SHARED_LRU,
        f"{WARP_LRU}, single_flight=True",
        "warp_cache.cache, LRU",
        "LRU",
    ),
    GREY: (
        FUNCTOOLS,
        "functools",
        "a plain Python function",
        "the function itself",
        "an empty coroutine function",
        "the timer alone",
        "warp_cache.cache, FIFO",
        "FIFO",
        f"{FUNCTOOLS} (unbounded)",
    ),
    GREEN: (
        "cachetools",
        "cachetools, no lock",
        "cachetools, TTLCache",
        "warp_cache.cache, LFU",
        "LFU",
    ),
    PINK: ("cachebox", "cachebox, lean", "cachebox, TTLCache", "the optimum (Belady)"),
    ORANGE: ("theine",),
    SKY: ("moka-py", "moka-py, TinyLFU", "moka_py"),
    OLIVE: ("async-lru", "async_lru", "PyPI's warp_cache 0.7.0", "Clock (reference)"),
    PURPLE: ("memcached", "warp_cache.cache, SIEVE", "SIEVE"),
    BROWN: ("LMDB", "aiocache", "warp_cache.cache, MRU", "MRU"),
    CRIMSON: (
        "redis",
        "warp_cache.cache, S3FIFO",
        "S3FIFO",
        "S3-FIFO as in its paper (reference)",
    ),
    TEAL: ("diskcache", "cashews", "pymemcache"),
}


@dataclass(frozen=True)
class Style:
    """How a contender is drawn: in bars, the hatch is what the marker is in curves."""

    colour: str
    marker: str
    hatch: str

    @classmethod
    def of(cls, colour: str, variant: int) -> Style:
        """Each colour begins with a marker of its own, for readers who do not tell colours."""
        marker = MARKERS[(COLOURS.index(colour) + variant) % len(MARKERS)]
        return cls(colour, marker, HATCHES[variant])


STYLES = {
    name: Style.of(colour, variant)
    for colour, names in FAMILIES.items()
    for variant, name in enumerate(names)
}


def styles(names: Iterable[str]) -> dict[str, Style]:
    """The style of each name; no two of them share colour and marker."""
    taken = set(STYLES.values())
    every = (Style.of(colour, variant) for variant, colour in product(range(12), COLOURS))
    free = (style for style in every if style not in taken)
    return {name: STYLES.get(name) or next(free) for name in names}


def lines(
    title: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    x_label: str,
    y_label: str,
    x_log: bool = False,
    y_log: bool = False,
    y_percent: bool = False,
    theme: Theme = "light",
    note: str = "",
) -> str:
    """Curves through points (x, y), one for each name. y_percent: the values are parts of 1."""
    with _themed(theme):
        figure, axes = _figure(title, note, 4.2 + 0.2 * (len(series) / 2))
        for name, style in styles(series).items():
            xs, ys = zip(*sorted(series[name]), strict=True)
            axes.plot(xs, ys, label=name, color=style.colour, marker=style.marker, markersize=5)
        axes.set(xlabel=x_label, ylabel=y_label)
        if x_log:
            axes.set_xscale("log")
        if y_log:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        plain = _ticker().FuncFormatter(lambda value, _: f"{value:,.10g}")
        axes.xaxis.set_major_formatter(plain)
        axes.yaxis.set_major_formatter(_ticker().PercentFormatter(1.0) if y_percent else plain)
        if not x_log:
            axes.xaxis.set_major_locator(_ticker().MaxNLocator(integer=True))
        axes.grid(True)
        columns = 3 if max(map(len, series)) < 28 else 2
        figure.legend(loc="outside lower center", ncols=columns, frameon=False)
        return _svg(figure)


def bars(
    title: str,
    groups: Mapping[str, Mapping[str, float]],
    *,
    unit: str,
    note: str = "",
    theme: Theme = "light",
    lower_is_better: bool = True,
    log: bool = False,
) -> str:
    """Horizontal bars with their values in groups; the best value of a group is bold."""
    better = "lower is better" if lower_is_better else "higher is better"
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    looks = styles(names)
    count = sum(map(len, groups.values())) + 1.4 * sum(map(bool, groups))
    with _themed(theme):
        figure, axes = _figure(title, note, 0.9 + 0.24 * count)
        positions, labels, y = [], [], 0.0
        for heading, group in groups.items():
            y += 1.4 if heading else 0.4
            if heading:
                axes.text(0, y - 0.75, heading, transform=axes.get_yaxis_transform(), weight="bold")
            best = (min if lower_is_better else max)(group.values(), default=0)
            for name, value in group.items():
                look = looks[name]
                axes.barh(
                    y, value, 0.8, color=look.colour, hatch=look.hatch, edgecolor=THEMES[theme][0]
                )
                weight = "bold" if value == best else "normal"
                axes.annotate(
                    number(value), (value, y), (4, 0), textcoords="offset points", va="center",
                    weight=weight,
                )  # fmt: skip
                positions.append(y)
                labels.append(name)
                y += 1
        axes.set_yticks(positions, labels)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(y, -0.2)
        axes.set_xlabel(f"{unit}, {'logarithmic, ' if log else ''}{better}")
        if log:
            axes.set_xscale("log")
            values = [value for group in groups.values() for value in group.values()]
            axes.set_xlim(10 ** _exponent(min(values)), max(values) * 4)
        else:
            axes.margins(x=0.12)
        axes.xaxis.set_major_formatter(_ticker().FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axes.grid(True, axis="x")
        return _svg(figure)


def _exponent(value: float) -> int:
    """Of the power of ten below a value."""
    return math.ceil(math.log10(value)) - 1


def _ticker() -> Any:
    from matplotlib import ticker

    return ticker


def _themed(theme: Theme) -> AbstractContextManager[None]:
    """What matplotlib draws by within the block."""
    import matplotlib

    ground, text, grid = THEMES[theme]
    drawn = {
        "figure.facecolor": ground,
        "axes.facecolor": ground,
        "savefig.facecolor": ground,
        "axes.edgecolor": grid,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": grid,
        "text.color": text,
        "axes.labelcolor": text,
        "xtick.color": text,
        "ytick.color": text,
        "font.size": 9,
        "font.sans-serif": ["DejaVu Sans", "sans-serif"],
        "hatch.color": ground,
        "hatch.linewidth": 0.6,
        "text.parse_math": False,
        # Real text; and no chance in what the parts are called.
        "svg.fonttype": "none",
        "svg.hashsalt": "warp_cache",
    }
    return matplotlib.rc_context(drawn)


def _figure(title: str, note: str, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    notes = textwrap.wrap(note, 110)
    figure = Figure((7.5, height + 0.17 * len(notes)), layout="constrained")
    figure.suptitle("\n".join(textwrap.wrap(title, 75)), weight="bold", size=12)
    axes = figure.subplots()
    if notes:
        axes.set_title("\n".join(notes), size=8, loc="left")
    return figure, axes


def _svg(figure: Any) -> str:
    with io.StringIO() as file:
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        lines = file.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"
