"""What users have asked of multi-output models for ten years: one test a line of that list.

The numbers are those of the project's list of user requests; each test is the complaint's own
small program, solved.
"""

import ast
import configparser
import pathlib
import re
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import f1_score

import keras_mtl
from keras_mtl import callbacks, data, encoders, tasks
from tests.models import LOSSES, TASKS, compiled, functional, rows
from tests.replicas import weights_on

ROOT = pathlib.Path(keras_mtl.__file__).parents[1]


def test_ask_01_labels_missing_in_some_outputs():
    x, y = rows()
    y["z_price"][::2] = np.nan
    y["a_kind"][::3] = -1
    y["m_sold"][::5] = np.nan
    model = compiled(metrics={"z_price": ["mae"], "a_kind": ["accuracy"], "m_sold": ["accuracy"]})
    history = model.fit(x, y, batch_size=8, epochs=3, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert history["loss"][-1] < history["loss"][0]


def test_ask_02_masked_rows_do_not_dilute_the_loss():
    """Half of the labels masked gives the mean of the other half, not half of it."""
    x, y = rows(8)
    model = compiled()
    half = {**y, "z_price": np.where(np.arange(8)[:, None] < 4, y["z_price"], np.nan)}
    masked = model.evaluate(x, half, verbose=0, return_dict=True)["z_price_loss"]
    first = {k: v[:4] for k, v in y.items()}
    kept = model.evaluate(x[:4], first, verbose=0, return_dict=True)["z_price_loss"]
    assert masked == pytest.approx(kept, rel=1e-6)
    absent = {**y, "z_price": np.full((8, 1), np.nan, "float32")}
    model.reset_metrics()
    logs = model.train_on_batch(x, absent, return_dict=True)
    assert logs["z_price_loss"] == 0.0
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_ask_03_class_weights_with_several_outputs():
    """`class_weight={task: {class: weight}}` does what weighting the rows by hand does."""
    x, y = rows()
    table = np.array([1.0, 5.0, 0.5], "float32")
    by_class, by_row = compiled(seed=1), compiled(seed=1)
    by_class.fit(
        x, y, class_weight={"a_kind": {1: 5.0, 2: 0.5}}, batch_size=16, verbose=0, shuffle=False
    )
    weights = {"a_kind": table[y["a_kind"]]}
    by_row.fit(x, y, sample_weight=weights, batch_size=16, verbose=0, shuffle=False)
    for a, b in zip(by_class.get_weights(), by_row.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_ask_03_balanced_class_weights_are_learnt_from_the_labels(rng):
    """class_weight="balanced" is n / (C n_c), and lifts the recall of the rare class."""
    x = rng.normal(size=(600, 4)).astype("float32")
    rare = (x[:, 0] + 0.7 * rng.normal(size=600) > 1.6).astype("int32")
    f1 = {}
    for weight in (None, "balanced"):
        model = keras_mtl.build_model(
            encoders.Dense(4, units=[8]), [tasks.Binary("rare", class_weight=weight)]
        )
        model.compile(keras.optimizers.Adam(1e-2))
        model.fit(x, {"rare": rare}, epochs=15, verbose=0)
        decided = model.predict(x, verbose=0)["rare"][:, 0] > 0.5
        f1[weight] = (decided & (rare == 1)).sum() / rare.sum()
    learnt = model.get_layer("rare").state["class_weight"].numpy()
    np.testing.assert_allclose(
        learnt, [300 / (rare == 0).sum(), 300 / (rare == 1).sum()], rtol=1e-5
    )
    assert f1["balanced"] > f1[None] + 0.1


def test_ask_04_sample_weights_for_some_tasks_per_row_or_per_step():
    x, y = rows(32)
    weight = np.linspace(0.1, 2, 32).astype("float32")
    partial, whole = compiled(seed=1), compiled(seed=1)
    partial.fit(x, y, sample_weight={"m_sold": weight}, verbose=0, shuffle=False)
    full = {name: np.ones(32, "float32") for name in TASKS}
    whole.fit(x, y, sample_weight={**full, "m_sold": weight}, verbose=0, shuffle=False)
    for a, b in zip(partial.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match=r"'m_sold' has shape \(5,\), expected \(32,\)"):
        partial.fit(x, y, sample_weight={"m_sold": weight[:5]}, verbose=0)


def test_ask_04_a_weight_for_each_step_of_a_sequence(rng):
    tokens = keras.Input((None, 3), name="steps")
    model = keras_mtl.MultiTaskModel(tokens, {"tag": keras.layers.Dense(1)(tokens)})
    model.compile("sgd", loss="mse")
    x, y = rng.normal(size=(4, 5, 3)).astype("float32"), rng.normal(size=(4, 5)).astype("float32")
    weight = rng.random((4, 5)).astype("float32")
    error = (model.predict(x, verbose=0)["tag"][..., 0] - y) ** 2
    got = model.evaluate(x, {"tag": y}, sample_weight={"tag": weight}, verbose=0, return_dict=True)
    assert got["loss"] == pytest.approx(np.mean(weight * error), rel=1e-5)


def test_ask_05_losses_labels_and_weights_for_some_outputs_only():
    x, y = rows(32)
    model = functional()
    model.compile(
        "sgd", loss={"z_price": "mse", "a_kind": LOSSES["a_kind"]}, loss_weights={"a_kind": 2}
    )
    before = model.get_layer("m_sold").kernel.numpy()
    history = model.fit(x, {"z_price": y["z_price"]}, verbose=0).history
    assert set(history) == {"loss", "z_price_loss", "a_kind_loss"}
    assert history["a_kind_loss"] == [0.0]
    np.testing.assert_array_equal(before, model.get_layer("m_sold").kernel.numpy())
    assert model.predict(x, verbose=0)["m_sold"].shape == (32, 1)
    assert model.loss_weights == {"z_price": 1.0, "a_kind": 2.0, "m_sold": 1.0}


def test_ask_06_the_order_of_dicts_gives_no_loss_to_the_wrong_output():
    x, y = rows(64)
    logs = []
    for order in (list(TASKS), sorted(TASKS), list(reversed(TASKS))):
        model = functional()
        model.compile("sgd", loss={name: LOSSES[name] for name in order})
        labels = {name: y[name] for name in reversed(order)}
        logs.append(model.fit(x, labels, verbose=0, shuffle=False).history)
    assert logs[0] == logs[1] == logs[2]
    with pytest.raises(TypeError, match="nothing is matched by position"):
        model.fit(x, [y[name] for name in TASKS])
    with pytest.raises(TypeError, match="nothing is matched by position"):
        model.compile("sgd", loss=["mse", "mse", "mse"])


def test_ask_07_dict_keys_are_the_names_whatever_the_layers_are_called(tmp_path):
    inputs = keras.Input((6,), name="x")
    outputs = {
        "second": keras.layers.Dense(1, name="first")(inputs),
        "first": keras.layers.Dense(1, name="second")(inputs),
    }
    model = keras_mtl.MultiTaskModel(inputs, outputs)
    model.compile("sgd", loss="mse", metrics={"second": ["mae"]})
    x, y = rows(8)
    labels = {"second": y["z_price"], "first": y["m_sold"]}
    history = model.fit(x, labels, verbose=0).history
    assert set(history) == {"loss", "first_loss", "second_loss", "second_mae"}
    direct = keras.Model(inputs, outputs["second"]).predict(x, verbose=0)
    np.testing.assert_array_equal(model.predict(x, verbose=0)["second"], direct)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(
        loaded.predict(x, verbose=0)["second"], model.predict(x, verbose=0)["second"]
    )


def test_ask_08_names_that_would_overwrite_each_others_curves_are_refused():
    inputs = keras.Input((2,), name="x")
    outputs = {name: keras.layers.Dense(1)(inputs) for name in ("a", "a_b")}
    model = keras_mtl.MultiTaskModel(inputs, outputs)

    def b_loss(y_true, y_pred):
        return keras.ops.mean(keras.ops.abs(y_true - y_pred), axis=-1)

    with pytest.raises(ValueError, match=r"'a_b_loss' would stand for .*'a_b'.*'a'|.*'a'.*'a_b'"):
        model.compile("sgd", loss="mse", metrics={"a": [b_loss]})
    named = {name: keras.layers.Dense(1)(inputs) for name in ("a", "val_a")}
    with pytest.raises(ValueError, match="'val_a_loss' would stand for"):
        keras_mtl.MultiTaskModel(inputs, named).compile("sgd", loss="mse")
    with pytest.raises(ValueError, match="the name of an input"):
        keras_mtl.MultiTaskModel(inputs, {"x": outputs["a"]})


def test_ask_09_every_task_has_its_loss_in_the_history():
    x, y = rows(16)
    history = compiled().fit(x, y, validation_data=(x, y), verbose=0).history
    assert {f"{p}{t}_loss" for p in ("", "val_") for t in TASKS} <= set(history)
    one = keras_mtl.MultiTaskModel(
        *(lambda i: (i, {"only": keras.layers.Dense(1)(i)}))(keras.Input((6,)))
    )
    one.compile("sgd", loss="mse")
    assert set(one.fit(x, {"only": y["z_price"]}, verbose=0).history) == {"loss", "only_loss"}


def test_ask_10_loss_weights_change_while_training_without_a_new_compile():
    x, y = rows(64)
    model = compiled(optimizer=keras.optimizers.SGD(0.0))
    compiled_step = []

    class Later(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            compiled_step.append(self.model.train_function)
            self.model.loss_weights = {"z_price": float(epoch)}

    history = model.fit(x, y, epochs=3, verbose=0, callbacks=[Later()]).history
    others = history["a_kind_loss"][0] + history["m_sold_loss"][0]
    price = history["z_price_loss"][0]
    np.testing.assert_allclose(
        history["loss"], [others, others + price, others + 2 * price], rtol=1e-5
    )
    assert len(set(map(id, compiled_step))) == 1


def test_ask_10_loss_weights_follow_a_schedule_and_are_saved(tmp_path):
    x, y = rows(64)
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([1], [1.0, 0.25])
    model = compiled(
        optimizer=keras.optimizers.SGD(0.0),
        loss_weights={"z_price": schedule, "a_kind": 0, "m_sold": 0},
    )
    history = model.fit(x, y, batch_size=32, epochs=2, verbose=0, shuffle=False).history
    assert history["loss"][0] == pytest.approx(history["z_price_loss"][0], rel=1e-5)
    assert history["loss"][1] == pytest.approx(0.25 * history["z_price_loss"][1], rel=1e-5)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.loss_weights == {"z_price": 0.25, "a_kind": 0.0, "m_sold": 0.0}
    loaded.loss_weights = {"z_price": 3.0}
    assert loaded.loss_weights["z_price"] == 3.0


def test_ask_11_loss_weights_that_are_learnt():
    """Uncertainty: at its optimum each task's weighted loss is 1/2 (the loss being constant)."""
    x, y = rows(64)
    model = compiled(optimizer=keras.optimizers.SGD(0.0), balancer="uncertainty")
    for layer in model.layers:
        layer.trainable = False
    model.compile(keras.optimizers.Adam(0.05), loss=dict(LOSSES), balancer="uncertainty")
    model.fit(tf.data.Dataset.from_tensors((x, y)).repeat(300), verbose=0)
    weights = np.exp(-model.balancer.log_variances.numpy())
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    losses = np.array([found[f"{name}_loss"] for name in TASKS])
    np.testing.assert_allclose(weights * losses, 0.5, rtol=0.02)


def test_ask_12_data_sets_of_different_sizes_one_a_task():
    x, y = rows(90)
    parts = {
        "z_price": data.Examples({"x": x[:60]}, {"z_price": y["z_price"][:60]}),
        "a_kind": data.Examples({"x": x[60:]}, {"a_kind": y["a_kind"][60:]}),
    }
    mixed = data.mix(parts, "proportional", batch_size=10, seed=0)
    assert int(mixed.cardinality()) == 9
    model = compiled()
    history = model.fit(mixed, epochs=2, verbose=0).history
    assert history["z_price_loss"][0] > 0 and history["a_kind_loss"][0] > 0
    longest = data.mix(parts, "longest", batch_size=10, seed=0)
    assert int(longest.cardinality()) == 12


def test_ask_13_names_are_kept_in_the_saved_model(tmp_path):
    """Inputs and tasks keep their names in every signature, whatever the layers are called."""
    inputs = {"b": keras.Input((2,), name="b"), "a": keras.Input((1,), name="a")}
    joined = keras.layers.Concatenate()([inputs["b"], inputs["a"]])
    model = keras_mtl.MultiTaskModel(
        inputs,
        {"second": keras.layers.Dense(1)(joined), "first": keras.layers.Dense(2)(inputs["a"])},
    )
    path = keras_mtl.export.saved_model(model, tmp_path / "m")
    signatures = tf.saved_model.load(str(path)).signatures
    told = {
        name: (set(f.structured_input_signature[1]), set(f.structured_outputs))
        for name, f in signatures.items()
    }
    assert told == {
        "serving_default": ({"a", "b"}, {"first", "second"}),
        "serving_examples": ({"examples"}, {"first", "second"}),
        "second": ({"a", "b"}, {"second"}),
        "first": ({"a"}, {"first"}),
    }
    given = {"a": np.ones((3, 1), "float32"), "b": np.ones((3, 2), "float32")}
    served = signatures["serving_default"](**{k: tf.constant(v) for k, v in given.items()})
    for name, out in model.predict(given, verbose=0).items():
        np.testing.assert_allclose(served[name], out, atol=1e-6)


def test_ask_14_early_stopping_and_checkpoints_on_several_metrics(tmp_path):
    x, y = rows(64)
    model = compiled(metrics={"a_kind": ["accuracy"], "m_sold": ["accuracy"]}, optimizer="sgd")
    stop = callbacks.EarlyStopping(
        ["val_a_kind_accuracy", "val_m_sold_accuracy"], mode="all", patience=2
    )
    path = tmp_path / "best_{epoch}.keras"
    best = keras.callbacks.ModelCheckpoint(
        path, monitor="val_m_sold_accuracy", mode="max", save_best_only=True
    )
    history = model.fit(
        x, y, validation_data=(x, y), epochs=200, verbose=0, callbacks=[stop, best]
    ).history
    assert stop.stopped_epoch is not None and len(history["loss"]) < 200
    saved = sorted(tmp_path.glob("*.keras"), key=lambda p: int(p.stem.split("_")[1]))
    loaded = keras.models.load_model(saved[-1])
    got = loaded.evaluate(x, y, verbose=0, return_dict=True)["m_sold_accuracy"]
    assert got == pytest.approx(max(history["val_m_sold_accuracy"]))


def test_ask_15_the_memory_of_gradient_methods():
    """Shared parameters alone, a Gramian and a weighted sum: nothing of the size K P is made."""
    inputs = keras.Input((40,), name="x")
    hidden = keras.layers.Dense(50, name="low")(inputs)
    hidden = keras.layers.Dense(60, name="high")(hidden)
    model = keras_mtl.MultiTaskModel(
        inputs, {name: keras.layers.Dense(70, name=name)(hidden) for name in ("a", "b", "c")}
    )
    model.compile("sgd", loss="mse", balancer="upgrad")
    shared = sum(int(np.prod(v.shape)) for v in model.shared_variables())
    # What is largest is a head's kernel, or what the heads give for a batch.
    for rows_, largest in ((8, 60 * 70), (100, 100 * 70)):
        x = tf.zeros((rows_, 40))
        labels = {name: tf.zeros((rows_, 70)) for name in ("a", "b", "c")}
        model.train_on_batch(x, labels)
        graph = tf.function(model.train_step).get_concrete_function((x, labels)).graph
        sizes = {
            int(np.prod(tensor.shape))
            for op in graph.get_operations()
            for tensor in op.outputs
            if tensor.shape.is_fully_defined()
        }
        assert max(sizes) == largest < 3 * 50 * 60 < 3 * shared
    page = (ROOT / "docs" / "balancing.md").read_text()
    assert 'gradients="features"' in page and "every=" in page and "MiB" in page


def test_ask_16_a_parameter_that_one_task_alone_reaches_is_found():
    """It takes its own task's gradient, whatever the weights of what is shared."""
    model = functional()
    own = {v.path for v in model.task_variables("a_kind")}
    assert own == {"a_kind/kernel", "a_kind/bias"}
    assert {v.path for v in model.shared_variables()} == {"shared/kernel", "shared/bias"}
    x, y = rows(32)
    after = {}
    for balancer in (None, "krum"):  # one task's weight is 1, those of the others 0
        model = compiled(seed=1, optimizer="sgd", balancer=balancer)
        model.train_on_batch(x, y)
        after[balancer] = {v.path: v.numpy() for v in model.trainable_variables}
    for path, value in after["krum"].items():
        same = np.allclose(value, after[None][path], rtol=1e-5, atol=1e-7)
        assert same == (not path.startswith("shared")), path


def test_ask_17_surgery_is_done_on_whole_gradients_not_a_parameter_at_a_time():
    """PCGrad of a kernel and a bias: what counts is the conflict of both together."""
    x, y = rows(32)
    x[:, 0] += 1.0
    y = {"z_price": y["z_price"], "m_sold": 1 - (y["z_price"] > 0.5)}
    moved = {}
    for balancer in ("z_price", "m_sold", "pcgrad"):
        model = functional(seed=2)
        losses = {t: LOSSES[t] for t in y if balancer in (t, "pcgrad")}
        model.compile(
            keras.optimizers.SGD(1.0), losses, balancer="pcgrad" if balancer == "pcgrad" else None
        )
        before = model.get_layer("shared").get_weights()
        model.train_on_batch(x, {t: y[t] for t in losses})
        after = model.get_layer("shared").get_weights()
        moved[balancer] = np.concatenate(
            [(b - a).ravel() for b, a in zip(before, after, strict=True)]
        )
    g, h = moved["z_price"], moved["m_sold"]
    assert g @ h < 0

    def surgery(g, h):
        return g - min(g @ h, 0) / (h @ h) * h + h - min(g @ h, 0) / (g @ g) * g

    np.testing.assert_allclose(moved["pcgrad"], surgery(g, h), rtol=1e-3, atol=1e-5)
    kernel = before[0].size
    apart = np.concatenate([surgery(g[:kernel], h[:kernel]), surgery(g[kernel:], h[kernel:])])
    assert not np.allclose(moved["pcgrad"], apart, rtol=1e-2, atol=1e-4)


@pytest.mark.slow
def test_ask_18_surgery_with_several_replicas():
    """Two replicas give what one device gives: their gradients are added up before surgery."""
    one, two = weights_on(1), weights_on(2)
    assert set(one) == set(two)
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=2e-4, atol=2e-5, err_msg=name)


def test_ask_19_surgery_with_mixed_precision():
    """Losses are scaled, gradients unscaled before a float32 solver; an overflow skips all tasks."""
    x, y = rows(64)
    found = {}
    for policy in ("float32", "mixed_float16"):
        keras.config.set_dtype_policy(policy)
        try:
            model = compiled(seed=1, optimizer=keras.optimizers.SGD(0.05), balancer="cagrad")
        finally:
            keras.config.set_dtype_policy("float32")
        model.train_on_batch(x, y)
        found[policy] = model.balancer.last_weights.numpy()
        assert model.balancer.last_weights.dtype == "float32"
    assert float(model.optimizer.dynamic_scale) > 1e4
    np.testing.assert_allclose(found["mixed_float16"], found["float32"], rtol=0.02)
    before = [v.numpy() for v in model.trainable_variables]
    model.train_on_batch(np.full_like(x, 6e4), y)  # more than float16 holds, times its weights
    for one, two in zip(before, model.trainable_variables, strict=True):
        np.testing.assert_array_equal(one, two)


def test_ask_20_same_seed_same_bits():
    """What draws; `test_every_kind` has every method, in processes of their own."""
    x, y = rows(48)
    for balancer, eager in [
        *((name, True) for name in ("rlw", "pcgrad", "graddrop", "modo", "moco")),
        ("pcgrad", False),
    ]:
        weights = []
        for _ in range(2):
            keras.utils.clear_session(free_memory=False)
            model = compiled(seed=5, balancer=balancer, run_eagerly=eager)
            model.fit(x, y, batch_size=16, epochs=1, verbose=0)
            weights.append(model.get_weights())
        for a, b in zip(*weights, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=balancer)


def test_ask_20_methods_differ():
    """On one step of one problem no two methods end at the same weights, but for first steps."""
    x, y = rows(48)
    y["z_price"] = 3 * y["z_price"]
    ends = {}
    for name in keras_mtl.balancing.names():
        made = keras_mtl.balancing.get(name)
        if name == "static":
            made = keras_mtl.balancing.Static({"z_price": 0.5})
        model = compiled(
            seed=5, optimizer=keras.optimizers.SGD(0.05), balancer=made, run_eagerly=True
        )
        for _ in range(2):
            model.train_on_batch(x, y)
            made.on_epoch_end()
        model.train_on_batch(x, y)
        ends[name] = np.concatenate(
            [v.numpy().ravel() for v in model.trainable_variables if "shared" in v.path]
        )
    for one in ends:
        for other in ends:
            if one < other:
                assert not np.allclose(ends[one], ends[other], rtol=1e-5, atol=1e-7), (one, other)


def test_ask_21_joint_training_that_is_worse_is_said_to_be_worse(rng):
    """Two tasks that want opposite things of one narrow unit: a model for each is better."""
    x = rng.normal(size=(400, 2)).astype("float32")
    noise = 0.3 * rng.normal(size=(400, 2)).astype("float32")
    y = {"a": x[:, 0] + noise[:, 0], "b": x[:, 1] + noise[:, 1]}
    train, test = (data.Examples({"features": x[s]}, {k: v[s] for k, v in y.items()})
                   for s in (slice(300), slice(300, None)))  # fmt: skip

    def build(names):
        encoder = encoders.Dense(2, units=[1], activation="linear")
        return keras_mtl.build_model(encoder, [tasks.Regression(n, scaling=None) for n in names])

    comparison = keras_mtl.compare(
        build, train, test, epochs=25, seeds=(0, 1, 2), batch_size=32,
        optimizer=lambda: keras.optimizers.Adam(0.05),
    )  # fmt: skip
    assert list(comparison.values)[:2] == ["single-task", "equal"]
    assert np.mean(comparison.delta["equal"]) < -50
    assert "worth nothing" in comparison.verdict and "worth nothing" in str(comparison)


def test_ask_22_a_table_of_ones_own_to_a_trained_model_in_twelve_lines(tmp_path, rng):
    table = {
        "age": rng.uniform(18, 80, 300),
        "job": rng.choice(["cook", "judge", "clerk"], 300),
    }
    table["income"] = np.where(table["job"] == "judge", "high", "low")
    # From here on it is what a user writes.
    rows_ = data.from_frame(table, ["age", "job"], {"income": "income", "age_again": "age"})
    train, test = data.split(rows_, [0.8, 0.2])
    model = keras_mtl.build_model(
        encoders.Tabular.infer(train.inputs, units=[16]),
        [tasks.Binary("income", rows_.classes["income"]), tasks.Regression("age_again")],
    )
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(train.dataset(32, shuffle=True, seed=0), epochs=20, verbose=0)
    report = keras_mtl.evaluate(model, test)
    # To here: nine lines.
    judges = np.array(table["job"]) == "judge"
    assert rows_.classes["income"] == ["high", "low"] and judges.sum() > 50
    assert report["income"]["f1"] > 0.95
    assert report["age_again"]["r2"] > 0.9


def test_ask_23_no_heavy_and_no_undeclared_dependencies():
    """Whatever is imported is the standard library, a declared requirement, or an extra's."""
    root = pathlib.Path(keras_mtl.__file__).parent
    settings = configparser.ConfigParser()
    settings.read(root.parent / "setup.cfg")
    modules = {
        "scikit-learn": "sklearn", "pyyaml": "yaml", "pillow": "PIL", "protobuf": "google",
        "tensorflow-serving-api": "tensorflow_serving", "tensorflow-text": "tensorflow_text",
        "grpcio": "grpc", "prometheus-client": "prometheus_client", "keras-hub": "keras_hub",
    }  # fmt: skip

    def named(lines):
        names = [re.split(r"[<>=]", line)[0] for line in lines.split("\n") if line]
        return {modules.get(name, name) for name in names}

    declared = named(settings["options"]["install_requires"]) | {"keras_mtl"}
    extras = set().union(*map(named, settings["options.extras_require"].values()))
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            found = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                found = [node.module]
            strangers = {name.split(".")[0] for name in found} - set(sys.stdlib_module_names)
            # What an extra brings is asked for where it is used.
            if strangers:
                assert strangers <= (declared | extras if node.col_offset else declared), path
    assert not {"torch", "cvxpy", "pandas", "transformers", "grpc"} & declared


def test_ask_25_learning_rates_of_shared_layers_and_of_each_head():
    x, y = rows(32)
    for optimizer in (keras.optimizers.SGD(0.1), keras.optimizers.Adam(0.1)):
        moved = {}
        for m in (None, {"shared": 0.25, "a_kind": 0.0}):
            config = keras.optimizers.serialize(optimizer)
            model = compiled(
                seed=2,
                optimizer=keras.optimizers.deserialize(config),
                learning_rate_multipliers=m,
            )
            before = {v.path: v.numpy() for v in model.trainable_variables}
            model.train_on_batch(x, y)
            moved[str(m)] = {v.path: v.numpy() - before[v.path] for v in model.trainable_variables}
        plain, scaled = moved.values()
        np.testing.assert_allclose(
            scaled["shared/kernel"], 0.25 * plain["shared/kernel"], rtol=1e-4, atol=1e-7
        )
        np.testing.assert_array_equal(scaled["a_kind/kernel"], 0 * plain["a_kind/kernel"])
        np.testing.assert_allclose(scaled["z_price/kernel"], plain["z_price/kernel"], rtol=1e-6)


def test_ask_26_one_task_without_the_cost_of_the_others():
    x, y = rows(32)
    model = compiled()
    only = model.task_model("a_kind")
    assert only.task_names == ["a_kind"]
    assert only.count_params() < model.count_params()
    model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(
        only.predict(x, verbose=0)["a_kind"], model.predict(x, verbose=0)["a_kind"]
    )
    assert not {layer.name for layer in only.layers} & {"z_price", "m_sold"}
    truth = y["a_kind"]
    assert (
        0 <= f1_score(truth, only.predict(x, verbose=0)["a_kind"].argmax(-1), average="macro") <= 1
    )
