"""A model behind its preprocessing; what is served without Keras is in test_saved_model.py."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mtl
from keras_mtl import encoders, export, tasks


def test_a_chain_of_preprocessing_is_left_out_and_other_inputs_stay_raw(tmp_path):
    inputs = {
        "text": keras.Input((), name="text", dtype="string"),
        "age": keras.Input((1,), name="age"),
        "pair": keras.Input((2,), name="pair"),
    }
    words = keras.layers.TextVectorization(
        vocabulary=["play", "jazz"], output_mode="int", output_sequence_length=3
    )
    scaled = keras.layers.Normalization(mean=30.0, variance=4.0)(inputs["age"])
    scaled = keras.layers.Rescaling(10.0)(scaled)
    embedded = keras.layers.Embedding(4, 2)(words(inputs["text"]))
    joined = keras.layers.Concatenate()(
        [keras.layers.Flatten(name="flatten")(embedded), scaled, inputs["pair"]]
    )
    model = keras_mtl.MultiTaskModel(
        inputs, {"t": keras.layers.Dense(1)(joined), "scaled_twice": scaled * 2.0}
    )
    path = export.saved_model(model, tmp_path, preprocessed=True)
    served = tf.saved_model.load(str(path)).signatures["serving_preprocessed"]
    raw = {
        "text": np.array(["Play JAZZ!", "jazz unheard play play"]),
        "age": np.array([[30.0], [34.0]], "float32"),
        "pair": np.array([[1.0, 2.0], [3.0, 4.0]], "float32"),
    }
    # By hand: padding 0, unknown 1, then the words; (34 - 30) / 2 * 10.
    found = served(
        text=tf.constant([[2, 3, 0], [3, 1, 2]], tf.int64),
        age=tf.constant([[0.0], [20.0]]),
        pair=tf.constant(raw["pair"]),
    )
    expected = model.predict({k: tf.constant(v) for k, v in raw.items()}, verbose=0)
    np.testing.assert_allclose(found["t"], expected["t"], atol=1e-6)
    np.testing.assert_allclose(found["scaled_twice"], [[0.0], [40.0]], atol=1e-5)
    assert model.get_layer("flatten").output.shape == (None, 6), (
        "the model's own graph is as it was"
    )


def test_what_cannot_be_left_out_is_refused(tmp_path):
    words = encoders.Text(["a"], "cnn", units=2, embedding=2)
    text = keras_mtl.build_model(words, [tasks.Binary("t")])
    # A layer that a second one bypasses cannot be left out either.
    x = keras.Input((1,), name="x")
    scaled = keras.layers.Rescaling(2.0)(x)
    bypassed = keras_mtl.MultiTaskModel(x, {"t": keras.layers.Dense(1)(scaled + x)})
    for model in (text, bypassed):
        with pytest.raises(ValueError, match="no preprocessing layer of Keras"):
            export.saved_model(model, tmp_path / "m", preprocessed=True)
    assert not (tmp_path / "m").exists()
