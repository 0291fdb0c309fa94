"""`.tflite` files, run by the LiteRT runtime, which knows neither Keras nor TensorFlow."""

import json
import sys

import keras
import numpy as np
import pytest

import keras_mtl
from keras_mtl import export
from tests.export._digits import (
    PEOPLE,
    TASKS,
    Hidden,
    differences,
    digits,
    own_names,
    sequences,
    song_model,
)

interpreter = pytest.importorskip("ai_edge_litert.interpreter")


def runner(path):
    return interpreter.Interpreter(model_path=str(path)).get_signature_runner("serving_default")


def of_type(path, dtype: type) -> list[str]:
    """Names of the file's tensors of a type."""
    made = interpreter.Interpreter(model_path=str(path))
    return [t["name"] for t in made.get_tensor_details() if t["dtype"] is dtype]


@pytest.fixture(scope="module")
def floats(tmp_path_factory):
    model, _, test = digits()
    return export.litert(model, tmp_path_factory.mktemp("floats") / "m.tflite", evaluate_on=test)


def test_answers_are_the_models_own_for_any_number_of_rows(floats):
    model, _, test = digits()
    run = runner(floats.path)
    for rows in (1, 7, 400):
        image = test.inputs["image"][:rows]
        expected = model.predict(image, verbose=0)
        assert max(differences(expected, run(image=image)).values()) < 1e-5
    assert 0 < floats.difference < 1e-5


def test_the_file_has_one_signature_with_the_models_names(floats):
    made = interpreter.Interpreter(model_path=str(floats.path))
    assert made.get_signature_list() == {"serving_default": {"inputs": ["image"], "outputs": TASKS}}


def test_metrics_before_are_the_models_and_after_are_the_files(floats, tmp_path):
    model, _, test = digits()
    answers = runner(floats.path)(image=test.inputs["image"])
    for task in TASKS:
        right = float((answers[task].argmax(axis=1) == test.labels[task]).mean())
        assert right > 0.8, "it has learnt something to lose"
        assert floats.report.after[task]["accuracy"] == pytest.approx(right, abs=1e-9)
        assert floats.report.before[task] == keras_mtl.evaluate(model, test)[task]
    read = json.loads(floats.to_json(tmp_path / "report.json").read_text())
    assert read["bytes"] == floats.path.stat().st_size == floats.size
    assert read["tasks"]["after"]["left"]["accuracy"] == floats.report.after["left"]["accuracy"]
    shown = str(floats)
    assert str(floats.path) in shown and "left" in shown and "accuracy" in shown


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


def test_names_that_python_does_not_take(tmp_path):
    model = own_names()
    made = export.litert(model, tmp_path / "m.tflite")
    answers = runner(made.path)(**PEOPLE)
    assert max(differences(model.predict(PEOPLE, verbose=0), answers).values()) < 1e-5
    assert made.report is None and json.loads(json.dumps(made.to_dict()))["tasks"] is None


def test_convolutions_over_time_keep_the_length_free(tmp_path, rng):
    layers = [keras.layers.Conv1D(4, 3, padding="same"), keras.layers.GlobalMaxPooling1D()]
    model = sequences(keras.Sequential(layers))
    run = runner(export.litert(model, tmp_path / "m.tflite").path)
    for length in (5, 9):
        signal = rng.normal(size=(2, length, 3)).astype("float32")
        expected = model.predict(signal, verbose=0)
        assert max(differences(expected, run(signal=signal)).values()) < 1e-5


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
    assert max(differences(expected, runner(made.path)(signal=signal)).values()) < 1e-5
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
    answers = runner(export.litert(model, tmp_path / "m.tflite").path)(signal=signal)
    assert max(differences(model.predict(signal, verbose=0), answers).values()) < 1e-5


def test_text_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\['tokens'\] are text, for which LiteRT"):
        export.litert(song_model(), tmp_path / "m.tflite")


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


def test_outputs_without_a_task_object_cannot_be_judged(tmp_path):
    with pytest.raises(ValueError, match=r"`evaluate_on` came for a model .*'variables'.*tasks="):
        export.litert(own_names(), tmp_path / "m.tflite", evaluate_on=[(PEOPLE, {})])


def test_any_other_model_is_refused(tmp_path):
    with pytest.raises(
        TypeError, match=r"export.litert takes a keras_mtl.MultiTaskModel.*Sequential"
    ):
        export.litert(keras.Sequential(), tmp_path / "m.tflite")


def test_a_missing_runtime_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [Hidden("ai_edge_litert"), *sys.meta_path])
    for name in [n for n in sys.modules if n.startswith("ai_edge_litert")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError, match=r"needs ai_edge_litert.*keras-mtl\[litert\]"):
        export.litert(digits()[0], tmp_path / "m.tflite")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "m.tflite"
    path.write_bytes(b"before")

    def full(*_):
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", full)
        with pytest.raises(OSError, match="No space left"):
            export.litert(own_names(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["m.tflite"] and path.read_bytes() == b"before"
    export.litert(own_names(), path)
    assert [p.name for p in tmp_path.iterdir()] == ["m.tflite"] and runner(path)(**PEOPLE)
