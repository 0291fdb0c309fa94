"""One contract for every task: a new one is enrolled by its line in the folder's `__init__`."""

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import tasks

EXAMPLES = {
    "Binary": (lambda: tasks.Binary("t", tower=[4]), lambda r, n: r.integers(0, 2, n)),
    "MultiClass": (lambda: tasks.MultiClass("t", 4), lambda r, n: r.integers(0, 4, n)),
    "MultiLabel": (lambda: tasks.MultiLabel("t", 3), lambda r, n: r.integers(0, 2, (n, 3))),
    "Ordinal": (lambda: tasks.Ordinal("t", 5), lambda r, n: r.integers(0, 5, n)),
    "Regression": (lambda: tasks.Regression("t", 2), lambda r, n: 50 + 9 * r.normal(size=(n, 2))),
    "SequenceTagging": (
        lambda: tasks.SequenceTagging("t", ["O", "B-x", "I-x"]),
        lambda r, n: r.integers(0, 3, (n, 5)),
    ),
    "SequenceTagging-crf": (
        lambda: tasks.SequenceTagging("t", ["O", "B-x", "I-x"], decoder="crf"),
        lambda r, n: r.integers(0, 3, (n, 5)),
    ),
}
KINDS = [n for n in tasks.__all__ if n not in ("Task", "Prediction", "SequencePooling", "Tower")]


def test_every_task_of_the_package_is_held_to_the_contract():
    assert {name.split("-")[0] for name in EXAMPLES} == set(KINDS)


@pytest.fixture(params=sorted(EXAMPLES))
def case(request, rng):
    """A task, inputs, labels, and a model of it."""
    make, labels = EXAMPLES[request.param]
    task = make()
    if task.keeps_positions:
        inputs = keras.Input((None, 6), name="steps")
        x = rng.normal(size=(24, 5, 6)).astype("float32")
    else:
        inputs = keras.Input((6,), name="x")
        x = rng.normal(size=(24, 6)).astype("float32")
    model = keras_mtl.MultiTaskModel(inputs, {"t": task.head(keras.layers.Dense(8)(inputs))})
    return task, x, labels(rng, 24), model


def test_it_trains_is_judged_and_survives_the_disk(case, tmp_path):
    task, x, y, model = case
    model.compile(keras.optimizers.Adam(0.02), jit_compile=not task.keeps_positions)
    history = model.fit(x, {"t": y}, epochs=12, batch_size=8, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    report = keras_mtl.evaluate(model, x, {"t": y})
    assert task.main_metric in report["t"]
    assert all(isinstance(v, float) for v in report["t"].values())
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert loaded.tasks["t"].get_config() == task.get_config()
    np.testing.assert_array_equal(
        model.predict(x, verbose=0)["t"], loaded.predict(x, verbose=0)["t"]
    )


def test_its_config_makes_it_again(case):
    task = case[0]
    again = type(task).from_config(task.get_config())
    assert again.get_config() == task.get_config()


def test_missing_labels_are_left_out_exactly(case):
    """Loss and metrics equal those of the rows without the missing ones."""
    _, x, y, model = case
    gone = np.arange(24) % 3 == 1
    masked = y.astype("float32") if y.dtype.kind == "f" else y.copy()
    masked[gone] = np.nan if y.dtype.kind == "f" else -1
    model.compile("sgd")
    model.adapt({"t": y}) if model.get_layer("t").needs_labels else None
    got = model.evaluate(x, {"t": masked}, verbose=0, return_dict=True)
    kept = model.evaluate(x[~gone], {"t": y[~gone]}, verbose=0, return_dict=True)
    assert got.keys() == kept.keys()
    for key in got:
        assert got[key] == pytest.approx(kept[key], rel=1e-5), key
    judged = keras_mtl.evaluate(model, x, {"t": masked})
    without = keras_mtl.evaluate(model, x[~gone], {"t": y[~gone]})
    assert judged["t"] == pytest.approx(without["t"])
    assert judged.counts == without.counts


def test_float_labels_with_nan_are_as_good_as_integers_with_minus_one(case):
    task, x, y, model = case
    if task.real_labels:
        pytest.skip("its labels are floats anyway")
    model.compile("sgd")
    whole, floats = y.copy(), y.astype("float32")
    whole[:5], floats[:5] = -1, np.nan
    a = model.evaluate(x, {"t": whole}, verbose=0, return_dict=True)
    b = model.evaluate(x, {"t": floats}, verbose=0, return_dict=True)
    assert a == pytest.approx(b)


def test_what_is_served_is_what_is_decided(case):
    task, x, _, model = case
    served = model.predict(x, verbose=0)["t"]
    assert served.dtype == np.float32
    if task.classes is not None and not task.elementwise and served.shape[-1] > 1:
        np.testing.assert_allclose(served.sum(-1), 1, rtol=1e-5)
    if task.classes is not None and not task.elementwise:
        np.testing.assert_array_equal(task.labels_from(served), np.asarray(task.decide(served)))
