"""A loss or gradient that is not finite: told by name, and in no weight, whatever balances the step."""

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from tensorboard.backend.event_processing import event_accumulator

import keras_mtl
from keras_mtl import balancing, encoders, tasks
from keras_mtl.callbacks import TensorBoard
from tests.models import compiled, rows

# Its square is no float32.
TOO_LARGE = 1e30
HOW = [{}, {"jit_compile": True}, {"run_eagerly": True}]
BALANCERS = [
    None, "uncertainty", "dwa", "famo", "upgrad", "moco", "modo", "sign_agreement", "imtl",
]  # fmt: skip
LIGHT = ["dwa", "famo", "modo", "sign_agreement", "imtl"]


def faulty(at: int, batches: int = 3, rows_a_batch: int = 16):
    """Batches of which one holds a label of `z_price` whose loss overflows; and the same without it."""
    x, y = rows(batches * rows_a_batch)
    missing = {**y, "z_price": y["z_price"].copy()}
    missing["z_price"][at * rows_a_batch : (at + 1) * rows_a_batch] = np.nan
    y = {**y, "z_price": y["z_price"].copy()}
    y["z_price"][at * rows_a_batch + 3] = TOO_LARGE
    return [
        tf.data.Dataset.from_tensor_slices((x, labels)).batch(rows_a_batch)
        for labels in (y, missing)
    ]


def weights(model) -> list[np.ndarray]:
    return [v.numpy() for v in model.trainable_variables]


def model_of(balancer, **how):
    given = {} if balancer is None else {"balancer": balancing.get(balancer)}
    keras.utils.set_random_seed(2)
    return compiled(seed=1, optimizer=keras.optimizers.Adam(0.01), **given, **how)


@pytest.mark.parametrize("how", HOW)
def test_a_run_stops_and_names_task_epoch_and_step(how):
    data, _ = faulty(at=1)
    model = compiled(**how)
    with pytest.raises(
        FloatingPointError, match=r"loss of 'z_price' is not finite in epoch 4, step 1"
    ):
        model.fit(data, epochs=9, initial_epoch=4, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert all(np.isfinite(ops.convert_to_numpy(v)).all() for v in model.optimizer.variables)
    # The two steps that were sound were taken.
    assert int(model.optimizer.iterations) == 2


@pytest.mark.parametrize("balancer", BALANCERS)
def test_the_step_that_is_not_sound_is_not_taken(balancer):
    data, _ = faulty(at=0, batches=1)
    model = model_of(balancer, run_eagerly=balancer in LIGHT)
    before = weights(model)
    with pytest.raises(FloatingPointError, match="'z_price'"):
        model.fit(data, verbose=0)
    for one, two in zip(before, weights(model), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("at_once", [1, 10])
def test_a_long_epoch_stops_before_its_end(at_once):
    seen = []
    data, _ = faulty(at=2, batches=64, rows_a_batch=1)
    count = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(batch)
    )
    with pytest.raises(FloatingPointError, match="epoch 0, step 5 "):
        compiled(steps_per_execution=at_once).fit(data, verbose=0, callbacks=[count])
    assert max(seen, default=0) < 20


def test_one_batch_by_hand_stops_too():
    x, y = rows(16)
    y["z_price"][0] = TOO_LARGE
    model = compiled()
    with pytest.raises(FloatingPointError, match="'z_price' is not finite in step 0; the step was"):
        model.train_on_batch(x, y)
    # The next one is judged by itself. What it answers is a mean over both batches in Keras 3.12.
    model.train_on_batch(*rows(16))
    assert np.isfinite(model.evaluate(*rows(16), verbose=0)).all()


@pytest.mark.parametrize("balancer", BALANCERS)
def test_a_task_that_is_skipped_is_as_if_it_had_no_labels_in_that_step(balancer):
    data, missing = faulty(at=1)
    # Branches are traced where they are compiled, and taken where they are not: some of each.
    eager = balancer in LIGHT
    skipping = model_of(balancer, on_nonfinite="skip", run_eagerly=eager)
    reference = model_of(balancer, run_eagerly=eager)
    got = skipping.fit(data, epochs=2, verbose=0, shuffle=False).history
    keras.utils.set_random_seed(2)
    expected = reference.fit(missing, epochs=2, verbose=0, shuffle=False).history
    assert got.pop("z_price_skipped") == [1, 1]
    assert got.pop("a_kind_skipped") == got.pop("m_sold_skipped") == [0, 0]
    for one, two in zip(weights(skipping), weights(reference), strict=True):
        np.testing.assert_allclose(one, two, rtol=2e-5, atol=1e-6)
    assert set(got) == set(expected)
    for key, values in got.items():
        if "loss" in key and key != "loss":
            np.testing.assert_allclose(values, expected[key], rtol=1e-4, err_msg=key)


@pytest.mark.parametrize("how", HOW)
def test_skipping_changes_nothing_where_all_is_finite(how):
    x, y = rows(48)
    found = []
    for policy in ("ignore", "skip"):
        model = compiled(on_nonfinite=policy, **how)
        model.fit(x, y, epochs=2, verbose=0, shuffle=False)
        found.append(weights(model))
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


def test_what_is_skipped_is_warned_of_and_drawn(caplog, tmp_path):
    data, _ = faulty(at=1)
    with caplog.at_level(logging.WARNING, "keras_mtl"):
        compiled(on_nonfinite="skip").fit(data, verbose=0, callbacks=[TensorBoard(tmp_path)])
    events = event_accumulator.EventAccumulator(str(tmp_path / "train"))
    events.Reload()
    (drawn,) = events.Tensors("z_price/skipped")
    assert float(tf.make_ndarray(drawn.tensor_proto)) == 1
    assert "Epoch 0: left out of steps that were not finite: 'z_price' in 1." in caplog.text


def rooted(on_nonfinite: str):
    """A model one of whose losses is finite where its gradient is not: a root, at 0."""
    inputs = keras.Input((1,), name="x")
    hidden = keras.layers.Dense(1, use_bias=False, name="shared")(inputs)
    outputs = {
        "root": keras.layers.Identity(name="root_")(hidden),
        "line": keras.layers.Identity(name="line_")(hidden),
    }
    model = keras_mtl.MultiTaskModel(inputs, outputs)
    losses = {"root": lambda y, p: ops.sqrt(ops.abs(y - p)), "line": "mse"}
    model.compile(keras.optimizers.SGD(0.1), loss=losses, on_nonfinite=on_nonfinite)
    return model


def test_a_gradient_that_is_not_finite_though_the_losses_are():
    x = np.zeros((4, 1), "float32")
    y = {"root": np.zeros((4, 1), "float32"), "line": np.ones((4, 1), "float32")}
    model = rooted("raise")
    before = weights(model)
    with pytest.raises(
        FloatingPointError, match="gradient of the joint loss is not finite, though"
    ):
        model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(before[0], weights(model)[0])
    model = rooted("skip")
    before = weights(model)
    history = model.fit(x, y, verbose=0).history
    assert history["root_skipped"] == history["line_skipped"] == [1]
    np.testing.assert_array_equal(before[0], weights(model)[0])
    assert int(model.optimizer.iterations) == 0


@pytest.mark.parametrize("policy", ["raise", "skip"])
def test_moving_means_do_not_hear_of_a_step_that_is_not_sound(policy):
    inputs = keras.Input((2,), name="x")
    hidden = keras.layers.BatchNormalization(name="norm")(keras.layers.Dense(3)(inputs))
    outputs = {n: keras.layers.Dense(1, name=n)(hidden) for n in ("one", "two")}
    model = keras_mtl.MultiTaskModel(inputs, outputs)
    model.compile("sgd", loss="mse", on_nonfinite=policy)
    x = np.full((4, 2), np.inf, "float32")
    y = {n: np.ones((4, 1), "float32") for n in outputs}
    data = tf.data.Dataset.from_tensors((x, y))
    if policy == "raise":
        with pytest.raises(FloatingPointError, match="'one', 'two' is not finite"):
            model.fit(data, verbose=0)
    else:
        model.fit(data, verbose=0)
    norm = model.get_layer("norm")
    np.testing.assert_array_equal(norm.moving_mean, np.zeros(3))
    np.testing.assert_array_equal(norm.moving_variance, np.ones(3))
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_half_precision_leaves_overflows_to_its_optimizer():
    """Float16 gradients overflow while the scale of the loss is found; that is no fault of a task."""
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = keras_mtl.build_model(
            encoders.Dense(6, units=[8]), [tasks.Regression("price"), tasks.Binary("sold")]
        )
        model.compile(keras.optimizers.SGD(0.01))
    finally:
        keras.config.set_dtype_policy("float32")
    model.optimizer.initial_scale = 2.0**30
    x, y = rows(64)
    labels = {"price": y["z_price"][:, 0], "sold": y["m_sold"][:, 0]}
    model.fit(x, labels, epochs=6, verbose=0)
    assert all(np.isfinite(v.numpy()).all() for v in model.variables)
    labels["price"][:] = 1e38
    model.adapt({"price": np.zeros(3, "float32")})
    with pytest.raises(FloatingPointError, match="'price'"):
        model.fit(x, labels, verbose=0)


def test_it_is_kept_with_the_model(tmp_path):
    model = compiled(on_nonfinite="skip")
    model.fit(*rows(8), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    data, _ = faulty(at=1)
    assert loaded.fit(data, verbose=0).history["z_price_skipped"] == [1]


def test_a_policy_that_is_not_there():
    with pytest.raises(ValueError, match=r"`on_nonfinite` is 'stop'; expected 'raise'.*'skip'"):
        compiled(on_nonfinite="stop")
