"""Charts as SVG text, in pure Python: curves and grouped bars; same input, same bytes.

Series differ by colour (Okabe and Ito's palette, made for all kinds of colour vision), by dash
pattern and by marker; every text is real text. Names of series stand outside the plot.
"""

from __future__ import annotations

import math
from html import escape
from zlib import crc32

from warp_cache._axis import Axis, short

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Literal, TypeAlias

    _Theme: TypeAlias = Literal["light", "dark", "auto"]

__all__ = ["bars", "lines"]

_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif'
# Background, text, text of less weight, grid; then the series. On a dark ground the palette's blue
# and its black would not be seen: they are lighter there. Yellow comes last: it is pale on white.
_LIGHT = ("#ffffff", "#1b1f24", "#57606a", "#e4e7eb")
_DARK = ("#0d1117", "#e6edf3", "#9aa4af", "#272d36")
# fmt: off
_ON_LIGHT = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#b5a800")
_ON_DARK = ("#3d9fdc", "#e8743a", "#1fbf92", "#dd93bb", "#e69f00", "#8fd0f5", "#e6edf3", "#f0e442")
# fmt: on
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "12 4", "4 2", "5 3 1 3 1 3", "1 3")
# Around (0, 0), about nine across.
_MARKERS = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",  # a disc
    "M-3.5-3.5h7v7h-7z",  # a square
    "M0-5 4.6 3.4h-9.2z",  # a triangle
    "M0-5 5 0 0 5-5 0z",  # a diamond
    "M0 5 4.6-3.4h-9.2z",  # a triangle on its head
    "M-1.4-4.5h2.8v3.1h3.1v2.8h-3.1v3.1h-2.8v-3.1h-3.1v-2.8h3.1z",  # a cross
    "M-4.5-3h9v6h-9z",  # a wide block
    "M-2.5-5h5v10h-5z",  # a tall block
)
_MARGIN = 20
_NARROW = frozenset("iljtfrI.,:;'|!()[] -")
_WIDE = frozenset("mwMW@%—…")


def lines(
    title: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    x_label: str,
    y_label: str,
    x_log: bool = False,
    y_log: bool = False,
    y_percent: bool = False,
    theme: _Theme = "light",
    width: int = 720,
    height: int = 400,
    note: str = "",
) -> str:
    """Curves through points (x, y), one for each name, as an SVG document.

    x_log, y_log: a logarithmic axis, whose values have to be positive. y_percent: the values are
    fractions, shown as percent. theme: "auto" follows the reader's. width, height: pixels. note: a
    line or more below the plot.

    Raises ValueError for an unknown theme, no points at all, or a value that cannot be drawn. O(n).
    """
    curves = {name: sorted(points) for name, points in series.items()}
    everything = [point for points in curves.values() for point in points]
    if not everything:
        raise ValueError("series must have at least one point")
    top, head = _head(title, width)
    legend_height, legend = _legend(list(curves), top, width)
    foot = _wrap(note, width - 2 * _MARGIN, 11) if note else []

    y_axis = Axis([y for _, y in everything], 6, y_log, y_percent, from_zero=True)
    labels = [y_axis.label(tick) for tick in y_axis.ticks]
    left = _MARGIN + 22 + max(_width(label, 12) for label in labels) + 8
    bottom = height - _MARGIN - 30 - (8 + 15 * len(foot) if foot else 0)
    y_axis.place(bottom, top + legend_height + 8)
    x_axis = Axis([x for x, _ in everything], max(3, width // 110), x_log, False, False)
    x_axis.place(left, width - _MARGIN - 8)

    body = list(legend)
    for tick, label in zip(y_axis.ticks, labels, strict=True):
        y = y_axis(tick)
        body.append(_line(left, y, width - _MARGIN, y, "grid"))
        body.append(_text(left - 8, y + 4, label, "tick", "end"))
    end = -math.inf
    for tick in x_axis.ticks:
        x, label = x_axis(tick), x_axis.label(tick)
        body.append(_line(x, bottom, x, bottom + 4, "axis"))
        half = _width(label, 12) / 2
        if x - half > end + 8 and x + half <= width - 2:
            body.append(_text(x, bottom + 18, label, "tick", "middle"))
            end = x + half
    body.append(_line(left, bottom, width - _MARGIN, bottom, "axis"))
    body.append(_text((left + width - _MARGIN) / 2, bottom + 37, x_label, "label", "middle"))
    middle = (bottom + y_axis(y_axis.high)) / 2
    turn = f' transform="rotate(-90 {_n(_MARGIN + 8)} {_n(middle)})"'
    body.append(_text(_MARGIN + 8, middle, y_label, "label", "middle", turn))
    for number, points in enumerate(curves.values()):
        body.append(_curve([(x_axis(x), y_axis(y)) for x, y in points], number))
    body += _foot(foot, height)
    described = f"{y_label} over {x_label}, for {_and(curves)}."
    return _document(title, described, width, height, theme, len(curves), head + body)


def bars(
    title: str,
    groups: Mapping[str, Mapping[str, float]],
    *,
    unit: str,
    note: str = "",
    theme: _Theme = "light",
    width: int = 720,
    lower_is_better: bool = True,
) -> str:
    """Horizontal bars with their values, as an SVG document as high as it needs to be.

    groups: for each heading, the bars' names and values in ``unit``, 0 or more. A name has one
    colour in all groups; the best value of a group is bold.

    Raises ValueError for an unknown theme, no bars at all, or a value that cannot be drawn. O(n).
    """
    values = [value for group in groups.values() for value in group.values()]
    if not values:
        raise ValueError("groups must have at least one bar")
    if not all(math.isfinite(value) and value >= 0 for value in values):
        raise ValueError("the values of bars must be finite numbers, 0 or more")
    y, head = _head(title, width)
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    gutter = min(max(_width(name, 12) for name in names), width * 0.36)
    left = _MARGIN + gutter + 10
    room = width - _MARGIN - left - max(_width(short(value), 12) for value in values) - 10
    highest = max(values) or 1.0

    better = "lower is better" if lower_is_better else "higher is better"
    body = [_text(_MARGIN, y + 4, f"{unit} — {better}", "label")]
    y += 20
    for heading, group in groups.items():
        if heading:
            y += 8
            lengthy = _clip(heading, width - 2 * _MARGIN, 13)
            body.append(_text(_MARGIN, y + 8, lengthy, "heading"))
            y += 20
        start, best = y, (min if lower_is_better else max)(group.values(), default=0)
        for name, value in group.items():
            long = max(1.0, room * value / highest)
            body.append(_text(left - 10, y + 12, _clip(name, gutter, 12), "name", "end"))
            body.append(
                f'<rect x="{_n(left)}" y="{_n(y)}" width="{_n(long)}" height="16" rx="2" '
                f'class="f{names.index(name) % len(_MARKERS)}"/>'
            )
            style = "value best" if value == best else "value"
            body.append(_text(left + long + 6, y + 12, short(value), style))
            y += 22
        body.append(_line(left, start - 3, left, y - 3, "axis"))
    foot = _wrap(note, width - 2 * _MARGIN, 11) if note else []
    height = math.ceil(y + 18 * len(foot) + _MARGIN - 4)
    body += _foot(foot, height)
    described = f"{unit}, {better}, of {_and(names)}."
    return _document(title, described, width, height, theme, len(names), head + body)


def _head(title: str, width: int) -> tuple[float, list[str]]:
    """Where the title ends, and its lines."""
    rows = _wrap(title, width - 2 * _MARGIN, 17)
    texts = [_text(_MARGIN, 34 + 22 * at, row, "title") for at, row in enumerate(rows)]
    return 34 + 22 * (len(rows) - 1) + 20, texts


def _foot(rows: Sequence[str], height: float) -> list[str]:
    start = height - _MARGIN + 4 - 15 * (len(rows) - 1)
    return [_text(_MARGIN, start + 15 * at, row, "note") for at, row in enumerate(rows)]


def _legend(names: Sequence[str], top: float, width: int) -> tuple[float, list[str]]:
    """The height of the rows of names with samples of their lines, and these."""
    parts: list[str] = []
    x, y = float(_MARGIN), top + 4
    for number, name in enumerate(names):
        shown = _clip(name, width - 2 * _MARGIN - 44, 12)
        wide = 36 + _width(shown, 12) + 20
        if x > _MARGIN and x + wide - 20 > width - _MARGIN:
            x, y = float(_MARGIN), y + 20
        parts.append(_curve([(x, y - 4), (x + 15, y - 4), (x + 30, y - 4)], number, only=1))
        parts.append(_text(x + 37, y, shown, "name"))
        x += wide
    return y - top + 10, parts


def _curve(points: Sequence[tuple[float, float]], number: int, only: int | None = None) -> str:
    """A line with markers; in a long one only on some points."""
    # After eight series, the colours and markers begin again with other dashes.
    style, dashes = number % len(_MARKERS), _DASHES[(number + number // 8) % len(_DASHES)]
    places = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
    dash = f' stroke-dasharray="{dashes}"' if dashes else ""
    parts = [f'<polyline points="{places}" class="l{style}"{dash}/>'] if len(points) > 1 else []
    every = max(1, len(points) // 20)
    marked = [points[only]] if only is not None else points[:: every if len(points) > 30 else 1]
    parts += [
        f'<path d="{_MARKERS[style]}" transform="translate({_n(x)} {_n(y)})" class="f{style}"/>'
        for x, y in marked
    ]
    return "".join(parts)


def _document(
    title: str, described: str, width: int, height: int, theme: _Theme, count: int, body: list[str]
) -> str:
    if theme not in ("light", "dark", "auto"):
        raise ValueError(f'theme must be "light", "dark" or "auto", got {theme!r}')
    rules = _rules(_DARK, _ON_DARK, count) if theme == "dark" else _rules(_LIGHT, _ON_LIGHT, count)
    if theme == "auto":
        rules += f"@media (prefers-color-scheme:dark){{{_rules(_DARK, _ON_DARK, count)}}}"
    # Several charts may stand in one page: the names of parts are the title's own.
    own = f"{crc32(f'{title}{described}'.encode('utf-8', 'replace')):08x}"
    size = f'width="{width}" height="{height}"'
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}" role="img" '
        f"aria-labelledby=\"t{own} d{own}\" font-family='{_FONT}'>"
    )
    title = f'<title id="t{own}">{_escaped(title)}</title>'
    described = f'<desc id="d{own}">{_escaped(described)}</desc>'
    ground = f'<rect {size} rx="8" class="ground"/>'
    head = [opening, title, described, f"<style>{rules}</style>", ground]
    return "\n".join([*head, *body, "</svg>\n"])


def _rules(ground: tuple[str, str, str, str], colours: Sequence[str], count: int) -> str:
    back, text, soft, grid = ground
    used = list(enumerate(colours))[:count]
    return (
        f".ground{{fill:{back}}}text{{fill:{text};font-size:12px}}"
        f".title{{font-size:17px;font-weight:600}}.heading{{font-size:13px;font-weight:600}}"
        f".tick,.label,.note,.value{{fill:{soft}}}.note{{font-size:11px}}"
        f".best{{fill:{text};font-weight:700}}"
        f".grid{{stroke:{grid};stroke-width:1}}.axis{{stroke:{soft};stroke-width:1}}"
        + "".join(f".l{n}{{fill:none;stroke:{c};stroke-width:2}}" for n, c in used)
        + "".join(f".f{n}{{fill:{c}}}" for n, c in used)
    )


def _text(x: float, y: float, text: str, style: str, anchor: str = "", more: str = "") -> str:
    where = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{_n(x)}" y="{_n(y)}" class="{style}"{where}{more}>{_escaped(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    ends = f'x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"'
    return f'<line {ends} class="{style}"/>'


def _escaped(text: str) -> str:
    """Text for XML, which has no control characters and no lone surrogates at all."""
    return escape("".join(c if c.isprintable() or c == "\xa0" else "\ufffd" for c in text))


def _n(number: float) -> str:
    """A coordinate: three decimals at most."""
    shown = f"{number:.3f}".rstrip("0").rstrip(".")
    return "0" if shown == "-0" else shown


def _width(text: str, size: float) -> float:
    """About how wide a text is, in pixels: on the safe side in the usual fonts."""
    wide = sum(c in _WIDE or c > "\u2e7f" or not c.isprintable() for c in text)
    narrow = sum(c in _NARROW for c in text)
    return size * (0.6 * len(text) + 0.32 * wide - 0.26 * narrow)


def _clip(text: str, room: float, size: float) -> str:
    """The text, or its beginning and an ellipsis."""
    if _width(text, size) <= room:
        return text
    while text and _width(text + "…", size) > room:
        text = text[:-1]
    return text + "…"


def _wrap(text: str, room: float, size: float) -> list[str]:
    rows = [""]
    for word in text.split():
        longer = f"{rows[-1]} {word}".strip()
        if rows[-1] and _width(longer, size) > room:
            rows.append(word)
        else:
            rows[-1] = longer
    return [_clip(row, room, size) for row in rows]


def _and(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
