"""A table of numbers as an image of pixels, which is what TensorBoard shows."""

import math

import numpy as np

from keras_mtl._relations import Relation

# Pixels: of a cell with a number in it, of letters, and of the side of a table that has more cells.
_CELL, _LETTERS, _SIDE = 56, 13, 900
_HIGH, _LOW = np.array([33, 102, 172]), np.array([200, 90, 20])


def heat_map(relation: Relation) -> np.ndarray:
    """The table drawn: blue where positive, orange where negative, the largest in full colour.

    Args:
        relation: The table, `(R, C)`; NaN where nothing is known, which is grey. Past 16 rows or
            columns it has colours alone, without numbers or names.

    Returns:
        `(height, width, 3)`, 0 to 255.
    """
    from PIL import Image, ImageDraw, ImageFont

    r, c = relation.values.shape
    worded = max(r, c) <= _SIDE // _CELL
    cell, gap = (_CELL, 2) if worded else (max(_SIDE // max(r, c), 2), 1)
    font = ImageFont.load_default(_LETTERS)
    wide = [math.ceil(font.getlength(name)) for name in relation.columns]
    # Names of columns stand upright where they are wider than a cell.
    upright = max(wide) > cell - 4
    left = above = 8
    if worded:
        left += 8 + math.ceil(max(font.getlength(name) for name in relation.rows))
        above += 8 + (max(wide) if upright else _LETTERS)
    image = Image.new("RGB", (left + c * cell + 8, above + r * cell + 8), "white")
    draw = ImageDraw.Draw(image)
    known = np.abs(relation.values[np.isfinite(relation.values)])
    top = float(known.max()) if known.size else 0.0
    for i, j in np.ndindex(r, c):
        x, y, value = left + j * cell, above + i * cell, float(relation.values[i, j])
        fill, ink = _colours(value, top)
        draw.rectangle((x, y, x + cell - gap, y + cell - gap), fill=fill)
        if worded:
            shown = f"{value:.2f}" if math.isfinite(value) else "?"
            draw.text((x + cell // 2, y + cell // 2), shown, fill=ink, font=font, anchor="mm")
    for i, name in enumerate(relation.rows if worded else ()):
        middle = above + i * cell + cell // 2
        draw.text((left - 8, middle), name, fill="black", font=font, anchor="rm")
    for j, name in enumerate(relation.columns if worded else ()):
        label = Image.new("RGB", (wide[j] + 1, _LETTERS + 4), "white")
        ImageDraw.Draw(label).text((0, 0), name, fill="black", font=font)
        if upright:
            label = label.transpose(Image.Transpose.ROTATE_90)
        middle = left + j * cell + cell // 2
        image.paste(label, (middle - label.width // 2, above - 6 - label.height))
    return np.asarray(image)


def _colours(value: float, top: float) -> tuple[tuple[int, ...], str]:
    """Of a cell and of the number in it."""
    if not math.isfinite(value):
        return (224, 224, 224), "black"
    share = abs(value) / top if top > 0 else 0.0
    full = _HIGH if value > 0 else _LOW
    return tuple(int(v) for v in np.round(255 + share * (full - 255))), (
        "white" if share > 0.6 else "black"
    )
