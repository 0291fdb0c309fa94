"""multi_digits: canvases of real digits, and no digit of a test canvas ever trained on."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_mtl.datasets import multi_digits


def test_without_overlap_the_two_digits_are_real_ones_with_their_labels():
    """Eight pixels apart nothing overlaps: each half is a picture of scikit-learn's, as labelled."""
    train, valid, test = multi_digits(train=200, valid=30, test=60, shift=8)
    bunch = load_digits()
    known = {
        (p / 16).astype("float32").tobytes(): d
        for p, d in zip(bunch.images, bunch.target, strict=True)
    }
    used = []
    for part in (train, valid, test):
        pictures = part.inputs["image"][..., 0]
        seen = set()
        for i, canvas in enumerate(pictures):
            left, right = canvas[:8, :8].tobytes(), canvas[8:, 8:].tobytes()
            assert known[left] == part.labels["left"][i]
            assert known[right] == part.labels["right"][i]
            assert known[left] != known[right]
            seen |= {left, right}
        used.append(seen)
    assert not used[0] & used[2] and not used[0] & used[1] and not used[1] & used[2]


def test_overlapping_ink_is_the_darker_of_the_two():
    apart, _, _ = multi_digits(train=20, valid=1, test=1, shift=8, seed=3)
    close, _, _ = multi_digits(train=20, valid=1, test=1, shift=4, seed=3)
    left, right = apart.inputs["image"][:, :8, :8], apart.inputs["image"][:, 8:, 8:]
    expected = np.zeros((20, 12, 12, 1), "float32")
    expected[:, :8, :8] = left
    expected[:, 4:, 4:] = np.maximum(expected[:, 4:, 4:], right)
    np.testing.assert_array_equal(close.inputs["image"], expected)


def test_the_same_seed_gives_the_same_canvases():
    a, b, c = (multi_digits(train=10, valid=1, test=1, seed=s)[0] for s in (1, 1, 2))
    np.testing.assert_array_equal(a.inputs["image"], b.inputs["image"])
    assert not np.array_equal(a.inputs["image"], c.inputs["image"])
    with pytest.raises(ValueError, match="a shift of 0 to 8"):
        multi_digits(shift=9)
