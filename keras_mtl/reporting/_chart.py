"""Lines and points over two axes, as an SVG that takes its colours from the page around it."""

import html
import math
from collections.abc import Sequence

import numpy as np

from keras_mtl.reporting._content import Chart, Series, shown

WIDTH, HEIGHT = 380, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 26, 42
COLOURS = 8


def chart_svg(chart: Chart) -> str:
    """The chart; its legend is left to the page."""
    x0, x1 = _ends(chart.x_range, [v for one in chart.series for v in one.x])
    y0, y1 = _ends(chart.y_range, [v for one in chart.series for v in one.y])
    xs = _whole(ticks(x0, x1)) if chart.whole else ticks(x0, x1)
    ys = ticks(y0, y1)

    def across(x: float) -> float:
        return _LEFT + (x - x0) / (x1 - x0) * (WIDTH - _LEFT - _RIGHT)

    def down(y: float) -> float:
        return HEIGHT - _BOTTOM - (y - y0) / (y1 - y0) * (HEIGHT - _TOP - _BOTTOM)

    named = html.escape(chart.title, quote=True)
    parts = [
        f'<svg class="chart" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" aria-label="{named}">',
        f"<title>{named}</title>",
    ]
    for y, told in zip(ys, labels(ys), strict=True):
        parts.append(_line("grid", _LEFT, down(y), WIDTH - _RIGHT, down(y)))
        parts.append(_text(_LEFT - 6, down(y) + 4, told, "end"))
    for x, told in zip(xs, labels(xs), strict=True):
        parts.append(_line("grid", across(x), _TOP, across(x), HEIGHT - _BOTTOM))
        parts.append(_text(across(x), HEIGHT - _BOTTOM + 16, told, "middle"))
    parts.append(_line("axis", _LEFT, HEIGHT - _BOTTOM, WIDTH - _RIGHT, HEIGHT - _BOTTOM))
    parts.append(_line("axis", _LEFT, _TOP, _LEFT, HEIGHT - _BOTTOM))
    if chart.diagonal:
        low, high = max(x0, y0), min(x1, y1)
        parts.append(_line("diagonal", across(low), down(low), across(high), down(high)))
    for i, series in enumerate(chart.series):
        parts.extend(_series(i, series, across, down))
    parts.append(_text(_LEFT, 14, _short(chart.y_label), "start", "label"))
    parts.append(_text(WIDTH - _RIGHT, HEIGHT - 6, _short(chart.x_label), "end", "label"))
    return "\n".join([*parts, "</svg>"])


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers between two ends, about so many.

    >>> ticks(0, 1), ticks(3, 47)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [10.0, 20.0, 30.0, 40.0])
    """
    raw = (high - low) / about
    scale = 10.0 ** math.floor(math.log10(raw))
    step = next((m * scale for m in (1, 2, 5, 10) if m * scale >= raw * 0.999), 10 * scale)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def labels(marks: Sequence[float]) -> list[str]:
    """Ticks as short as they stay apart, all with as many decimals.

    >>> labels([0.0, 0.5, 1.0]), labels([20000.0, 40000.0])
    (['0.0', '0.5', '1.0'], ['20k', '40k'])
    """
    step = marks[1] - marks[0] if len(marks) > 1 else abs(marks[0]) if marks else 1.0
    top = max(map(abs, marks), default=0.0)
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if top >= 10 * size:
            return [f"{v / size:.{_decimals(step / size)}f}{suffix}" for v in marks]
    if top and top < 0.001:
        digits = max(0, math.floor(math.log10(top)) - math.floor(math.log10(step)))
        return [f"{v:.{digits}e}" if v else "0" for v in marks]
    return [f"{v:.{_decimals(step)}f}" for v in marks]


def _decimals(step: float) -> int:
    return max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0


def _series(i: int, series: Series, across, down) -> list[str]:  # type: ignore[no-untyped-def]
    colour = f"c{i % COLOURS}"
    known = [
        (x, y)
        for x, y in zip(series.x, series.y, strict=True)
        if math.isfinite(x) and math.isfinite(y)
    ]
    places = [(across(x), down(y)) for x, y in known]
    if series.points:
        return [
            f'<circle class="{colour} cloud" cx="{x:.1f}" cy="{y:.1f}" r="2.2"/>' for x, y in places
        ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    found = [f'<polyline class="{colour}" points="{path}"/>'] if len(places) > 1 else []
    # A dot tells its numbers to who points at it; of many, they would hide the line.
    if len(places) <= 40:
        found += [
            f'<circle class="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="2.6">'
            f"<title>{html.escape(series.name)}: {shown(a)}, {shown(b)}</title></circle>"
            for (x, y), (a, b) in zip(places, known, strict=True)
        ]
    return found


def _ends(given: tuple[float, float] | None, values: Sequence[float]) -> tuple[float, float]:
    """Both ends of an axis, a little apart from the numbers, never one and the same."""
    known = np.array([v for v in values if math.isfinite(v)] or [0.0, 1.0])
    low, high = given or (float(known.min()), float(known.max()))
    if not high > low:
        room = abs(low) * 0.1 or 1.0
        return low - room, high + room
    room = 0.0 if given else 0.04 * (high - low)
    return low - room, high + room


def _whole(marks: Sequence[float]) -> list[float]:
    return [v for v in marks if v == round(v)] or list(marks[:1])


def _short(label: str) -> str:
    return label if len(label) <= 46 else f"{label[:45]}…"


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, content: str, anchor: str, kind: str = "tick") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{html.escape(content)}</text>"
    )
