"""AITM: the whole scheme in NumPy, and which way what is learnt goes along the sequence."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax

from keras_mtl.sharing.aitm import AITM, attended
from tests.sharing._scheme_checks import (
    NAMES,
    affine,
    check_mask,
    check_positions,
    check_training,
    connected,
    relu,
    separate,
)


def by_hand(scheme, x):
    """The equations of the paper, row by row."""
    towers = list(separate(scheme, x).values())
    read = [towers[0]]
    for t in range(1, len(towers)):
        handed = relu(affine(read[-1], scheme.transfers.towers[t - 1]))
        v, k, r = (
            np.asarray(layer.towers[t - 1].kernel)
            for layer in (scheme.values, scheme.keys, scheme.queries)
        )
        rows = []
        for p, q in zip(handed, towers[t], strict=True):
            shares = softmax([(u @ k) @ (u @ r) / np.sqrt(len(u)) for u in (p, q)])
            rows.append(shares[0] * (p @ v) + shares[1] * (q @ v))
        read.append(np.stack(rows))
    return dict(zip(scheme.task_names, read, strict=True))


def test_it_is_what_the_paper_says(rng):
    x = rng.normal(size=(6, 3)).astype("float32")
    scheme = AITM(units=[5, 4])
    connected(scheme, x)
    for layer in (scheme.transfers, scheme.values, scheme.keys, scheme.queries):
        assert len(layer.towers) == 2
        for tower in layer.towers:
            # Larger than at the start, so that the shares are far from a half each.
            tower.kernel.assign(rng.normal(size=tower.kernel.shape))
    out, expected = connected(scheme, x), by_hand(scheme, x)
    for name in NAMES:
        np.testing.assert_allclose(out[name], expected[name], rtol=1e-3, atol=1e-4)


def test_the_first_task_and_a_single_one_are_their_towers(rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    for names in (NAMES, ["only"]):
        scheme = AITM(units=[5, 2])
        out = connected(scheme, x, names)
        first = names[0]
        np.testing.assert_allclose(out[first], separate(scheme, x)[first], rtol=1e-4, atol=1e-6)
    assert scheme.count_params() == 3 * 5 + 5 + 5 * 2 + 2, "a single task has nobody to read"


def test_size_and_start(rng):
    """K towers, and for each of K - 1 tasks a layer with bias and three without; no two alike."""
    scheme = AITM(units=[4])
    connected(scheme, rng.normal(size=(2, 3)).astype("float32"))
    assert scheme.count_params() == 3 * (3 * 4 + 4) + 2 * (4 * 4 + 4 + 3 * 4 * 4)
    square = [np.asarray(v) for v in scheme.weights if v.shape == (4, 4)]
    assert len(square) == 8
    assert all((a != b).any() for i, a in enumerate(square) for b in square[:i])


def test_what_is_learnt_goes_back_along_the_sequence_alone(rng):
    x = tf.constant(rng.normal(size=(16, 3)).astype("float32"))
    scheme = AITM(units=[6])
    scheme.connect(x, NAMES)
    towers = {n: scheme.levels[0].towers[i].kernel.value for i, n in enumerate(NAMES)}
    with tf.GradientTape(persistent=True) as tape:
        out = scheme(x)
        loss = {name: tf.reduce_sum(out[name] ** 2) for name in NAMES}
    reached = {}
    for name in NAMES:
        found = tape.gradient(loss[name], towers)
        reached[name] = "".join(n for n in NAMES if found[n] is not None and np.any(found[n]))
    assert reached == {"a": "a", "b": "ab", "c": "abc"}
    own = scheme.transfers.towers[0].kernel.value
    assert tape.gradient(loss["a"], own) is None and np.any(tape.gradient(loss["b"], own))


def test_a_part_that_answers_its_own_key_takes_all_of_the_share():
    """Logits of 100 x 100 x 64 / 8, which no half-precision number can hold, are softened in float32."""
    one, other = (np.full((1, 64), c, "float16") for c in (100, -100))
    values = [np.full((1, 64), c, "float16") for c in (3, 5)]
    np.testing.assert_array_equal(attended(values, [one, one], [one, other]), values[0])
    np.testing.assert_array_equal(attended(values, [one, one], [other, one]), values[1])
    half = attended(values, [one, other], [one, other])
    np.testing.assert_array_equal(half, np.full((1, 64), 4.0))


def test_it_trains_compiled_and_comes_back(tmp_path, rng):
    check_training(lambda: AITM(units=[5]), tmp_path / "m.keras", rng, "mixed_float16")


def test_positions_and_masks(rng):
    check_positions(lambda: AITM(units=[5, 4]), rng)
    check_mask(AITM)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"units": []}, "is empty"), ({"units": [0]}, "at least 1"), ({"activation": "x"}, "x")],
)
def test_what_it_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        AITM(**arguments)
