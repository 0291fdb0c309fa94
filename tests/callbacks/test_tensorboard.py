"""The TensorBoard callback, read back by TensorBoard's own reader."""

import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as custom_scalar

import keras_mtl
from keras_mtl import encoders, tasks
from keras_mtl.callbacks import TensorBoard

ROOT = pathlib.Path(keras_mtl.__file__).parents[1]


class Run:
    """What TensorBoard reads of one run: `scalars[tag]` is `{step: value}`."""

    def __init__(self, folder: pathlib.Path):
        self.events = event_accumulator.EventAccumulator(
            str(folder), size_guidance={event_accumulator.TENSORS: 0}
        )
        self.events.Reload()
        self.scalars = {
            tag: {e.step: float(tf.make_ndarray(e.tensor_proto)) for e in self.events.Tensors(tag)}
            for tag in self.events.Tags()["tensors"]
            if self.events.SummaryMetadata(tag).plugin_data.plugin_name == "scalars"
        }

    def text(self, tag: str) -> str:
        (event,) = self.events.Tensors(tag)
        return tf.make_ndarray(event.tensor_proto).item().decode()

    def charts(self) -> Iterator[tuple[str, str, list[str]]]:
        """Category, title and patterns of each chart on the page of custom scalars."""
        (event,) = self.events.Tensors(custom_scalar.CONFIG_SUMMARY_TAG)
        layout = layout_pb2.Layout.FromString(tf.make_ndarray(event.tensor_proto).item())
        for category in layout.category:
            for chart in category.chart:
                yield category.title, chart.title, list(chart.multiline.tag)


def rows(n: int = 24) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3)).astype("float32")
    return x, {"kind": (x[:, 0] > 0).astype("int32"), "a.b": x[:, 1:2] * 3, "aXb": x[:, 2:]}


def model_of_three(balancer: str | None = None) -> keras_mtl.MultiTaskModel:
    """Three tasks, two of which a careless regular expression would mix up."""
    model = keras_mtl.build_model(
        encoders.Dense(features=3, units=[5]),
        [tasks.MultiClass("kind", 2), tasks.Regression("a.b"), tasks.Regression("aXb")],
    )
    halving = keras.optimizers.schedules.ExponentialDecay(8.0, 6, 0.5)
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 6, 0.1)
    model.compile(
        keras.optimizers.SGD(rate), loss_weights={"kind": 0.5, "a.b": halving}, balancer=balancer
    )
    return model


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Three epochs of six batches: the history, and the two runs as TensorBoard reads them."""
    folder = tmp_path_factory.mktemp("logs") / "made" / "by" / "it"
    keras.utils.set_random_seed(0)
    x, y = rows()
    model = model_of_three("uncertainty")
    history = model.fit(
        x,
        y,
        validation_data=(x[:8], {k: v[:8] for k, v in y.items()}),
        batch_size=4,
        epochs=3,
        verbose=0,
        callbacks=[TensorBoard(folder)],
    ).history
    return history, Run(folder / "train"), Run(folder / "validation"), model


def as_curve(values: list[float]) -> dict[int, float]:
    return {epoch: pytest.approx(value, rel=1e-6) for epoch, value in enumerate(values)}


def test_train_and_validation_curves_of_a_task_share_a_tag(trained):
    history, train, validation, _ = trained
    metrics = {"kind": ["loss", "accuracy"], "a.b": ["loss", "rmse"], "aXb": ["loss", "mae"]}
    for task, names in metrics.items():
        for name in names:
            tag, key = f"{task}/{name}", f"{task}_{name}"
            assert train.scalars[tag] == as_curve(history[key])
            assert validation.scalars[tag] == as_curve(history[f"val_{key}"])
    assert train.scalars["loss"] == as_curve(history["loss"])
    assert validation.scalars["loss"] == as_curve(history["val_loss"])
    assert not any(tag.startswith(("val_", "steps/")) for tag in train.scalars)
    assert set(validation.scalars) <= set(train.scalars)


def test_loss_weights_weighted_losses_and_learning_rate_are_those_of_the_epoch(trained):
    history, train, _, _ = trained
    assert train.scalars["kind/loss_weight"] == as_curve([0.5, 0.5, 0.5])
    assert train.scalars["aXb/loss_weight"] == as_curve([1, 1, 1])
    assert train.scalars["a.b/loss_weight"] == as_curve([4, 2, 1]), "halved after each six steps"
    assert train.scalars["learning_rate"] == as_curve([1e-2, 1e-3, 1e-4])
    weighted = [w * loss for w, loss in zip([4, 2, 1], history["a.b_loss"], strict=True)]
    assert train.scalars["a.b/weighted_loss"] == as_curve(weighted)
    assert train.scalars["kind/weighted_loss"] == as_curve([v / 2 for v in history["kind_loss"]])


def test_the_page_of_custom_scalars_opens_on_a_category_a_task(trained):
    _, train, validation, _ = trained
    charts = list(train.charts())
    assert list(dict.fromkeys(c for c, _, _ in charts)) == ["kind", "a.b", "aXb", "all tasks"]
    drawn = {
        (category, title): [
            (run, tag)
            for run, curves in (("train", train.scalars), ("validation", validation.scalars))
            for tag in curves
            if any(re.match(pattern, tag) for pattern in patterns)
        ]
        for category, title, patterns in charts
    }
    assert all(drawn.values()), "no chart is empty"
    assert drawn["a.b", "a.b: loss"] == [("train", "a.b/loss"), ("validation", "a.b/loss")]
    assert drawn["kind", "kind: accuracy"] == [
        ("train", "kind/accuracy"),
        ("validation", "kind/accuracy"),
    ]
    assert drawn["a.b", "a.b: weighted loss"] == [("train", "a.b/weighted_loss")]
    assert drawn["a.b", "a.b: loss weight"] == [("train", "a.b/loss_weight")]
    assert len(drawn["all tasks", "loss weights"]) == 3
    assert len(drawn["all tasks", "losses"]) == 6
    everything = {found for curves in drawn.values() for found in curves}
    assert {tag for _, tag in everything} == set(train.scalars), "no curve is left out"


def test_the_graph_leads_from_the_inputs_to_the_tasks(trained):
    _, train, _, model = trained
    nodes = {node.name: node for node in train.events.Graph().node}
    assert nodes[model.inputs[0].name].op == "Placeholder"
    for task in model.task_names:
        assert nodes[task].op == "Identity"
        assert f"/{task}_" in nodes[task].input[0], "its own layers lead to it"


def test_the_task_table_tells_kinds_shapes_weights_and_parameters(trained):
    _, train, _, _ = trained
    lines = train.text("tasks").splitlines()
    # The encoder: 3 x 5 weights and 5 biases; heads: 5 weights and a bias for each output.
    assert lines[0] == "| task | kind | output | loss weight | parameters of its own |"
    assert lines[2:5] == [
        "| kind | MultiClass | (None, 2) | 0.5 | 12 |",
        "| a.b | Regression | (None, 1) | 8 | 6 |",
        "| aXb | Regression | (None, 1) | 1 | 6 |",
    ]
    assert "Shared parameters: 20." in lines[-1]
    assert "Balancer: Uncertainty." in lines[-1]


def test_steps_are_written_every_so_many_batches_also_where_several_go_at_once(tmp_path):
    x, y = rows(36)
    model = model_of_three()
    model.compile("sgd", steps_per_execution=3)
    history = model.fit(
        x, y, batch_size=4, epochs=2, verbose=0, callbacks=[TensorBoard(tmp_path, steps=4)]
    ).history
    train = Run(tmp_path / "train")
    steps = train.scalars["steps/a.b/loss"]
    # Nine batches an epoch, three at once: written where a multiple of four was reached.
    assert list(steps) == [6, 9, 12, 18]
    # At an epoch's last batch, the running mean is the epoch's.
    assert steps[9] == pytest.approx(history["a.b_loss"][0], rel=1e-6)
    assert steps[18] == pytest.approx(history["a.b_loss"][1], rel=1e-6)
    assert {"steps/loss", "steps/kind/accuracy"} <= set(train.scalars)
    assert list(train.scalars["a.b/loss"]) == [0, 1]
    assert not any("weight" in tag for tag in train.scalars if tag.startswith("steps/"))


def test_a_run_that_goes_on_adds_to_its_curves(tmp_path):
    x, y = rows()
    model = model_of_three()
    losses = []
    for first, last in ((0, 2), (2, 4)):
        losses += model.fit(
            x,
            y,
            batch_size=12,
            initial_epoch=first,
            epochs=last,
            verbose=0,
            callbacks=[TensorBoard(tmp_path, steps=1)],
        ).history["kind_loss"]
    train = Run(tmp_path / "train")
    assert train.scalars["kind/loss"] == as_curve(losses)
    assert list(train.scalars["steps/kind/loss"]) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert Run(tmp_path / "validation").scalars == {}, "nothing was validated"


def test_a_restored_backup_goes_on_at_its_own_step(tmp_path):
    """`BackupAndRestore` restores after this callback was told that training begins."""
    x, y = rows()

    class Killed(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    def fit(*more):
        model = model_of_three()
        backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
        watching = [TensorBoard(tmp_path / "logs", steps=1), backup, *more]
        model.fit(x, y, batch_size=12, epochs=3, verbose=0, callbacks=watching)

    with pytest.raises(KeyboardInterrupt):
        fit(Killed())
    fit()
    train = Run(tmp_path / "logs" / "train")
    assert list(train.scalars["loss"]) == [0, 1, 2]
    assert list(train.scalars["steps/loss"]) == [1, 2, 3, 4, 5, 6]


def test_metrics_are_filed_under_the_task_that_they_belong_to(tmp_path):
    """A task `a` with a metric `b_mae` beside a task `a_b`; a task whose name begins with `val_`."""
    inputs = keras.Input((2,), name="class")
    outputs = {name: keras.layers.Dense(1)(inputs) for name in ("a", "a_b", "val_x", "extra")}
    model = keras_mtl.MultiTaskModel(inputs, outputs)
    model.compile(
        "sgd",
        loss={"a": "mse", "a_b": "mse", "val_x": "mse"},
        metrics={"a": [keras.metrics.MeanAbsoluteError(name="b_mae")]},
    )
    x, y = np.ones((4, 2), "float32"), np.ones((4, 1), "float32")
    given = {"a": y, "a_b": y, "val_x": y}
    history = model.fit(
        x, given, validation_data=(x, given), verbose=0, callbacks=[TensorBoard(tmp_path)]
    ).history
    train, validation = Run(tmp_path / "train"), Run(tmp_path / "validation")
    assert train.scalars["a/b_mae"] == as_curve(history["a_b_mae"])
    assert train.scalars["val_x/loss"] == as_curve(history["val_x_loss"])
    assert validation.scalars["val_x/loss"] == as_curve(history["val_val_x_loss"])
    assert set(validation.scalars) == {"loss", "a/loss", "a/b_mae", "a_b/loss", "val_x/loss"}
    assert "a_b/mae" not in train.scalars
    titles = [title for _, title, _ in train.charts()]
    assert not any("extra" in title for title in titles), "a task that is not trained has no chart"
    ops_of = {node.name: node.op for node in train.events.Graph().node}
    assert ops_of["input_0"] == "Placeholder", "`class` is a word of Python's"


class Totals(keras.metrics.Metric):
    """Summed answers, a number an output unit."""

    def __init__(self):
        super().__init__(name="totals")
        self.total = self.add_variable(shape=(2,), initializer="zeros", name="total")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign_add(ops.sum(y_pred, axis=0))

    def result(self):
        return self.total + 0


def test_a_metric_of_several_numbers_has_a_curve_each(tmp_path):
    inputs = keras.Input((2,), name="x")
    model = keras_mtl.MultiTaskModel(
        inputs,
        {"kind": keras.layers.Dense(2, use_bias=False, kernel_initializer="identity")(inputs)},
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0), loss={"kind": loss}, metrics={"kind": Totals()})
    x, y = np.array([[1, 2], [3, 5]], "float32"), {"kind": np.array([0, 1])}
    model.fit(x, y, verbose=0, callbacks=[TensorBoard(tmp_path)])
    scalars = Run(tmp_path / "train").scalars
    assert (scalars["kind/totals_0"], scalars["kind/totals_1"]) == ({0: 4}, {0: 7})


@pytest.mark.parametrize("file", ["logs", "logs/train", "logs/validation"])
def test_a_log_folder_that_cannot_be_made_stops_before_the_first_step(tmp_path, file):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("a file")
    model = model_of_three()
    with pytest.raises(OSError, match=rf"log folder .*{file}.* cannot be made: .*choose another"):
        model.fit(*rows(), verbose=0, callbacks=[TensorBoard(tmp_path / "logs")])
    assert int(model.optimizer.iterations) == 0


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="permissions do not bind root")
def test_a_log_folder_without_permission_is_named(tmp_path):
    (tmp_path / "train").mkdir(mode=0o555)
    with pytest.raises(OSError, match="cannot be written; choose another"):
        model_of_three().fit(*rows(), verbose=0, callbacks=[TensorBoard(tmp_path)])


@pytest.mark.parametrize("steps", [-1, 0.5])
def test_steps_that_mean_nothing_are_refused(steps):
    with pytest.raises(ValueError, match=rf"`steps` is {steps}; expected after how many"):
        TensorBoard("logs", steps=steps)


def test_tensorboard_is_not_imported_before_it_is_needed():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, keras_mtl.callbacks; sys.exit('tensorboard' in sys.modules)",
        ],
        cwd=ROOT,
        check=False,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_what_a_balancer_sees_is_drawn(tmp_path):
    x, y = rows()
    seen = []
    model = model_of_three("mgda")
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(model.balancer.record.summary())
    )
    model.fit(x, y, batch_size=6, epochs=2, verbose=0, callbacks=[note, TensorBoard(tmp_path)])
    train = Run(tmp_path / "train")
    for i, task in enumerate(model.task_names):
        weights, norms = ([s[key][i] for s in seen] for key in ("weights", "norms"))
        assert train.scalars[f"{task}/balancer_weight"] == as_curve(weights)
        assert train.scalars[f"{task}/gradient_norm"] == as_curve(norms)
    cosines = [s["cosines"][0, 2] for s in seen]
    assert train.scalars["gradients/kind and aXb"] == as_curve(cosines)
    share = [float(s["conflicting_steps"]) for s in seen]
    assert train.scalars["gradients/conflicting_steps"] == as_curve(share)
    assert len(train.events.Tensors("gradients/cosines")) == 2
    charts = {title: patterns for _, title, patterns in train.charts()}
    drawn = [tag for p in charts["gradient cosines"] for tag in train.scalars if re.match(p, tag)]
    assert sorted(drawn) == sorted(t for t in train.scalars if " and " in t) and len(drawn) == 3
    assert charts["kind: balancer weight"] == ["^kind/balancer_weight$"]


def test_the_page_of_hyperparameters_compares_runs(tmp_path):
    """As TensorBoard's own plugin reads them: a session a run, with the validation's last values."""
    from tensorboard import context as request_context
    from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
    from tensorboard.plugins import base_plugin
    from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

    x, y = rows()
    histories = {}
    for rate in (0.1, 0.001):
        model = model_of_three()
        model.compile(keras.optimizers.SGD(rate))
        told = {"rate": rate, "balancer": None, "bias": True}
        histories[rate] = model.fit(
            x,
            y,
            validation_data=(x[:8], {k: v[:8] for k, v in y.items()}),
            verbose=0,
            callbacks=[TensorBoard(tmp_path / str(rate), graph=False, hparams=told)],
        ).history
    multiplexer = plugin_event_multiplexer.EventMultiplexer()
    multiplexer.AddRunsFromDirectory(str(tmp_path))
    multiplexer.Reload()
    provider = data_provider.MultiplexerDataProvider(multiplexer, str(tmp_path))
    context = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    request = api_pb2.ListSessionGroupsRequest(
        allowed_statuses=[api_pb2.STATUS_SUCCESS],
        start_index=0,
        slice_size=9,
        col_params=[
            api_pb2.ColParams(
                metric=api_pb2.MetricName(tag="kind/loss", group="validation"), order=0
            )
        ],
    )
    nobody = request_context.RequestContext()
    handler = list_session_groups.Handler(nobody, context, "", request)
    groups = handler.run().session_groups
    assert len(groups) == 2
    for group in groups:
        shown = {m.name.tag: m.value for m in group.metric_values if m.name.group == "validation"}
        history = histories[group.hparams["rate"].number_value]
        assert shown["kind/loss"] == pytest.approx(history["val_kind_loss"][-1], rel=1e-6)
        assert group.hparams["balancer"].string_value == "none"
        assert group.hparams["bias"].bool_value is True
    with pytest.raises(
        TypeError, match=r"`hparams` 'units' is \[8\] of type list; expected a number"
    ):
        TensorBoard(tmp_path, hparams={"units": [8]})
