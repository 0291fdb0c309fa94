"""Two pictures on one canvas: the multi-digit tasks of Sabour, Frosst and Hinton (NeurIPS 2017)."""

import numpy as np

from keras_mtl.data import Examples

LEFT, RIGHT = "left", "right"


def overlay(
    pictures: np.ndarray, digits: np.ndarray, pairs: int, shift: int, rng: np.random.Generator
) -> Examples:
    """Pairs of digits, one to the left and above, one to the right and below.

    Where both have ink, the darker counts. The two of a pair are of different classes, as
    overlapping twins cannot be told apart.

    Args:
        pictures: `(n, h, w)` floats from 0 to 1.
        digits: `(n,)` class ids.
        pairs: How many canvases to make.
        shift: How many pixels the two are apart, both ways; the canvas is that much larger.
        rng: Draws the pairs.

    Returns:
        Rows with the input "image", `(pairs, h + shift, w + shift, 1)`, and the tasks "left" and
        "right".
    """
    left = rng.integers(0, len(pictures), pairs)
    right = rng.integers(0, len(pictures), pairs)
    while (same := digits[left] == digits[right]).any():
        right[same] = rng.integers(0, len(pictures), int(same.sum()))
    height, width = pictures.shape[1:]
    canvas = np.zeros((pairs, height + shift, width + shift, 1), "float32")
    canvas[:, :height, :width, 0] = pictures[left]
    behind = canvas[:, shift:, shift:, 0]
    np.maximum(behind, pictures[right], out=behind)
    rows = Examples({"image": canvas}, {LEFT: digits[left], RIGHT: digits[right]})
    names = [str(d) for d in range(10)]
    rows.classes = {LEFT: names, RIGHT: names}
    return rows
