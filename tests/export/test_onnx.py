"""`.onnx` files, checked by onnx and run by ONNX Runtime, which know nothing of TensorFlow."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_mtl import export
from tests.export._digits import (
    TASKS,
    Hidden,
    differences,
    digits,
    own_names,
    sequences,
)
from tests.export._formats import run_onnx

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    model, _, test = digits()
    return export.onnx(model, tmp_path_factory.mktemp("onnx") / "m.onnx", evaluate_on=test)


def test_the_graph_is_sound_and_has_the_models_names(made):
    read = onnx.load(str(made.path))
    onnx.checker.check_model(read, full_check=True)
    for values, names in ((read.graph.input, ["image"]), (read.graph.output, TASKS)):
        assert [value.name for value in values] == names
        assert {value.type.tensor_type.shape.dim[0].dim_param for value in values} == {"batch"}


def test_it_runs_where_no_tensorflow_is(made, tmp_path):
    model, _, test = digits()
    image = test.inputs["image"][:5]
    np.save(tmp_path / "image.npy", image)
    script = """
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = sys.modules["keras_mtl"] = None
import numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
names = [output.name for output in session.get_outputs()]
answers = session.run(names, {"image": numpy.load(sys.argv[2] + "/image.npy")})
numpy.savez(sys.argv[2] + "/out.npz", **dict(zip(names, answers)))
"""
    command = [sys.executable, "-c", script, str(made.path), str(tmp_path)]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    answers = dict(np.load(tmp_path / "out.npz"))
    assert max(differences(model.predict(image, verbose=0), answers).values()) < 1e-5


def test_batches_that_can_be_gone_through_once_are_judged_twice(tmp_path):
    model, _, test = digits()
    once = iter(test.select(range(100)).dataset(50))
    report = export.onnx(model, tmp_path / "m.onnx", evaluate_on=once).report
    assert report["left"]["accuracy"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("opset", [13, 17])
def test_the_opset_is_the_one_asked_for(opset, tmp_path):
    path = export.onnx(own_names(), tmp_path / "m.onnx", opset=opset).path
    assert {o.version for o in onnx.load(str(path)).opset_import if not o.domain} == {opset}


@pytest.mark.parametrize("opset", [1, 99])
def test_an_opset_that_cannot_be_is_refused(opset, tmp_path):
    with pytest.raises(ValueError, match=r"cannot be converted to ONNX .*`opset`"):
        export.onnx(digits()[0], tmp_path / "m.onnx", opset=opset)
    assert not list(tmp_path.iterdir())


def test_recurrent_layers_keep_the_length_free_too(tmp_path, rng):
    layer = keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True))
    model = sequences(layer)
    path = export.onnx(model, tmp_path / "m.onnx").path
    for length in (4, 9):
        signal = rng.normal(size=(3, length, 3)).astype("float32")
        expected = model.predict(signal, verbose=0)
        assert max(differences(expected, run_onnx(path, {"signal": signal})).values()) < 1e-5


def test_half_precision_comes_out_as_float32(tmp_path, rng):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = sequences(keras.layers.Dense(4), (3,))
    finally:
        keras.config.set_dtype_policy("float32")
    path = export.onnx(model, tmp_path / "m.onnx").path
    signal = rng.normal(size=(3, 3)).astype("float32")
    answers = run_onnx(path, {"signal": signal})
    assert {a.dtype.name for a in answers.values()} == {"float32"}
    assert max(differences(model.predict(signal, verbose=0), answers).values()) < 5e-3


def test_an_operation_that_onnx_lacks_is_named_and_no_file_is_left(tmp_path):
    import tensorflow as tf

    class Odd(keras.layers.Layer):
        def call(self, x):
            return tf.math.lgamma(x)

    with pytest.raises(ValueError, match=r"cannot be converted to ONNX \(.*Lgamma"):
        export.onnx(sequences(Odd(), (3,)), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_a_file_that_answers_otherwise_is_not_written(tmp_path, monkeypatch):
    """As a converter would do it that drops a layer."""
    import tf2onnx

    convert = tf2onnx.convert.from_function

    def wrong(function, **arguments):
        graph, extra = convert(function, **arguments)
        for weight in graph.graph.initializer:
            values = onnx.numpy_helper.to_array(weight)
            if values.dtype == np.float32:
                weight.CopyFrom(onnx.numpy_helper.from_array(1.5 * values, weight.name))
        return graph, extra

    monkeypatch.setattr(tf2onnx.convert, "from_function", wrong)
    with pytest.raises(ValueError, match=r"would answer task '.*' otherwise than the model, by"):
        export.onnx(own_names(), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["tf2onnx", "onnxruntime"])
def test_a_missing_package_names_the_extra(package, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [Hidden(package), *sys.meta_path])
    for name in [n for n in sys.modules if n.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ImportError, match=rf"needs {package}.*keras-mtl\[onnx\]"):
        export.onnx(digits()[0], tmp_path / "m.onnx")
