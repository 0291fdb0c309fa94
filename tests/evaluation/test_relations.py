"""What sharing schemes have learnt of the tasks: told, written down, drawn."""

import json
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator

import keras_mtl
from keras_mtl import callbacks, encoders, evaluation, sharing, tasks
from keras_mtl.callbacks._heat_map import heat_map

NAMES = ["north", "south", "east"]


def model_with(scheme, **kwargs):
    made = [tasks.Regression(name, scaling=None) for name in NAMES]
    model = keras_mtl.build_model(encoders.Dense(4, units=[6]), made, scheme, **kwargs)
    model.compile(keras.optimizers.SGD(0.0))
    return model


def table(rng, rows=40):
    x = rng.normal(size=(rows, 4)).astype("float32")
    return x, {name: x[:, i : i + 1] for i, name in enumerate(NAMES)}


def gates_of(model, x):
    """The mean over rows of what the gates are, task by task, asked of the scheme itself."""
    layer = next(layer for layer in model.layers if isinstance(layer, sharing.Sharing))
    features = model.get_layer("dense_encoder")(x)
    return np.stack([np.mean(gate, axis=0) for gate in layer.gates(features).values()])


@pytest.mark.parametrize(
    ("scheme", "columns"),
    [
        (sharing.MMoE(experts=4, units=(3,)), [f"expert {i}" for i in range(1, 5)]),
        (sharing.PLE(specific=1, shared=2, units=(3,)), ["own 1", "shared 1", "shared 2"]),
        (sharing.SparseMoE(experts=3, k=2, units=(3,)), [f"expert {i}" for i in range(1, 4)]),
        (sharing.DSelectK(experts=4, units=(3,)), [f"expert {i}" for i in range(1, 5)]),
    ],
    ids=lambda case: type(case).__name__,
)
def test_mean_gates_are_those_of_the_rows_of_training(scheme, columns, rng):
    model, (x, y) = model_with(scheme), table(rng)
    model.fit(x, y, batch_size=10, epochs=2, verbose=0)
    (title, found), *others = evaluation.relations(model).items()
    assert title == f"{type(scheme).__name__} gates" and not others
    assert (list(found.rows), list(found.columns)) == (NAMES, columns)
    # No weight moves, so that the mean of eight batches of one size is that of the rows.
    np.testing.assert_allclose(found.values, gates_of(model, x), rtol=1e-4, atol=1e-6)
    before = found.values
    model.evaluate(x[:5], {n: v[:5] for n, v in y.items()}, verbose=0)
    np.testing.assert_array_equal(evaluation.relations(model)[title].values, before)


def test_gates_of_long_ago_are_forgotten(rng):
    scheme = sharing.MMoE(experts=2, units=(3,))
    model, (x, y) = model_with(scheme), table(rng)
    model.fit(x, y, verbose=0)
    scheme.gated_steps.assign(10_000)
    scheme.mean_gates.assign(np.full((3, 2), [[0.9, 0.1]]))
    model.fit(x, y, batch_size=40, epochs=1, verbose=0)
    now = 0.99 * np.array([[0.9, 0.1]]) + 0.01 * gates_of(model, x)
    np.testing.assert_allclose(scheme.relations()["gates"].values, now, rtol=1e-5)


def test_padding_has_no_part_in_the_mean(rng):
    tokens = np.array([["a", "b", "c"], ["c", "", ""]])
    model = keras_mtl.build_model(
        encoders.Text(["a", "b", "c"], "cnn", units=4, embedding=4, dropout=0.0),
        [tasks.SequenceTagging("slots", ["O", "B-x"]), tasks.MultiClass("kind", 2)],
        sharing.MMoE(experts=2, units=(3,)),
    )
    model.compile(keras.optimizers.SGD(0.0))
    labels = {"slots": np.array([[0, 1, 0], [0, -1, -1]]), "kind": np.array([0, 1])}
    model.fit({"tokens": tokens}, labels, verbose=0)
    (layer,) = [x for x in model.layers if isinstance(x, sharing.Sharing)]
    features, _ = model.get_layer("text_encoder")(tokens)
    there = tokens != ""
    wanted = [np.asarray(gate)[there].mean(axis=0) for gate in layer.gates(features).values()]
    np.testing.assert_allclose(layer.relations()["gates"].values, wanted, rtol=1e-5)


def test_each_group_has_relations_of_its_own():
    scheme = sharing.CrossStitch(units=(3,), self_weight=0.7)
    model = model_with(scheme, groups=[["north", "east"], ["south"]])
    found = evaluation.relations(model)
    assert list(found) == ["CrossStitch layer 1", "CrossStitch layer 1 (2)"]
    assert [list(relation.rows) for relation in found.values()] == [["north", "east"], ["south"]]
    np.testing.assert_allclose(found["CrossStitch layer 1"].values, [[0.7, 0.3], [0.3, 0.7]])


def test_a_covariance_network_tells_its_correlation_and_sluice_its_mixtures():
    scheme = sharing.Covariance(units=(3,))
    found = evaluation.relations(model_with(scheme))
    np.testing.assert_allclose(found["Covariance task correlation"].values, np.eye(3), atol=1e-6)
    found = evaluation.relations(model_with(sharing.Sluice(units=(4, 4), subspaces=2)))
    assert found["Sluice layer 2"].rows[:3] == ["north 1", "north 2", "south 1"]
    np.testing.assert_array_equal(found["Sluice layers read"].values, np.full((3, 2), 0.5))
    assert evaluation.relations(model_with("hard")) == {}


def test_learning_to_branch_tells_how_likely_each_branch_is():
    scheme = sharing.LTB(units=(4,), branches=3)
    model = model_with(scheme)
    scheme.last[1].assign(np.log([[1.0, 2.0, 5.0]]))
    found = evaluation.relations(model)["LTB choices"]
    np.testing.assert_allclose(found.values[1], [0.125, 0.25, 0.625], rtol=1e-6)
    np.testing.assert_allclose(found.values[::2], 1 / 3, rtol=1e-6)
    assert list(found.columns) == ["node 1", "node 2", "node 3"]


def test_they_survive_the_disk(tmp_path, rng):
    model, (x, y) = model_with(sharing.MMoE(experts=3, units=(3,))), table(rng)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    before, after = evaluation.relations(model), evaluation.relations(loaded)
    np.testing.assert_array_equal(before["MMoE gates"].values, after["MMoE gates"].values)


def test_the_report_has_them_in_its_files(tmp_path, rng):
    model, (x, y) = model_with(sharing.MMoE(experts=2, units=(3,))), table(rng)
    model.fit(x, y, verbose=0)
    report = keras_mtl.evaluate(model, x, y)
    values = evaluation.relations(model)["MMoE gates"].values
    written = json.loads(report.to_json(tmp_path / "report.json").read_text())
    np.testing.assert_allclose(written["relations"]["MMoE gates"]["values"], values)
    assert written["relations"]["MMoE gates"]["columns"] == ["expert 1", "expert 2"]
    north = f"| north | {values[0, 0]:.2f} | {values[0, 1]:.2f} |"
    assert north in report.to_markdown().splitlines()
    (drawn,) = report.draw(tmp_path / "pictures")
    shown = drawn.read_text()
    assert drawn.name == "MMoE gates.svg" and shown.count('class="cell"') == 6
    cells = [float(v) for v in re.findall(r'font-size="11">([\d.]+)<', shown)]
    np.testing.assert_allclose(cells, values.ravel(), atol=0.01)


def test_tensorboard_shows_them_every_epoch(tmp_path, rng):
    model, (x, y) = model_with(sharing.MMoE(experts=2, units=(3,))), table(rng)
    model.fit(x, y, epochs=3, verbose=0, callbacks=[callbacks.TensorBoard(tmp_path)])
    events = event_accumulator.EventAccumulator(
        str(tmp_path / "train"), size_guidance={event_accumulator.TENSORS: 0}
    )
    events.Reload()
    tag = "relations/MMoE gates"
    assert events.SummaryMetadata(tag).plugin_data.plugin_name == "images"
    found = events.Tensors(tag)
    assert [event.step for event in found] == [0, 1, 2]
    width, height, png = tf.make_ndarray(found[-1].tensor_proto)[:3]
    picture = tf.io.decode_png(png).numpy()
    assert picture.shape == (int(height), int(width), 3)
    np.testing.assert_array_equal(picture, heat_map(evaluation.relations(model)["MMoE gates"]))


def test_a_picture_is_as_blue_as_its_numbers_are_large():
    values = np.array([[1.0, 0.5], [-1.0, np.nan]])
    picture = heat_map(evaluation.Relation(values, ["a", "b"], ["c", "d"]))
    # A corner of each cell, where no number is written.
    bottom, right = picture.shape[0] - 8 - 56, picture.shape[1] - 8 - 56
    corners = picture[np.ix_([bottom - 54, bottom + 2], [right - 54, right + 2])]
    full, half, orange, grey = corners.reshape(4, 3).astype(int)
    np.testing.assert_array_equal(full, [33, 102, 172])
    np.testing.assert_allclose(half, (255 + full) / 2, atol=1)
    np.testing.assert_array_equal(orange, [200, 90, 20])
    np.testing.assert_array_equal(grey, [224, 224, 224])
    many = [f"task {i}" for i in range(139)]
    assert heat_map(evaluation.Relation(np.eye(139), many, many)).shape == (850, 850, 3)
