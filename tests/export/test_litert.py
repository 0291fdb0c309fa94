"""`.tflite` files, run by the LiteRT runtime, which knows neither Keras nor TensorFlow."""

import sys

import keras
import numpy as np
import pytest

from keras_mtl import export
from tests.export._digits import (
    PEOPLE,
    TASKS,
    Hidden,
    differences,
    digits,
    sequences,
)
from tests.export._formats import run_litert

interpreter = pytest.importorskip("ai_edge_litert.interpreter")


def of_type(path, dtype: type) -> list[str]:
    """Names of the file's tensors of a type."""
    made = interpreter.Interpreter(model_path=str(path))
    return [t["name"] for t in made.get_tensor_details() if t["dtype"] is dtype]


@pytest.fixture(scope="module")
def floats(tmp_path_factory):
    model, _, test = digits()
    return export.litert(model, tmp_path_factory.mktemp("floats") / "m.tflite", evaluate_on=test)


def test_the_file_has_one_signature_with_the_models_names(floats):
    made = interpreter.Interpreter(model_path=str(floats.path))
    assert made.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": TASKS}}


def test_dynamic_weights_are_smaller_and_decide_alike(floats, tmp_path):
    model, _, test = digits()
    made = export.litert(model, tmp_path / "m.tflite", quantization="dynamic", evaluate_on=test)
    assert made.size < 0.5 * floats.size
    assert of_type(made.path, np.int8) and not of_type(floats.path, np.int8)
    assert made.difference > floats.difference
    for task in TASKS:
        assert abs(made.report[task]["accuracy"]) < 0.03


@pytest.mark.parametrize("form", ["examples", "batches", "inputs", "array"])
def test_int8_computes_in_8_bits_and_decides_alike(form, floats, tmp_path):
    model, train, test = digits()
    rows = train.select(range(200))
    representative = {
        "examples": rows,
        "batches": rows.dataset(32),
        "inputs": rows.inputs,
        "array": rows.inputs["image"],
    }[form]
    made = export.litert(
        model,
        tmp_path / "m.tflite",
        quantization="int8",
        representative=representative,
        evaluate_on=test,
    )
    for task in TASKS:
        assert abs(made.report[task]["accuracy"]) < 0.04
    # All numbers on the way are of 8 bits, and only what goes in and out is not.
    assert len(of_type(made.path, np.float32)) == 1 + len(TASKS)
    assert made.size < 0.5 * floats.size


def test_int8_learns_the_ranges_from_the_rows_that_it_is_given(tmp_path):
    model, train, test = digits()
    dark = {"image": 0.01 * train.inputs["image"][:50]}
    made = export.litert(
        model, tmp_path / "m.tflite", quantization="int8", representative=dark, evaluate_on=test
    )
    assert made.report["left"]["accuracy"] < -0.2, "images brighter than all of these saturate"


@pytest.mark.parametrize(
    "layer",
    [
        lambda: keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True)),
        lambda: keras.layers.GRU(4),
    ],
    ids=["bilstm", "gru"],
)
def test_recurrent_layers_convert_at_a_length(layer, tmp_path, rng):
    model = sequences(layer())
    made = export.litert(model, tmp_path / "m.tflite", length=6)
    signal = rng.normal(size=(3, 6, 3)).astype("float32")
    expected = model.predict(signal, verbose=0)
    assert max(differences(expected, run_litert(made.path, {"signal": signal})).values()) < 1e-5
    longer = rng.normal(size=(3, 8, 3)).astype("float32")
    assert model.predict(longer, verbose=0)["kind"].shape[0] == 3, "the model itself is as it was"


def test_a_recurrent_layer_of_any_length_is_refused(tmp_path):
    model = sequences(keras.layers.LSTM(4, name="reader"))
    with pytest.raises(ValueError, match=r"'reader'.*'signal'.*fixed `length=`.*convolutional"):
        export.litert(model, tmp_path / "m.tflite")
    assert not list(tmp_path.iterdir())


def test_a_fixed_length_needs_no_argument_and_takes_none(tmp_path, rng):
    model = sequences(keras.layers.LSTM(4), (5, 3))
    with pytest.raises(ValueError, match=r"`length` is 5; expected .*of any length.*'signal'"):
        export.litert(model, tmp_path / "m.tflite", length=5)
    signal = rng.normal(size=(2, 5, 3)).astype("float32")
    path = export.litert(model, tmp_path / "m.tflite").path
    answers = run_litert(path, {"signal": signal})
    assert max(differences(model.predict(signal, verbose=0), answers).values()) < 1e-5


def test_an_operation_that_litert_lacks_is_named_and_no_file_is_left(tmp_path):
    import tensorflow as tf

    class Odd(keras.layers.Layer):
        def call(self, x):
            return tf.cast(tf.bitwise.bitwise_and(tf.cast(x, "int32"), 3), "float32")

    with pytest.raises(ValueError, match=r"cannot be converted to LiteRT \(.*BitwiseAnd"):
        export.litert(sequences(Odd(), (3,)), tmp_path / "m.tflite")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quantization": "int4"}, r"`quantization` is 'int4'; expected None, \"dynamic\""),
        ({"quantization": "int8"}, r"`representative` came as None with quantization='int8'"),
        ({"representative": PEOPLE}, r"`representative` came as rows with quantization=None"),
        ({"quantization": "int8", "representative": {"x": np.ones((2, 2))}}, r"`representative`.*"),
        ({"quantization": "int8", "representative": []}, r"`representative` is empty"),
        ({"length": 4}, r"`length` is 4"),
    ],
)
def test_arguments_out_of_range(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export.litert(digits()[0], tmp_path / "m.tflite", **arguments)


def test_a_missing_runtime_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [Hidden("ai_edge_litert"), *sys.meta_path])
    for name in [n for n in sys.modules if n.startswith("ai_edge_litert")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError, match=r"needs ai_edge_litert.*keras-mtl\[litert\]"):
        export.litert(digits()[0], tmp_path / "m.tflite")
