"""MultiTaskModel: the same numbers as stock Keras, and what stock Keras cannot do."""

import warnings

import keras
import numpy as np
import pytest
from keras import ops

import keras_mtl
from keras_mtl import tasks
from tests.models import LOSSES, TASKS, compiled, functional, rows

WEIGHTS = {"z_price": 0.3, "a_kind": 0.7, "m_sold": 1.5}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"jit_compile": True},
        {"run_eagerly": True},
        {"steps_per_execution": 3},
        {"optimizer": "sgd_clipped"},
        {"optimizer": "accumulating"},
    ],
    ids=lambda o: "-".join(map(str, o.values())) or "plain",
)
def test_same_bits_as_stock_keras(options):
    made = {
        "sgd_clipped": lambda: keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.5),
        "accumulating": lambda: keras.optimizers.Adam(1e-2, gradient_accumulation_steps=2),
    }
    x, y = rows()
    found = []
    if options.get("optimizer") == "sgd_clipped" and keras.__version__ < "3.15":
        # TensorFlow rewrites both graphs, so that a norm's last bit may be another: without a graph.
        options = {**options, "run_eagerly": True}
    for cls in (keras.Model, keras_mtl.MultiTaskModel):
        kwargs = dict(options)
        if kwargs.get("optimizer") in made:
            kwargs["optimizer"] = made[kwargs["optimizer"]]()
        model = compiled(
            cls,
            loss_weights=dict(WEIGHTS),
            metrics={"z_price": ["mae"], "a_kind": ["accuracy"], "m_sold": ["accuracy"]},
            **kwargs,
        )
        keras.utils.set_random_seed(1)
        history = model.fit(x, y, batch_size=16, epochs=2, verbose=0, validation_data=(x, y))
        found.append((history.history, [v.numpy() for v in model.trainable_variables]))
    (stock, stock_weights), (ours, our_weights) = found
    assert set(stock) == set(ours)
    for key, values in stock.items():
        if key.endswith("loss") and not options.get("jit_compile"):
            np.testing.assert_array_equal(values, ours[key], err_msg=key)
        else:
            np.testing.assert_allclose(values, ours[key], rtol=1e-6, err_msg=key)
    for a, b in zip(stock_weights, our_weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_same_bits_as_stock_keras_with_sample_weights_and_regularisers():
    x, y = rows()
    weights = {name: np.linspace(0.1, 2, len(x)).astype("float32") for name in y}
    found = []
    for cls in (keras.Model, keras_mtl.MultiTaskModel):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((6,), name="x")
        hidden = keras.layers.Dense(8, kernel_regularizer="l2", activity_regularizer="l2")(inputs)
        outputs = {name: keras.layers.Dense(1, name=name)(hidden) for name in y}
        model = cls(inputs, outputs)
        model.compile("adam", loss=dict.fromkeys(y, "mse"))
        targets = {k: v.reshape(-1, 1).astype("float32") for k, v in y.items()}
        keras.utils.set_random_seed(1)
        model.fit(x, targets, sample_weight=weights, batch_size=16, epochs=2, verbose=0)
        found.append([v.numpy() for v in model.trainable_variables])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_trains_in_mixed_precision_and_serves_float32(policy):
    x, y = rows()
    keras.config.set_dtype_policy(policy)
    try:
        inputs = keras.Input((6,), name="x")
        hidden = keras.layers.Dense(16, activation="relu")(inputs)
        kinds = [tasks.Regression("z_price"), tasks.MultiClass("a_kind", 3), tasks.Binary("m_sold")]
        model = keras_mtl.MultiTaskModel(inputs, {t.name: t.head(hidden) for t in kinds})
        model.compile(keras.optimizers.Adam(1e-2))
        history = model.fit(x, y, batch_size=16, epochs=6, verbose=0).history
    finally:
        keras.config.set_dtype_policy("float32")
    assert hidden.dtype == policy.removeprefix("mixed_")
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    assert {str(out.dtype) for out in model.predict(x[:2], verbose=0).values()} == {"float32"}


def without(y: dict, name: str, gone: np.ndarray) -> dict:
    """The labels with those of one task missing in some rows."""
    changed = {k: v.copy() for k, v in y.items()}
    changed[name][gone] = np.nan if changed[name].dtype.kind == "f" else -1
    return changed


@pytest.mark.parametrize("task", TASKS)
def test_a_missing_label_is_as_if_the_row_were_not_there(task):
    """Loss, gradient step and metrics of that task equal those of the batch without the rows."""
    x, y = rows(32)
    gone = np.arange(32) % 3 == 0
    metrics = {"z_price": ["mae"], "a_kind": ["accuracy"], "m_sold": ["accuracy"]}
    only = {name: float(name == task) for name in TASKS}
    results, weights = [], []
    for inputs, labels in (
        (x, without(y, task, gone)),
        (x[~gone], {k: v[~gone] for k, v in y.items()}),
    ):
        model = compiled(
            optimizer=keras.optimizers.SGD(0.5), loss_weights=dict(only), metrics=metrics
        )
        logs = model.train_on_batch(inputs, labels, return_dict=True)
        results.append({k: v for k, v in logs.items() if k.startswith(task) or k == "loss"})
        weights.append([v.numpy() for v in model.trainable_variables])
    assert results[0].keys() == results[1].keys()
    assert len(results[0]) == 3
    for key in results[0]:
        np.testing.assert_allclose(results[0][key], results[1][key], rtol=1e-6, err_msg=key)
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_epoch_losses_are_means_over_the_labels_present_not_over_batches():
    x, y = rows(48)
    y = without(y, "z_price", np.arange(48) >= 20)  # 16, 4 and 0 labels in the three batches
    model = compiled(optimizer=keras.optimizers.SGD(0.0), metrics={"z_price": ["mae"]})
    history = model.fit(x, y, batch_size=16, epochs=1, verbose=0, shuffle=False).history
    error = model.predict(x[:20], verbose=0)["z_price"] - y["z_price"][:20]
    np.testing.assert_allclose(history["z_price_loss"][0], np.mean(error**2), rtol=1e-5)
    np.testing.assert_allclose(history["z_price_mae"][0], np.mean(np.abs(error)), rtol=1e-5)


def test_sample_weights_keep_the_meaning_that_stock_keras_gives_them():
    """Under the default reduction a weighted loss is a mean over rows, not over weights."""
    x, y = rows(16)
    weight = np.linspace(0, 3, 16).astype("float32")
    model = compiled()
    got = model.evaluate(x, y, sample_weight={"z_price": weight}, verbose=0, return_dict=True)
    error = (model.predict(x, verbose=0)["z_price"] - y["z_price"])[:, 0] ** 2
    np.testing.assert_allclose(got["z_price_loss"], np.mean(weight * error), rtol=1e-5)
    model.compile(
        "adam", loss={"z_price": keras.losses.MeanSquaredError("mean_with_sample_weight")}
    )
    got = model.evaluate(x, y, sample_weight={"z_price": weight}, verbose=0, return_dict=True)
    np.testing.assert_allclose(got["z_price_loss"], np.average(error, weights=weight), rtol=1e-5)


def test_elements_of_a_vector_label_may_be_missing_one_by_one(rng):
    inputs = keras.Input((3,), name="x")
    model = keras_mtl.MultiTaskModel(inputs, {"v": keras.layers.Dense(4)(inputs)})
    model.compile("sgd", loss="mse")
    x = rng.normal(size=(8, 3)).astype("float32")
    y = rng.normal(size=(8, 4)).astype("float32")
    y[rng.random((8, 4)) < 0.4] = np.nan
    error = (model.predict(x, verbose=0)["v"] - y) ** 2
    got = model.evaluate(x, {"v": y}, verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(got, np.nanmean(error), rtol=1e-5)


def test_integer_labels_of_a_regression_may_be_minus_one():
    inputs = keras.Input((1,), name="x")
    model = keras_mtl.MultiTaskModel(inputs, {"t": keras.layers.Dense(1, use_bias=False)(inputs)})
    model.compile("sgd", loss="mse")
    x = np.zeros((4, 1), "float32")
    got = model.evaluate(x, {"t": np.array([-1, -1, 2, 0])}, verbose=0, return_dict=True)["loss"]
    assert got == pytest.approx((1 + 1 + 4 + 0) / 4)


def test_saved_and_loaded_whole_it_goes_on_as_if_nothing_had_happened(tmp_path):
    x, y = rows()
    model = compiled(
        loss_weights=dict(WEIGHTS),
        metrics={"a_kind": ["accuracy"]},
        balancer="uncertainty",
        learning_rate_multipliers={"shared": 0.5},
    )
    model.fit(x, y, batch_size=16, epochs=2, verbose=0, shuffle=False)
    model.loss_weights = {"z_price": 0.25}
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.task_names == list(TASKS)
    assert loaded.loss_weights == model.loss_weights
    np.testing.assert_array_equal(
        loaded.balancer.log_variances.numpy(), model.balancer.log_variances.numpy()
    )
    assert int(loaded.optimizer.iterations) == int(model.optimizer.iterations) == 12
    for again in (model, loaded):
        again.fit(x, y, batch_size=16, epochs=1, verbose=0, shuffle=False)
    for a, b in zip(model.trainable_variables, loaded.trainable_variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_weights_of_a_stock_model_load_into_ours(tmp_path):
    stock, ours = functional(keras.Model, seed=3), functional(seed=4)
    stock.save_weights(tmp_path / "stock.weights.h5")
    ours.load_weights(tmp_path / "stock.weights.h5")
    x, _ = rows(4)
    for name, out in stock.predict(x, verbose=0).items():
        np.testing.assert_array_equal(out, ours.predict(x, verbose=0)[name])


def test_a_clone_has_the_same_tasks_and_fresh_weights():
    inputs = keras.Input((6,), name="x")
    hidden = keras.layers.Dense(4, name="shared")(inputs)
    kinds = [tasks.Ordinal("stage", 4), tasks.Regression("price", units="EUR")]
    model = keras_mtl.MultiTaskModel(inputs, {t.name: t.head(hidden) for t in kinds})
    clone = keras.models.clone_model(model)
    assert isinstance(clone, keras_mtl.MultiTaskModel)
    assert clone.task_names == ["stage", "price"]
    assert clone.tasks["price"].units == "EUR"
    assert not np.array_equal(
        clone.get_layer("shared").kernel.numpy(), model.get_layer("shared").kernel.numpy()
    )


def test_summary_names_every_task():
    lines: list[str] = []
    functional().summary(print_fn=lambda line, **_: lines.append(line))
    assert all(name in "\n".join(lines) for name in TASKS)


def test_the_heads_of_tasks_get_logits_and_serve_probabilities(rng):
    """The loss is computed of logits: it stays finite where a probability would round to 0."""
    inputs = keras.Input((1,), name="x")
    task = tasks.MultiClass("kind", 3)
    model = keras_mtl.MultiTaskModel(inputs, {"kind": task.head(inputs)})
    model.compile("sgd")
    model.get_layer("kind_scores").set_weights([np.array([[200.0, 0, 0]]), np.zeros(3)])
    x = np.ones((2, 1), "float32")
    served = model.predict(x, verbose=0)["kind"]
    np.testing.assert_allclose(served, [[1, 0, 0], [1, 0, 0]], atol=1e-30)
    loss = model.evaluate(x, {"kind": np.array([1, 2])}, verbose=0, return_dict=True)["loss"]
    assert loss == pytest.approx(200.0)


def test_uneven_reductions_and_none_are_answered():
    model = functional()
    with pytest.raises(ValueError, match="'z_price' has reduction='none'"):
        model.compile("sgd", loss={"z_price": keras.losses.MeanSquaredError(reduction="none")})
    model.compile("sgd", loss={"z_price": keras.losses.MeanSquaredError(reduction="sum")})
    x, y = rows(8)
    error = (model.predict(x, verbose=0)["z_price"] - y["z_price"]) ** 2
    got = model.evaluate(x, {"z_price": y["z_price"]}, verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(got, error.sum(), rtol=1e-5)


def test_padding_masks_of_keras_leave_positions_out(rng):
    """An Embedding's mask reaches loss and metrics, as it does in stock Keras."""
    losses = []
    for cls in (keras.Model, keras_mtl.MultiTaskModel):
        keras.utils.set_random_seed(0)
        ids = keras.Input((None,), name="ids", dtype="int32")
        seen = keras.layers.Embedding(5, 4, mask_zero=True)(ids)
        model = cls(ids, {"tag": keras.layers.Dense(3, activation="softmax", name="tag")(seen)})
        model.compile("sgd", loss={"tag": "sparse_categorical_crossentropy"})
        x = np.array([[1, 2, 0], [3, 0, 0]])
        y = {"tag": np.array([[0, 1, 2], [2, 2, 2]])}
        losses.append(model.evaluate(x, y, verbose=0, return_dict=True)["loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)


def test_gradients_of_a_task_without_labels_leave_its_head_alone():
    x, y = rows(16)
    model = compiled(optimizer=keras.optimizers.SGD(0.5))
    before = model.get_layer("m_sold").kernel.numpy()
    labels = {k: v for k, v in y.items() if k != "m_sold"}
    model.train_on_batch(x, labels)
    np.testing.assert_array_equal(before, model.get_layer("m_sold").kernel.numpy())
    assert not np.array_equal(before, model.get_layer("z_price").kernel.numpy())


def test_the_loss_that_is_reported_is_the_alpha_weighted_one_whatever_the_balancer():
    x, y = rows()
    for balancer in (None, *keras_mtl.balancing.names()):
        model = compiled(loss_weights=dict(WEIGHTS), balancer=balancer, run_eagerly=True)
        logs = model.fit(x, y, batch_size=len(x), epochs=1, verbose=0).history
        told = sum(WEIGHTS[name] * logs[f"{name}_loss"][0] for name in LOSSES)
        assert logs["loss"][0] == pytest.approx(told, rel=1e-5)


def test_a_second_compile_replaces_the_first_one_whole():
    model = compiled(balancer="uncertainty", loss_weights={"z_price": 0.1})
    assert len(model.trainable_variables) == len(functional().trainable_variables) + 1
    model.compile("sgd", loss=dict(LOSSES))
    assert model.balancer is None
    assert model.loss_weights == dict.fromkeys(TASKS, 1.0)
    assert len(model.trainable_variables) == len(functional().trainable_variables)


def test_outputs_described_by_tasks_keep_their_values_and_can_be_judged():
    inputs = keras.Input((6,), name="x")
    out = keras.layers.Dense(3, activation="softmax", name="probabilities")(inputs)
    model = keras_mtl.MultiTaskModel(inputs, {"a_kind": out}, tasks=[tasks.MultiClass("a_kind", 3)])
    x, y = rows()
    model.compile("adam", loss={"a_kind": "sparse_categorical_crossentropy"})
    model.fit(x, {"a_kind": y["a_kind"]}, epochs=1, verbose=0)
    plain = keras.Model(inputs, out)
    np.testing.assert_array_equal(
        plain.predict(x, verbose=0), model.predict(x, verbose=0)["a_kind"]
    )
    report = keras_mtl.evaluate(model, x, {"a_kind": y["a_kind"]})
    right = np.mean(plain.predict(x, verbose=0).argmax(-1) == y["a_kind"])
    assert report["a_kind"]["accuracy"] == pytest.approx(right)
    assert ops.shape(out) == (None, 3)


def test_one_hot_labels_are_missing_by_the_row(rng):
    """A row of NaN under categorical cross-entropy is left out of loss, step and accuracy."""
    x, y = rows(32)
    one_hot = np.eye(3, dtype="float32")[y["a_kind"]]
    gone = np.arange(32) % 4 == 0
    masked = np.where(gone[:, None], np.nan, one_hot)
    found = []
    for inputs, labels in ((x, masked), (x[~gone], one_hot[~gone])):
        model = functional()
        model.compile(
            keras.optimizers.SGD(0.5),
            loss={"a_kind": "categorical_crossentropy"},
            metrics={"a_kind": "accuracy"},
        )
        logs = model.train_on_batch(inputs, {"a_kind": labels}, return_dict=True)
        found.append((logs, model.get_layer("a_kind").kernel.numpy()))
    for name, value in found[0][0].items():
        assert float(value) == pytest.approx(float(found[1][0][name]), rel=1e-6), name
    np.testing.assert_allclose(found[0][1], found[1][1], rtol=1e-5)


def test_one_task_of_a_model_whose_input_keys_are_not_the_layers_names(rng):
    inputs = {"key": keras.Input((2,), name="layer"), "other": keras.Input((1,), name="more")}
    outputs = {
        "a": keras.layers.Dense(1)(inputs["key"]),
        "b": keras.layers.Dense(1)(inputs["other"]),
    }
    with pytest.warns(UserWarning, match="all keys in the dict must match"):
        model = keras_mtl.MultiTaskModel(inputs, outputs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        alone = model.task_model("a")
    x = {"key": rng.normal(size=(3, 2)).astype("float32"), "other": np.zeros((3, 1), "float32")}
    whole = model.predict(x, verbose=0)["a"]
    np.testing.assert_array_equal(alone.predict({"key": x["key"]}, verbose=0)["a"], whole)


def test_a_text_of_one_word_is_pooled_without_a_word():
    from keras_mtl.tasks import SequencePooling

    one = np.ones((2, 1, 3), "float32")
    np.testing.assert_allclose(SequencePooling()(one), one[:, 0])


@pytest.mark.parametrize("balancer", [None, "cagrad", "moco"])
def test_a_step_is_traced_once(balancer, rng):
    """The first step of a model makes one wait for one tracing, not for two."""
    traced = []

    def loss(y_true, y_pred):
        traced.append(1)
        return keras.losses.mean_squared_error(y_true, y_pred)

    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(8)(inputs)
    outputs = {name: keras.layers.Dense(1)(hidden) for name in "ab"}
    model = keras_mtl.MultiTaskModel(inputs, outputs)
    model.compile("adam", loss={"a": loss}, balancer=balancer)
    x = rng.normal(size=(32, 4)).astype("float32")
    model.fit(x, {"a": x[:, :1]}, batch_size=8, epochs=2, verbose=0)
    assert len(traced) == 1


def test_words_may_come_as_the_bytes_that_tensorflow_makes_of_them():
    model = keras_mtl.build_model(
        keras_mtl.encoders.Text(["grün", "go"], kind="cnn", units=4),
        [keras_mtl.tasks.MultiClass("kind", 2)],
    )
    words = np.array([["grün", "go"], ["go", ""]], object)
    encoded = np.array([[w.encode() for w in row] for row in words], object)
    one, two = (model.predict({"tokens": given}, verbose=0)["kind"] for given in (words, encoded))
    np.testing.assert_array_equal(one, two)
    fixed = np.array([[w.encode() for w in row] for row in words], "S8")
    np.testing.assert_array_equal(model.predict({"tokens": fixed}, verbose=0)["kind"], one)
