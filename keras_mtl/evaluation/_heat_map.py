"""A square of numbers as a picture, an SVG file that needs nothing else."""

import html
import math
import pathlib
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

_CELL = 56
_LETTER = 7
_HIGH, _LOW = (33, 102, 172), (200, 90, 20)


def digits_for(matrix: np.ndarray) -> int:
    """How many decimals show three figures of the largest number beside the diagonal."""
    top = largest(matrix)
    return min(max(2 - math.floor(math.log10(top)), 2), 8) if top > 0 else 2


def largest(matrix: np.ndarray) -> float:
    """The largest size of a number beside the diagonal; of the diagonal, if there is none."""
    beside = np.abs(matrix[~np.eye(len(matrix), dtype=bool)])
    beside = beside[np.isfinite(beside)]
    return float(beside.max()) if beside.size else float(np.abs(np.nan_to_num(matrix)).max())


def write_heat_map(
    path: Any,
    matrix: np.ndarray,
    names: Sequence[str],
    title: str,
    *,
    framed: Collection[tuple[int, int]] = (),
    notes: Sequence[str] = (),
) -> pathlib.Path:
    """Writes a heat map: blue where positive, orange where negative, grey where nothing is known.

    Args:
        path: The file.
        matrix: `(K, K)`; NaN where nothing is known.
        names: Of the rows and columns.
        title: Above the picture.
        framed: Cells, (row, column), to draw a frame around.
        notes: Lines below the picture.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(heat_map(matrix, names, title, framed, notes), encoding="utf-8")
    return path


def heat_map(
    matrix: np.ndarray,
    names: Sequence[str],
    title: str,
    framed: Collection[tuple[int, int]],
    notes: Sequence[str],
) -> str:
    """The picture as text; see `write_heat_map`."""
    k, top, digits = len(names), largest(matrix), digits_for(matrix)
    left = 24 + _LETTER * max(len(name) for name in names)
    above = 48 + int(0.75 * _LETTER * max(len(name) for name in names))
    longest = _LETTER * max(len(line) for line in [title, *notes])
    width = max(left + k * _CELL + above, longest + 24)
    height = above + k * _CELL + 24 + 20 * len(notes)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect class="ground" width="{width}" height="{height}" fill="white"/>',
        _text(12, 20, title, "start", 'font-weight="bold"'),
    ]
    for i, name in enumerate(names):
        middle = i * _CELL + _CELL // 2
        parts.append(_text(left - 8, above + middle + 4, name, "end"))
        x, y = left + middle, above - 8
        parts.append(_text(x, y, name, "start", f'transform="rotate(-45 {x} {y})"'))
    for i in range(k):
        for j in range(k):
            parts.extend(_cell(left + j * _CELL, above + i * _CELL, matrix[i, j], top, digits))
    parts.extend(
        f'<rect class="frame" x="{left + j * _CELL + 2}" y="{above + i * _CELL + 2}" '
        f'width="{_CELL - 4}" height="{_CELL - 4}" fill="none" stroke="black" stroke-width="2"/>'
        for i, j in sorted(framed)
    )
    for n, line in enumerate(notes):
        parts.append(_text(12, above + k * _CELL + 24 + 20 * n, line, "start"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _cell(x: int, y: int, value: float, top: float, digits: int) -> list[str]:
    known = math.isfinite(value)
    # The diagonal may be past the scale, which is that of the others.
    share = min(abs(value) / top, 1.0) if known and top > 0 else 0.0
    full = _HIGH if value > 0 else _LOW
    red, green, blue = (round(255 + share * (c - 255)) for c in full)
    fill = f"rgb({red},{green},{blue})" if known else "rgb(224,224,224)"
    ink = 'fill="white"' if share > 0.6 else 'fill="black"'
    shown = f"{value:.{digits}f}" if known else "?"
    return [
        f'<rect class="cell" x="{x}" y="{y}" width="{_CELL}" height="{_CELL}" fill="{fill}" '
        'stroke="white"/>',
        _text(x + _CELL // 2, y + _CELL // 2 + 4, shown, "middle", f'{ink} font-size="11"'),
    ]


def _text(x: int, y: int, content: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" {more}>{html.escape(content)}</text>'
