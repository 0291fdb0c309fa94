"""Two real handwritten digits on one small canvas: no download."""

import numpy as np

from keras_mtl.data import Examples
from keras_mtl.datasets._overlay import overlay


def multi_digits(
    *, train: int = 6000, valid: int = 1000, test: int = 2000, shift: int = 4, seed: int = 0
) -> tuple[Examples, Examples, Examples]:
    """Canvases of two overlapping digits; the tasks are which digit is `left` and which `right`.

    Made from the 1,797 handwritten digits of 8 x 8 pixels that come with scikit-learn (Alpaydin
    and Kaynak, UCI "Optical Recognition of Handwritten Digits", 1998). The three parts are made
    from different digits: 1,097, 200 and 500 of them, so no pixel of a test canvas was trained on.

    Args:
        train: Canvases to train on.
        valid: Canvases to choose by.
        test: Canvases to judge by.
        shift: How far apart the two digits are; 8 parts them, less overlaps them.
        seed: Makes digits and pairs repeatable.

    Returns:
        Training, validation and test rows: input `image`, `(n, 8 + shift, 8 + shift, 1)` from 0 to
        1; labels `left` and `right`, 0 to 9.

    Raises:
        ValueError: If a number of canvases is not positive, or the shift is not 0 to 8.

    Example:

    >>> train, valid, test = multi_digits(train=100, valid=10, test=10)
    >>> train.inputs["image"].shape
    (100, 12, 12, 1)
    """
    from sklearn.datasets import load_digits

    if min(train, valid, test) < 1 or not 0 <= shift <= 8:
        raise ValueError(
            f"multi_digits came with train={train}, valid={valid}, test={test}, shift={shift}; "
            "expected positive numbers of canvases and a shift of 0 to 8."
        )
    bunch = load_digits()
    pictures = (bunch.images / 16.0).astype("float32")
    digits = bunch.target.astype("int32")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pictures))
    parts = {"train": order[:1097], "valid": order[1097:1297], "test": order[1297:]}
    made = [
        overlay(pictures[rows], digits[rows], pairs, shift, rng)
        for rows, pairs in zip(parts.values(), (train, valid, test), strict=True)
    ]
    return made[0], made[1], made[2]
