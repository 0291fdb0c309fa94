"""CrossStitch: the limit in which towers are apart, and what is mixed when they are not."""

import numpy as np
import pytest

from keras_mtl.sharing.cross_stitch import CrossStitch
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


@pytest.mark.parametrize("per_channel", [False, True])
def test_at_the_identity_towers_are_apart(per_channel, rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    scheme = CrossStitch(units=[5, 2], self_weight=1.0, per_channel=per_channel)
    out, expected = connected(scheme, x), separate(scheme, x)
    for name in NAMES:
        np.testing.assert_allclose(out[name], expected[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("per_channel", [False, True])
def test_each_task_reads_its_own_sum_of_the_towers(per_channel, rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    scheme = CrossStitch(units=[5, 2], per_channel=per_channel)
    connected(scheme, x)
    for stitch in scheme.stitches:
        stitch.assign(rng.normal(size=stitch.shape))
    towers = [x, x, x]
    for level, stitch in zip(scheme.levels, scheme.stitches, strict=True):
        made = [relu(affine(h, t)) for h, t in zip(towers, level.towers, strict=True)]
        a = np.asarray(stitch)
        towers = [sum(a[i, j] * made[j] for j in range(3)) for i in range(3)]
    out = connected(scheme, x)
    for name, expected in zip(NAMES, towers, strict=True):
        np.testing.assert_allclose(out[name], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("per_channel", [False, True])
def test_what_it_starts_with(per_channel, rng):
    """0.9 of a task's own tower and 0.05 of each other; towers differ; one task is its own tower."""
    x = rng.normal(size=(4, 3)).astype("float32")
    scheme = CrossStitch(units=[2], per_channel=per_channel)
    connected(scheme, x)
    start = np.full((3, 3), 0.05) + 0.85 * np.eye(3)
    got = np.asarray(scheme.stitches[0])
    for channel in range(2):
        np.testing.assert_allclose(got[..., channel] if per_channel else got, start, rtol=1e-6)
    kernels = [np.asarray(tower.kernel) for tower in scheme.levels[0].towers]
    assert all((kernels[0] != other).any() for other in kernels[1:])
    assert scheme.count_params() == 3 * (3 * 2 + 2) + 9 * (2 if per_channel else 1)
    alone = CrossStitch(units=[2])
    out = connected(alone, x, ["a"])["a"]
    np.testing.assert_allclose(out, separate(alone, x)["a"], rtol=1e-5)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_it_trains_compiled_and_comes_back(policy, tmp_path, rng):
    check_training(
        lambda: CrossStitch(units=[5], per_channel=policy == "float32"),
        tmp_path / "m.keras",
        rng,
        policy,
    )


def test_positions_and_masks(rng):
    check_positions(lambda: CrossStitch(units=[5, 4]), rng)
    check_positions(lambda: CrossStitch(units=[5], per_channel=True), rng)
    check_mask(CrossStitch)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"self_weight": 1.1}, "between 0 and 1"), ({"units": [2.5]}, "at least 1")],
)
def test_what_it_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        CrossStitch(**arguments)
