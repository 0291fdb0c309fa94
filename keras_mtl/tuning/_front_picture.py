"""Trials by their scores as a picture, an SVG file that needs nothing else."""

import itertools
import math
from collections.abc import Collection, Mapping, Sequence

from keras_mtl.evaluation._svg import LETTER, picture, text

_FRONT, _OTHER = "rgb(33,102,172)", "rgb(170,170,170)"
_WIDTH, _HEIGHT, _ABOVE, _BELOW, _RIGHT = 520, 320, 64, 56, 32

Axis = tuple[str, bool]


def front_picture(
    axes: Sequence[Axis], points: Mapping[int, Sequence[float]], front: Collection[int]
) -> str:
    """The picture as text.

    Args:
        axes: The name of each score, and whether more of it is better.
        points: By trial number, its score on each axis.
        front: The numbers of the trials on the Pareto front.
    """
    title = f"Pareto front: {len(front)} of {len(points)} finished trials"
    if len(axes) == 1:
        title = f"Best of {len(points)} finished trials: " + ", ".join(map(str, sorted(front)))
        over = {number: (number, point[0]) for number, point in points.items()}
        return _plane([("trial", True), axes[0]], over, front, title, joined=False)
    if len(axes) == 2:
        return _plane(axes, points, front, title, joined=True)
    return _parallel(axes, points, front, title)


def _plane(
    axes: Sequence[Axis],
    points: Mapping[int, Sequence[float]],
    front: Collection[int],
    title: str,
    *,
    joined: bool,
) -> str:
    """Two scores as a plane, with the edge of what the front reaches."""
    (low_x, high_x, ticks_x), (low_y, high_y, ticks_y) = (
        _scale([point[i] for point in points.values()]) for i in (0, 1)
    )
    left = 40 + LETTER * max(len(shown) for shown in _read(ticks_y))
    foot = _ABOVE + _HEIGHT

    def x(value: float) -> float:
        return left + _WIDTH * (value - low_x) / (high_x - low_x)

    def y(value: float) -> float:
        return foot - _HEIGHT * (value - low_y) / (high_y - low_y)

    parts = [
        f'<rect x="{left}" y="{_ABOVE}" width="{_WIDTH}" height="{_HEIGHT}" fill="none" '
        'stroke="black"/>'
    ]
    for value, shown in zip(ticks_x, _read(ticks_x), strict=True):
        parts.append(_line([(x(value), _ABOVE), (x(value), foot)], "rgb(230,230,230)", "grid"))
        parts.append(text(round(x(value)), foot + 18, shown, "middle"))
    for value, shown in zip(ticks_y, _read(ticks_y), strict=True):
        parts.append(
            _line([(left, y(value)), (left + _WIDTH, y(value))], "rgb(230,230,230)", "grid")
        )
        parts.append(text(left - 8, round(y(value)) + 4, shown, "end"))
    parts.append(text(left + _WIDTH // 2, foot + 42, _named(axes[0], joined), "middle"))
    parts.append(text(12, _ABOVE - 16, _named(axes[1], True), "start"))
    marked = sorted((points[number][0], points[number][1]) for number in front)
    if joined:
        corners: list[tuple[float, float]] = []
        for (x1, y1), (x2, y2) in itertools.pairwise(marked):
            # What both of two neighbours are at least as good as.
            worse = min(x1, x2) if axes[0][1] else max(x1, x2)
            corners += [(x1, y1), (worse, y2 if worse == x1 else y1), (x2, y2)]
        if corners:
            parts.append(_line([(x(a), y(b)) for a, b in corners], _FRONT, "edge"))
    for number, (a, b) in sorted(points.items(), key=lambda pair: pair[0] in front):
        fill = _FRONT if number in front else _OTHER
        kind = "front" if number in front else "other"
        parts.append(
            f'<circle class="{kind}" cx="{x(a):.1f}" cy="{y(b):.1f}" r="5" fill="{fill}">'
            f"<title>trial {number}</title></circle>"
        )
    at = {number: (x(points[number][0]), y(points[number][1])) for number in sorted(front)}
    parts += _numbers(at)
    return picture(left + _WIDTH + _RIGHT, foot + _BELOW, title, parts)


def _numbers(at: Mapping[int, tuple[float, float]]) -> list[str]:
    """The number of each point beside it, where there is room for it."""
    sides = [(8, -8, "start"), (8, 18, "start"), (-8, -8, "end"), (-8, 18, "end")]
    taken = list(at.values())
    parts = []
    for number, (x, y) in at.items():
        wide = LETTER * len(str(number))
        for right, down, anchor in sides:
            middle = (x + right + (wide / 2 if right > 0 else -wide / 2), y + down - 4)
            if all(abs(middle[0] - a) > wide + 2 or abs(middle[1] - b) > 9 for a, b in taken):
                place = round(x) + right, round(y) + down
                parts.append(text(*place, str(number), anchor, f'fill="{_FRONT}"'))
                taken.append(middle)
                break
    return parts


def _parallel(
    axes: Sequence[Axis], points: Mapping[int, Sequence[float]], front: Collection[int], title: str
) -> str:
    """An axis for each score, better above; a line for each trial."""
    names = [_named(axis, True) for axis in axes]
    gap = max(110, LETTER * max(len(name) for name in names) + 16)
    foot = _ABOVE + _HEIGHT
    ends = []
    for i, (_, up) in enumerate(axes):
        values = [point[i] for point in points.values()]
        ends.append((min(values), max(values)) if up else (max(values), min(values)))

    def place(i: int, value: float) -> tuple[float, float]:
        worst, best = ends[i]
        share = (value - worst) / (best - worst) if best != worst else 0.5
        return gap // 2 + 12 + i * gap, foot - _HEIGHT * share

    parts = []
    for number, point in sorted(points.items(), key=lambda pair: pair[0] in front):
        on = number in front
        corners = [place(i, value) for i, value in enumerate(point)]
        line = _line(corners, _FRONT if on else _OTHER, "front" if on else "other")
        parts.append(line.replace("/>", f"><title>trial {number}</title></polyline>"))
    for i, name in enumerate(names):
        x, _ = place(i, ends[i][0])
        parts.append(_line([(x, _ABOVE), (x, foot)], "black", "axis"))
        parts.append(text(round(x), _ABOVE - 22, name, "middle"))
        worst, best = _read(list(ends[i]))
        parts.append(text(round(x), _ABOVE - 6, best, "middle"))
        parts.append(text(round(x), foot + 18, worst, "middle"))
    return picture(gap * len(axes) + 24, foot + _BELOW // 2 + 8, title, parts)


def _named(axis: Axis, judged: bool) -> str:
    return f"{axis[0]} ({'more' if axis[1] else 'less'} is better)" if judged else axis[0]


def _line(corners: Sequence[tuple[float, float]], stroke: str, kind: str) -> str:
    told = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    return f'<polyline class="{kind}" points="{told}" fill="none" stroke="{stroke}"/>'


def _scale(values: Sequence[float]) -> tuple[float, float, list[float]]:
    """The ends of an axis, and round numbers between them."""
    low, high = min(values), max(values)
    pad = 0.06 * (high - low) or 0.05 * max(abs(high), 1.0)
    low, high = low - pad, high + pad
    rough = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= rough)
    first = math.ceil(low / step)
    return low, high, [step * n for n in range(first, math.floor(high / step) + 1)]


def _read(values: Sequence[float]) -> list[str]:
    """Numbers with as many figures as tell them apart."""
    for digits in range(4, 16):
        shown = [f"{value:.{digits}g}" for value in values]
        if len(set(shown)) == len(set(values)):
            return shown
    return [repr(value) for value in values]
