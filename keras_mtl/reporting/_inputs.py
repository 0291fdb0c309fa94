"""What a model read of one row, as a person looks at it: a picture, words, or named values."""

import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_mtl.reporting._content import Picture, Values, Words

_LONGEST = 160
_WORDS = 60
_NUMBERS = 6
_COLUMNS = 16
_SMALLEST = 4


def looked_at(
    inputs: Mapping[str, np.ndarray],
    tagged: tuple[list[str], list[str]] | None = None,
) -> list[Picture | Words | Values]:
    """The inputs of one row.

    Args:
        inputs: By name, one row each.
        tagged: What was said and what is true of each position, of a task of tags.
    """
    found: list[Picture | Words | Values] = []
    values: list[tuple[str, str]] = []
    for name, value in inputs.items():
        if _is_picture(value):
            found.append(picture(value))
        elif value.ndim == 1 and value.dtype.kind in "OSU":
            words = [_text(word) for word in value]
            said, true = tagged or ([], [])
            length = (
                len(said) if tagged else max((i + 1 for i, w in enumerate(words) if w), default=0)
            )
            length = min(length, _WORDS)
            found.append(Words(words[:length], said[:length], true[:length]))
        else:
            values.append((name, _value(value)))
    if tagged and not any(isinstance(one, Words) for one in found):
        # No words to put them under: positions by number.
        said, true = (tags[:_WORDS] for tags in tagged)
        found.append(Words([str(i) for i in range(len(said))], said, true))
    if values:
        found.append(Values(values[:_COLUMNS], max(0, len(values) - _COLUMNS)))
    return found


def picture(pixels: np.ndarray) -> Picture:
    """A PNG of `(h, w)`, `(h, w, 1)`, `(h, w, 3)` or `(h, w, 4)`.

    Numbers from 0 to 1 or 0 to 255 are taken as they are; others are stretched between their
    lowest and highest.
    """
    from PIL import Image

    values = np.nan_to_num(np.asarray(pixels, "float64"))
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        values = values * 255
    elif low < 0 or high > 255:
        values = (values - low) * (255 / (high - low))
    whole = np.round(values).astype("uint8")
    image = Image.fromarray(whole[..., 0] if whole.ndim == 3 and whole.shape[-1] == 1 else whole)
    image.thumbnail((160, 160))
    file = io.BytesIO()
    image.save(file, "PNG")
    return Picture(file.getvalue(), tuple(pixels.shape))


def _is_picture(value: np.ndarray) -> bool:
    if (
        value.dtype.kind not in "iuf"
        or value.ndim not in (2, 3)
        or min(value.shape[:2]) < _SMALLEST
    ):
        return False
    return value.ndim == 2 or value.shape[-1] in (1, 3, 4)


def _value(value: np.ndarray) -> str:
    if value.ndim == 0:
        return _one(value.item())
    flat = value.reshape(-1)
    shown = ", ".join(_one(v) for v in flat[:_NUMBERS].tolist())
    return shown if len(flat) <= _NUMBERS else f"{shown}, ... ({len(flat)} numbers)"


def _one(value: Any) -> str:
    if isinstance(value, (bytes, str)):
        text = _text(value) or "missing"
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
    if isinstance(value, float):
        return "missing" if math.isnan(value) else f"{value:.4g}"
    return str(value)


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
