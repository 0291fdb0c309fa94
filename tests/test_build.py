"""build_model: any Keras model or layer as the encoder."""

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import encoders, tasks


def test_a_keras_model_is_an_encoder_with_its_own_inputs(rng):
    left, right = keras.Input((3,), name="left_in"), keras.Input((2,), name="right_in")
    trunk = keras.Model(
        {"left_in": left, "right_in": right},
        keras.layers.Dense(4)(keras.layers.Concatenate()([left, right])),
    )
    model = keras_mtl.build_model(trunk, [tasks.Binary("a"), tasks.Regression("b")])
    x = {"left_in": rng.normal(size=(8, 3)), "right_in": rng.normal(size=(8, 2))}
    assert {t.name for t in model.inputs} == {"left_in", "right_in"}
    assert model.predict(x, verbose=0)["a"].shape == (8, 1)


def test_a_bare_layer_is_an_encoder_with_inputs_that_are_given():
    layer = keras.layers.GRU(4, return_sequences=True)
    steps = keras.Input((None, 3), name="steps")
    model = keras_mtl.build_model(
        layer, [tasks.SequenceTagging("tag", ["O", "B-x"]), tasks.Binary("any")], inputs=steps
    )
    out = model.predict(np.zeros((2, 5, 3)), verbose=0)
    assert out["tag"].shape == (2, 5, 2) and out["any"].shape == (2, 1)
    with pytest.raises(ValueError, match="does not know its inputs"):
        keras_mtl.build_model(layer, [tasks.Binary("a")])
    with pytest.raises(ValueError, match="is not wanted with Dense"):
        keras_mtl.build_model(encoders.Dense(3), [tasks.Binary("a")], inputs=steps)


def test_names_may_sort_otherwise_than_they_are_given(tmp_path, rng):
    kinds = [tasks.MultiClass("zebra", 2), tasks.MultiClass("ape", 3), tasks.MultiClass("cat", 4)]
    model = keras_mtl.build_model(encoders.Dense(3, units=[4]), kinds)
    model.compile("sgd", loss_weights={"cat": 0.4, "zebra": 0.1, "ape": 0.2})
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    for made in (model, loaded):
        assert made.task_names == ["zebra", "ape", "cat"]
        assert made.loss_weights == pytest.approx({"zebra": 0.1, "ape": 0.2, "cat": 0.4})
        widths = {k: v.shape[-1] for k, v in made.predict(np.zeros((1, 3)), verbose=0).items()}
        assert widths == {"zebra": 2, "ape": 3, "cat": 4}
