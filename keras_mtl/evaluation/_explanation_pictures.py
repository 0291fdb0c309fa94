"""Explanations as SVG pictures that need nothing else."""

import base64
import io
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_mtl.evaluation._heat_map import heat_map
from keras_mtl.evaluation._svg import LETTER, picture, text, write_svg

_FOR, _AGAINST = (33, 102, 172), (200, 90, 20)
_TASK_COLOURS = ("#2166ac", "#c85a14", "#3a923a", "#7b4fa3", "#8c6d31", "#c23b7a", "#4d4d4d")
_SIDE = 96
_BAR = 300


def pictures_of(explanation: Any, features: Sequence[str], rows: int) -> dict[str, str]:
    """The pictures by title; see `Explanation.pictures`."""
    shares = np.array(
        [[explanation.shares[f][t] for t in explanation.tasks] for f in features]
    ).reshape(len(features), len(explanation.tasks))
    title = "Which features each task uses, as shares of all it uses"
    found = {title: heat_map(shares, features, explanation.tasks, title, (), ())}
    title = "How important each feature is to each task"
    found[title] = _bars(explanation, features, title)
    if explanation.rows is None:
        return found
    for name, values in explanation.rows.inputs.items():
        if values.ndim == 2 and values.dtype.kind in "OUS":
            title = f"What the words of {name} add"
            found[title] = _texts(explanation.rows, name, title, rows)
        elif values.ndim == 4:
            title = f"Where tasks look at in {name}"
            found[title] = _images(explanation.rows, name, title, rows)
    return found


def draw_all(pictures: Mapping[str, str], folder: Any) -> list[pathlib.Path]:
    """Writes a file for each picture, named after its title."""
    return [
        write_svg(pathlib.Path(folder) / f"{re.sub(r'[^0-9A-Za-z]+', '_', title)}.svg", content)
        for title, content in pictures.items()
    ]


def _bars(explanation: Any, features: Sequence[str], title: str) -> str:
    tasks = explanation.tasks
    top = max(abs(explanation.importance[f][t]) for f in features for t in tasks) or 1.0
    left = 24 + LETTER * max(len(f) for f in features)
    height = 12 * len(tasks) + 10
    parts = []
    for i, feature in enumerate(features):
        above = 40 + i * height
        parts.append(text(left - 8, above + height // 2, feature, "end"))
        for j, task in enumerate(tasks):
            value = explanation.importance[feature][task]
            long = max(round(_BAR * abs(value) / top), 1)
            y = above + 12 * j
            parts.append(
                f'<rect class="bar" x="{left}" y="{y}" width="{long}" height="10" '
                f'fill="{_TASK_COLOURS[j % len(_TASK_COLOURS)]}"/>'
            )
            parts.append(text(left + long + 4, y + 9, f"{value:.3g}", "start", 'font-size="10"'))
    below = 40 + len(features) * height
    for j, task in enumerate(tasks):
        y, colour = below + 16 * j, _TASK_COLOURS[j % len(_TASK_COLOURS)]
        parts.append(f'<rect x="{left}" y="{y}" width="10" height="10" fill="{colour}"/>')
        parts.append(text(left + 16, y + 10, task, "start"))
    widest = max(left + _BAR + 80, left + 16 + LETTER * max(map(len, tasks)), LETTER * len(title))
    return picture(widest + 24, below + 16 * len(tasks) + 12, title, parts)


def _texts(rows: Any, name: str, title: str, count: int) -> str:
    words = rows.inputs[name][:count]
    left = 24 + LETTER * max(len(_label(t, rows.targets[t][i])) for t, i in _each(rows, words))
    parts, y, widest = [], 44, LETTER * len(title)
    for i in range(len(words)):
        for task, by_input in rows.attributions.items():
            told = by_input[name][i]
            top = np.abs(told).max() or 1.0
            x = left
            parts.append(text(left - 10, y + 14, _label(task, rows.targets[task][i]), "end"))
            for word, value in zip(words[i], told, strict=True):
                if word == "":
                    continue
                width = LETTER * len(word) + 10
                parts.append(
                    f'<rect class="word" x="{x}" y="{y}" width="{width}" height="20" '
                    f'fill="{_colour(value / top)}"><title>{value:+.3g}</title></rect>'
                )
                ink = 'fill="white"' if abs(value) > 0.6 * top else 'fill="black"'
                parts.append(text(x + width // 2, y + 14, word, "middle", ink))
                x += width + 2
            widest = max(widest, x)
            y += 24
        y += 12
    return picture(widest + 24, y + 4, title, parts)


def _images(rows: Any, name: str, title: str, count: int) -> str:
    shown = rows.inputs[name][:count]
    low, high = float(shown.min()), float(shown.max())
    tasks = list(rows.attributions)
    parts = [text(24 + (j + 1) * (_SIDE + 12), 44, task, "start") for j, task in enumerate(tasks)]
    for i in range(len(shown)):
        y = 52 + i * (_SIDE + 28)
        parts.append(_png((shown[i] - low) / ((high - low) or 1.0), 24, y))
        for j, task in enumerate(tasks):
            told = rows.attributions[task][name][i].sum(axis=-1)
            x = 24 + (j + 1) * (_SIDE + 12)
            parts.append(_png(_coloured(told / (np.abs(told).max() or 1.0)), x, y))
            parts.append(text(x, y + _SIDE + 14, rows.targets[task][i], "start", 'font-size="10"'))
    width = max(36 + (len(tasks) + 1) * (_SIDE + 12), 24 + LETTER * len(title))
    return picture(width, 60 + len(shown) * (_SIDE + 28), title, parts)


def _png(pixels: np.ndarray, x: int, y: int) -> str:
    """A picture `(h, w, c)` from 0 to 1 at a place, with pixels that can be seen."""
    from PIL import Image

    levels = np.round(255 * np.clip(pixels, 0, 1)).astype("uint8")
    levels = levels[..., :3] if levels.shape[-1] >= 3 else levels[..., 0]
    held = io.BytesIO()
    Image.fromarray(levels).save(held, "PNG")
    return (
        f'<image x="{x}" y="{y}" width="{_SIDE}" height="{_SIDE}" style="image-rendering:pixelated" '
        f'href="data:image/png;base64,{base64.b64encode(held.getvalue()).decode()}"/>'
    )


def _coloured(shares: np.ndarray) -> np.ndarray:
    """From -1 to 1 to red, green and blue: white at 0."""
    full = np.where(shares[..., None] > 0, _FOR, _AGAINST) / 255
    return 1 + np.abs(shares)[..., None] * (full - 1)


def _colour(share: float) -> str:
    red, green, blue = (round(255 * part) for part in _coloured(np.array(share)))
    return f"rgb({red},{green},{blue})"


def _label(task: str, target: str) -> str:
    return f"{task}: {target}" if target else task


def _each(rows: Any, words: np.ndarray) -> list[tuple[str, int]]:
    return [(task, i) for task in rows.attributions for i in range(len(words))]
