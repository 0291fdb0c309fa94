"""One contract for every sharing scheme: a new one is enrolled by its name."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mtl
from keras_mtl import encoders, sharing, tasks


def table(rng, rows):
    x = rng.normal(size=(rows, 4)).astype("float32")
    y = {"a": (x[:, 0] > 0).astype("int32"), "b": x[:, 1:2]}
    return {"features": x}, y


def texts(rng, rows):
    words = np.array(["go", "stop", "now", ""])
    lengths = rng.integers(2, 6, rows)
    tokens = np.array(
        [[words[rng.integers(3)] if t < n else "" for t in range(5)] for n in lengths]
    )
    tags = np.where(tokens == "", -1, (tokens == "now").astype("int32"))
    return {"tokens": tokens}, {"kind": (tokens[:, 0] == "go").astype("int32"), "tags": tags}


def images(rng, rows):
    x = rng.random((rows, 8, 8, 1)).astype("float32")
    y = {"top": (x[:, :4].mean((1, 2, 3)) > 0.5).astype("int32")}
    return {"image": x}, {**y, "three": rng.integers(0, 3, rows).astype("int32")}


CASES = {
    "dense": (
        table,
        lambda: encoders.Dense(4, units=[8]),
        lambda: [tasks.Binary("a"), tasks.Regression("b")],
    ),
    "text": (
        texts,
        lambda: encoders.Text(vocabulary=["go", "stop", "now"], kind="cnn", units=8),
        lambda: [
            tasks.MultiClass("kind", classes=2),
            tasks.SequenceTagging("tags", tags=["O", "B-x"]),
        ],
    ),
    "image": (
        images,
        lambda: encoders.Image((8, 8, 1), filters=(4,)),
        lambda: [tasks.Binary("top"), tasks.MultiClass("three", classes=3)],
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", sharing.names())
def test_it_trains_survives_the_disk_and_is_served(name, case, tmp_path, rng):
    """Tables are trained compiled by XLA; texts and images eagerly, and served as graphs."""
    data, encoder, made = CASES[case]
    x, y = data(rng, 32)
    model = keras_mtl.build_model(encoder(), made(), sharing=name)
    how = {"jit_compile": True} if case == "dense" else {"run_eagerly": True}
    model.compile(keras.optimizers.Adam(0.01), **how)
    history = model.fit(x, y, epochs=8, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert model.shared_variables() or name == "soft"
    (given,) = map(tf.constant, x.values())
    before = model(given)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    for task, out in loaded(given).items():
        np.testing.assert_array_equal(out, before[task])
    folder = keras_mtl.export.saved_model(model, tmp_path / "served")
    serving = tf.saved_model.load(str(folder)).signatures["serving_default"]
    for task, out in serving(**{n: tf.constant(v) for n, v in x.items()}).items():
        np.testing.assert_allclose(out, before[task], rtol=1e-4, atol=1e-5, err_msg=task)


@pytest.mark.parametrize("name", sharing.names())
def test_mixed_precision_trains_and_serves_finite_numbers(name, rng):
    x, y = table(rng, 32)
    policy = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_float16")
    try:
        model = keras_mtl.build_model(
            encoders.Dense(4, units=[8]), [tasks.Binary("a"), tasks.Regression("b")], sharing=name
        )
        model.compile(keras.optimizers.Adam(0.01), balancer="cagrad", run_eagerly=True)
        history = model.fit(x, y, epochs=6, verbose=0).history
    finally:
        keras.mixed_precision.set_dtype_policy(policy)
    assert np.isfinite(history["loss"]).all()
    assert all(np.isfinite(v).all() for v in model.get_weights())


@pytest.mark.parametrize("name", sharing.names())
def test_it_serves_one_task_and_many(name):
    for k in (1, 5):
        made = [tasks.Regression(f"t{i}") for i in range(k)]
        model = keras_mtl.build_model(encoders.Dense(3, units=[8]), made, sharing=name)
        assert [tuple(out.shape) for out in model.output.values()] == [(None, 1)] * k


@pytest.mark.parametrize("name", sharing.names())
def test_it_is_for_one_set_of_tasks(name):
    scheme = sharing.get(name)
    features = keras.Input((8,))
    assert list(scheme.connect(features, ["z", "a"])) == ["z", "a"]
    with pytest.raises(ValueError, match="make a new one for each model"):
        scheme.connect(features, ["a", "b"])


@pytest.mark.parametrize("name", sharing.names())
def test_it_says_so_if_nobody_told_it_the_tasks(name):
    with pytest.raises(ValueError, match=r"was not told its tasks; give it to `build_model`"):
        sharing.get(name)(np.zeros((2, 8), "float32"))
