"""Requests that a server answers by itself when it loads a version."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_mtl
from keras_mtl import encoders, export, tasks

FILE = "assets.extra/tf_serving_warmup_requests"


@pytest.fixture
def api():
    """What warm-up requests are written with; an extra."""
    return pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")


def text_model() -> keras_mtl.MultiTaskModel:
    keras.utils.set_random_seed(1)
    words = encoders.Text(["play", "jazz"], "cnn", units=4, embedding=3)
    return keras_mtl.build_model(
        words, [tasks.MultiClass("kind", ["a", "b"]), tasks.SequenceTagging("tags", ["O", "B-x"])]
    )


def logged(path) -> dict[str, dict[str, np.ndarray]]:
    """The requests in the order of the file, read as TF Serving reads them."""
    from tensorflow_serving.apis import prediction_log_pb2 as log

    requests = {}
    for record in tf.data.TFRecordDataset(str(path / FILE)).as_numpy_iterator():
        parsed = log.PredictionLog.FromString(record)
        assert parsed.WhichOneof("log_type") == "predict_log"
        request = parsed.predict_log.request
        assert request.model_spec.signature_name not in requests, "one a signature"
        requests[request.model_spec.signature_name] = {
            name: tf.make_ndarray(value) for name, value in request.inputs.items()
        }
    return requests


def test_each_signature_is_asked_for_the_rows(tmp_path, api):
    model = text_model()
    rows = [["play", "some", "jazz"], ["jazz"]]
    path = export.saved_model(model, tmp_path, warm_up={"tokens": rows})
    loaded = tf.saved_model.load(str(path))
    requests = logged(path)
    assert set(requests) == set(loaded.signatures)
    assert set(requests) == {
        "serving_default",
        "serving_labels",
        "serving_examples",
        "kind",
        "tags",
    }
    padded = np.array([["play", "some", "jazz"], ["jazz", "", ""]])
    expected = model.predict(tf.constant(padded), verbose=0)
    for name, request in requests.items():
        answers = loaded.signatures[name](**{k: tf.constant(v) for k, v in request.items()})
        if name == "serving_labels":
            assert set(answers["kind"].numpy()) <= {b"a", b"b"}
            continue
        assert set(answers) == ({name} if name in expected else set(expected))
        for task, answer in answers.items():
            np.testing.assert_allclose(answer, expected[task], atol=1e-6)


def test_our_own_server_replays_them(tmp_path, api):
    servable = pytest.importorskip("keras_mtl.serving._servable")
    rows = [["play", "some", "jazz"], ["jazz"]]
    found = servable.Servable(export.saved_model(text_model(), tmp_path, warm_up=rows))
    assert found.warm_up() == 5
    found.close()


def test_an_array_does_for_one_input_and_rows_can_be_made_up(tmp_path, api):
    x = keras.Input((3,), name="x")
    model = keras_mtl.MultiTaskModel(x, {"t": keras.layers.Dense(1)(x)})
    rows = np.arange(6.0).reshape(2, 3)
    requests = logged(export.saved_model(model, tmp_path, warm_up=rows))
    for name in ("serving_default", "t"):
        assert requests[name]["x"].dtype == np.float32
        np.testing.assert_array_equal(requests[name]["x"], rows)
    features = tf.io.parse_example(
        tf.constant(requests["serving_examples"]["examples"]),
        {"x": tf.io.FixedLenFeature([3], tf.float32)},
    )
    np.testing.assert_array_equal(features["x"], rows)
    made_up = logged(export.saved_model(model, tmp_path, warm_up=True))
    np.testing.assert_array_equal(made_up["t"]["x"], [[0, 0, 0]])


def test_images_are_sent_as_files_too(tmp_path, api):
    image = keras.Input((3, 4, 1), name="image")
    model = keras_mtl.MultiTaskModel(image, {"t": keras.ops.mean(image, axis=(1, 2))})
    rows = np.linspace(0, 1, 24).reshape(2, 3, 4, 1)
    path = export.saved_model(model, tmp_path, warm_up={"image": rows}, pixels=(0, 1))
    request = logged(path)["serving_images"]
    assert [content[:4] for content in request["image"]] == [b"\x89PNG"] * 2
    served = tf.saved_model.load(str(path)).signatures["serving_images"]
    answer = served(image=tf.constant(request["image"]))["t"]
    np.testing.assert_allclose(answer, rows.mean(axis=(1, 2)), atol=0.5 / 255)


def test_rows_that_are_not_the_inputs_are_refused_before_anything_is_written(tmp_path, api):
    x, y = keras.Input((3,), name="x"), keras.Input((), name="y", dtype="int32")
    column = keras.ops.expand_dims(keras.ops.cast(y, "float32"), 1)
    both = keras_mtl.MultiTaskModel([x, y], {"t": keras.layers.Dense(1)(x) + column})
    good = {"x": np.zeros((2, 3)), "y": [1, 2]}
    for fault, told in [
        (np.zeros((2, 3)), r"expected rows of the inputs \['x', 'y'\]"),
        ({"x": good["x"]}, r"came with \['x'\]"),
        ({**good, "y": [1]}, r"numbers of rows: {'x': 2, 'y': 1}"),
        ({"x": np.zeros((0, 3)), "y": []}, "at least one"),
        ({**good, "x": np.zeros((2, 4))}, r"'x' in the shape \(2, 4\); expected \(None, 3\)"),
        ({**good, "y": ["a", "b"]}, "'y' that are no int32"),
    ]:
        with pytest.raises(ValueError, match=told):
            export.saved_model(both, tmp_path / "m", warm_up=fault)
    assert not (tmp_path / "m").exists()


def test_without_the_extra_it_is_named_and_an_export_without_warm_up_needs_none(
    tmp_path, monkeypatch
):
    for module in [m for m in sys.modules if m.split(".")[0] == "tensorflow_serving"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "tensorflow_serving", None)
    x = keras.Input((1,), name="x")
    model = keras_mtl.MultiTaskModel(x, {"t": keras.layers.Dense(1)(x)})
    with pytest.raises(ImportError, match=r'`warm_up`.*pip install "keras-mtl\[serve\]"'):
        export.saved_model(model, tmp_path / "m", warm_up=True)
    assert not (tmp_path / "m").exists()
    path = export.saved_model(model, tmp_path / "m")
    assert not (path / "assets.extra").exists()
