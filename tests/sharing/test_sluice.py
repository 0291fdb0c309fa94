"""Sluice: the limit in which towers are apart, subspaces, betas and the orthogonality penalty."""

import numpy as np
import pytest

from keras_mtl.sharing.sluice import Sluice, overlap
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


def test_with_identity_alphas_and_the_last_layers_beta_towers_are_apart(rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    scheme = Sluice(units=[6, 6], self_weight=1.0)
    connected(scheme, x)
    scheme.betas.assign([[0, 1]] * 3)
    out, expected = connected(scheme, x), separate(scheme, x)
    for name in NAMES:
        np.testing.assert_allclose(out[name], expected[name], rtol=1e-4, atol=1e-6)


def test_subspaces_and_layers_are_mixed_as_alphas_and_betas_say(rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    scheme = Sluice(units=[6, 6], subspaces=3)
    connected(scheme, x, ["a", "b"])
    for variable in (*scheme.alphas, scheme.betas):
        variable.assign(rng.normal(size=variable.shape))
    towers, layers = [x, x], []
    for level, alphas in zip(scheme.levels, scheme.alphas, strict=True):
        made = [relu(affine(h, t)) for h, t in zip(towers, level.towers, strict=True)]
        subspaces = np.concatenate(made, axis=1).reshape(4, 6, 2)  # of both tasks, 2 wide
        every = np.einsum("ij,bjd->bid", np.asarray(alphas), subspaces).reshape(4, 12)
        towers = [every[:, :6], every[:, 6:]]
        layers.append(towers)
    betas = np.asarray(scheme.betas)
    out = connected(scheme, x, ["a", "b"])
    for k, name in enumerate(["a", "b"]):
        expected = betas[k, 0] * layers[0][k] + betas[k, 1] * layers[1][k]
        np.testing.assert_allclose(out[name], expected, rtol=1e-4, atol=1e-4)


def test_the_penalty_by_hand():
    """Columns (1, 0), (1, 1) | (0, 2), (3, 0) have the inner products 0, 3 | 2, 3."""
    kernel = np.array([[1.0, 1, 0, 3], [0, 1, 2, 0]], "float32")
    assert float(overlap(kernel, 2)) == 0 + 9 + 4 + 9
    # Four subspaces: (1, 0) with (1, 1) and (0, 2) with (3, 0) count, too.
    assert float(overlap(kernel, 4)) == 22 + 1 + 0
    assert float(overlap(np.eye(4, dtype="float32"), 2)) == 0


def test_the_penalty_of_all_layers_is_added_in_training(rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    scheme = Sluice(units=[6, 6], orthogonality=0.5)
    connected(scheme, x)
    assert not scheme.losses
    scheme(x, training=True)
    expected = 0.0
    for level in scheme.levels:
        for tower in level.towers:
            w = np.asarray(tower.kernel)
            expected += np.linalg.norm(w[:, :3].T @ w[:, 3:]) ** 2
    assert float(scheme.losses[0]) == pytest.approx(0.5 * expected, rel=1e-5)
    for none in (Sluice(units=[6], orthogonality=0), Sluice(units=[6], subspaces=1)):
        connected(none, x)
        none(x, training=True)
        assert not none.losses


def test_what_it_starts_with(rng):
    """Mostly itself, all layers alike; towers differ; one task with one subspace is itself."""
    scheme = Sluice(units=[4, 4])
    connected(scheme, rng.normal(size=(4, 3)).astype("float32"))
    np.testing.assert_allclose(scheme.alphas[1], np.full((6, 6), 0.02) + 0.88 * np.eye(6), 1e-5)
    np.testing.assert_allclose(scheme.betas, 0.5)
    kernels = [np.asarray(tower.kernel) for tower in scheme.levels[0].towers]
    assert all((kernels[0] != other).any() for other in kernels[1:])
    assert scheme.count_params() == 3 * (3 * 4 + 4 + 4 * 4 + 4) + 2 * 36 + 6
    alone = Sluice(units=[4], subspaces=1)
    x = rng.normal(size=(4, 3)).astype("float32")
    out = connected(alone, x, ["a"])["a"]
    np.testing.assert_allclose(out, separate(alone, x)["a"], rtol=1e-5)


def test_it_trains_compiled_and_comes_back(tmp_path, rng):
    check_training(lambda: Sluice(units=[6, 6]), tmp_path / "m.keras", rng, "mixed_float16")


def test_positions_and_masks(rng):
    check_positions(lambda: Sluice(units=[4, 4]), rng)
    check_mask(Sluice)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"units": [8, 4]}, "expected one width for all layers.*use \\[8, 8\\]"),
        ({"units": [8, 8], "subspaces": 3}, "a multiple of the 3 `subspaces`; use \\[6, 6\\]"),
        ({"subspaces": 0}, "at least 1"),
        ({"self_weight": -0.1}, "between 0 and 1"),
        ({"orthogonality": -1}, "not negative"),
    ],
)
def test_what_it_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        Sluice(**arguments)
