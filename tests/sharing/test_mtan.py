"""MTAN: attention that lets all through, the formula, and convolutions for pictures."""

import keras
import numpy as np
import pytest

from keras_mtl.sharing.mtan import MTAN
from tests.sharing._scheme_checks import (
    NAMES,
    affine,
    check_mask,
    check_positions,
    check_training,
    connected,
    relu,
)

SHAPES = [(4, 3), (4, 5, 3), (2, 6, 4, 3)]


def saturated(scheme):
    """Masks of sigmoid(40), which is 1 in single precision."""
    for level in scheme.masks:
        for tower in level.towers:
            tower.kernel.assign(np.zeros(tower.kernel.shape))
            tower.bias.assign(np.full(tower.bias.shape, 40.0))


@pytest.mark.parametrize("shape", SHAPES)
def test_attention_of_1_passes_the_shared_features_on(shape, rng):
    x = rng.normal(size=shape).astype("float32")
    scheme = MTAN(units=[5, 2])
    connected(scheme, x)
    saturated(scheme)
    expected = x
    for layer in scheme.shared:
        expected = layer(expected)
    out = connected(scheme, x)
    for name in NAMES:
        np.testing.assert_array_equal(out[name], expected)


def test_each_task_attends_by_the_formula(rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    scheme = MTAN(units=[5, 2])
    out = connected(scheme, x)
    first, second = scheme.shared
    p1 = relu(affine(x, first))
    p2 = relu(affine(p1, second))
    for k, name in enumerate(NAMES):
        g, h = (level.towers[k] for level in (scheme.looking[0], scheme.masks[0]))
        attended = p1 / (1 + np.exp(-affine(relu(affine(p1, g)), h)))
        read = np.concatenate([p2, relu(affine(attended, scheme.passing[0]))], axis=1)
        g, h = (level.towers[k] for level in (scheme.looking[1], scheme.masks[1]))
        attended = p2 / (1 + np.exp(-affine(relu(affine(read, g)), h)))
        np.testing.assert_allclose(out[name], attended, rtol=1e-4, atol=1e-6)
    assert (out["a"] != out["b"]).any()
    # The shared stack, f, and for each task two g and two h.
    stack, passing = 3 * 5 + 5 + 5 * 2 + 2, 5 * 2 + 2
    attention = (5 * 5 + 5) * 2 + (4 * 2 + 2) + (2 * 2 + 2)
    assert scheme.count_params() == stack + passing + 3 * attention


def test_pictures_are_convolved_and_keep_their_size(rng):
    x = rng.normal(size=(2, 6, 4, 3)).astype("float32")
    scheme = MTAN(units=[5, 2])
    out = connected(scheme, x)
    assert scheme.compute_output_shape((None, 6, 4, 3))["a"] == (None, 6, 4, 2)
    assert out["a"].shape == (2, 6, 4, 2)
    assert [tuple(v.kernel.shape) for v in scheme.shared] == [(3, 3, 3, 5), (3, 3, 5, 2)]
    # Two layers of 3x3 see two pixels far, and no farther.
    x[:, 0, 0] += 10.0
    changed = (connected(scheme, x)["a"] != out["a"]).any(axis=(0, 3))
    assert changed[:3, :3].any() and not changed[3:].any() and not changed[:, 3:].any()


def test_it_trains_compiled_and_comes_back(tmp_path, rng):
    check_training(lambda: MTAN(units=[5, 4]), tmp_path / "m.keras", rng, "mixed_float16")


def test_positions_and_masks(rng):
    check_positions(lambda: MTAN(units=[5, 4]), rng, shapes=[(2, 5, 3)])
    check_mask(MTAN)


def test_what_it_refuses():
    with pytest.raises(ValueError, match=r"got features of shape \(None, 2, 4, 4, 3\); expected"):
        MTAN().connect(keras.Input((2, 4, 4, 3)), NAMES)
    with pytest.raises(ValueError, match="at least 1"):
        MTAN(units=[4, True])
