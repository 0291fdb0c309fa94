"""A table of numbers as a picture, an SVG file that needs nothing else."""

import math
import pathlib
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from keras_mtl.evaluation._svg import LETTER, picture, text, write_svg

_CELL = 56
_HIGH, _LOW = (33, 102, 172), (200, 90, 20)


def digits_for(matrix: np.ndarray) -> int:
    """How many decimals show three figures of the largest number beside the diagonal."""
    top = largest(matrix)
    return min(max(2 - math.floor(math.log10(top)), 2), 8) if top > 0 else 2


def largest(matrix: np.ndarray) -> float:
    """The largest size of a number beside the diagonal of a square; of all, if there is none."""
    square = matrix.shape[0] == matrix.shape[1]
    beside = np.abs(matrix[~np.eye(len(matrix), dtype=bool)] if square else matrix)
    beside = beside[np.isfinite(beside)]
    return float(beside.max()) if beside.size else float(np.abs(np.nan_to_num(matrix)).max())


def write_heat_map(
    path: Any,
    matrix: np.ndarray,
    names: Sequence[str],
    title: str,
    *,
    columns: Sequence[str] | None = None,
    framed: Collection[tuple[int, int]] = (),
    notes: Sequence[str] = (),
) -> pathlib.Path:
    """Writes a heat map: blue where positive, orange where negative, grey where nothing is known.

    Args:
        path: The file.
        matrix: `(R, C)`; NaN where nothing is known.
        names: Of the rows.
        title: Above the picture.
        columns: Names of the columns, if they are others.
        framed: Cells, (row, column), to draw a frame around.
        notes: Lines below the picture.
    """
    return write_svg(path, heat_map(matrix, names, columns or names, title, framed, notes))


def heat_map(
    matrix: np.ndarray,
    names: Sequence[str],
    columns: Sequence[str],
    title: str,
    framed: Collection[tuple[int, int]],
    notes: Sequence[str],
) -> str:
    """The picture as text; see `write_heat_map`."""
    r, c, top, digits = len(names), len(columns), largest(matrix), digits_for(matrix)
    left = 24 + LETTER * max(len(name) for name in names)
    above = 48 + int(0.75 * LETTER * max(len(name) for name in columns))
    longest = LETTER * max(len(line) for line in [title, *notes])
    width = max(left + c * _CELL + above, longest + 24)
    height = above + r * _CELL + 24 + 20 * len(notes)
    parts: list[str] = []
    for i, name in enumerate(names):
        parts.append(text(left - 8, above + i * _CELL + _CELL // 2 + 4, name, "end"))
    for j, name in enumerate(columns):
        x, y = left + j * _CELL + _CELL // 2, above - 8
        parts.append(text(x, y, name, "start", f'transform="rotate(-45 {x} {y})"'))
    for i, j in np.ndindex(r, c):
        parts.extend(_cell(left + j * _CELL, above + i * _CELL, matrix[i, j], top, digits))
    parts.extend(
        f'<rect class="frame" x="{left + j * _CELL + 2}" y="{above + i * _CELL + 2}" '
        f'width="{_CELL - 4}" height="{_CELL - 4}" fill="none" stroke="black" stroke-width="2"/>'
        for i, j in sorted(framed)
    )
    for n, line in enumerate(notes):
        parts.append(text(12, above + r * _CELL + 24 + 20 * n, line, "start"))
    return picture(width, height, title, parts)


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
        text(x + _CELL // 2, y + _CELL // 2 + 4, shown, "middle", f'{ink} font-size="11"'),
    ]
