"""The curves of a workload as a picture, by matplotlib (the extra ``plot``)."""

from __future__ import annotations

import io
import textwrap
import warnings

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from warp_cache._cli.advice import Advice
    from warp_cache._cli.curves import Curves

__all__ = ["draw"]

# Real text in SVG; the same bytes each time; and no formulas in the names of functions.
_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "warp_cache", "text.parse_math": False}
_MARKERS = "os^DvP*X"


def draw(curves: Curves, advised: Advice, kind: str) -> bytes:
    """The picture in a format that is named as files of it end.

    Raises ValueError for one that matplotlib does not know.
    """
    file = io.BytesIO()
    # The names of functions may have characters that matplotlib's font lacks.
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure = _figure(curves, advised)
        figure.savefig(file, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return file.getvalue()


def _figure(curves: Curves, advised: Advice) -> Figure:
    figure = Figure((8, 5), layout="constrained")
    axes = figure.subplots()
    for number, (strategy, ratios) in enumerate(curves.ratios.items()):
        axes.plot(curves.sizes, ratios, marker=_MARKERS[number], markersize=4, label=strategy.name)
    axes.plot(curves.sizes, curves.optimum, "k:", label="optimum")
    name = "".join(c if c.isprintable() else "\ufffd" for c in curves.workload.name)
    figure.suptitle("\n".join(textwrap.wrap(f"{name}: hits by size of the cache", 75)))
    axes.set_title("\n".join(textwrap.wrap(advised.sentence, 110)), size=8, loc="left")
    axes.set(xlabel="max_size (entries)", ylabel="calls that are hits")
    if curves.sizes[0] < curves.sizes[-1]:
        axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylim(bottom=0)
    axes.grid(True, alpha=0.4)
    axes.legend(ncols=2, fontsize=8)
    return figure
