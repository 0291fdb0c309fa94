"""Soft: the two ties against NumPy, the limits of the strength, and schedules of it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mtl
from keras_mtl import sharing, tasks
from keras_mtl.sharing.soft import Soft, distance_to_mean, trace_norm
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

HALVED = keras.optimizers.schedules.ExponentialDecay(8.0, decay_steps=1, decay_rate=0.5)


def with_gradient(tie, w):
    value = tf.constant(w, "float32")
    with tf.GradientTape() as tape:
        tape.watch(value)
        found = tie(value)
    return float(found), tape.gradient(found, value).numpy()


@pytest.mark.parametrize("shape", [(2, 5), (3, 40), (6, 4), (1, 7)])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_trace_norm_is_that_of_numpy(shape, scale, rng):
    w = (scale * rng.normal(size=shape)).astype("float32")
    u, s, vt = np.linalg.svd(w.astype("float64"), full_matrices=False)
    value, gradient = with_gradient(trace_norm, w)
    assert value == pytest.approx(s.sum(), rel=1e-5)
    np.testing.assert_allclose(gradient, u @ vt, atol=2e-4)


def test_trace_norm_where_singular_values_vanish(rng):
    """Of equal towers w: sqrt(K) ||w||, and the gradient points along w alone; of zero: 0, and 0."""
    w = rng.normal(size=50)
    value, gradient = with_gradient(trace_norm, np.tile(w, (4, 1)))
    assert value == pytest.approx(2 * np.linalg.norm(w), rel=1e-5)
    np.testing.assert_allclose(
        gradient, np.tile(w / (2 * np.linalg.norm(w)), (4, 1)), rtol=1e-4, atol=1e-6
    )
    value, gradient = with_gradient(trace_norm, np.zeros((3, 5)))
    assert value == 0 and (gradient == 0).all()


def test_ties_are_exact_and_compile(rng):
    w = rng.normal(size=(3, 20)).astype("float32")
    value, gradient = with_gradient(distance_to_mean, w)
    assert value == pytest.approx(np.linalg.norm(w - w.mean(0)) ** 2, rel=1e-5)
    np.testing.assert_allclose(gradient, 2 * (w - w.mean(0)), rtol=1e-4, atol=1e-6)
    compiled = tf.function(lambda: with_gradient_in_graph(w), jit_compile=True)()
    np.testing.assert_allclose(compiled[0], np.linalg.svd(w)[1].sum(), rtol=1e-5)
    assert np.isfinite(compiled[1]).all()


def with_gradient_in_graph(w):
    value = tf.constant(w)
    with tf.GradientTape() as tape:
        tape.watch(value)
        found = trace_norm(value)
    return found, tape.gradient(found, value)


@pytest.mark.parametrize("tie", ["l2", "trace_norm"])
def test_what_is_added_to_the_joint_loss(tie, rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    soft = Soft(tie, strength=0.3, units=[5, 2])
    connected(soft, x)
    assert not soft.losses
    soft(x, training=True)
    expected = 0.0
    for level in soft.levels:
        w = np.stack([np.append(np.ravel(t.kernel), t.bias) for t in level.towers])
        squares = np.square(w - w.mean(0)).sum()
        expected += squares if tie == "l2" else np.linalg.svd(w)[1].sum()
    assert float(sum(soft.losses)) == pytest.approx(0.3 * expected, rel=1e-5)


def test_each_task_has_a_tower_of_its_own(rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    soft = Soft(units=[5, 2])
    out, expected = connected(soft, x), separate(soft, x)
    for name in NAMES:
        np.testing.assert_allclose(out[name], expected[name], rtol=1e-4, atol=1e-6)
    kernels = [np.asarray(tower.kernel) for tower in soft.levels[0].towers]
    assert all((kernels[0] != other).any() for other in kernels[1:])
    assert soft.count_params() == 3 * (3 * 5 + 5 + 5 * 2 + 2)


def test_infinite_strength_is_hard_sharing_through_one_tower(rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    soft = Soft(strength=float("inf"), units=[5, 2])
    out = connected(soft, x)
    assert soft.count_params() == 3 * 5 + 5 + 5 * 2 + 2
    first, second = (level.towers[0] for level in soft.levels)
    expected = relu(affine(relu(affine(x, first)), second))
    for name in NAMES:
        np.testing.assert_allclose(out[name], expected, rtol=1e-4, atol=1e-6)
    soft(x, training=True)
    assert not soft.losses


def distances_after_training(strength, rng):
    """How far apart two towers are that learn the opposite, over how far they were."""
    inputs = keras.Input((3,))
    soft = Soft("l2", strength, units=[4], activation="linear")
    model = keras.Model(inputs, soft.connect(inputs, ["a", "b"]))
    model.compile(keras.optimizers.SGD(0.02), "mse")
    x = rng.normal(size=(640, 3)).astype("float32")
    y = x @ rng.normal(size=(3, 4))
    before = float(soft.penalty.loss())
    model.fit(x, {"a": y, "b": -y}, batch_size=16, verbose=0)
    return float(soft.penalty.loss()) / before


def test_a_great_strength_brings_towers_together(rng):
    assert distances_after_training(20.0, rng) < 1e-2
    assert distances_after_training(0.0, rng) > 0.5


def test_a_schedule_is_followed_step_by_step(rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    soft = Soft("l2", HALVED, units=[5])
    connected(soft, x)
    distance = float(soft.penalty.loss())
    for strength in (8.0, 4.0, 2.0):
        soft(x, training=False)
        soft(x, training=True)
        assert float(soft.losses[-1]) == pytest.approx(strength * distance, rel=1e-5)
    assert int(soft.steps) == 3
    assert [v.name for v in soft.non_trainable_variables] == ["steps"]


def test_a_schedule_comes_back_from_the_disk(tmp_path, rng):
    model, loaded = check_training(
        lambda: Soft("trace_norm", HALVED, units=[5]), tmp_path / "m.keras", rng, "float32"
    )
    soft, back = (
        next(layer for layer in m.layers if isinstance(layer, Soft)) for m in (model, loaded)
    )
    assert int(soft.steps) == int(back.steps) == 6
    assert float(back.strength(2)) == 2.0


def test_it_trains_in_half_precision_and_comes_back(tmp_path, rng):
    check_training(lambda: Soft("l2", 0.1, units=[5]), tmp_path / "m.keras", rng, "mixed_float16")


def test_one_tower_comes_back_from_the_disk(tmp_path, rng):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, Soft(strength=float("inf"), units=[5]).connect(inputs, NAMES))
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    x = rng.normal(size=(4, 3)).astype("float32")
    for name in NAMES:
        np.testing.assert_array_equal(model(x)[name], loaded(x)["a"])


def test_ties_are_measured_in_single_precision():
    """Towers 1e-4 apart at 1: half precision would see no difference."""
    soft = Soft("l2", strength=1.0, units=[2], dtype="mixed_float16")
    x = np.ones((2, 3), "float32")
    assert connected(soft, x, ["a", "b"])["a"].dtype == "float16"
    for tower, value in zip(soft.levels[0].towers, (1.0, 1.0001), strict=True):
        tower.kernel.assign(np.full((3, 2), value))
    soft(x, training=True)
    assert float(soft.losses[0]) == pytest.approx(6 * 2 * 0.00005**2, rel=1e-2)


def test_positions_and_masks(rng):
    check_positions(lambda: Soft(units=[5]), rng)
    check_mask(lambda: Soft(units=[5]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tie": "l1"}, "expected one of"),
        ({"strength": -1.0}, "not negative"),
        ({"strength": float("nan")}, "not negative"),
        ({"strength": "much"}, "not negative"),
        ({"units": [0]}, "at least 1"),
    ],
)
def test_what_it_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        Soft(**arguments)


def test_heads_are_tied_where_there_are_no_towers(rng):
    """The trace norm of K linear heads on the inputs themselves, as in multi-task learning before
    deep models; what is tied is also tied in a model that was loaded."""
    inputs = keras.Input((5,), name="x")
    scheme = sharing.Soft(tie="trace_norm", strength=0.5, units=())
    made = [tasks.Regression(f"t{i}", scaling=None) for i in range(3)]
    model = keras_mtl.build_model(keras.layers.Identity(name="same"), made, scheme, inputs=inputs)
    kernels = np.stack([model.get_layer(f"t{i}_scores").kernel.numpy()[:, 0] for i in range(3)])
    x = np.zeros((2, 5), "float32")
    model(x, training=True)
    expected = 0.5 * np.linalg.svd(kernels, compute_uv=False).sum()
    np.testing.assert_allclose(sum(model.losses), expected, rtol=1e-4)
    with pytest.raises(ValueError, match=r"towers such as units=\(64,\)"):
        sharing.Soft(strength=float("inf"), units=())
