"""NDDR: the limit in which towers are apart, and the projections."""

import numpy as np
import pytest

from keras_mtl.sharing.cross_stitch import CrossStitch
from keras_mtl.sharing.nddr import NDDR
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


@pytest.mark.parametrize("beta", [0.0, None])
def test_with_nothing_of_the_others_towers_are_apart(beta, rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    scheme = NDDR(units=[5, 2], alpha=1.0, beta=beta)
    out, expected = connected(scheme, x), separate(scheme, x)
    for name in NAMES:
        np.testing.assert_allclose(out[name], expected[name], rtol=1e-4, atol=1e-6)


def test_each_task_projects_the_features_of_all(rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    scheme = NDDR(units=[5, 2])
    connected(scheme, x)
    for projection in scheme.projections:
        projection.kernel.assign(rng.normal(size=projection.kernel.shape))
        projection.bias.assign(rng.normal(size=projection.bias.shape))
    towers = [x, x, x]
    for level, projection, d in zip(scheme.levels, scheme.projections, (5, 2), strict=True):
        made = [relu(affine(h, t)) for h, t in zip(towers, level.towers, strict=True)]
        p, b = np.asarray(projection.kernel), np.asarray(projection.bias)
        columns = [slice(i * d, (i + 1) * d) for i in range(3)]
        towers = [np.concatenate(made, axis=1) @ p[:, c] + b[c] for c in columns]
    out = connected(scheme, x)
    for name, expected in zip(NAMES, towers, strict=True):
        np.testing.assert_allclose(out[name], expected, rtol=1e-4, atol=1e-4)


def test_it_starts_as_a_cross_stitch(rng):
    """alpha + (K - 1) beta = 1 unless beta is given."""
    x = rng.normal(size=(4, 3)).astype("float32")
    scheme, stitch = NDDR(units=[5], alpha=0.8), CrossStitch(units=[5], self_weight=0.8)
    connected(scheme, x), connected(stitch, x)
    for tower, same in zip(scheme.levels[0].towers, stitch.levels[0].towers, strict=True):
        assert (np.asarray(tower.kernel) != np.asarray(same.kernel)).any()
        same.set_weights(tower.get_weights())
    out, expected = connected(scheme, x), connected(stitch, x)
    for name in NAMES:
        np.testing.assert_allclose(out[name], expected[name], rtol=1e-5)
    other = NDDR(units=[2], alpha=0.5, beta=0.4)
    connected(other, x)
    start = np.asarray(other.projections[0].kernel)
    np.testing.assert_allclose(start[:, :2], np.vstack([0.5 * np.eye(2)] + [0.4 * np.eye(2)] * 2))
    assert other.count_params() == 3 * (3 * 2 + 2) + 3 * (3 * 2 * 2 + 2)


def test_one_task_starts_as_its_own_tower(rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    alone = NDDR(units=[2])
    out = connected(alone, x, ["a"])["a"]
    np.testing.assert_allclose(out, separate(alone, x)["a"], rtol=1e-5)


def test_it_trains_compiled_and_comes_back(tmp_path, rng):
    check_training(lambda: NDDR(units=[5]), tmp_path / "m.keras", rng, "mixed_float16")


def test_positions_and_masks(rng):
    check_positions(lambda: NDDR(units=[5, 4]), rng)
    check_mask(NDDR)


@pytest.mark.parametrize("arguments", [{"alpha": float("nan")}, {"beta": float("inf")}])
def test_what_it_refuses(arguments):
    with pytest.raises(ValueError, match="expected finite numbers"):
        NDDR(**arguments)
